"""[json]: answers are written anew as their equals, and what is no JSON is not brought to the application."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from conftest import EDGES
from harness import zoo
from harness.client import Connection, Response, chunked, fetch, request
from harness.server import Server, Spec, binary, clean_environment
from harness.wire import Data, Head

pytestmark = pytest.mark.pyspeed

JSON = ("Content-Type", "application/json")
SETTINGS = {
    "json": {"reencode": ["/"], "sort_keys": ["/sorted"], "validate_requests": ["/check"], "max_size": "512KiB"}
}


class Number(str):
    """A number as it is written."""


def read(text: bytes) -> Any:
    """What Python reads, with numbers as text and objects as lists of all their members."""
    return json.loads(text, parse_int=Number, parse_float=Number, parse_constant=refuse, object_pairs_hook=list)


def refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON (RFC 8259 §6)")


@pytest.fixture(
    scope="module",
    params=[(interface, edge, "auto") for interface in ("wsgi", "asgi") for edge in EDGES]
    + [("asgi", "conn", "encoding/json")],
    ids="-".join,
)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    interface, edge, engine = request.param
    folder = tmp_path_factory.mktemp("json")
    spec = zoo.spec("jsons", interface, folder, workers=1, settings=SETTINGS, env={"PYSPEED_JSON_ENGINE": engine})
    spec.edge = edge
    running = Server.start(spec, folder)
    yield running
    running.stop()


def echo(connection: Connection, body: bytes, **fields: str) -> Response:
    """Has the application answer with that body, and these fields."""
    fields = {"content-type": "application/json", **fields}
    query = "&".join(f"{quote(name)}={quote(value)}" for name, value in fields.items())
    return connection.request("POST", f"/echo?{query}", [("Content-Type", "text/plain")], body)


def counted(server: Server, what: str, outcome: str) -> int:
    metrics = fetch(server.admin, "GET", "/metrics").body.decode()
    found = re.search(rf'^pyspeed_json_{what}_total{{outcome="{outcome}"}} (\d+)$', metrics, re.MULTILINE)
    assert found, metrics
    return int(found[1])


def test_answers_are_written_anew(server: Server) -> None:
    before = counted(server, "answers", "rewritten")
    with Connection(server.address) as connection:
        answer = connection.request("GET", "/items")
        head = connection.request("HEAD", "/items")
        ordered = connection.request("GET", "/sorted")
    expected = [
        {"name": f"Käse {n} 😀", "price": n * 1.25, "big": 2**53 + n, "tags": ["a", "b"], "none": None}
        for n in range(50)
    ]
    assert answer.body == json.dumps(expected, separators=(",", ":"), ensure_ascii=False).encode()
    assert answer.get("Content-Length") == str(len(answer.body)) and answer.get("Content-Type") == "application/json"
    # RFC 9110 §8.6: no other length than GET would get.
    assert head.status == 200 and head.get("Content-Length") in ("", answer.get("Content-Length"))
    assert ordered.body == b'{"a":2,"b":1}'
    assert counted(server, "answers", "rewritten") >= before + 2


class Texts:
    """Makes JSON texts of all kinds, and some that are none."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def space(self) -> str:
        return "".join(self.random.choices(" \t\r\n", k=self.random.choice((0, 0, 0, 1, 1, 2, 5))))

    def number(self) -> str:
        pick = self.random.choice
        digits = "".join(self.random.choices("0123456789", k=self.random.choice((1, 1, 2, 17, 40)))).lstrip("0") or "0"
        fraction = pick(("", "", "." + "".join(self.random.choices("0123456789", k=3)), ".0"))
        return pick(("", "-")) + digits + fraction + pick(("", "", "e1", "E+00", "e-400", "e400"))

    def string(self) -> str:
        def unit() -> str:
            kind = self.random.randrange(7)
            if kind == 0:
                return self.random.choice(('\\"', "\\\\", "\\/", "\\b", "\\f", "\\n", "\\r", "\\t"))
            if kind == 1:
                text = f"\\u{self.random.randrange(0x10000):04x}"
                return text.upper().replace("\\U", "\\u") if self.random.random() < 0.3 else text
            if kind == 2:
                return self.random.choice(
                    ("\\ud83d\\ude00", "\\ud83d", "\\ude00", "\\u2028", "\\u003c", "\\u0000", "\\uffff")
                )
            if kind == 3:
                return chr(self.random.choice((0xE9, 0x7F, 0x2028, 0x4E2D, 0xFEFF, 0xFFFF, 0x1F600, 0x10FFFF)))
            return "".join(self.random.choices("abc {}[],:'/", k=self.random.randrange(12)))

        return '"' + "".join(unit() for _ in range(self.random.randrange(6))) + '"'

    def value(self, depth: int = 0) -> str:
        kind = self.random.randrange(8 if depth < 6 else 5)
        if kind == 0:
            inner = self.random.choice(("true", "false", "null"))
        elif kind < 3:
            inner = self.number()
        elif kind < 5:
            inner = self.string()
        elif kind < 7:
            keys = [self.string() for _ in range(self.random.randrange(4))]
            keys += keys[:1]  # once more
            members = [self.space() + key + self.space() + ":" + self.value(depth + 1) for key in keys]
            inner = "{" + (",".join(members) or self.space()) + "}"
        else:
            values = [self.value(depth + 1) for _ in range(self.random.randrange(5))]
            inner = "[" + (",".join(values) or self.space()) + "]"
        return self.space() + inner + self.space()

    def broken(self) -> bytes:
        """Mostly none any more."""
        text = bytearray(self.value().encode() or b" ")
        for _ in range(self.random.randrange(1, 3)):
            at = self.random.randrange(len(text) + 1)
            text[at : at + self.random.randrange(2)] = self.random.choice(
                (b"", b",", b'"', b"}", b"\\", b"\x01", b"\xff", b"NaN", b"1")
            )
        return bytes(text)


def test_python_reads_the_same(server: Server) -> None:
    """Values, the text of numbers, the order of keys and those that are there twice; what is no JSON is as it was."""
    seed = random.randrange(1 << 32)
    print("seed", seed)
    texts = Texts(seed)
    refused = 0
    with Connection(server.address) as connection:
        for n in range(300):
            text = texts.broken() if n % 3 == 2 else texts.value().encode()
            answer = echo(connection, text)
            try:
                text.decode()
                expected = read(text)
            except ValueError:
                refused += 1
                assert answer.body == text
                continue
            assert read(answer.body) == expected, text
            assert len(answer.body) <= len(text)
            outside = re.sub(rb'"(?:[^"\\]|\\.)*"', b"", answer.body)
            assert not re.search(rb"\s", outside), answer.body
            for escape in re.findall(rb"(?<!\\)(?:\\\\)*\\u([0-9a-fA-F]{4})", answer.body):
                unit = int(escape, 16)
                assert unit < 0x80 or unit in (0x2028, 0x2029) or 0xD800 <= unit < 0xE000, answer.body
    assert refused > 20


def test_64_what_is_not_touched(server: Server) -> None:
    """Row 64 of the table of bad inputs."""
    loose = b'{"b": 1,  "a": "\\u00e9"}'
    with Connection(server.address) as connection:
        assert echo(connection, loose).body == '{"b":1,"a":"é"}'.encode()
        for name, value in (
            ("etag", '"x"'),
            ("content-encoding", "x-none"),
            ("content-digest", "sha-256=:AA==:"),
            ("repr-digest", "sha-256=:AA==:"),
            ("digest", "x"),
            ("content-md5", "x"),
            ("signature", "x"),
            ("signature-input", "x"),
            ("cache-control", "no-transform"),
            ("content-range", "bytes 0-23/24"),
            ("accept-ranges", "bytes"),
            ("content-type", "text/plain"),
            ("content-type", "application/json; charset=latin-1"),
        ):
            answer = echo(connection, loose, **{name: value})
            assert answer.body == loose and answer.get(name) == value, name
        invalid = counted(server, "answers", "invalid")
        others = (
            b"[9007199254740993, 1.0, 1e400, -0.0, 1E2]",
            b'{"a": 1, "a": 2}',
            b'["\\ud800", "\\udc00"]',
            b"[" * 5000 + b" " + b"]" * 5000,
        )
        for text in others:
            assert echo(connection, text).body == text.replace(b" ", b"")
        broken = (b'["\xff"]', b"[1]x", b"[NaN]", b"", b"[1] [2]", b"[" * 20_000 + b"]" * 20_000)
        for text in broken:
            assert echo(connection, text).body == text
        assert counted(server, "answers", "invalid") == invalid + len(broken) - 1  # without the empty one


def test_large_answers(server: Server) -> None:
    """One of many parts has its length; one beyond the limit is as it was."""
    with Connection(server.address) as connection:
        items = connection.request("GET", "/items").json()
        inside = connection.request("GET", "/large?times=60")
        beyond = connection.request("GET", "/large?times=200")
    assert len(json.dumps(items * 60)) < 512 * 1024 < len(json.dumps(items * 200))
    assert inside.body == json.dumps(items * 60, separators=(",", ":"), ensure_ascii=False).encode()
    assert inside.get("Content-Length") == str(len(inside.body))
    assert beyond.body == json.dumps(items * 200).encode()
    assert counted(server, "answers", "too_large") >= 1


def test_lines_arrive_one_by_one(server: Server) -> None:
    """The next line only comes once the one before was read."""
    with Connection(server.address) as reader, Connection(server.address) as other:
        reader.send(request("GET", "/lines"))
        events = reader.events()
        for n in range(3):
            got = b""
            while not got.endswith(b"\n"):
                event = next(events)
                assert isinstance(event, (Head, Data)), "the stream ended early"
                if isinstance(event, Data):
                    got += event.data
            assert got == f'{{"n":{n},"name":"é"}}\n'.encode()
            assert other.request("POST", "/taken").status == 200
        assert not any(isinstance(event, Data) for event in events)


MALFORMED = (
    b'{"a": 1,}',
    b'{"a": 1,\n "b" 2}',
    '{"é": x}'.encode(),
    b"[1, 2",
    b'["abc',
    b"{'a': 1}",
    b"[1] 2",
    b"nul",
    b'"\t"',
    b'"\\x"',
    b"[1 2]",
    b"a=b&c=d",
    b" ",
)


def test_malformed_requests_are_refused(server: Server) -> None:
    """The application sees none of them, and the connection goes on."""
    before = counted(server, "requests", "invalid")
    with Connection(server.address) as connection:
        for body in MALFORMED:
            answer = connection.request("POST", "/check?name=malformed", [JSON], body)
            assert answer.status == 400 and answer.get("Content-Type") == "application/problem+json"
            problem = answer.json()
            assert problem["status"] == 400 and "is not JSON" in problem["detail"]
            place = f"line {problem['line']}, column {problem['column']} (byte {problem['offset']})"
            assert place in problem["detail"]
            assert problem["offset"] <= len(body)
            assert problem["line"] == body[: problem["offset"]].count(b"\n") + 1
            good = connection.request("POST", "/check?name=good", [JSON], b'{"a": 1}')
            assert good.status == 200 and good.body == b'{"a": 1}'  # as it was: what is checked is not changed
        for fields, body in (
            ([("Content-Type", "application/x-www-form-urlencoded")], b"a=b"),
            ([JSON, ("Content-Encoding", "gzip")], b"\x1f\x8b"),
            ([("Content-Type", "application/json; charset=utf-16")], "[]".encode("utf-16")),
            ([JSON], b"\xef\xbb\xbf[]"),
            ([JSON], b"[" + b" " * 600_000),  # beyond the limit
            ([JSON], b""),
        ):
            answer = connection.request("POST", "/check?name=other", fields, body)
            assert answer.status == 200 and answer.body == body
        seen = connection.request("GET", "/seen").body.decode().split()
    assert "malformed" not in seen and seen.count("good") >= len(MALFORMED)
    assert counted(server, "requests", "invalid") == before + len(MALFORMED)


def test_places_are_pythons(server: Server) -> None:
    """Where Python's json says the same is wrong, line and column are the same."""
    with Connection(server.address) as connection:
        for body in (
            b'{"a" 1}',
            b'{"a": 1,\n\n  "b" 2}',
            b"[1,\r\n x]",
            '["中文😀" 1]'.encode(),
            b"[1] 2",
            b"x",
            b'{"a": 1 "b": 2}',
        ):
            problem = connection.request("POST", "/check?name=malformed", [JSON], body).json()
            with pytest.raises(json.JSONDecodeError) as caught:
                json.loads(body)
            assert (problem["line"], problem["column"]) == (caught.value.lineno, caught.value.colno), body


def test_requests_in_parts(server: Server) -> None:
    """However a body comes it is whole and looked at before the application has it."""
    good = json.dumps([{"name": f"Käse {n}", "n": n} for n in range(3000)], ensure_ascii=False).encode()
    for framing in ("length", "chunked"):
        for body, status in ((good, 200), (good[:-1] + b"}", 400), (good[:-1], 400)):
            head = [("Host", "x"), JSON]
            with Connection(server.address) as connection:
                if framing == "length":
                    connection.send(request("POST", "/check?name=parts", head[1:], body)[: -len(body)])
                    for start in range(0, len(body), 10_000):
                        connection.send(body[start : start + 10_000])
                else:
                    connection.send(request("POST", "/check?name=parts", [JSON, ("Transfer-Encoding", "chunked")]))
                    parts = [body[start : start + 7_001] for start in range(0, len(body), 7_001)]
                    connection.send(chunked(parts))
                answer = connection.read_response("POST")
                assert answer.status == status, framing
                if status == 200:
                    assert answer.body == body


def test_expect_100_continue(server: Server) -> None:
    for body, status in ((b'{"a": 1}', 200), (b'{"a": 1', 400)):
        with Connection(server.address) as connection:
            raw = request("POST", "/check?name=expecting", [JSON, ("Expect", "100-continue")], body)
            connection.send(raw[: -len(body)])
            events = connection.events("POST")
            event = next(events)
            assert isinstance(event, Head) and event.status == 100
            connection.send(body)
            event = next(events)
            assert isinstance(event, Head)
            assert event.status == status


def test_client_that_leaves_within_its_body(server: Server) -> None:
    with Connection(server.address) as connection:
        connection.send(request("POST", "/check?name=left", [JSON, ("Content-Length", "1000")]) + b"[1, ")
    with Connection(server.address) as connection:
        connection.send(request("POST", "/check?name=left", [JSON, ("Content-Length", "1000")]) + b"[1, ")
        connection.vanish()
    with Connection(server.address) as connection:
        for _ in range(20):
            assert connection.request("POST", "/check?name=stayed", [JSON], b"[]").status == 200
        assert b"left" not in connection.request("GET", "/seen").body


@pytest.mark.parametrize(
    ("engine", "code", "said"),
    [
        ("own", 0, "JSON is handled by the engine own\n"),
        ("encoding/json", 0, "JSON is handled by the engine encoding/json\n"),
        ("simdjson", 1, 'environment variable PYSPEED_JSON_ENGINE: expected "auto", "own", "sonic" or "encoding/json"'),
    ],
    ids=["own", "standard", "unknown"],
)
def test_engine_by_environment(engine: str, code: int, said: str) -> None:
    done = subprocess.run(
        [str(binary()), "check", "jsons:wsgi", "--python", sys.executable, "--json-reencode", "/"],
        cwd=zoo.DIRECTORY,
        env={**clean_environment(), "PYSPEED_JSON_ENGINE": engine},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == code and said in done.stdout + done.stderr, done


def test_before_compression(start: Callable[[Spec], Server], tmp_path: Path) -> None:
    """What is encoded for the client is what was written anew."""
    server = start(zoo.spec("jsons", "wsgi", tmp_path, workers=1, settings={**SETTINGS, "compress": {"enabled": True}}))
    with Connection(server.address) as connection:
        plain = connection.request("GET", "/items")
        encoded = connection.request("GET", "/items", [("Accept-Encoding", "gzip")])
    assert b'": ' not in plain.body and encoded.get("Content-Encoding") == "gzip"
    assert zlib.decompress(encoded.body, 31) == plain.body


def test_held_bodies_have_limits(start: Callable[[Spec], Server], tmp_path: Path) -> None:
    """A body that is too large or takes too long is refused as any other, while it waits for its end."""
    limits = {"server.limits": {"body": 100_000}, "server.timeouts": {"body": "500ms"}}
    server = start(zoo.spec("jsons", "asgi", tmp_path, workers=1, settings={**SETTINGS, **limits}))
    head = request("POST", "/check?name=limited", [JSON, ("Transfer-Encoding", "chunked")])
    for sent, status in ((chunked([b"[" + b"1, " * 10_000] * 4), 413), (b"4\r\n[1, \r\n", 408)):
        with Connection(server.address) as connection:
            connection.send_lenient(head + sent)
            assert connection.read_response("POST").status == status
    assert b"limited" not in fetch(server.address, "GET", "/seen").body
