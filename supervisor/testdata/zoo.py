"""Stand-in workers of many characters; the start message's target picks one.

It speaks the control protocol by itself, so that these tests judge the supervisor and not the shim.
"""

import marshal
import os
import signal
import socket
import struct
import subprocess
import sys
import time

control = socket.socket(fileno=4)


def send(event, flags=0):
    content = marshal.dumps(event, 2)
    parts = [content[i : i + 65535] for i in range(0, len(content), 65535)]
    for i, part in enumerate(parts):
        more = 2 if i + 1 < len(parts) else 0
        control.sendall(struct.pack("!BBHHBB", 1, 68, 0, len(part), 0, more) + part)


def receive():
    header = control.recv(8, socket.MSG_WAITALL)
    if len(header) < 8:
        os._exit(1)
    length = struct.unpack("!BBHHBB", header)[3]
    return marshal.loads(control.recv(length, socket.MSG_WAITALL))


def ready():
    send({"event": "ready", "interface": "wsgi", "threads": 4, "python": "3.x", "loop": "", "lifespan": ""})


def debugged():
    send({"event": "debugged", "on": False})


def serve(stop=lambda message: sys.exit(0)):
    while True:
        message = receive()
        command = message["cmd"]
        if command == "stop":
            stop(message)
        elif command == "ping":
            send({"event": "surprise"})
            send({"event": "pong", "n": message["n"], "loop_ms": 12})
        elif command == "dump":
            sys.stderr.write('Thread 0x1:\n  File "zoo.py", line 7 in stuck\n')
            sys.stderr.flush()
            send({"event": "dumped"})
        elif command == "reclaim":
            send({"event": "reclaimed", "ids": [3, 65535]})
        elif command == "debugged":
            debugged()


start = receive()
assert start["cmd"] == "start", start
target = start["target"]
first = "." not in start["worker_id"]
slot = start["worker_id"].partition(".")[0]


def fail(error="SyntaxError: x"):
    send({"event": "failed", "stage": "import", "error": error, "traceback": "Traceback\n  " + error + "\n"})
    sys.exit(4)


def wait_for(gate):
    while not os.path.exists(gate):
        time.sleep(0.01)


if target == "good":
    ready()
    serve()
elif target == "echo":  # uses data socket and marks as a worker would
    import mmap

    data, marks = socket.socket(fileno=3), mmap.mmap(5, 65536)
    ready()
    sent = data.recv(100)
    marks[7] = 1
    data.sendall(sent.upper() + os.environ["EXTRA"].encode() + os.environ["PYSPEED_WORKER_ID"].encode())
    serve()
elif target == "import fails":
    trace = 'Traceback (most recent call last):\n  File "app.py", line 1, in <module>\n' + "    x\n" * 20000
    send({"event": "failed", "stage": "import", "error": "NameError: x", "traceback": trace + "NameError: x\n"})
    sys.exit(4)
elif target == "lifespan fails":
    send({"event": "failed", "stage": "lifespan", "error": "no database", "traceback": ""})
    sys.exit(3)
elif target == "fails the second time":
    if not first:
        fail()
    ready()
    sys.exit(5)
elif target == "starts once":
    if not first:
        fail()
    ready()
    serve()
elif target == "hangs the second time":
    if first:
        ready()
    serve()
elif target == "fails in slot 2":
    if slot == "2":
        fail()
    ready()
    serve()
elif target == "waits for the gate":
    wait_for("gate")
    ready()
    serve()
elif target == "dies in slot 1 before 2 is ready":
    if slot == "2":
        wait_for("gate")
    ready()
    if slot == "1":
        os._exit(9)
    serve()
elif target == "tells where it is":
    print("I am in", os.getcwd(), "and import from", start.get("directory"), flush=True)
    ready()
    serve()
elif target == "asks for its end":
    if first:
        send({"event": "recycle", "reason": "the cache\x1b is full"})
    ready()
    serve()
elif target == "grows once":
    kept = b"x" * (64 << 20) if first else b""
    ready()
    serve()
elif target == "ends with the code":
    ready()
    serve(stop=lambda message: os._exit(message["code"]))
elif target == "hangs":
    serve()
elif target.startswith("hangs in "):  # the last of these parts of its start
    for part in target[9:].split(", "):
        name, _, what = part.partition(" ")
        send({"event": "stage", "stage": name, "what": what})
    serve()
elif target == "is debugged while it starts":
    asked = 0

    def debugged():
        global asked
        asked += 1
        send({"event": "debugged", "on": True})
        if asked == 3:
            ready()

    send({"event": "stage", "stage": "import", "what": ""})
    serve()
elif target == "is debugged while it drains":
    asked = 0

    def debugged():
        global asked
        asked += 1
        print("asked", asked, flush=True)
        send({"event": "debugged", "on": asked <= 2})

    ready()
    serve()
elif target == "is debugged":
    ready()
    send({"event": "debugger", "on": True})
    send({"event": "debugger", "on": not first})
    serve()
elif target == "hangs, deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)
elif target.startswith("exits "):
    sys.exit(int(target[6:]))
elif target == "dies once ready":
    ready()
    if first:
        os._exit(5)
    serve()
elif target == "ignores stop and TERM":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ready()
    serve(stop=lambda message: None)
elif target == "ignores stop":
    ready()
    serve(stop=lambda message: None)
elif target == "ignores everything once ready":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ready()
    time.sleep(600)
elif target == "closes control":
    ready()
    if first:
        control.close()
        time.sleep(600)
    serve()
elif target == "garbage on control":
    ready()
    if first:
        control.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        time.sleep(600)
    serve()
elif target == "prints":
    sys.stdout.write("hello\n\x1b[2Jcleared\nlevel=ERROR\rmsg=forged\n" + "x" * 40000 + "\n")
    sys.stdout.flush()
    os.write(2, b'Traceback (most recent call last):\n  File "a.py", line 1\nValueError: \xff\xfe\x00\nno end')
    ready()
    serve()
elif target == "floods":
    ready()
    for _ in range(5000):
        os.write(1, (b"f" * 99 + b"\n") * 10)
    serve()
elif target == "leaves a child":  # which holds every descriptor and stays in the group
    if os.fork() == 0:
        time.sleep(600)
    ready()
    serve()
elif target == "starts a program":
    child = subprocess.Popen(
        [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"], stdout=subprocess.PIPE
    )
    child.stdout.readline()
    print("child", child.pid, flush=True)
    ready()
    serve(stop=lambda message: os._exit(0))
else:
    sys.exit("no such worker: " + target)
