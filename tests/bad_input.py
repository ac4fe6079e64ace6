r"""What clients should not send, and the answer: rows for ``test_bad_input.py``.

The numbers are the project's table of bad inputs. ``refuse`` rows must get one
error with ``Connection: close``, then the end of the connection, and nothing of
them may reach the application; ``accept`` rows must be understood as said.

In raw bytes ``{nonce}`` becomes a name of the test's own. A refused request asks for
``/nonce`` with it, so that the shop can tell whether it ran, and is followed by
``SMUGGLED``, which must not run either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

HOST = b"Host: shop.test\r\n"
# Body limit of the servers that these rows are sent to, in bytes.
BODY_LIMIT = 1024 * 1024
SMUGGLED = b"GET /nonce?nonce={nonce}-smuggled HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n"


@dataclass(frozen=True)
class Refuse:
    row: int
    what: str
    raw: bytes
    status: int = 400
    # Whether SMUGGLED follows; not where the server rightly waits for more.
    followed: bool = True


@dataclass(frozen=True)
class Accept:
    row: int
    what: str
    raw: bytes
    # Looks at the status and the decoded JSON (or raw) body of the answer.
    check: Callable[[int, Any], bool]
    method: str = "GET"


def post(fields: bytes, body: bytes = b"") -> bytes:
    """A POST that counts its nonce once its body was read."""
    return b"POST /nonce?nonce={nonce} HTTP/1.1\r\n" + HOST + fields + b"\r\n" + body


def get(fields: bytes, line: bytes = b"GET /nonce?nonce={nonce} HTTP/1.1") -> bytes:
    return line + b"\r\n" + HOST + fields + b"\r\n"


def chunks(body: bytes) -> bytes:
    return post(b"Transfer-Encoding: chunked\r\n", body)


def target(path: bytes) -> bytes:
    """X-Nonce counts if the target should reach any route that counts."""
    return b"GET " + path + b" HTTP/1.1\r\n" + HOST + b"X-Nonce: {nonce}\r\n\r\n"


FIVE = b"5\r\nhello\r\n0\r\n\r\n"


def framing() -> Iterator[Refuse]:
    """Rows 1 to 11: where a body ends."""
    te = b"Transfer-Encoding: chunked\r\n"
    yield Refuse(1, "CL then TE", post(b"Content-Length: 5\r\n" + te, FIVE))
    yield Refuse(1, "TE then CL", post(te + b"Content-Length: 15\r\n", FIVE))
    yield Refuse(1, "TE and CL 0", post(te + b"Content-Length: 0\r\n", FIVE))
    yield Refuse(2, "two CL that differ", post(b"Content-Length: 5\r\nContent-Length: 6\r\n", b"hello!"))
    yield Refuse(2, "two CL alike", post(b"Content-Length: 5\r\nContent-Length: 5\r\n", b"hello"))
    yield Refuse(2, "CL list", post(b"Content-Length: 5, 5\r\n", b"hello"))
    yield Refuse(2, "CL list that differs", post(b"Content-Length: 5, 6\r\n", b"hello!"))
    for value in (
        b"+5",
        b"-1",
        b"0x5",
        b"5_0",
        b"5 0",
        b"",
        b"-0",
        b"5.0",
        b"\xd9\xa5",
        b"9223372036854775808",
        b"1" * 40,
    ):
        yield Refuse(3, f"CL {value.decode('latin-1')[:24]!r}", post(b"Content-Length: " + value + b"\r\n", b"hello"))
    for value in (b"xchunked", b"gzip"):
        yield Refuse(5, f"TE {value.decode()!r}", post(b"Transfer-Encoding: " + value + b"\r\n", FIVE), 501)
    for value in (b"chunked, gzip", b"identity", b"gzip, chunked", b"chunked, identity"):
        yield Refuse(5, f"TE {value.decode()!r}", post(b"Transfer-Encoding: " + value + b"\r\n", FIVE))
    for value in (
        b"\x0bchunked",
        b"chunked\x00",
        b"chunked;q=1",
        b"chunked,",
        b",chunked",
        b"",
        b"chunked, chunked",
        b'"chunked"',
    ):
        yield Refuse(6, f"TE {value.decode()!r}", post(b"Transfer-Encoding: " + value + b"\r\n", FIVE))
    yield Refuse(6, "two TE lines", post(te + te, FIVE))
    yield Refuse(6, "two TE lines, identity first", post(b"Transfer-Encoding: identity\r\n" + te, FIVE))
    yield Refuse(6, "TE with white space before the colon", post(b"Transfer-Encoding : chunked\r\n", FIVE))
    yield Refuse(7, "TE in HTTP/1.0", post(te, FIVE).replace(b"HTTP/1.1", b"HTTP/1.0"))
    yield Refuse(
        7,
        "TE in HTTP/1.0 with keep-alive",
        post(b"Connection: keep-alive\r\n" + te, FIVE).replace(b"HTTP/1.1", b"HTTP/1.0"),
    )
    for size in (
        b"0x5",
        b"+5",
        b"-5",
        b"5_0",
        b" 5",
        b"5 ",
        b"",
        b"g",
        b"0" * 16 + b"5",
        b"fffffffffffffffff",
        b"8000000000000000",
    ):
        yield Refuse(8, f"chunk size {size.decode()!r}", chunks(size + b"\r\nhello\r\n0\r\n\r\n"))
    yield Refuse(9, "chunk size ends in LF", chunks(b"5\nhello\r\n0\r\n\r\n"))
    yield Refuse(9, "chunk size ends in CR", chunks(b"5\rhello\r\n0\r\n\r\n"))
    yield Refuse(9, "chunk data ends in LF", chunks(b"5\r\nhello\n0\r\n\r\n"))
    yield Refuse(9, "chunk data ends in CR", chunks(b"5\r\nhello\r0\r\n\r\n"))
    yield Refuse(9, "chunk data ends in other bytes", chunks(b"5\r\nhelloXX0\r\n\r\n"))
    yield Refuse(9, "data longer than its size", chunks(b"5\r\nhello world\r\n0\r\n\r\n"))
    yield Refuse(9, "last chunk ends in LF", chunks(b"5\r\nhello\r\n0\n\r\n"))
    yield Refuse(9, "trailers end in LF", chunks(b"5\r\nhello\r\n0\r\n\n"))
    yield Refuse(10, "5 KiB chunk extension", chunks(b"5;a=" + b"x" * 5120 + b"\r\nhello\r\n0\r\n\r\n"))
    yield Refuse(
        10,
        "much extension over many chunks",
        chunks(b"".join(b"1;" + b"e" * 200 + b"\r\nx\r\n" for _ in range(100)) + b"0\r\n\r\n"),
    )
    for name, bad in (("NUL", b"\x00"), ("CTL", b"\x01"), ("bare CR", b"\r"), ("LF", b"\n"), ("DEL", b"\x7f")):
        yield Refuse(10, f"chunk extension with {name}", chunks(b"5;a=b" + bad + b"c\r\nhello\r\n0\r\n\r\n"))
    yield Refuse(10, "bare semicolon", chunks(b"5;\r\nhello\r\n0\r\n\r\n"))
    yield Refuse(11, "trailers over the limit", chunks(b"5\r\nhello\r\n0\r\nX: " + b"y" * 70_000 + b"\r\n\r\n"), 431)
    # RFC 9110 §6.5.1. Where the application answers before it has the whole body, it could only be cut.
    yield Refuse(11, "500 trailers", chunks(b"5\r\nhello\r\n0\r\n" + b"X: y\r\n" * 500 + b"\r\n"), 431)
    for trailer in (b"Content-Length", b"Transfer-Encoding", b"Host", b"Authorization", b"Content-Type"):
        yield Refuse(11, f"trailer {trailer.decode()}", chunks(b"5\r\nhello\r\n0\r\n" + trailer + b": 5\r\n\r\n"))
    yield Refuse(11, "trailer without colon", chunks(b"5\r\nhello\r\n0\r\nnonsense\r\n\r\n"))


def fields() -> Iterator[Refuse]:
    """Rows 12 to 17: header fields and Host."""
    yield Refuse(12, "obs-fold", get(b"X-A: b\r\n c\r\n"))
    yield Refuse(12, "obs-fold with tab in TE", post(b"Transfer-Encoding:\r\n\tchunked\r\n", FIVE))
    yield Refuse(13, "space before colon", get(b"X-A : b\r\n"))
    yield Refuse(13, "tab before colon", get(b"X-A\t: b\r\n"))
    yield Refuse(13, "tab in name", get(b"X\tA: b\r\n"))
    yield Refuse(13, "empty name", get(b": b\r\n"))
    yield Refuse(13, "no colon", get(b"nonsense\r\n"))
    yield Refuse(14, "space before first field", b"GET /nonce?nonce={nonce} HTTP/1.1\r\n " + HOST + b"\r\n")
    yield Refuse(14, "tab before first field", b"GET /nonce?nonce={nonce} HTTP/1.1\r\n\t" + HOST + b"\r\n")
    yield Refuse(15, "LF after the request line", b"GET /nonce?nonce={nonce} HTTP/1.1\n" + HOST + b"\r\n")
    yield Refuse(15, "LF after a field", b"GET /nonce?nonce={nonce} HTTP/1.1\r\nHost: shop.test\nX-A: b\r\n\r\n")
    yield Refuse(15, "LF for the empty line", b"GET /nonce?nonce={nonce} HTTP/1.1\r\n" + HOST + b"\n")
    yield Refuse(15, "bare CR in a value", get(b"X-A: b\rX-B: c\r\n"))
    yield Refuse(15, "CR CR LF", get(b"X-A: b\r\r\n"))
    yield Refuse(15, "CR for a line end", b"GET /nonce?nonce={nonce} HTTP/1.1\rHost: shop.test\r\n\r\n")
    for name, bad in (("NUL", b"\x00"), ("SOH", b"\x01"), ("VT", b"\x0b"), ("ESC", b"\x1b"), ("DEL", b"\x7f")):
        yield Refuse(16, f"{name} in a value", get(b"X-A: b" + bad + b"c\r\n"))
    for name, bad in (
        ("8-bit", b"\xe9"),
        ("parenthesis", b"("),
        ("slash", b"/"),
        ("NUL", b"\x00"),
        ("quote", b'"'),
        ("at", b"@"),
    ):
        yield Refuse(16, f"{name} in a name", get(b"X" + bad + b"A: b\r\n"))
    line = b"GET /nonce?nonce={nonce} HTTP/1.1\r\n"
    yield Refuse(17, "no Host", line + b"X-A: b\r\n\r\n")
    yield Refuse(17, "two Host", line + HOST + b"Host: other.test\r\n\r\n")
    yield Refuse(17, "two equal Host", line + HOST + HOST + b"\r\n")
    for host in (
        b"",
        b"a b",
        b"a/b",
        b"u@h",
        b"a, b",
        b"a:b",
        b"a:99999",
        b"a:-1",
        b"[::1",
        b"::1",
        b"[::g]",
        b"a\\b",
        b"a?b",
        b"a#b",
        b"a%zz",
        b"\xe9.test",
        b"[::1]x",
        b":80",
    ):
        yield Refuse(17, f"Host {host.decode('latin-1')!r}", line + b"Host: " + host + b"\r\n\r\n")


def lines() -> Iterator[Refuse]:
    """Rows 18 to 31: the request line, versions, methods, limits."""
    nonce = b"/nonce?nonce={nonce}"
    yield Refuse(
        18, "absolute-form with userinfo", b"GET http://u:p@shop.test" + nonce + b" HTTP/1.1\r\n" + HOST + b"\r\n"
    )
    yield Refuse(18, "absolute-form without host", b"GET http://" + nonce + b" HTTP/1.1\r\n" + HOST + b"\r\n")
    yield Refuse(
        18, "absolute-form of another scheme", b"GET ftp://shop.test" + nonce + b" HTTP/1.1\r\n" + HOST + b"\r\n"
    )
    yield Refuse(19, "CONNECT", b"CONNECT shop.test:80 HTTP/1.1\r\n" + HOST + b"X-Nonce: {nonce}\r\n\r\n", 501)
    yield Refuse(19, "authority-form with GET", b"GET shop.test:80 HTTP/1.1\r\n" + HOST + b"X-Nonce: {nonce}\r\n\r\n")
    yield Refuse(20, "GET *", target(b"*"))
    for name, path in (
        ("relative", b"nonce"),
        ("fragment", b"/nonce#frag"),
        ("space", b"/nonce x"),
        ("8-bit", b"/nonce\xe9"),
        ("CTL", b"/nonce\x01"),
        ("NUL", b"/nonce\x00"),
        ("DEL", b"/nonce\x7f"),
        ("backslash", b"/nonce\\x"),
        ("empty", b""),
        ("tab", b"/nonce\t"),
    ):
        yield Refuse(21, f"target with {name}", target(path))
    for name, first in (
        ("two spaces", b"GET  /nonce HTTP/1.1"),
        ("trailing space", b"GET /nonce HTTP/1.1 "),
        ("leading space", b" GET /nonce HTTP/1.1"),
        ("no version", b"GET /nonce"),
        ("only a method", b"GET"),
        ("binary", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    ):
        yield Refuse(21, f"request line with {name}", get(b"X-Nonce: {nonce}\r\n", first))
    for version in (
        b"HTTP/1",
        b"HTTP/1.10",
        b"http/1.1",
        b"HTTP/01.1",
        b"HTTP/1.",
        b"HTTP/1,1",
        b"HTPP/1.1",
        b"HTTP/0.9",
        b"HTTP /1.1",
    ):
        yield Refuse(25, f"version {version.decode()}", get(b"", b"GET /nonce?nonce={nonce} " + version))
    yield Refuse(25, "version HTTP/2.0", get(b"", b"GET /nonce?nonce={nonce} HTTP/2.0"), 505)
    yield Refuse(25, "version HTTP/9.9", get(b"", b"GET /nonce?nonce={nonce} HTTP/9.9"), 505)
    yield Refuse(25, "HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505)
    yield Refuse(26, "many empty lines", b"\r\n" * 50 + get(b""))
    yield Refuse(26, "empty LF line", b"\n" + get(b""))
    yield Refuse(27, "method with a comma", get(b"", b"GE,T /nonce?nonce={nonce} HTTP/1.1"))
    yield Refuse(27, "method with NUL", get(b"", b"GE\x00T /nonce?nonce={nonce} HTTP/1.1"))
    yield Refuse(27, "method with 8-bit", get(b"", b"G\xc9T /nonce?nonce={nonce} HTTP/1.1"))
    yield Refuse(27, "method of 100 bytes", get(b"", b"G" * 100 + b" /nonce?nonce={nonce} HTTP/1.1"), 501)
    yield Refuse(28, "request line over 8 KiB", target(b"/nonce?" + b"q" * 9000), 414)
    yield Refuse(28, "URL of 100 KB", target(b"/nonce?" + b"q" * 100_000), 414)
    yield Refuse(28, "request line without end", b"GET /" + b"q" * 100_000, 414, followed=False)
    yield Refuse(29, "field of 70 KiB", get(b"X-A: " + b"v" * 70_000 + b"\r\n"), 431)
    yield Refuse(
        29, "fields of 70 KiB in all", get(b"".join(b"X-%d: %s\r\n" % (n, b"v" * 1000) for n in range(70))), 431
    )
    yield Refuse(29, "101 fields", get(b"X-A: b\r\n" * 101), 431)
    yield Refuse(29, "field without end", b"GET / HTTP/1.1\r\n" + HOST + b"X-A: " + b"v" * 100_000, 431, followed=False)
    yield Refuse(29, "name without end", b"GET / HTTP/1.1\r\n" + HOST + b"x" * 100_000, 431, followed=False)
    yield Refuse(31, "CL over the limit", post(b"Content-Length: %d\r\n" % (BODY_LIMIT + 1)), 413)
    yield Refuse(31, "CL far over the limit", post(b"Content-Length: 1000000000000000000\r\n"), 413)
    block = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    yield Refuse(31, "chunk size over the limit", chunks(b"7fffffff\r\n"), 413)
    yield Refuse(31, "chunks over the limit", chunks(block * (BODY_LIMIT // 0x10000 + 1) + b"0\r\n\r\n"), 413)


REFUSED = [*framing(), *fields(), *lines()]


def info(path: bytes, fields: bytes = b"", method: bytes = b"GET") -> bytes:
    return method + b" /info" + path + b" HTTP/1.1\r\n" + HOST + fields + b"\r\n"


def path_is(*paths: str) -> Callable[[int, Any], bool]:
    return lambda status, answer: status == 200 and answer["path"] in paths


def survives(status: int, _answer: Any) -> bool:
    return status in (200, 400, 404)


def header(answer: Any, name: str) -> list[str]:
    return [value for key, value in answer["headers"] if key == name]


def echoes(text: bytes) -> Callable[[int, Any], bool]:
    return lambda status, answer: status == 200 and answer == text


def echo(body: bytes) -> bytes:
    return b"POST /echo HTTP/1.1\r\n" + HOST + b"Content-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n" + body


ACCEPTED = [
    Accept(
        4,
        "CL with leading zeros",
        b"POST /echo HTTP/1.1\r\n" + HOST + b"Content-Length: 005\r\n\r\nhello",
        echoes(b"hello"),
        "POST",
    ),
    Accept(
        6,
        "TE in capitals",
        b"POST /echo HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: Chunked\r\n\r\n" + FIVE,
        echoes(b"hello"),
        "POST",
    ),
    Accept(
        8,
        "chunk sizes in capitals and with zeros",
        echo(b"00A\r\n0123456789\r\n0000\r\n\r\n"),
        echoes(b"0123456789"),
        "POST",
    ),
    Accept(
        10,
        "chunk extensions",
        echo(b'5;name=value;other="quoted; text"\r\nhello\r\n0;last\r\n\r\n'),
        echoes(b"hello"),
        "POST",
    ),
    Accept(11, "trailers", echo(b"5\r\nhello\r\n0\r\nX-Trailer: t\r\n\r\n"), echoes(b"hello"), "POST"),
    Accept(
        11,
        "trailers are not merged",
        info(b"", b"Transfer-Encoding: chunked\r\n", b"POST")
        + b"0\r\nX-Trailer: t\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n",
        lambda status, answer: status == 200 and not header(answer, "x-trailer") + header(answer, "x-forwarded-for"),
        "POST",
    ),
    Accept(
        13,
        "no white space after the colon",
        info(b"", b"X-A:b\r\n"),
        lambda status, answer: header(answer, "x-a") == ["b"],
    ),
    Accept(
        13,
        "white space around a value",
        info(b"", b"X-A: \t b \t \r\n"),
        lambda status, answer: header(answer, "x-a") == ["b"],
    ),
    Accept(
        16,
        "obs-text in a value",
        info(b"", b"X-A: caf\xe9 \xff\r\n"),
        lambda status, answer: header(answer, "x-a") == ["caf\xe9 \xff"],
    ),
    Accept(16, "empty value", info(b"", b"X-A:\r\n"), lambda status, answer: header(answer, "x-a") == [""]),
    *[
        Accept(
            17,
            f"Host {host.decode()}",
            b"GET /info HTTP/1.1\r\nHost: " + host + b"\r\n\r\n",
            lambda status, answer: status == 200,
        )
        for host in (
            b"shop.test:8080",
            b"[::1]",
            b"[::1]:80",
            b"127.0.0.1",
            b"xn--caf-dma.test",
            b"a_b.test",
            b"shop.test:",
        )
    ],
    Accept(
        18,
        "absolute-form wins over Host",
        b"GET http://real.test:81/info/x?y=1 HTTP/1.1\r\nHost: other.test\r\n\r\n",
        lambda status, answer: (
            status == 200
            and answer["path"] == "/info/x"
            and answer["query"] == "y=1"
            and header(answer, "host") == ["real.test:81"]
        ),
    ),
    Accept(
        18, "absolute-form in capitals", b"GET HTTP://shop.test/info HTTP/1.1\r\n" + HOST + b"\r\n", path_is("/info")
    ),
    Accept(
        20,
        "OPTIONS *",
        b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n",
        lambda status, _answer: 200 <= status < 300,
        "OPTIONS",
    ),
    Accept(22, "%00 in the path", info(b"/a%00b"), survives),
    Accept(22, "%0d%0a in the path", info(b"/a%0d%0ab"), survives),
    Accept(22, "%zz in the path", info(b"/a%zz"), survives),
    Accept(22, "% at the end", info(b"/a%"), survives),
    Accept(22, "overlong UTF-8", info(b"/%c0%af"), survives),
    Accept(22, "%ff in the path", info(b"/%ff"), survives),
    Accept(23, "%2F", info(b"/a%2Fb"), path_is("/info/a/b")),
    Accept(23, "%5C", info(b"/a%5Cb"), path_is("/info/a\\b")),
    Accept(23, "%252e is decoded once", info(b"/a%252eb"), path_is("/info/a%2eb")),
    Accept(23, "%2e%2e is not resolved", info(b"/a/%2e%2e/b"), path_is("/info/a/../b")),
    Accept(23, "dots are not resolved", info(b"/a/../b/./c"), path_is("/info/a/../b/./c")),
    Accept(
        23, "the query is not decoded", info(b"?a=%41%20b+c"), lambda status, answer: answer["query"] == "a=%41%20b+c"
    ),
    Accept(26, "one empty line first", b"\r\n" + info(b""), path_is("/info")),
    Accept(27, "lower-case method", info(b"", b"", b"get"), lambda status, _answer: status in (200, 400, 405, 501)),
    Accept(27, "unknown method", info(b"", b"", b"BREW"), lambda status, _answer: status in (405, 501)),
    Accept(
        29,
        "80 fields",
        info(b"", b"".join(b"X-%d: v\r\n" % n for n in range(80))),
        lambda status, answer: status == 200 and len([n for n, _ in answer["headers"] if n.startswith("x-")]) == 80,
    ),
    Accept(
        30,
        "90 copies of one field",
        info(b"", b"X-A: b\r\n" * 90),
        lambda status, answer: (
            status == 200 and ",".join(header(answer, "x-a")).replace(" ", "").split(",") == ["b"] * 90
        ),
    ),
    Accept(
        30,
        "2,500 query parameters",
        b"GET /info?" + b"&".join(b"a=" for _ in range(2500)) + b" HTTP/1.1\r\n" + HOST + b"\r\n",
        # The second is Tornado's own limit, 1,000 parameters.
        lambda status, answer: (
            (status == 200 and answer["query"].count("a=") == 2500) or (status, answer) == (400, b"400 Bad Request\n")
        ),
    ),
    Accept(
        30,
        "6,000 cookies",
        b"GET /cookies HTTP/1.1\r\n"
        + HOST
        + b"Cookie: "
        + b"; ".join(b"c%d=1" % n for n in range(6000))[:60_000]
        + b"\r\n\r\n",
        lambda status, answer: status == 200 and answer["c1"] == "1",
    ),
    Accept(
        37,
        "Connection names a field that we need",
        info(b"", b"Connection: X-Forwarded-For, Host, X-A\r\nX-A: b\r\n"),
        lambda status, answer: status == 200 and header(answer, "host") == ["shop.test"],
    ),
    *[
        Accept(
            38,
            f"Upgrade: {value.decode()}",
            info(b"", b"Connection: Upgrade\r\nUpgrade: " + value + b"\r\n", method),
            path_is("/info"),
            method.decode(),
        )
        for value, method in ((b"h2c", b"GET"), (b"TLS/1.0", b"GET"), (b"nonsense", b"POST"))
    ],
]


@dataclass(frozen=True)
class ScriptPath:
    """A path that a responder with files could take for another script than the gateway does: refused."""

    row: int
    what: str
    path: bytes
    status: int = 404


# For an upstream whose scripts end with ".php"; in its folder are "index.php", "upload/photo.jpg" and "upload/x.php".
SCRIPT_PATHS: list[ScriptPath] = [
    ScriptPath(22, "NUL behind the script", b"/index.php%00.jpg", 400),
    ScriptPath(22, "NUL in PATH_INFO", b"/index.php/%00", 400),
    ScriptPath(22, "line end behind the script (CVE-2019-11043)", b"/index.php/%0a", 400),
    ScriptPath(22, "line end in the script", b"/index%0d%0a.php", 400),
    ScriptPath(22, "overlong dot", b"/index%c0%aephp"),
    ScriptPath(23, "encoded slash", b"/upload%2Fx.php"),
    ScriptPath(23, "encoded slash behind the script", b"/index.php%2F..%2Fupload"),
    ScriptPath(23, "encoded backslash", b"/upload%5Cx.php"),
    ScriptPath(23, "dots", b"/upload/../index.php"),
    ScriptPath(23, "encoded dots", b"/upload/%2e%2e/index.php"),
    ScriptPath(23, "one dot", b"/./index.php"),
    ScriptPath(23, "dots in PATH_INFO", b"/index.php/../../etc/passwd"),
    ScriptPath(23, "encoded twice", b"/index%252ephp"),
    ScriptPath(58, "out of the folder", b"/../secret.php"),
    ScriptPath(58, "empty segments", b"//index.php"),
    ScriptPath(59, "a file that is no script, and a path below it", b"/upload/photo.jpg/x.php"),
    ScriptPath(59, "a link out of the folder", b"/outside.php"),
    ScriptPath(59, "a folder", b"/folder.php"),
    ScriptPath(60, "nothing but the suffix", b"/.php"),
    ScriptPath(61, "dot behind the script", b"/index.php."),
    ScriptPath(61, "blank behind the script", b"/index.php%20"),
    ScriptPath(61, "stream of the script", b"/index.php::$DATA"),
    ScriptPath(61, "other capitals", b"/index.PHP"),
    ScriptPath(61, "a letter that folds to another (CVE-2026-27590)", b"/index.%E2%93%9Fhp"),
    ScriptPath(61, "letters whose lower case is longer", b"/%C8%BA%C8%BA%C8%BA%C8%BA.txt"),
]
