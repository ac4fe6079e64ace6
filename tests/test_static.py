"""[[static]]: files that no worker is asked for; rows 58 to 62 of the table of bad inputs."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import threading
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import EDGES
from harness import processes, zoo
from harness.client import Address, Connection, Response, fetch, request
from harness.server import Log, Server, Spec, binary, clean_environment
from harness.waiting import eventually
from harness.wire import Data, FramingError

pytestmark = pytest.mark.pyspeed

MIB = 1024 * 1024
TEXT = ("All work and no play makes a dull page. " * 400).encode()


class Files:
    """A server with a folder below /static, beside an application."""

    def __init__(self, server: Server, root: Path) -> None:
        self.server = server
        self.root = root

    @property
    def address(self) -> Address:
        return self.server.address

    def write(self, name: str, content: bytes) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def get(self, target: str, *fields: tuple[str, str]) -> Response:
        return fetch(self.address, "GET", target, fields)


@pytest.fixture(params=EDGES)
def files(request: pytest.FixtureRequest, start: Callable[[Spec], Server], tmp_path: Path) -> Files:
    root = tmp_path / "public"
    root.mkdir()
    spec = zoo.spec("plain", "wsgi", tmp_path, statics=[{"route": "/static", "root": str(root)}])
    spec.edge = request.param
    return Files(start(spec), root)


def test_files_and_the_application(files: Files) -> None:
    files.write("app.css", TEXT)
    for _ in range(5):  # from the disk, then from memory
        answer = files.get("/static/app.css")
        assert (answer.status, answer.body) == (200, TEXT)
        assert answer.get("Content-Type") == "text/css; charset=utf-8"
        etag = answer.get("ETag")
        assert files.get("/static/app.css", ("If-None-Match", etag)).status == 304
        assert files.get("/static/app.css", ("Range", "bytes=10-19")).body == TEXT[10:20]
    assert files.get("/ok").body == b"ok"
    assert files.get("/staticky").status == 404
    assert fetch(files.address, "POST", "/static/app.css", (), b"x").status == 405


def test_one_connection_for_all(files: Files) -> None:
    """Files, the application, HEAD and what is not there, pipelined, in their order."""
    files.write("a.txt", b"a")
    files.write("big.bin", os.urandom(300_000))
    files.get("/static/a.txt")
    targets = ["/static/a.txt", "/ok", "/static/none", "/static/big.bin", "/static/a.txt"]
    with Connection(files.address) as connection:
        for _ in range(20):
            connection.send(b"".join(request("GET", target) for target in targets))
            got = [connection.read_response() for _ in targets]
            assert [answer.status for answer in got] == [200, 200, 404, 200, 200]
            assert (got[0].body, got[1].body, len(got[3].body)) == (b"a", b"ok", 300_000)
            head = connection.request("HEAD", "/static/big.bin")
            assert head.get("Content-Length") == "300000" and not head.body


def test_58_to_61_what_is_not_served(files: Files, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    files.write("sub/x.txt", b"x")
    files.write(".env", b"secret")
    files.write("settings.py", b"secret")
    files.write("CON", b"secret")
    (files.root / "out").symlink_to(tmp_path / "secret")
    os.mkfifo(files.root / "fifo")
    for target in (
        "/static/../secret",
        "/static/%2e%2e/secret",
        "/static/..%2fsecret",
        "/static/..%5csecret",
        "/static/sub/../../secret",
        "/static//etc/passwd",
        "/static/sub%2fx.txt",
        "/static/C:/x",
        "/static/%5c%5chost/x",
        "/static/out",
        "/static/fifo",
        "/static/.env",
        "/static/settings.py",
        "/static/CON",
        "/static/con.txt",
        "/static/sub/NUL",
        "/static/x.txt.",
        "/static/file::$DATA",
        "/static/sub",
        "/static/sub/",
    ):
        answer = files.get(target)
        assert answer.status == 404 and b"secret" not in answer.body, target
    assert files.get("/static/%00").status == 400
    assert files.get("/static../secret").status == 404  # the application's: another segment


def test_62_ranges(files: Files) -> None:
    files.write("a.bin", bytes(range(256)) * 100)
    many = ",".join(f"{n}-{n}" for n in range(0, 2000, 2))
    assert files.get("/static/a.bin", ("Range", "bytes=" + many)).status == 200
    assert files.get("/static/a.bin", ("Range", "bytes=0-,0-,0-")).status == 200
    assert files.get("/static/a.bin", ("Range", "bytes=-0")).status == 416
    assert files.get("/static/a.bin", ("Range", "bytes=9-5")).status == 200
    two = files.get("/static/a.bin", ("Range", "bytes=0-1,-1"))
    assert two.status == 206 and two.get("Content-Type").startswith("multipart/byteranges")


def test_encodings(files: Files) -> None:
    files.write("a.js", TEXT)
    files.write("a.js.br", b"as brotli")
    assert files.get("/static/a.js", ("Accept-Encoding", "br, gzip")).body == b"as brotli"
    files.write("b.js", TEXT)

    def encoded() -> bool:
        answer = files.get("/static/b.js", ("Accept-Encoding", "gzip"))
        body = zlib.decompress(answer.body, 31) if answer.get("Content-Encoding") == "gzip" else answer.body
        assert body == TEXT and answer.get("Vary") == "Accept-Encoding"
        return answer.get("Content-Encoding") == "gzip"

    eventually(encoded, "what is asked for often is encoded")


def test_changes_are_seen(files: Files) -> None:
    """Readers beside a writer get one version or another, and in the end the last one."""
    files.write("a.bin", b"0" * 1000)
    stop = threading.Event()
    wrong: list[bytes] = []

    def read() -> None:
        with Connection(files.address) as connection:
            while not stop.is_set():
                body = connection.request("GET", "/static/a.bin").body
                if len(body) != 1000 or len(set(body)) != 1:
                    wrong.append(body)

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    try:
        for turn in range(200):
            (files.root / "new").write_bytes(b"%d" % (turn % 10) * 1000)
            (files.root / "new").rename(files.root / "a.bin")
    finally:
        stop.set()
        for reader in readers:
            reader.join()
    assert not wrong, wrong[0][:100]
    eventually(lambda: files.get("/static/a.bin").body == b"9" * 1000, "the last version")


@pytest.mark.limit(120)
def test_large_files_and_slow_readers(files: Files) -> None:
    """50 MiB arrive whole, while 50 clients that stopped reading cost the gateway little."""
    chance = random.Random(62)
    content = chance.randbytes(50 * MIB)
    files.write("large.bin", content)
    readers = [Connection(files.address, receive_buffer=4096, receive_size=4096) for _ in range(50)]
    try:
        for reader in readers:
            reader.send(request("GET", "/static/large.bin"))
        for reader in readers:
            next(event for event in reader.events() if isinstance(event, Data))
        answer = files.get("/static/large.bin")
        assert hashlib.sha256(answer.body).digest() == hashlib.sha256(content).digest()
        assert processes.peak_rss(files.server.pid) < 200 * MIB
    finally:
        for reader in readers:
            reader.vanish()
    eventually(lambda: files.get("/ok").body == b"ok", "serves on")


@pytest.mark.limit(120)
def test_large_files_on_many_connections(files: Files) -> None:
    """Large files, parts of them and small answers, pipelined, some to slow readers: nobody gets another's."""
    chance = random.Random(63)
    contents = {
        f"{name}.bin": chance.randbytes(size) for name, size in (("a", 3 * MIB + 1), ("b", 5 * MIB), ("c", 1000))
    }
    for name, content in contents.items():
        files.write(name, content)
    wrong: list[str] = []

    def client(number: int) -> None:
        chance = random.Random(number)
        small = {"receive_buffer": 16384, "receive_size": 30_000} if number % 3 == 0 else {}
        with Connection(files.address, **small) as connection:
            for _ in range(4):
                asked: list[tuple[int, bytes]] = []
                for _ in range(3):
                    name, content = chance.choice(list(contents.items()))
                    if len(content) > MIB and chance.random() < 0.5:
                        start = chance.randrange(len(content) // 2)
                        end = chance.randrange(start, len(content))
                        connection.send(request("GET", f"/static/{name}", [("Range", f"bytes={start}-{end}")]))
                        asked.append((206, content[start : end + 1]))
                    else:
                        connection.send(request("GET", f"/static/{name}"))
                        asked.append((200, content))
                for status, content in asked:
                    answer = connection.read_response()
                    if (answer.status, answer.body) != (status, content):
                        wrong.append(f"{answer.status}, {len(answer.body)} bytes, want {status}, {len(content)}")
                        return

    clients = [threading.Thread(target=client, args=(number,)) for number in range(9)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join()
    assert not wrong
    assert files.get("/static/c.bin").body == contents["c.bin"]


@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize("limited", [False, True], ids=["", "limited"])
def test_large_files_are_not_copied(start: Callable[[Spec], Server], tmp_path: Path, edge: str, limited: bool) -> None:
    """From the kernel to the client, also behind rules that add fields; on an edge that cannot, they are read."""
    size = 40 * MIB
    (tmp_path / "large.bin").write_bytes(random.Random(64).randbytes(size))
    spec = zoo.spec("plain", "wsgi", tmp_path, statics=[{"route": "/static", "root": str(tmp_path)}])
    spec.edge = edge
    if limited:
        spec.limits = [{"name": "all", "path": "/", "key": "route", "rate": "1000/s"}]
    server = start(spec)
    want = hashlib.sha256((tmp_path / "large.bin").read_bytes()).digest()
    before = processes.bytes_read(server.pid)
    for _ in range(3):
        answer = fetch(server.address, "GET", "/static/large.bin")
        assert hashlib.sha256(answer.body).digest() == want
        assert bool(answer.get("RateLimit")) == limited
    read = processes.bytes_read(server.pid) - before
    assert read < size // 4 if edge == "netpoll" else read >= 3 * size


def test_large_file_that_becomes_shorter(files: Files) -> None:
    """What is missing is seen by the client: the connection ends before the length that was announced."""
    files.write("large.bin", os.urandom(40 * MIB))
    with Connection(files.address, receive_buffer=4096, receive_size=4096) as reader:
        reader.send(request("GET", "/static/large.bin"))
        events = reader.events()
        next(event for event in events if isinstance(event, Data))
        os.truncate(files.root / "large.bin", 1000)
        with pytest.raises(FramingError, match="before the end of the body"):
            for _ in events:
                pass
    eventually(lambda: len(files.get("/static/large.bin").body) == 1000, "what is left is served")


def test_files_of_a_release_come_with_its_application(start: Callable[[Spec], Server], tmp_path: Path) -> None:
    """A link to a release is the parent of application and folder; one that cannot start brings no files."""
    application = "def app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'%s']\n"
    link = tmp_path / "current"

    def release(number: str, code: str) -> None:
        folder = tmp_path / number
        (folder / "public").mkdir(parents=True)
        (folder / "main.py").write_text(code)
        (folder / "public" / "app.js").write_text(number)
        (tmp_path / "next").symlink_to(number)
        (tmp_path / "next").replace(link)

    release("1", application % "1")
    server = start(Spec("main:app", link, workers=1, statics=[{"route": "/static", "root": str(link / "public")}]))

    def served() -> tuple[bytes, bytes]:
        files, app = (fetch(server.address, "GET", path).body for path in ("/static/app.js", "/"))
        return files, app

    assert served() == (b"1", b"1")
    release("2", "import nowhere\n")
    server.process.send_signal(signal.SIGHUP)
    server.log.wait_for("cannot reload, .*nowhere")
    assert served() == (b"1", b"1")
    release("3", application % "3")
    server.process.send_signal(signal.SIGHUP)
    eventually(lambda: served() == (b"3", b"3"), "the third release is served")


def test_a_folder_without_an_application(tmp_path: Path) -> None:
    """``--static /=DIR`` alone is a server of files."""
    (tmp_path / "index.html").write_text("<p>here")
    (tmp_path / "app.html").write_text("app")
    command = [str(binary()), "--static", f"/={tmp_path}", "-b", "127.0.0.1:0"]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        preexec_fn=processes.die_with_parent,
    )
    log = Log()
    collector = threading.Thread(target=log.collect, args=(process.stdout,), daemon=True)
    collector.start()
    try:
        address = Address.parse(log.wait_for(r"listening on (http://\S+)")[0][1].decode())
        assert fetch(address, "GET", "/").body == b"<p>here"
        assert fetch(address, "GET", "/none").status == 404
        assert not processes.children(process.pid)
    finally:
        process.terminate()
        assert process.wait(30) == 0
        collector.join()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--static", "static"], '--static: expected ROUTE=DIR, such as /static=public, got "static"'),
        (["--static", "/s=/none"], '--static: cannot use "/none": '),
        (["--static", "/s=.", "--static", "/s=."], '--static: "/s" is in an entry before'),
    ],
)
def test_what_cannot_be_served(arguments: list[str], message: str, tmp_path: Path) -> None:
    command = [str(binary()), "main:app", *arguments]
    done = subprocess.run(command, cwd=tmp_path, env=clean_environment(), capture_output=True, text=True)
    assert done.returncode == 1 and message in done.stderr, done.stderr
