"""SQLAlchemy sessions, Flask-SQLAlchemy's and a scoped_session of one's own: what each request leaves behind."""

import os
import threading

from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import String, event, select, text
from sqlalchemy.orm import Mapped, mapped_column, scoped_session, sessionmaker

app = Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite:///" + os.environ["DATABASE"]
app.config["SQLALCHEMY_ENGINE_OPTIONS"] = {"pool_size": 5, "max_overflow": 0, "pool_timeout": 20}
db = SQLAlchemy(app)


class Note(db.Model):  # type: ignore[name-defined,misc]
    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(String(50))


with app.app_context():
    db.create_all()
    engine = db.engine
own = scoped_session(sessionmaker(engine))
connections = 0
meeting = threading.Event()


@event.listens_for(engine, "connect")
def opened(connection: object, record: object) -> None:
    global connections
    connections += 1


@app.teardown_appcontext
def end(error: object) -> None:
    own.remove()


@app.post("/notes/<words>")
def add(words: str) -> str:
    db.session.add(Note(text=words))
    db.session.commit()
    return words


@app.post("/lost/<words>")
def lose(words: str) -> str:
    db.session.add(Note(text=words))
    db.session.flush()
    raise LookupError("before the commit")


@app.route("/notes")
def notes() -> list[str]:
    mine = own.execute(select(Note.text).order_by(Note.id)).scalars().all()
    assert list(mine) == list(db.session.scalars(select(Note.text).order_by(Note.id)))
    return list(mine)


@app.route("/meets")
def meets() -> str:
    """Holds its connection until /opens."""
    db.session.execute(text("select 1"))
    meeting.wait()
    return "met"


@app.route("/opens")
def opens() -> str:
    meeting.set()
    return "opened"


@app.route("/pool")
def pool() -> dict[str, int]:
    return {"opened": connections, "in_use": engine.pool.checkedout()}  # type: ignore[attr-defined]
