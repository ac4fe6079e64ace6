"""From the parameters of a FastCGI request to the head of a WSGI or ASGI one.

In: the name-value pairs as a web server sent them, each value Latin-1. Out: the dict that the shim takes as
a request's head, see "What the gateway puts into ``head``" in ``docs/internals.md``. Pure functions.

Web servers do not agree on SCRIPT_NAME and PATH_INFO: nginx's ``params`` and Apache put the whole
path into SCRIPT_NAME, lighttpd cuts it somewhere. Both together are the path, everywhere; how much of it
the application is mounted at is for ``--root-path`` to say.
"""

from __future__ import annotations

from urllib.parse import quote_from_bytes, unquote_to_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Mapping, Optional, Tuple

    Params = Mapping[str, str]

# Of the web server's parameters, these mean something else to an application, or nothing at all.
# HTTP_PROXY: a client's field that many programs take for a setting (RFC 3875 §4.1.18, "httpoxy").
# The other two: CGI has names of their own for them. PATH_TRANSLATED: belongs to the server's own PATH_INFO.
_LEFT_OUT = ("HTTP_PROXY", "HTTP_CONTENT_LENGTH", "HTTP_CONTENT_TYPE", "PATH_TRANSLATED")
_HTTPS = ("on", "1", "true", "yes")
_PORTS = {"http": "80", "https": "443"}


class BadRequest(Exception):
    """The parameters make no request. The text is for the log."""


def content_length(params: Params) -> Optional[int]:
    """The length of the body in bytes; None when the server does not tell."""
    text = params.get("CONTENT_LENGTH") or params.get("HTTP_CONTENT_LENGTH") or ""
    if not text:
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise BadRequest("CONTENT_LENGTH is no number: %a" % text[:40])
    return int(text)


def method(params: Params) -> str:
    """The request's method."""
    name = params.get("REQUEST_METHOD", "")
    if not name or not name.isascii() or not name.isprintable() or " " in name:
        raise BadRequest("REQUEST_METHOD is no method: %a" % name[:40])
    return name


def path(params: Params) -> str:
    """The decoded path, mount point included, as Latin-1."""
    found = params.get("SCRIPT_NAME", "") + params.get("PATH_INFO", "") or params.get("DOCUMENT_URI", "")
    return found or unquote_to_bytes(_target(params)[0]).decode("latin-1") or "/"


def scheme(params: Params) -> str:
    """``http`` or ``https``; a client's own fields do not count."""
    if params.get("HTTPS", "").lower() in _HTTPS or params.get("REQUEST_SCHEME", "").lower() == "https":
        return "https"
    return "http"


def environ(params: Params) -> Dict[str, Any]:
    """The WSGI environ (PEP 3333), less what is the same for every request; SCRIPT_NAME is the shim's to set."""
    method(params)
    # A name with a dot could only pose as one of the shim's own.
    head: Dict[str, Any] = {name: value for name, value in params.items() if "." not in name}
    for name in _LEFT_OUT:
        head.pop(name, None)
    head["SCRIPT_NAME"] = ""
    head["PATH_INFO"] = path(params)
    head["QUERY_STRING"] = _query(params)
    head["wsgi.url_scheme"] = scheme(params)
    head["SERVER_NAME"], head["SERVER_PORT"] = _server(params)
    if not params.get("SERVER_PROTOCOL"):
        head["SERVER_PROTOCOL"] = "HTTP/1.1"
    if params.get("REQUEST_URI"):
        head["RAW_URI"] = params["REQUEST_URI"]
    length = content_length(params)
    # Empty means the same as absent, but not to every application.
    head.pop("CONTENT_LENGTH", None)
    if length is not None:
        head["CONTENT_LENGTH"] = str(length)
    content_type = params.get("CONTENT_TYPE") or params.get("HTTP_CONTENT_TYPE")
    head.pop("CONTENT_TYPE", None)
    if content_type:
        head["CONTENT_TYPE"] = content_type
    return head


def scope(params: Params, root_path: str) -> Dict[str, Any]:
    """The ASGI scope, less what the shim adds."""
    root = root_path.rstrip("/")
    plain = path(params).encode("latin-1")
    raw = _target(params)[0].encode("latin-1") or quote_from_bytes(plain, safe="/:@!$&'()*+,;=~-._").encode()
    server, port = _server(params)
    return {
        "type": "http",
        "http_version": _http_version(params.get("SERVER_PROTOCOL", "")),
        "scheme": scheme(params),
        "method": method(params).upper(),
        "path": (_prefix(root.encode(), plain) + plain).decode("utf-8", "replace"),
        "raw_path": _prefix(root.encode(), raw) + raw,
        "query_string": _query(params).encode("latin-1"),
        "root_path": root,
        "client": _client(params),
        "server": (server, int(port)),
        "headers": _fields(params),
    }


def _prefix(root: bytes, plain: bytes) -> bytes:
    """What goes before an ASGI path, which has root_path in it whether or not the server took it off."""
    return b"" if plain == root or plain.startswith(root + b"/") else root


def _target(params: Params) -> Tuple[str, str]:
    """Path and query of the request's target as it was sent; both empty when the server does not tell."""
    uri = params.get("REQUEST_URI", "")
    if uri[:7].lower() == "http://" or uri[:8].lower() == "https://":  # RFC 9112 §3.2.2: absolute-form
        rest = uri.split("://", 1)[1]
        start = min((at for at in (rest.find("/"), rest.find("?")) if at >= 0), default=len(rest))
        uri = rest[start:]
        if not uri.startswith("/"):
            uri = "/" + uri
    raw, _, query = uri.partition("?")
    return raw, query


def _query(params: Params) -> str:
    return params["QUERY_STRING"] if "QUERY_STRING" in params else _target(params)[1]


def _server(params: Params) -> Tuple[str, str]:
    """Name and port; PEP 3333 allows neither to be empty."""
    port = params.get("SERVER_PORT", "")
    if not (port.isascii() and port.isdigit() and len(port) <= 5):
        port = _PORTS[scheme(params)]
    host = params.get("HTTP_HOST", "")
    name = params.get("SERVER_NAME") or (host if host.endswith("]") else host.rpartition(":")[0] or host)
    return name or "localhost", port


def _client(params: Params) -> Optional[Tuple[str, int]]:
    address = params.get("REMOTE_ADDR", "")
    port = params.get("REMOTE_PORT", "")
    return (address, int(port) if port.isascii() and port.isdigit() and len(port) <= 5 else 0) if address else None


def _http_version(protocol: str) -> str:
    version = protocol[5:] if protocol[:5] == "HTTP/" else ""
    return {"1.0": "1.0", "2.0": "2", "2": "2", "3.0": "3", "3": "3"}.get(version, "1.1")


def _fields(params: Params) -> List[Tuple[bytes, bytes]]:
    fields = []
    length, kind = content_length(params), params.get("CONTENT_TYPE") or params.get("HTTP_CONTENT_TYPE")
    if kind:
        fields.append((b"content-type", kind.encode("latin-1")))
    if length is not None:
        fields.append((b"content-length", b"%d" % length))
    for name, value in params.items():
        if name[:5] == "HTTP_" and name not in _LEFT_OUT:
            fields.append((name[5:].lower().replace("_", "-").encode("latin-1"), value.encode("latin-1")))
    return fields
