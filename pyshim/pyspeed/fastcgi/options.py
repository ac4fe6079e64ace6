"""The responder's command line: one table that parsing, ``--help`` and the messages come from."""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List, NoReturn, Optional, Tuple

_SIZES = {"": 1, "b": 1, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "kb": 10**3, "mb": 10**6, "gb": 10**9}
_SECONDS = {"ms": 0.001, "": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}

_USAGE = """\
usage: python -m pyspeed --fastcgi [ADDRESS] TARGET [options]

Serves an application as a FastCGI 1.0 responder, for a web server such as nginx, lighttpd, Apache or Caddy.

ADDRESS  unix:/path, HOST:PORT, [::1]:PORT, :PORT (every address) or fd:0 (the listening socket that
         spawn-fcgi, lighttpd or Apache gives; also taken when no address is named)
TARGET   the application: module:attribute, module, module:factory(), or a file instead of the module

"""


class UsageError(Exception):
    """What is wrong with the arguments, and what would be right."""


def _whole(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit()) or not least <= int(text) <= most:
            raise ValueError("a whole number from %d to %d" % (least, most))
        return int(text)

    return parse


def _octal(text: str) -> int:
    if not re.fullmatch("0?o?[0-7]{3}", text):
        raise ValueError("three octal digits such as 660")
    return int(text[-3:], 8)


def _size(text: str) -> int:
    found = re.fullmatch(r"([0-9]{1,15})\s*([a-z]*)", text.lower())
    if found is None or found[2] not in _SIZES:
        raise ValueError("a size such as 64KiB, 10MB or a number of bytes")
    return int(found[1]) * _SIZES[found[2]]


def _duration(text: str) -> float:
    found = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]+)?)(ms|s|m|h|)", text)
    if found is None:
        raise ValueError("a duration such as 500ms, 30s or 2m")
    return float(found[1]) * _SECONDS[found[2]]


def _one_of(*words: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in words:
            raise ValueError("one of " + ", ".join(words))
        return text

    return parse


def _root(text: str) -> str:
    if text in ("", "/"):
        return ""
    if not text.startswith("/") or text.endswith("/"):
        raise ValueError("a path with a slash in front and none at the end, such as /shop")
    return text


# Name, placeholder (none: a switch), default as written (None: not set), parser, what it is.
_TABLE: Tuple[Tuple[str, str, Optional[str], Callable[[str], Any], str], ...] = (
    ("interface", "NAME", "auto", _one_of("auto", "wsgi", "asgi", "tornado"), "what the application speaks"),
    ("factory", "", "", bool, "TARGET is called, without arguments, and returns the application"),
    ("app-dir", "DIR", ".", str, "goes first on sys.path"),
    ("threads", "N", "0", _whole(0, 1024), "threads for a WSGI application; 0: as many as are of use, up to 64"),
    ("root-path", "PATH", "", _root, "path that the application is mounted at (SCRIPT_NAME, root_path)"),
    ("lifespan", "MODE", "auto", _one_of("auto", "on", "off"), "ASGI lifespan; auto: an application may be without"),
    ("socket-mode", "MODE", "660", _octal, "permissions of a Unix socket"),
    ("umask", "MASK", None, _octal, "the process's file mode creation mask; as inherited when not given"),
    ("max-body", "SIZE", "100MiB", _size, "larger request bodies are answered with 413"),
    ("buffer-body", "SIZE", "16MiB", _size, "request bodies up to this are complete before a WSGI application runs"),
    ("backlog", "N", "2048", _whole(1, 65535), "connections that may wait to be accepted"),
    ("graceful-timeout", "TIME", "30s", _duration, "how long requests may still take after TERM or INT"),
)


def parse(arguments: List[str]) -> Dict[str, Any]:
    """The options by name, with ``-`` as ``_``, and ``address`` and ``target``. Raises UsageError."""
    found: Dict[str, Any] = {}
    for name, _, default, parser, _ in _TABLE:
        found[name.replace("-", "_")] = None if default is None else parser(default)
    table = {name: (placeholder, parser) for name, placeholder, _, parser, _ in _TABLE}
    words: List[str] = []
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if word in ("-h", "--help"):
            found["help"] = True
            return found
        if not word.startswith("-") or word == "-":
            words.append(word)
            continue
        name, equals, value = word.lstrip("-").partition("=")
        if name == "fastcgi":
            if equals:
                words.insert(0, value)
            continue
        if name not in table:
            _unknown(word, list(table))
        placeholder, parser = table[name]
        if not placeholder:
            if equals:
                raise UsageError("--%s takes no value" % name)
            found[name] = True
            continue
        if not equals:
            if not rest:
                raise UsageError("--%s needs a value: --%s %s" % (name, name, placeholder))
            value = rest.pop(0)
        try:
            found[name.replace("-", "_")] = parser(value)
        except ValueError as error:
            raise UsageError("--%s %r: it takes %s" % (name, value, error)) from None
    if not words:
        raise UsageError("the application is missing; write it as module:attribute (--help shows the options)")
    if len(words) > 2:
        raise UsageError("%r is too much: an address and an application are enough" % words[2])
    found["address"] = words[0] if len(words) == 2 else ""
    found["target"] = words[-1]
    return found


def usage() -> str:
    """The text of ``--help``."""
    lines = [_USAGE, "options:\n"]
    for name, placeholder, default, _, text in _TABLE:
        option = "--%s %s" % (name, placeholder)
        lines.append("  %-24s %s%s\n" % (option.rstrip(), text, " (default: %s)" % default if default else ""))
    lines.append("\nWith FCGI_WEB_SERVER_ADDRS (addresses, separated by commas) in the environment, only these may\n")
    lines.append("connect over TCP. Exit codes: 0 stopped as asked, 1 wrong options or address, 3 the application\n")
    lines.append("could not start, 4 it could not be imported.\n")
    return "".join(lines)


def _unknown(word: str, names: List[str]) -> NoReturn:
    import difflib

    close = difflib.get_close_matches(word.lstrip("-").partition("=")[0], names, n=1)
    hint = "; did you mean --%s?" % close[0] if close else "; --help shows the options"
    raise UsageError("there is no option %s%s" % (word.partition("=")[0], hint))
