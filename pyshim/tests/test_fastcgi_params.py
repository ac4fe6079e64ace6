"""Parameters as the web servers send them, CGI heads, options and addresses, each without a process."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path
from typing import Any, Dict

import fastcgi_peer as peer
import pytest

from pyspeed.fastcgi import answer as fastcgi_answer
from pyspeed.fastcgi import listener as fastcgi_listen
from pyspeed.fastcgi import options as fastcgi_options
from pyspeed.fastcgi import params as fastcgi_params
from pyspeed.fastcgi.params import BadRequest, environ, scope

BASE = {"REQUEST_METHOD": "GET", "SERVER_NAME": "s", "SERVER_PORT": "80"}


@pytest.mark.parametrize(
    ("params", "path"),
    [
        # nginx's fastcgi_params, Apache's mod_proxy_fcgi, gofast: all of it in SCRIPT_NAME.
        ({"SCRIPT_NAME": "/a/b", "REQUEST_URI": "/a%2Fb", "DOCUMENT_URI": "/a/b"}, "/a/b"),
        ({"SCRIPT_NAME": "/a/b", "PATH_INFO": ""}, "/a/b"),
        # lighttpd, with fix-root-scriptname, without it, and mounted somewhere.
        ({"SCRIPT_NAME": "", "PATH_INFO": "/a/b"}, "/a/b"),
        ({"SCRIPT_NAME": "/a", "PATH_INFO": "/b"}, "/a/b"),
        ({"SCRIPT_NAME": "/shop", "PATH_INFO": "/a/b"}, "/shop/a/b"),
        ({"PATH_INFO": "/a//b/"}, "/a//b/"),
        ({"DOCUMENT_URI": "/a b"}, "/a b"),
        ({"REQUEST_URI": "/a%20b%ff?q=/c"}, "/a b\xff"),
        ({"REQUEST_URI": "http://host/a%20b?q"}, "/a b"),
        ({"REQUEST_URI": "http://host"}, "/"),
        ({"REQUEST_URI": "https://host?q"}, "/"),
        ({"SCRIPT_NAME": "", "PATH_INFO": ""}, "/"),
        ({}, "/"),
    ],
)
def test_path(params: Dict[str, str], path: str) -> None:
    assert fastcgi_params.path(params) == path
    head = environ({**BASE, **params})
    assert (head["SCRIPT_NAME"], head["PATH_INFO"]) == ("", path)


def test_environ() -> None:
    head = environ(
        peer.environment(
            "/a?q=1",
            "POST",
            b"12345",
            CONTENT_TYPE="text/x",
            HTTP_CONTENT_LENGTH="5",
            HTTP_CONTENT_TYPE="text/x",
            HTTP_PROXY="http://evil",
            HTTP_X_A="caf\xe9",
            HTTPS="on",
            PATH_TRANSLATED="/var/www/a",
            REMOTE_USER="ann",
            **{"wsgi.url_scheme": "ftp", "wsgi.input": "x", "pyspeed.x": "y"},
        )
    )
    assert head == {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/a",
        "QUERY_STRING": "q=1",
        "REQUEST_URI": "/a?q=1",
        "RAW_URI": "/a?q=1",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_NAME": "peer.test",
        "SERVER_PORT": "80",
        "REMOTE_ADDR": "192.0.2.7",
        "REMOTE_PORT": "4711",
        "REMOTE_USER": "ann",
        "CONTENT_LENGTH": "5",
        "CONTENT_TYPE": "text/x",
        "HTTP_HOST": "peer.test",
        "HTTP_X_A": "caf\xe9",
        "HTTPS": "on",
        "wsgi.url_scheme": "https",
    }


def test_what_is_missing_is_made_up() -> None:
    head = environ({"REQUEST_METHOD": "GET", "CONTENT_LENGTH": "", "HTTP_HOST": "h.test:8080", "REQUEST_URI": "/?a=b"})
    assert head["SERVER_NAME"] == "h.test"
    assert head["SERVER_PORT"] == "80"
    assert head["SERVER_PROTOCOL"] == "HTTP/1.1"
    assert head["QUERY_STRING"] == "a=b"
    assert "CONTENT_LENGTH" not in head
    assert environ({"REQUEST_METHOD": "GET", "REQUEST_SCHEME": "https"})["SERVER_PORT"] == "443"


@pytest.mark.parametrize("field", ["HTTP_X_FORWARDED_PROTO", "HTTP_X_FORWARDED_SSL", "HTTP_FORWARDED", "HTTP_HTTPS"])
def test_a_client_cannot_choose_the_scheme(field: str) -> None:
    assert environ({**BASE, field: "https"})["wsgi.url_scheme"] == "http"


@pytest.mark.parametrize("length", ["-1", "+5", "5 ", "0x5", "five", "5,5", "\xb2", "9" * 19])
def test_lengths_that_are_none(length: str) -> None:
    with pytest.raises(BadRequest):
        environ({**BASE, "CONTENT_LENGTH": length})


@pytest.mark.parametrize("method", ["", "GET\n", "G T", "caf\xe9"])
def test_methods_that_are_none(method: str) -> None:
    with pytest.raises(BadRequest):
        environ({**BASE, "REQUEST_METHOD": method})


def test_scope() -> None:
    found = scope(
        peer.environment(
            "/sh%6Fp/%C3%A9%ff?q=%20",
            "post",
            b"12345",
            SCRIPT_NAME="/shop/\xc3\xa9\xff",
            SERVER_PROTOCOL="HTTP/2.0",
            CONTENT_TYPE="text/x",
            HTTP_X_A="caf\xe9",
            HTTP_PROXY="http://evil",
            REQUEST_SCHEME="https",
        ),
        "/shop",
    )
    assert found == {
        "type": "http",
        "http_version": "2",
        "scheme": "https",
        "method": "POST",
        "path": "/shop/é\ufffd",
        "raw_path": b"/shop/sh%6Fp/%C3%A9%ff",
        "query_string": b"q=%20",
        "root_path": "/shop",
        "client": ("192.0.2.7", 4711),
        "server": ("peer.test", 80),
        "headers": [
            (b"content-type", b"text/x"),
            (b"content-length", b"5"),
            (b"host", b"peer.test"),
            (b"x-a", b"caf\xe9"),
        ],
    }


def test_scope_of_little() -> None:
    found = scope({"REQUEST_METHOD": "GET", "SCRIPT_NAME": "/a b"}, "")
    assert (found["raw_path"], found["client"], found["server"]) == (b"/a%20b", None, ("localhost", 80))
    assert scope({"REQUEST_METHOD": "GET", "PATH_INFO": "/x"}, "/shop")["path"] == "/shop/x"


def test_head_of_an_answer() -> None:
    fields = [("X-One", " 1 "), (b"set-cookie", b"a=1"), ("Set-Cookie", "b=2"), ("X-Latin", "caf\xe9")]
    ours = [("Connection", "close"), ("Status", "404"), ("Proxy-Authenticate", "x"), ("TE", "x"), ("Upgrade", "h2c")]
    answer = fastcgi_answer.Answer("201 Made up", [*fields, *ours], False)
    assert answer.head == (
        b"Status: 201 Created\r\nX-One: 1\r\nset-cookie: a=1\r\nSet-Cookie: b=2\r\nX-Latin: caf\xe9\r\n\r\n"
    )
    assert (answer.status, answer.remaining) == (201, -1)
    assert fastcgi_answer.Answer(299, [], False).head == b"Status: 299 \r\n\r\n"


@pytest.mark.parametrize(
    ("status", "fields"),
    [
        ("200 OK", [("X-A", "1\r\nX-B: 2")]),
        ("200 OK", [("X-A", "1\nX-B: 2")]),
        ("200 OK", [("X-A", "\0")]),
        (200, [(b"X-A\r\n", b"1")]),
        (200, [(b"", b"1")]),
        (200, [(b"X A", b"1")]),
        (200, [("X-\xe9", "1")]),
        (200, [("X-A", "\u20ac")]),
        (200, [("Content-Length", "x")]),
        (200, [("Content-Length", "-1")]),
        (200, [("Content-Length", "1"), ("content-length", "1")]),
        ("OK", []),
        ("2000 OK", []),
        ("20", []),
        ("200\r\nX: 1", []),
        (99, []),
        (1000, []),
        (101, []),
    ],
)
def test_heads_that_may_not_be_sent(status: Any, fields: Any) -> None:
    with pytest.raises(ValueError):
        fastcgi_answer.Answer(status, fields, False)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ([("X-A",)], "no pair"),
        ([()], "no pair"),
        ([("X-A", "1", "2")], "no pair"),
        (["ab"], "no pair"),
        ([7], "no pair"),
        ([("Content-Length", 1 << 62)], "is int; make it a str"),
        ([("X-A", None)], "is NoneType; make it a str"),
    ],
)
def test_heads_of_the_wrong_types(fields: Any, said: str) -> None:
    """As marshal lets them through: nothing but a TypeError, which is for the log, may come of it."""
    with pytest.raises(TypeError, match=said):
        fastcgi_answer.Answer("200 OK", fields, False)


@pytest.mark.parametrize(
    ("status", "head_request", "length", "kept", "excess"),
    [
        (200, False, None, b"12345", 0),
        (200, False, "5", b"12345", 0),
        (200, False, "3", b"123", 2),
        (200, True, "5", b"", 5),
        (200, True, None, b"", 5),
        (204, False, "5", b"", 5),
        (304, False, None, b"", 5),
    ],
)
def test_body_of_an_answer(status: int, head_request: bool, length: Any, kept: bytes, excess: int) -> None:
    answer = fastcgi_answer.Answer(status, [("Content-Length", length)] if length else [], head_request)
    sent = b"".join(bytes(answer.body(memoryview(part))) for part in (b"12", b"345"))
    assert (sent, answer.excess) == (kept, excess)
    assert (b"Content-Length" in answer.head) == (length is not None and status == 200)


# --- options and addresses ------------------------------------------------------------------


def test_options() -> None:
    found = fastcgi_options.parse(
        ["--fastcgi", "unix:/s", "app:app", "--max-body=1MiB", "--threads", "4", "--graceful-timeout", "500ms"]
    )
    assert (found["address"], found["target"]) == ("unix:/s", "app:app")
    assert (found["max_body"], found["threads"], found["graceful_timeout"]) == (1048576, 4, 0.5)
    assert (found["socket_mode"], found["umask"], found["buffer_body"], found["backlog"]) == (
        0o660,
        None,
        1 << 24,
        2048,
    )
    assert (found["factory"], found["lifespan"], found["root_path"], found["interface"]) == (False, "auto", "", "auto")
    assert fastcgi_options.parse(["--fastcgi=:9000", "--factory", "app"])["address"] == ":9000"
    assert fastcgi_options.parse(["--fastcgi", "app:app"])["address"] == ""
    assert fastcgi_options.parse(["--umask", "027", "--socket-mode=0600", "app"])["umask"] == 0o27


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--fastcgi"], "the application is missing"),
        (["a", "b", "c"], "'c' is too much"),
        (["app", "--thread", "4"], "no option --thread; did you mean --threads?"),
        (["app", "--colour=red"], "no option --colour; --help shows"),
        (["app", "--threads"], "--threads needs a value"),
        (["app", "--threads", "many"], "it takes a whole number from 0 to 1024"),
        (["app", "--max-body", "5 bananas"], "it takes a size"),
        (["app", "--graceful-timeout", "soon"], "it takes a duration"),
        (["app", "--socket-mode", "9"], "three octal digits"),
        (["app", "--lifespan", "maybe"], "one of auto, on, off"),
        (["app", "--root-path", "shop/"], "a slash in front and none at the end"),
        (["app", "--factory=yes"], "takes no value"),
    ],
)
def test_wrong_options(arguments: Any, message: str) -> None:
    with pytest.raises(fastcgi_options.UsageError, match=message.replace("?", r"\?")):
        fastcgi_options.parse(arguments)


def test_help_names_every_option() -> None:
    text = fastcgi_options.usage()
    assert all("--" + row[0] in text for row in fastcgi_options._TABLE)
    assert fastcgi_options.parse(["--help"])["help"]


def test_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "s"
    listener = fastcgi_listen.listen("unix:%s" % path, 5, 0o660)
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    with pytest.raises(fastcgi_listen.CannotListen, match="another process listens"):
        fastcgi_listen.listen("unix:%s" % path, 5, 0o660)
    listener.sock.close()
    again = fastcgi_listen.listen("unix:%s" % path, 5, 0o600)  # nobody listens on the old one any more
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again.close()
    assert not path.exists()


def test_what_is_not_ours_stays(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("precious")
    with pytest.raises(fastcgi_listen.CannotListen, match="no socket"):
        fastcgi_listen.listen("unix:%s" % path, 5, 0o660)
    assert path.read_text() == "precious"
    path.unlink()
    listener = fastcgi_listen.listen("unix:%s" % path, 5, 0o660)
    path.unlink()
    other = fastcgi_listen.listen("unix:%s" % path, 5, 0o660)
    listener.close()
    assert path.exists(), "that socket is another's"
    other.close()


@pytest.mark.parametrize("address", ["127.0.0.1:0", "[::1]:0", "localhost:0", ":0"])
def test_tcp(address: str) -> None:
    listener = fastcgi_listen.listen(address, 5, 0o660)
    host, _, port = listener.name.rpartition(":")
    with socket.create_connection((host.strip("[]").replace("0.0.0.0", "127.0.0.1"), int(port)), 10):
        pass
    assert listener.open_to_all == (address == ":0")
    with pytest.raises(fastcgi_listen.CannotListen, match="another process listens"):
        fastcgi_listen.listen("%s:%s" % (host, port), 5, 0o660)
    listener.close()


@pytest.mark.parametrize(
    "address", ["", "9000", "unix:", "host:port", "host:99999", "fd:x", "fd:0", "unix:/no/folder/s"]
)
def test_addresses_that_are_none(address: str) -> None:
    with open(os.devnull) as null, pytest.raises(fastcgi_listen.CannotListen, match="cannot listen on"):
        fastcgi_listen.listen(address.replace("fd:0", "fd:%d" % null.fileno()), 5, 0o660)


def test_allowed_web_servers() -> None:
    listener = fastcgi_listen.listen("127.0.0.1:0", 5, 0o660)
    assert listener.allows(("203.0.113.1", 1))
    listener.allowed = fastcgi_listen.web_server_addresses("192.0.2.1, 2001:db8::1")
    assert listener.allows(("192.0.2.1", 1))
    assert listener.allows(("::ffff:192.0.2.1", 1, 0, 0))
    assert listener.allows(("2001:db8::1", 1, 0, 0))
    assert not listener.allows(("192.0.2.10", 1))
    assert listener.allows(""), "a Unix socket has no addresses"
    assert fastcgi_listen.web_server_addresses(" ") is None
    listener.close()
