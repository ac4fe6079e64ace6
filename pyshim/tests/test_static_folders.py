"""Which folders are found without a gateway. That answers are equal is in ``tests/test_static_auto.py``.

Each application here differs in one thing from one whose folder is found.
"""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
import sys
import types
import weakref
from pathlib import Path
from typing import Any, Callable, Dict, List

import pytest

from pyspeed import static_folders


def found(app: Any, root_path: str = "") -> List[str]:
    said = static_folders.report(app, root_path)
    assert len(said["static_routes"]) == len(said["static_folders"]) == len(said["static_caching"])
    routes: List[str] = said["static_routes"]
    return routes


def reasons(app: Any, root_path: str = "") -> str:
    said = static_folders.report(app, root_path)
    assert said["static_routes"] == []
    return "; ".join(said["static_not"])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "static").mkdir()
    return tmp_path / "static"


# Flask.


@pytest.fixture
def make(folder: Path) -> Callable[..., Any]:
    flask = pytest.importorskip("flask")

    def make_one(kind: Any = None, **options: Any) -> Any:
        return (kind or flask.Flask)("app", static_folder=folder, static_url_path="/static", **options)

    return make_one


def blueprint(folder: Path, name: str = "shop", kind: Any = None, **options: Any) -> Any:
    from flask import Blueprint

    options = {"url_prefix": "/" + name, "static_url_path": "/assets", **options}
    return (kind or Blueprint)(name, "app", static_folder=folder, **options)


def test_flask(make: Callable[..., Any], folder: Path) -> None:
    from flask import Flask

    app = make()
    app.logger, app.jinja_env, app.session_cookie_name = app.logger, app.jinja_env, "other"
    app.register_blueprint(blueprint(folder))

    @app.get("/<path:page>")
    def page(page: str) -> str:
        return page

    class Own(Flask):
        """What does not lie on the way to a file."""

        test_client_class = None

        def run(self, *_: Any, **__: Any) -> None:
            raise NotImplementedError

        def something(self) -> None: ...

    assert sorted(found(app)) == ["/shop/assets", "/static"]
    assert found(make(Own)) == ["/static"]


@pytest.mark.parametrize("hook", ["before_request", "after_request", "url_value_preprocessor"])
def test_hooks_of_a_parent_blueprint(make: Callable[..., Any], folder: Path, hook: str) -> None:
    app, admin, files = make(static_host=None), blueprint(folder, "admin"), blueprint(folder, "files")
    other = blueprint(folder, "other")
    getattr(admin, hook)(lambda *_: None)
    admin.register_blueprint(files)
    app.register_blueprint(admin)
    app.register_blueprint(other)
    said = static_folders.report(app, "")
    assert sorted(said["static_routes"]) == ["/other/assets", "/static"]
    assert len([one for one in said["static_not"] if "which may change the answer" in one]) == 2


def guard(view: Any) -> Any:
    @functools.wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        return view(*args, **kwargs)

    return guarded


def test_view_of_flask(make: Callable[..., Any]) -> None:
    app = make()
    app.view_functions["static"] = guard(app.view_functions["static"])
    assert "/static/<path:filename>: its view is the application's own" in reasons(app)
    other = make()
    app.view_functions["static"] = other.view_functions["static"]
    assert "its view is the application's own" in reasons(app)
    app.view_functions["static"] = functools.partial(other.view_functions["static"])
    assert "its view is the application's own" in reasons(app)
    reference = weakref.ref(app)
    app.view_functions["static"] = lambda filename: reference().send_static_file(filename.lower())
    assert "its view is the application's own" in reasons(app)


def test_view_of_a_blueprint(make: Callable[..., Any], folder: Path) -> None:
    app = make()
    before, after, method = blueprint(folder, "before"), blueprint(folder, "after"), blueprint(folder, "method")
    before.send_static_file = guard(before.send_static_file)
    method.get_send_file_max_age = lambda _: 5
    for one in (before, after, method):
        app.register_blueprint(one)
    app.view_functions["after.static"] = guard(app.view_functions["after.static"])
    assert found(app) == ["/static"]


def test_sender(make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    from flask import helpers
    from werkzeug import utils

    app = make()
    sender = sys.modules[of_flask(app).__module__]
    for module, name in ((helpers, "send_from_directory"), (utils, "send_file"), (sender, "send_from_directory")):
        with monkeypatch.context() as patched:
            patched.setattr(module, name, guard(getattr(module, name)))
            assert reasons(app)
    assert found(app) == ["/static"]


def of_flask(app: Any) -> Any:
    return static_folders.of_class(type(app), "send_static_file")


@pytest.mark.parametrize(
    "config",
    [
        {"TRUSTED_HOSTS": ["example.org"]},
        {"SERVER_NAME": "example.org"},
        {"USE_X_SENDFILE": True},
        {"SEND_FILE_MAX_AGE_DEFAULT": 0},
        {"SEND_FILE_MAX_AGE_DEFAULT": True},
    ],
)
def test_flask_configuration(make: Callable[..., Any], config: Dict[str, Any]) -> None:
    app = make()
    app.config.update(config)
    assert next(iter(config)) in reasons(app)


def test_reasons_are_those_of_every_worker(make: Callable[..., Any]) -> None:
    """They hold no addresses, of which each process has its own."""
    app = make()
    app.config["SEND_FILE_MAX_AGE_DEFAULT"] = object()
    assert reasons(app) == "/static/<path:filename>: SEND_FILE_MAX_AGE_DEFAULT is <object object>"


def test_flask_and_hosts(make: Callable[..., Any]) -> None:
    assert "looks at the host" in reasons(make(subdomain_matching=True))
    assert "looks at the host" in reasons(make(static_host="example.org", host_matching=True))


def test_flask_rules(make: Callable[..., Any], folder: Path) -> None:
    from werkzeug.routing import PathConverter, Rule

    class Lower(PathConverter):
        def to_python(self, value: str) -> str:
            return value.lower()

    def added(**options: Any) -> Any:
        from flask import Flask

        app = Flask("app", static_folder=None)
        app.static_folder = folder
        own = make().view_functions["static"]
        app.view_functions["static"] = types.FunctionType(own.__code__, own.__globals__, closure=closure_of(app, own))
        app.url_map.add(Rule("/static/<path:filename>", endpoint="static", **options))
        return app

    plain = {"methods": ["GET", "OPTIONS"]}
    assert found(added(**plain)) == ["/static"]
    for options in (
        {**plain, "build_only": True},
        {**plain, "redirect_to": "/other/<filename>"},
        {**plain, "alias": True},
        {**plain, "websocket": True},
        {**plain, "defaults": {"size": 1}},
        {"methods": ["POST"]},
        {"methods": ["GET", "OPTIONS", "POST"]},
        {},
    ):
        assert "its route is for" in reasons(added(**options)), options

    app = make()
    app.url_map.converters["path"] = Lower
    assert "the converter path" in reasons(app)
    app = added(**plain)
    next(app.url_map.iter_rules())._converters["filename"] = Lower(app.url_map)
    assert "the converter path" in reasons(app)

    app = make()
    app.add_url_rule("/favicon.ico", endpoint="static", defaults={"filename": "favicon.ico"})
    assert "the route /favicon.ico is for one of its files" in reasons(app)


def closure_of(app: Any, view: Any) -> Any:
    def cell(reference: Any) -> Any:
        return (lambda: reference).__closure__

    assert len(view.__closure__) == 1
    return cell(weakref.ref(app))


@pytest.mark.parametrize(
    "name",
    [
        *("wsgi_app", "request_class", "response_class", "session_interface", "request_context", "make_response"),
        *("handle_exception", "handle_user_exception", "finalize_request", "ensure_sync", "send_static_file"),
        *("get_send_file_max_age", "create_url_adapter", "dispatch_request", "process_response", "app_context"),
    ],
)
def test_what_flask_does_itself(make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Replaced in the application, in a class of its own, and in Flask."""
    from flask import Flask

    def other(value: Any) -> Any:
        if isinstance(value, type):
            return type(value.__name__, (value,), {"__module__": __name__})
        if callable(value):
            return guard(value)
        return type("Own", (type(value),), {})()

    app = make()
    setattr(app, name, other(getattr(app, name)))
    assert f"{name} is the application's own" in reasons(app)
    kind = type("Own", (Flask,), {name: other(getattr(Flask, name))})
    assert f"{name} is the application's own" in reasons(make(kind))
    app = make()
    owner = next(one for one in Flask.__mro__ if name in vars(one))
    monkeypatch.setattr(owner, name, other(getattr(Flask, name)))
    assert f"{name} is the application's own" in reasons(app)
    monkeypatch.undo()
    assert found(app) == ["/static"]


@pytest.mark.parametrize("name", ["appcontext_pushed", "request_started", "request_finished"])
def test_signals(make: Callable[..., Any], name: str) -> None:
    pytest.importorskip("blinker")
    from flask import signals

    def receiver(*_: Any, **__: Any) -> None: ...

    app, signal = make(), getattr(signals, name)
    with signal.connected_to(receiver):
        assert f"the signal {name} has receivers" in reasons(app)
    assert found(app) == ["/static"]


def test_proxies_are_not_what_they_stand_for() -> None:
    def original() -> None: ...

    class Proxy:
        """As wrapt's: it has the attributes, and says it has the class, of what it wraps."""

        def __init__(self, wrapped: Any) -> None:
            self.wrapped = wrapped

        def __getattr__(self, name: str) -> Any:
            return getattr(self.wrapped, name)

        @property
        def __class__(self) -> Any:
            return type(self.wrapped)

        def __call__(self) -> Any:
            return self.wrapped()

    here = (__name__.partition(".")[0],)
    proxy = Proxy(original)
    assert isinstance(proxy, types.FunctionType)
    assert static_folders.made_by(original, here)
    assert not static_folders.made_by(proxy, ("other",))
    assert not static_folders.made_by(Proxy(os.path.join), ("os",))
    assert not static_folders.made_by(functools.partial(original), here)


# Starlette and FastAPI.


@pytest.fixture
def starlette(folder: Path) -> Any:
    pytest.importorskip("starlette.applications")
    from starlette import applications, routing, staticfiles

    return types.SimpleNamespace(
        Starlette=applications.Starlette,
        Mount=routing.Mount,
        Route=routing.Route,
        WebSocketRoute=routing.WebSocketRoute,
        Host=routing.Host,
        Router=routing.Router,
        StaticFiles=staticfiles.StaticFiles,
        files=lambda **options: staticfiles.StaticFiles(directory=folder, **options),
        mount=lambda: routing.Mount("/static", staticfiles.StaticFiles(directory=folder)),
    )


async def endpoint(*_: Any) -> Any: ...


class Middleware:
    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, *arguments: Any) -> None:
        await self.app(*arguments)


def test_starlette(starlette: Any) -> None:
    s = starlette
    before = [s.Route("/", endpoint), s.WebSocketRoute("/{everything:path}", endpoint), s.Mount("/other", s.Router())]
    app = s.Starlette(routes=[*before, s.mount()])
    assert found(app) == ["/static"]
    app.middleware_stack = app.build_middleware_stack()  # as it is once the lifespan has begun
    assert found(app) == ["/static"]
    assert found(app, "/below") == ["/below/static"]


def test_starlette_routes(starlette: Any) -> None:
    s = starlette

    class OwnMount(s.Mount):  # type: ignore[name-defined,misc]
        pass

    class OwnRoute(s.Route):  # type: ignore[name-defined,misc]
        def matches(self, scope: Any) -> Any:
            return super().matches(scope)

    class OwnSocket(s.WebSocketRoute):  # type: ignore[name-defined,misc]
        def matches(self, scope: Any) -> Any:
            return super().matches(scope)

    def first(route: Any) -> str:
        return reasons(s.Starlette(routes=[route, s.mount()]))

    assert "a class of its own" in reasons(s.Starlette(routes=[OwnMount("/static", s.files())]))
    assert "the route /other comes before" in first(OwnRoute("/other", endpoint))
    assert "the route /other comes before" in first(OwnSocket("/other", endpoint))
    assert "the route example.org comes before" in first(s.Host("example.org", s.Router()))
    route = s.Route("/STATIC/special.css", endpoint)
    assert found(s.Starlette(routes=[route, s.mount()])) == ["/static"]
    route.path_regex = re.compile(route.path_regex.pattern, re.IGNORECASE)
    assert "comes before" in first(route)
    for name in ("matches", "handle"):
        mount = s.mount()
        setattr(mount, name, getattr(mount, name))
        assert "a class of its own" in reasons(s.Starlette(routes=[mount]))
    route = s.Route("/other", endpoint)
    route.matches = route.matches
    assert "comes before" in first(route)


def test_starlette_middleware(starlette: Any) -> None:
    from starlette.middleware import Middleware as Entry

    s = starlette
    mount = s.mount()
    mount.app = Middleware(mount.app)  # as Mount(middleware=…) does
    assert "there is middleware" in reasons(s.Starlette(routes=[mount]))
    assert "there is middleware" in reasons(s.Starlette(routes=[s.mount()], middleware=[Entry(Middleware)]))
    app = s.Starlette()
    app.router = s.Router([s.mount()], middleware=[Entry(Middleware)])
    assert "its router has middleware" in reasons(app)
    app = s.Starlette(routes=[s.mount()])
    app.router = type("Own", (s.Router,), {})([s.mount()])
    assert "its router is the application's own" in reasons(app)
    app = s.Starlette(routes=[s.mount()])
    app.router.app = app.router.app
    assert "its router is the application's own" in reasons(app)
    app = s.Starlette(routes=[s.mount()])
    app.middleware_stack = Middleware(app.build_middleware_stack())
    assert "its middleware_stack is" in reasons(app)
    app = s.Starlette(routes=[s.mount()])
    app.build_middleware_stack = app.build_middleware_stack
    assert "build_middleware_stack is the application's own" in reasons(app)
    assert "a class of its own" in reasons(
        type("Own", (s.Starlette,), {"__module__": "starlette.x"})(routes=[s.mount()])
    )


@pytest.mark.parametrize("name", ["get_response", "get_path", "lookup_path", "file_response", "is_not_modified"])
def test_starlette_files(starlette: Any, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    s = starlette
    app = s.Starlette(routes=[s.mount()])
    with monkeypatch.context() as patched:
        patched.setattr(s.StaticFiles, name, guard(getattr(s.StaticFiles, name)))
        assert "a class of their own" in reasons(app)
    assert found(app) == ["/static"]
    files = app.router.routes[0].app
    setattr(files, name, guard(getattr(files, name)))
    assert "a class of their own" in reasons(app)


def test_starlette_folders(starlette: Any, tmp_path: Path) -> None:
    files = starlette.files()
    files.all_directories.append(tmp_path)
    assert "more than one folder" in reasons(starlette.Starlette(routes=[starlette.Mount("/static", files)]))


def test_fastapi(starlette: Any) -> None:
    fastapi = pytest.importorskip("fastapi")
    inner, router = fastapi.APIRouter(), fastapi.APIRouter()

    async def items() -> None: ...

    inner.add_api_route("/items", items)
    inner.add_api_websocket_route("/socket", items)
    router.include_router(inner, prefix="/inner")

    def make(prefix: str, included: Any = router, root_path: str = "") -> Any:
        app = fastapi.FastAPI()
        app.root_path = root_path
        app.include_router(included, prefix=prefix)
        app.mount("/static", starlette.files())
        return app

    assert found(make("/api")) == ["/static"]
    assert "comes before it" in reasons(make("/static"))
    inner.add_api_route("/{anything}", items)
    assert found(make("/api")) == ["/static"]
    assert "comes before it" in reasons(make("/{tenant}"))
    own = type("Own", (fastapi.APIRouter,), {"matches": lambda *_: None})()
    own.add_api_route("/items", items)
    if hasattr(fastapi.APIRouter, "matches"):  # else its routes are the application's
        assert "comes before it" in reasons(make("/api", own))

    assert found(make("/api", root_path="/proxied")) == ["/static"]
    assert found(make("/api", root_path="/proxied"), "/proxied") == ["/proxied/static"]
    assert "root_path" in reasons(make("/api", root_path="/proxied"), "/other")
    assert "root_path" in reasons(make("/api", root_path="/static"))


# Django, whose settings are the process's.

PROJECT = """
import json, os, sys
sys.path.insert(0, os.environ["SHIM"])
import django
from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.core.handlers.wsgi import WSGIHandler
from django.urls import include, path, re_path
from django.views.static import serve
from pyspeed import static_folders

def view(request, **_): ...

class Own(WSGIHandler): ...

def told(patterns=(), handler=WSGIHandler, root_path="", **options):
    from django.test.utils import override_settings
    from django.urls import clear_url_caches
    globals()["urlpatterns"] = [path("", view), *patterns]
    clear_url_caches()
    with override_settings(**options):
        app = StaticFilesHandler(WSGIHandler()) if handler is StaticFilesHandler else handler()
        said = static_folders.report(app, root_path)
    return said["static_routes"] or "; ".join(said["static_not"])

settings.configure(ROOT_URLCONF=__name__, SECRET_KEY="x", STATIC_URL="/static/", STATIC_ROOT=os.environ["STATIC_ROOT"])
django.setup()
print(json.dumps([eval(line) for line in sys.stdin.read().splitlines()]))
"""


@pytest.fixture
def django(folder: Path, tmp_path: Path) -> Callable[..., List[Any]]:
    pytest.importorskip("django")
    (tmp_path / "project.py").write_text(PROJECT)

    def tell(*calls: str) -> List[Any]:
        env = {**os.environ, "SHIM": str(Path(static_folders.__file__).parent.parent), "STATIC_ROOT": str(folder)}
        command = [sys.executable, str(tmp_path / "project.py")]
        done = subprocess.run(
            command, input="\n".join(calls), capture_output=True, text=True, env=env, cwd=tmp_path, timeout=60
        )
        assert done.returncode == 0, done.stderr
        said: List[Any] = json.loads(done.stdout)
        return said

    return tell


def test_django(django: Callable[..., List[Any]], tmp_path: Path) -> None:
    taken = django(
        "told()",
        "told([path('<path:anything>', view)])",
        "told([re_path(r'^(?P<anything>.*)$', login_required(view))])",
        "told([path('statics/<path:path>', view), path('my/', include([path('static/<path:path>', view)]))])",
        "told(MIDDLEWARE=['django.middleware.common.CommonMiddleware'])",
        "told(BASE_DIR=os.getcwd())",
    )
    assert taken == [["/static"]] * len(taken)
    assert django("told(root_path='/a', STATIC_URL='/a/static/')") == [["/a/static"]]


def test_django_views(django: Callable[..., List[Any]]) -> None:
    """Also Django's own: what it sends goes through the middleware, and has another Content-Type."""
    said = django(
        "told([re_path(r'^static/(?P<path>.*)$', login_required(serve))])",
        "told([path('static/<path:path>', serve, {'document_root': settings.STATIC_ROOT})])",
        "told([path('static/special.css', view)])",
        "told([path('static/', include([path('<path:path>', view)]))])",
        "told([re_path(r'^(?:static|media)/(?P<path>.*)$', view)])",
        "told([re_path(r'(?i)^STATIC/(?P<path>.*)$', view)])",
        "told([path('my-static/<path:path>', view)], STATIC_URL='/my-static/')",
        r"told([re_path(r'^my\-static/special\.css$', view)], STATIC_URL='/my-static/')",
        "told([path('static/<path:path>', view)], root_path='/a', STATIC_URL='/a/static/')",
    )
    for one in said:
        assert "the URLconf has a view for it" in one


def test_django_servers(django: Callable[..., List[Any]]) -> None:
    said = django("told(handler=StaticFilesHandler)", "told(handler=Own)")
    assert "StaticFilesHandler is no handler of Django's own" in said[0]
    assert "Own is no handler of Django's own" in said[1]


def test_django_with_whitenoise(django: Callable[..., List[Any]], tmp_path: Path) -> None:
    pytest.importorskip("whitenoise")
    (tmp_path / "site_middleware.py").write_text(
        "from whitenoise.middleware import WhiteNoiseMiddleware\nclass Own(WhiteNoiseMiddleware): ...\n"
    )
    said = django(
        "told(MIDDLEWARE=['whitenoise.middleware.WhiteNoiseMiddleware'])", "told(MIDDLEWARE=['site_middleware.Own'])"
    )
    assert "the middleware whitenoise.middleware.WhiteNoiseMiddleware serves it" in said[0]
    assert "the middleware site_middleware.Own serves it" in said[1]


def test_django_with_sources_in_its_folder(django: Callable[..., List[Any]], folder: Path, tmp_path: Path) -> None:
    said = django(
        "told(BASE_DIR=settings.STATIC_ROOT)",
        "told(STATIC_ROOT=os.getcwd())",
        "told(STATIC_ROOT=os.path.join(settings.STATIC_ROOT, '..'))",
        "told(STATIC_ROOT='/')",
    )
    for one in said:
        assert "has the project's own files" in one
    (only,) = django("os.chdir(settings.STATIC_ROOT) or told()")
    assert "has the project's own files" in only
    (folder / "manage.py").write_text("")
    (only,) = django("told()")
    assert "has manage.py" in only
