"""Flask-SocketIO: events, acknowledgements, rooms, broadcasts, a background task."""

from __future__ import annotations

import os
from typing import Any

from flask import Flask, request
from flask_socketio import SocketIO, emit, join_room, leave_room

app = Flask(__name__)
# Without a mode it is gevent's wherever gevent is installed.
socketio = SocketIO(app, async_mode=os.environ.get("SOCKETIO_MODE") or None)


@app.route("/mode")
def mode() -> str:
    return str(socketio.async_mode)


@socketio.on("connect")
def connected(auth: Any) -> None:
    emit("welcome", {"sid": request.sid, "auth": auth})


@socketio.on("disconnect")
def disconnected(reason: str) -> None:
    socketio.emit("left", reason)


@socketio.on("add")
def add(first: int, second: int) -> int:
    return first + second  # the acknowledgement


@socketio.on("shout")
def shout(text: str) -> None:
    emit("heard", text, broadcast=True)


@socketio.on("enter")
def enter(room: str) -> str:
    join_room(room)
    return room


@socketio.on("leave")
def leave(room: str) -> str:
    leave_room(room)
    return room


@socketio.on("whisper")
def whisper(room: str, text: str) -> None:
    emit("heard", text, to=room)


@socketio.on("count")
def count(limit: int) -> None:
    def background(sid: str) -> None:
        for number in range(limit):
            socketio.sleep(0)
            socketio.emit("number", number, to=sid)

    socketio.start_background_task(background, request.sid)


@socketio.on("binary")
def binary(data: bytes) -> bytes:
    return data[::-1]
