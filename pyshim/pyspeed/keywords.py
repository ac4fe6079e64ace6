"""The keyword arguments of :func:`pyspeed.run_app`: those that other servers' ``run`` functions take.

In: the keywords of one call. Out: a :class:`Plan`, with the command line for the gateway and what the application is
to be wrapped in. :data:`KEYWORDS` says of each what becomes of it; ``docs/run_app.md`` shows the table. Pure: nothing
is started, imported or changed here.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

OPTION, HANDLED, IGNORED, REFUSED = "option", "handled", "ignored", "refused"


class Keyword:
    """What becomes of one keyword argument.

    ``action``: it is an *option* of the gateway (``key``, its value made by ``convert``), *handled* here, *ignored*, or
    *refused* unless its value is one of ``fine``. ``about`` says how or why.
    """

    __slots__ = ("action", "about", "key", "convert", "fine")

    def __init__(
        self,
        action: str,
        about: str,
        key: str = "",
        convert: Optional[Callable[[Any], str]] = None,
        fine: Tuple[Any, ...] = (),
    ) -> None:
        self.action = action
        self.about = about
        self.key = key
        self.convert = convert or text
        self.fine = fine


class Plan:
    """What one call of ``run_app`` asks for."""

    def __init__(self, app: Any) -> None:
        self.app = app  # an object, or a target such as "main:app"
        self.arguments: List[str] = []  # for the gateway
        self.spawned = False  # the gateway is to spawn workers; else the calling process is the worker
        self.keep: List[int] = []  # descriptors that the gateway inherits
        self.loop = ""  # asyncio or uvloop; "" for whichever there is
        self.debug: Optional[bool] = None  # for the application's own switch
        self.debugger = False  # wrap the application in werkzeug's
        self.evalex = True
        self.quiet = False  # no line on the terminal that says where the server is


def text(value: Any) -> str:
    """A value as an option of the command line has it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return ",".join(text(element) for element in value)
    if isinstance(value, os.PathLike):
        return os.fsdecode(value)
    return str(value)


def seconds(value: Any) -> str:
    """A time; a number is one of seconds."""
    return "%.3fs" % value if isinstance(value, (int, float)) and not isinstance(value, bool) else text(value)


def _level(value: Any) -> str:
    """A level of logging's, by number or name, or of uvicorn's."""
    if isinstance(value, int) and not isinstance(value, bool):
        return "debug" if value <= 10 else "info" if value <= 20 else "warning" if value <= 30 else "error"
    name = text(value).lower()
    return {"critical": "error", "fatal": "error", "trace": "debug", "warn": "warning"}.get(name, name)


def _interface(value: Any) -> str:
    # An enumeration's member (granian) names it too.
    name = text(getattr(value, "value", value)).lower()
    return {"asgi3": "asgi", "asginl": "asgi"}.get(name, name)


_TLS = "terminate TLS in front of PySpeed"
_RELOADER = "the gateway watches by itself, by events where the file system has them"
_HTTP = "the gateway speaks HTTP/1.1 by itself, and there is nothing to choose"
_WEBSOCKETS = "WebSockets are not served yet"
_PROXIES = "forwarded addresses are not taken from requests"
_RECYCLE = "workers are not recycled, and the calling process is one"
_LOGGING = "the gateway logs by itself; log_level and access_log say what"
_BUFFERS = "the gateway sizes its buffers itself; server.buffer_body and server.buffer_budget bound them"
_SERVER = "answers have a Server field; to send another one, let the application set it"
_ADMIN = 'use options={"admin.bind": "127.0.0.1:9090"}'
_MANAGER = "is for the service manager that starts the program"
_STATIC = "serve files from the application, or from a server in front"
_RESPAWN = "a spawned worker that dies is always replaced"
_LOAD = 'use options={"server.limits.connections": …, "workers.in_flight": …, "workers.queue": …}'


def _option(key: str, convert: Optional[Callable[[Any], str]] = None, about: str = "") -> Keyword:
    return Keyword(OPTION, about or "sets `%s`" % key, key, convert)


def _handled(about: str) -> Keyword:
    return Keyword(HANDLED, about)


def _ignored(about: str) -> Keyword:
    return Keyword(IGNORED, about)


def _refused(about: str, *fine: Any) -> Keyword:
    return Keyword(REFUSED, about, fine=fine)


def _each(names: str, keyword: Keyword) -> Dict[str, Keyword]:
    return dict.fromkeys(names.split(), keyword)


# Of every name: for all it holds that None means "not given". Flask's app.run and werkzeug's run_simple, uvicorn.run,
# waitress.serve, bottle.run, and what of hypercorn's and granian's settings is not the same under another name.
KEYWORDS: Dict[str, Keyword] = {
    # Where.
    "host": _handled("listens at this host; 127.0.0.1 when only `port` is given"),
    "hostname": _handled("as `host`"),
    "address": _handled("as `host`"),
    "port": _handled("listens at this port; 0: any that is free; 8000 when only `host` is given"),
    "uds": _handled("listens at this unix socket"),
    "unix_socket": _handled("as `uds`"),
    "fd": _handled("listens at this descriptor, a listening socket"),
    "bind": _handled("listens at these addresses: `host:port`, `unix:/path`, `fd:N`; one or a list"),
    "listen": _handled("as `bind`, with blanks between several"),
    "sockets": _refused("use fd=socket.fileno()", ()),
    "ipv4": _ignored("the address says it"),
    "ipv6": _ignored("the address says it"),
    "unix_socket_perms": _refused("set the mode of the socket's folder"),
    "uds_permissions": _refused("set the mode of the socket's folder"),
    "umask": _refused("call os.umask() before"),
    "backlog": _option("server.backlog"),
    # The application.
    "interface": _option("app.interface", _interface),
    "factory": _option("app.factory"),
    "app_dir": _option("app.directory", about="sets `app.directory`: comes first on sys.path for a target by name"),
    "working_dir": _option("app.directory"),
    "root_path": _option("app.root_path"),
    "url_prefix": _option("app.root_path"),
    "url_path_prefix": _option("app.root_path"),
    "lifespan": _option("app.lifespan"),
    "env_file": _option("app.env_file"),
    "load_dotenv": _handled("True: reads `.env` in the working directory, if it is there"),
    "env_files": _refused("name one with env_file", (), []),
    "debug": _handled("sets the application's own `debug`, where it has one; starts neither debugger nor reloader"),
    "use_debugger": _handled("True: shows werkzeug's debugger, with its PIN, for exceptions of a WSGI application"),
    "use_evalex": _handled("False: werkzeug's debugger without a console"),
    "passthrough_errors": _refused(
        "an exception ends its request with 500 and never the server; breakpoint() and debuggers see it raised", False
    ),
    "static_files": _refused(_STATIC, {}),
    "static_path_route": _ignored(_STATIC),
    "static_path_mount": _refused(_STATIC),
    "static_path_expires": _ignored(_STATIC),
    "static_path_dir_to_file": _ignored(_STATIC),
    "plugins": _refused("install them with the application's own install()", (), []),
    "server": _ignored("PySpeed is the server"),
    "config": _handled("reads options from this file, such as pyspeed.toml"),
    "options": _handled('any options of pyspeed.toml, as in {"server.limits.body": "10MiB"}'),
    # Processes and threads.
    "workers": _handled("more than 1 need the application by name, and are spawned by the gateway"),
    "processes": _handled("as `workers`"),
    "threads": _option("workers.threads"),
    "blocking_threads": _option("workers.threads"),
    "threaded": _handled("False: one thread (`workers.threads = 1`)"),
    "loop": _handled("`asyncio` or `uvloop`; `auto` takes uvloop where it is installed"),
    "event_loop": _handled("as `loop`"),
    "worker_class": _ignored("the interface is found by looking at the application"),
    "blocking_threads_idle_timeout": _ignored("threads that have nothing to do end by themselves"),
    "runtime_threads": _ignored("the gateway has as many threads as it needs"),
    "runtime_blocking_threads": _ignored("the gateway has as many threads as it needs"),
    "runtime_mode": _ignored("the gateway has as many threads as it needs"),
    "task_impl": _ignored("tasks are asyncio's"),
    "reset_contextvars": _ignored("every request has a context of its own"),
    "respawn_failed_workers": _ignored(_RESPAWN),
    "respawn_interval": _ignored(_RESPAWN),
    "timeout_worker_healthcheck": _option("workers.startup_timeout", seconds),
    "startup_timeout": _option("workers.startup_timeout", seconds),
    "workers_kill_timeout": _refused("use timeout_graceful_shutdown"),
    "limit_max_requests": _refused(_RECYCLE, 0),
    "limit_max_requests_jitter": _ignored(_RECYCLE),
    "max_requests": _refused(_RECYCLE, 0),
    "max_requests_jitter": _ignored(_RECYCLE),
    "workers_lifetime": _refused(_RECYCLE),
    "workers_max_rss": _refused(_RECYCLE),
    "rss_sample_interval": _ignored(_RECYCLE),
    "rss_samples": _ignored(_RECYCLE),
    "daemon": _refused("the calling process serves; " + "a service manager puts it into the background", False),
    "user": _refused(_MANAGER),
    "group": _refused(_MANAGER),
    "process_name": _ignored("processes keep their names"),
    "pid_file": _option("server.pid"),
    "pid_path": _option("server.pid"),
    # Reloading.
    "reload": _handled("True: replaces the workers when a source file changes; needs the application by name"),
    "reloader": _handled("as `reload`"),
    "use_reloader": _handled("as `reload`"),
    "reload_dirs": _option("reload.directories"),
    "reload_paths": _option("reload.directories"),
    "reload_includes": _option("reload.include"),
    "extra_files": _option("reload.include"),
    "reload_excludes": _option("reload.exclude"),
    "exclude_patterns": _option("reload.exclude"),
    "reload_ignore_dirs": _option("reload.exclude"),
    "reload_ignore_paths": _option("reload.exclude"),
    "reload_delay": _option("reload.delay", seconds),
    "reload_ignore_patterns": _refused("these are regular expressions; name files with reload_excludes", (), []),
    "reload_filter": _refused("name files with reload_includes and reload_excludes"),
    "reload_ignore_worker_failure": _ignored("after code that fails the next change is waited for"),
    **_each("reload_tick reloader_interval reloader_type interval", _ignored(_RELOADER)),
    # Limits and timeouts.
    "timeout_keep_alive": _option("server.timeouts.idle", seconds),
    "keep_alive_timeout": _option("server.timeouts.idle", seconds),
    "timeout_graceful_shutdown": _option("server.timeouts.shutdown", seconds),
    "graceful_timeout": _option("server.timeouts.shutdown", seconds),
    "shutdown_timeout": _option("server.timeouts.shutdown", seconds),
    "channel_timeout": _option("server.timeouts.idle", seconds),
    "cleanup_interval": _ignored("idle connections are closed when their time is over"),
    "h11_max_incomplete_event_size": _option("server.limits.header_bytes"),
    "h11_max_incomplete_size": _option("server.limits.header_bytes"),
    "max_request_header_size": _option("server.limits.header_bytes"),
    "max_request_body_size": _option("server.limits.body"),
    "wsgi_max_body_size": _option("server.limits.body"),
    "connection_limit": _option("server.limits.connections"),
    "limit_concurrency": _refused(_LOAD),
    "backpressure": _refused(_LOAD),
    "max_app_queue_size": _ignored(_BUFFERS),
    **_each(
        "recv_bytes send_bytes outbuf_overflow outbuf_high_watermark inbuf_overflow channel_request_lookahead "
        "asyncore_loop_timeout asyncore_use_poll",
        _ignored(_BUFFERS),
    ),
    # HTTP.
    "http": _ignored(_HTTP),
    "http2": _refused(_HTTP, False, "auto"),
    "http1_settings": _ignored(_HTTP),
    "http2_settings": _ignored(_HTTP),
    "h11_pass_raw_headers": _ignored(_HTTP),
    "alpn_protocols": _ignored(_HTTP),
    "request_handler": _refused(_HTTP),
    "keep_alive_max_requests": _ignored("connections have no number of requests to end after"),
    "ws": _ignored(_WEBSOCKETS),
    "websockets": _ignored(_WEBSOCKETS),
    **_each(
        "ws_max_size ws_max_queue ws_ping_interval ws_ping_timeout ws_per_message_deflate "
        "websocket_max_message_size websocket_ping_interval",
        _ignored(_WEBSOCKETS),
    ),
    "headers": _refused("let the application, or a middleware, set header fields", (), []),
    "response_headers": _refused("let the application, or a middleware, set header fields", (), []),
    "server_header": _refused(_SERVER, True),
    "include_server_header": _refused(_SERVER, True),
    "ident": _refused(_SERVER),
    "date_header": _refused("answers have a Date field (RFC 9110 §6.6.1)", True),
    "include_date_header": _refused("answers have a Date field (RFC 9110 §6.6.1)", True),
    "server_name": _ignored("SERVER_NAME is that of the address, or of the request"),
    "server_names": _refused("check the Host field in the application, or in front", (), []),
    "alt_svc_headers": _refused(_HTTP, (), []),
    "proxy_headers": _refused(_PROXIES, False),
    "forwarded_allow_ips": _refused(_PROXIES),
    "trusted_proxy": _refused(_PROXIES),
    "trusted_proxy_count": _refused(_PROXIES),
    "trusted_proxy_headers": _refused(_PROXIES, (), []),
    "url_scheme": _refused(_PROXIES, "http"),
    "log_untrusted_proxy_headers": _ignored(_PROXIES),
    "clear_untrusted_proxy_headers": _ignored(_PROXIES),
    # TLS.
    **_each(
        "ssl_keyfile ssl_certfile ssl_keyfile_password ssl_ca_certs ssl_context_factory ssl_context ssl_cert "
        "ssl_key ssl_key_password ssl_ca certfile keyfile keyfile_password ca_certs",
        _refused(_TLS),
    ),
    **_each(
        "ssl_version ssl_cert_reqs ssl_ciphers ssl_protocol_min ssl_crl ssl_client_verify cert_reqs ciphers",
        _ignored(_TLS),
    ),
    # Logs.
    "log_level": _option("log.level", _level),
    "loglevel": _option("log.level", _level),
    "access_log": _option("log.access", lambda value: "combined" if value else "off"),
    "log_access": _option("log.access", lambda value: "combined" if value else "off"),
    "accesslog": _option("log.access_file", about="sets `log.access_file`, and turns the lines on"),
    "access_log_format": _ignored('use options={"log.access": "combined"} or "json"'),
    "log_access_format": _ignored('use options={"log.access": "combined"} or "json"'),
    "quiet": _handled("True: no line on the terminal that says where the server is"),
    "log_config": _refused(_LOGGING),
    "log_dictconfig": _refused(_LOGGING),
    "logconfig": _refused(_LOGGING),
    "logconfig_dict": _refused(_LOGGING),
    "logger_class": _ignored(_LOGGING),
    "errorlog": _ignored(_LOGGING),
    "log_enabled": _ignored(_LOGGING),
    "log_socket_errors": _ignored(_LOGGING),
    "use_colors": _ignored(_LOGGING),
    "expose_tracebacks": _refused("tracebacks go to the terminal, never to clients", False),
    "metrics_enabled": _refused(_ADMIN, False),
    "metrics_address": _ignored(_ADMIN),
    "metrics_port": _ignored(_ADMIN),
    "metrics_scrape_interval": _ignored(_ADMIN),
}

_ALIASES = {
    "reloader": "reload",
    "use_reloader": "reload",
    "hostname": "host",
    "address": "host",
    "unix_socket": "uds",
    "processes": "workers",
    "event_loop": "loop",
    "listen": "bind",
}
_LOOPS = ("auto", "none", "asyncio", "uvloop")


def plan(app: Any, keywords: Mapping[str, Any], environ: Mapping[str, str], free_port: bool = False) -> Plan:
    """What a call asks for. Raises TypeError for what is unknown or given twice, ValueError for what is refused.

    ``free_port``: where no address is given, 127.0.0.1 and any port.
    """
    result = Plan(app)
    settings: Dict[str, str] = {}  # by option's key
    given: Dict[str, Any] = {}  # what is handled here, without aliases
    for name, value in keywords.items():
        keyword = KEYWORDS.get(name)
        if keyword is None:
            raise TypeError("run_app() got an unknown keyword argument %r%s" % (name, _nearest(name)))
        if value is None or keyword.action == IGNORED:
            continue
        if keyword.action == REFUSED:
            if not any(value is fine or (type(value) is type(fine) and value == fine) for fine in keyword.fine):
                raise ValueError("cannot take %s=%r: %s" % (name, value, keyword.about))
        elif keyword.action == OPTION:
            _put(settings, keyword.key, keyword.convert(value), name)
        else:
            meaning = _ALIASES.get(name, name)
            if meaning in given and given[meaning] != value:
                raise TypeError("run_app() got %s twice, as %r and %r" % (meaning, given[meaning], value))
            given[meaning] = value
    for key, value in dict(given.get("options") or {}).items():
        if value is not None:
            _put(settings, key, text(value), "options[%r]" % key)
    _processes(result, given, settings)
    _application(result, given, settings)
    if "log.access_file" in settings:
        settings.setdefault("log.access", "combined")
    if "config" not in given and not environ.get("PYSPEED_LOG_LEVEL") and "reload.enabled" not in settings:
        # The terminal is the program's own; under reload it is where one looks for what happens.
        settings.setdefault("log.level", "warning")
    # The file is named always: what a pyspeed.toml that happens to lie around says is for the command line.
    result.arguments += ["--config=" + text(given.get("config", os.devnull))]
    _where(result, given, settings, free_port)
    for key, value in settings.items():
        result.arguments.append("--set=%s=%s" % (key, value))
    result.arguments.append("--")
    result.arguments.append(app if isinstance(app, str) else label(app))
    return result


def table() -> List[str]:
    """The lines of the table in ``docs/run_app.md``: keywords of the same fate on one."""
    fates: Dict[Tuple[str, str], List[str]] = {}
    for name, keyword in KEYWORDS.items():
        about = keyword.about
        if keyword.action == REFUSED and keyword.fine:
            about += " (%s is fine)" % " or ".join("`%r`" % (value,) for value in keyword.fine)
        fates.setdefault((keyword.action, about), []).append("`%s`" % name)
    return ["| %s | %s | %s |" % (", ".join(names), action, about) for (action, about), names in fates.items()]


def label(app: Any) -> str:
    """What an application object is called in messages, in the form of a target."""
    named = app if hasattr(app, "__qualname__") else type(app)
    name = "%s:%s" % (getattr(named, "__module__", "__main__"), named.__qualname__)
    plain = name.replace(".", "").replace(":", "").replace("<", "").replace(">", "").replace("_", "")
    return name if plain.isalnum() and not name.endswith(".py") else "__main__:app"


def _put(settings: Dict[str, str], key: str, value: str, name: str) -> None:
    if settings.setdefault(key, value) != value:
        raise TypeError("run_app() got %s twice: %s and, as %s, %s" % (key, settings[key], name, value))


def _processes(result: Plan, given: Mapping[str, Any], settings: Dict[str, str]) -> None:
    workers = given.get("workers", settings.pop("workers.count", None))
    several = workers is not None and str(workers) != "1"
    if given.get("reload"):
        _put(settings, "reload.enabled", "true", "reload")
    reloads = settings.get("reload.enabled") == "true"
    result.spawned = several or reloads
    if result.spawned and not isinstance(result.app, str):
        raise ValueError(
            "cannot %s an application object: every worker imports the application itself; "
            'name it, as in run_app("main:app", %s)'
            % (("reload", "reload=True") if reloads else ("start %s workers from" % workers, "workers=%s" % workers))
        )
    if several:
        settings["workers.count"] = text(workers)
    if "threaded" in given and not given["threaded"]:
        _put(settings, "workers.threads", "1", "threaded")


def _application(result: Plan, given: Mapping[str, Any], settings: Dict[str, str]) -> None:
    result.debug = given.get("debug")
    result.debugger = bool(given.get("use_debugger"))
    result.evalex = bool(given.get("use_evalex", True))
    loop = str(given.get("loop", "auto"))
    if loop not in _LOOPS:
        raise ValueError("cannot take loop=%r: use asyncio, uvloop or auto" % loop)
    result.quiet = bool(given.get("quiet"))
    result.loop = loop if loop in ("asyncio", "uvloop") else ""
    if result.spawned:
        for name, wanted in (("debug", result.debug), ("use_debugger", result.debugger), ("loop", result.loop)):
            if wanted:
                raise ValueError(
                    "cannot take %s=%r with several workers or reload: set it in the application" % (name, wanted)
                )
    if given.get("load_dotenv") and os.path.isfile(".env"):
        settings.setdefault("app.env_file", os.path.abspath(".env"))


def _where(result: Plan, given: Mapping[str, Any], settings: Mapping[str, str], free_port: bool) -> None:
    arguments = result.arguments
    if "host" in given:
        arguments.append("--host=%s" % given["host"])
    if "port" in given:
        arguments.append("--port=%s" % given["port"])
    if "uds" in given:
        arguments.append("--uds=%s" % text(given["uds"]))
    if "fd" in given:
        arguments.append("--fd=%d" % given["fd"])
        result.keep.append(given["fd"])
    if "bind" in given:
        addresses = given["bind"]
        for address in addresses.split() if isinstance(addresses, str) else addresses:
            arguments.append("--bind=%s" % address)
            if address.startswith("fd:"):
                result.keep.append(int(address[3:]))
    if not free_port or "server.bind" in settings:
        return
    if "port" not in given and not any(name in given for name in ("uds", "fd", "bind")):
        arguments.append("--port=0")


def _nearest(name: str) -> str:
    import difflib

    close = difflib.get_close_matches(name, KEYWORDS, n=1)
    return "; did you mean %r?" % close[0] if close else "; docs/run_app.md lists what there is"
