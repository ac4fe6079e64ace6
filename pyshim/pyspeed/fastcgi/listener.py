"""Where the responder listens: a Unix socket, a TCP address, or the socket that the parent process gave.

In: an address as text. Out: a :class:`Listener`. Runs on the main thread, at the start.
"""

from __future__ import annotations

import errno
import os
import socket
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, FrozenSet, Optional, Tuple

LISTENSOCK = 0  # FCGI_LISTENSOCK_FILENO (§2.2)


class CannotListen(Exception):
    """Why, and what to do about it."""


class Listener:
    """A listening socket that does not wait."""

    def __init__(self, sock: socket.socket, name: str, path: str = "") -> None:
        sock.setblocking(False)
        self.sock: Any = sock  # its accept() in C is private, and the other one the application may have patched
        self.name = name
        self.allowed: Optional[FrozenSet[str]] = None  # peers' addresses; None: every one
        self._path = path
        self._identity = _identity(path) if path else None

    def allows(self, address: Any) -> bool:
        """Whether a web server with that address, as accept() gave it, may use us."""
        if self.allowed is None or not isinstance(address, tuple):
            return True
        host: str = address[0]
        return (host[7:] if host.startswith("::ffff:") else host) in self.allowed

    @property
    def open_to_all(self) -> bool:
        """Whether hosts other than this one may connect, and any of them."""
        if self.allowed is not None or self.sock.family == socket.AF_UNIX:
            return False
        host: str = self.sock.getsockname()[0]
        return not (host.startswith("127.") or host in ("::1", "::ffff:127.0.0.1"))

    def close(self) -> None:
        """Stop listening; a Unix socket that is still ours is removed."""
        self.unlink()
        self.sock.close()

    def unlink(self) -> None:
        """Remove the socket's file, if it is still ours."""
        if self._identity is not None and _identity(self._path) == self._identity:
            try:
                os.unlink(self._path)
            except OSError:
                pass  # a folder that we may no longer write to
        self._identity = None

    def leave(self) -> None:
        """In a forked child: close the copy."""
        self._identity = None
        if self.sock.fileno() >= 0:
            os.close(self.sock.detach())


def listen(address: str, backlog: int, mode: int) -> Listener:
    """Listen on ``unix:/path``, ``HOST:PORT``, ``[::1]:PORT``, ``:PORT`` or ``fd:N``. Raises CannotListen.

    ``mode`` are the permissions of a Unix socket's file.
    """
    if address.startswith("unix:"):
        return _listen_unix(address[5:], backlog, mode)
    if address.startswith("fd:"):
        number = address[3:]
        if not number.isdigit():
            raise CannotListen("cannot listen on %s: write the descriptor as a number, as in fd:0" % address)
        if not is_listening(int(number)):
            raise CannotListen("cannot listen on %s: that descriptor is no listening socket" % address)
        return _inherited(int(number))
    host, colon, port = address.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise CannotListen(
            "cannot listen on %r: write it as unix:/path, HOST:PORT, [::1]:PORT, :PORT or fd:0" % address
        )
    return _listen_tcp(host, int(port), backlog)


def is_listening(fd: int) -> bool:
    """Whether the descriptor is a listening socket."""
    try:
        with socket.socket(fileno=os.dup(fd)) as sock:
            return bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    except OSError:
        return False


def web_server_addresses(text: str) -> Optional[FrozenSet[str]]:
    """The addresses in FCGI_WEB_SERVER_ADDRS (§3.2); None when it is not set."""
    found = frozenset(part.strip() for part in text.split(",") if part.strip())
    return found or None


def _inherited(fd: int) -> Listener:
    sock = socket.socket(fileno=os.dup(fd))
    if fd == LISTENSOCK:
        # What the application starts, or reads from its standard input, must not meet a web server there.
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, LISTENSOCK)
        os.close(null)
    else:
        os.close(fd)
    return Listener(sock, "fd:%d" % fd)


def _listen_unix(path: str, backlog: int, mode: int) -> Listener:
    if not path:
        raise CannotListen("cannot listen on unix:: the path is missing, as in unix:/run/app.sock")
    path = os.path.abspath(path)
    _remove_stale(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # Never, not for a moment, open to more than it is to be in the end.
    before = os.umask(0o777)
    try:
        sock.bind(path)
    except OSError as error:
        sock.close()
        remedy = ""
        if error.errno == errno.ENOENT:
            remedy = "; make its folder first"
        elif error.errno is None or error.errno == errno.ENAMETOOLONG:
            remedy = "; the path of a socket may have some 100 bytes, this has %d" % len(os.fsencode(path))
        raise CannotListen("cannot listen on unix:%s: %s%s" % (path, error.strerror or error, remedy)) from None
    finally:
        os.umask(before)
    sock.listen(backlog)
    os.chmod(path, mode)
    return Listener(sock, "unix:" + path, path)


def _remove_stale(path: str) -> None:
    """Remove a socket that nobody listens on; anything else stays."""
    try:
        found = os.lstat(path)
    except OSError:
        return  # there is none; what else is wrong with the path bind() tells
    if not stat.S_ISSOCK(found.st_mode):
        raise CannotListen("cannot listen on unix:%s: there is a file of that name that is no socket" % path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except OSError:
            pass  # somebody listens, but is busy or not for us
    raise CannotListen("cannot listen on unix:%s: another process listens on it; stop that first" % path)


def _listen_tcp(host: str, port: int, backlog: int) -> Listener:
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        found = socket.getaddrinfo(bare or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise CannotListen("cannot listen on %s:%d: %s" % (host, port, error.strerror)) from None
    # Without a host: every address, IPv6's socket for both where there is one.
    found.sort(key=lambda one: one[0] != socket.AF_INET6 if not bare else 0)
    problem: Optional[OSError] = None
    for family, kind, protocol, _, where in found:
        try:
            sock = socket.socket(family, kind, protocol)
        except OSError as error:
            problem = error
            continue
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if not bare else 1)
            sock.bind(where)
            sock.listen(backlog)
        except OSError as error:
            sock.close()
            problem = error
            if error.errno == errno.EADDRINUSE:
                break
            continue
        return Listener(sock, _name(sock))
    remedy = "; another process listens there" if problem and problem.errno == errno.EADDRINUSE else ""
    reason = problem.strerror if problem else "no address"
    raise CannotListen("cannot listen on %s:%d: %s%s" % (host, port, reason, remedy))


def _name(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return "[%s]:%d" % (host, port) if ":" in host else "%s:%d" % (host, port)


def _identity(path: str) -> Optional[Tuple[int, int]]:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
