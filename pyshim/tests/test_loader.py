"""Finding the application, and what it speaks."""

from __future__ import annotations

import functools
import inspect
import sys
from pathlib import Path
from typing import Any, Iterator

import pytest

from pyspeed import loader, tracebacks
from pyspeed.control import StartFailed

SOURCE = """
class Namespace:
    pass

def application(environ, start_response): ...
def app(environ, start_response): ...
def create_app(name="x", *, flag=False):
    def made(environ, start_response): ...
    made.name, made.flag = name, flag
    return made
inner = Namespace()
inner.wsgi = application
number = 7
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(sys, "path", [str(loader._SHIM), *sys.path])
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    (tmp_path / "shopmod.py").write_text(SOURCE)
    (tmp_path / "onlyapp.py").write_text("def app(environ, start_response): ...")
    (tmp_path / "nothing.py").write_text("x = 1")
    (tmp_path / "badimport.py").write_text("import no_such_package_at_all")
    (tmp_path / "broken.py").write_text("def f(:\n")
    (tmp_path / "exits.py").write_text("import sys; sys.exit(9)")
    (tmp_path / "raisesattr.py").write_text("import os\nos.no_such_thing\n")
    package = tmp_path / "pkg" / "sub"
    package.mkdir(parents=True)
    (tmp_path / "pkg" / "__init__.py").write_text("")
    (package / "__init__.py").write_text("")
    (package / "main.py").write_text("from . import __name__ as parent\n" + SOURCE)
    loader.arrange_path(str(tmp_path))
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_directory_is_first_and_the_shim_last(project: Path) -> None:
    assert sys.path[0] == str(project)
    assert sys.path[-1] == str(loader._SHIM)
    assert sys.path.count(str(loader._SHIM)) == 1


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("shopmod:app", "app"),
        ("shopmod", "application"),
        ("onlyapp", "app"),
        ("shopmod:inner.wsgi", "application"),
        ("shopmod:create_app()", "made"),
        ("shopmod:create_app('shop', flag=True)", "made"),
        ("shopmod.py:app", "app"),
        ("shopmod.py", "application"),
        ("pkg.sub.main:app", "app"),
        ("pkg/sub/main.py:app", "app"),
        ("./shopmod.py:app", "app"),
    ],
)
def test_targets(project: Path, target: str, expected: str) -> None:
    assert loader.load(target).__name__ == expected


def test_factory_arguments(project: Path) -> None:
    made = loader.load("shopmod:create_app('shop', flag=True)")
    assert (made.name, made.flag) == ("shop", True)
    assert loader.load("shopmod:create_app", factory=True).name == "x"


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("missing:app", "there is no module 'missing'; looked in"),
        ("missing.deeper:app", "there is no module 'missing'"),
        ("shopmod:aplication", "module 'shopmod' has no attribute 'aplication'; did you mean 'application'?"),
        ("shopmod:inner.wsg", "'inner' has no attribute 'wsg'; did you mean 'wsgi'?"),
        ("nothing", "module 'nothing' has neither 'application' nor 'app'"),
        ("shopmod:number()", "the factory 'number' is a int, not callable"),
        ("shopmod:create_app(x)", "neither an attribute nor a call with literal arguments"),
        ("shopmod:__import__('os').system('true')", "neither an attribute nor a call"),
        ("shopmod:(", "neither an attribute nor a call"),
        (":app", "no module is named"),
        ("pkg/sub/main", "write the module with dots"),
        ("absent.py:app", "there is no file"),
    ],
)
def test_wrong_targets_say_what_is_wrong(project: Path, target: str, message: str) -> None:
    with pytest.raises(StartFailed) as caught:
        loader.load(target)
    assert message in caught.value.error
    assert caught.value.stage == "import"


@pytest.mark.parametrize(
    ("target", "error", "text"),
    [
        ("badimport", ModuleNotFoundError, "badimport.py"),
        ("broken", SyntaxError, "broken.py"),
        ("exits", SystemExit, "exits.py"),
        ("raisesattr", AttributeError, "raisesattr.py"),
    ],
)
def test_the_applications_own_errors_pass_with_their_traceback(
    project: Path, target: str, error: Any, text: str
) -> None:
    with pytest.raises(error) as caught:
        loader.load(target)
    error_raised = caught.value
    assert error_raised.__traceback__ is not None
    error_raised.__traceback__ = error_raised.__traceback__.tb_next  # the frame of this test
    trace = tracebacks.trimmed(error_raised)
    assert text in trace
    assert str(loader._SHIM) not in trace
    assert "importlib" not in trace
    assert "\n" not in tracebacks.summary(caught.value)


def wsgi_function(environ: Any, start_response: Any) -> Any: ...


async def asgi_function(scope: Any, receive: Any, send: Any) -> None: ...


class WsgiObject:
    def __call__(self, environ: Any, start_response: Any) -> Any: ...


class AsgiObject:
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...


class AsgiThatReturnsAwaitable:
    def __call__(self, scope: Any, receive: Any, send: Any) -> Any: ...


class WsgiClass:
    def __init__(self, environ: Any, start_response: Any) -> None: ...

    def __iter__(self) -> Any: ...


class AwaitableClass:
    def __init__(self, scope: Any, receive: Any, send: Any) -> None: ...

    def __await__(self) -> Any: ...


class Open:
    def __call__(self, *args: Any) -> Any: ...


class DoubleCallable:
    def __init__(self, scope: Any) -> None: ...

    async def __call__(self, receive: Any, send: Any) -> None: ...


def defaults(environ: Any, start_response: Any, more: Any = None, *, even: int = 1) -> Any: ...


def one_or_more(scope: Any, *rest: Any) -> Any: ...


def needs_keyword(environ: Any, start_response: Any, *, key: Any) -> Any: ...


@functools.wraps(asgi_function)
def wraps_asgi(*args: Any) -> Any: ...


def signed(*args: Any) -> Any: ...


signed.__signature__ = inspect.signature(AsgiThatReturnsAwaitable())  # type: ignore[attr-defined]


class Methods:
    def wsgi(self, environ: Any, start_response: Any) -> Any: ...

    async def asgi(self, scope: Any, receive: Any, send: Any) -> None: ...

    @staticmethod
    def static(scope: Any, receive: Any, send: Any) -> Any: ...

    def loose(*args: Any) -> Any: ...


class OnTheInstance:
    def __init__(self) -> None:
        self.__call__ = asgi_function

    def __call__(self, environ: Any, start_response: Any) -> Any: ...


@pytest.mark.parametrize(
    ("app", "expected"),
    [
        (wsgi_function, "wsgi"),
        (defaults, "wsgi"),
        (one_or_more, "wsgi"),
        (signed, "asgi"),
        (wraps_asgi, "asgi"),
        (Methods().wsgi, "wsgi"),
        (Methods().asgi, "asgi"),
        (Methods.static, "asgi"),
        (Methods().loose, "wsgi"),
        (OnTheInstance(), "asgi"),
        (WsgiObject(), "wsgi"),
        (WsgiClass, "wsgi"),
        (Open(), "wsgi"),
        (functools.partial(wsgi_function), "wsgi"),
        (lambda *a, **k: None, "wsgi"),
        (asgi_function, "asgi"),
        (AsgiObject(), "asgi"),
        (AsgiObject().__call__, "asgi"),
        (AsgiThatReturnsAwaitable(), "asgi"),
        (AwaitableClass, "asgi"),
        (functools.partial(asgi_function), "asgi"),
        (functools.partial(AsgiObject().__call__), "asgi"),
    ],
)
def test_interface(app: Any, expected: str) -> None:
    assert loader.interface(app) == expected


def test_frameworks_are_known_where_the_signature_is_open() -> None:
    flask = type("Flask", (Open,), {"__module__": "flask.app"})
    starlette = type("Starlette", (Open,), {"__module__": "starlette.applications"})
    assert loader.interface(type("Mine", (flask,), {})()) == "wsgi"
    assert loader.interface(type("Mine", (starlette,), {})()) == "asgi"


@pytest.mark.parametrize(
    ("app", "wanted", "message"),
    [
        (7, "auto", "is a int, which is not callable"),
        (DoubleCallable, "auto", "as ASGI 2 applications did"),
        (needs_keyword, "auto", "neither WSGI's nor ASGI's"),
        (DoubleCallable, "asgi", "as ASGI 2 applications did"),
        (lambda: None, "auto", "looks like a factory"),
        (lambda a, b, c, d: None, "auto", "neither WSGI's nor ASGI's"),
        (asgi_function, "wsgi", "use interface asgi"),
        (wsgi_function, "rsgi", "unknown interface 'rsgi'"),
    ],
)
def test_refused(app: Any, wanted: str, message: str) -> None:
    with pytest.raises(StartFailed) as caught:
        loader.interface(app, wanted, "main:app")
    assert message in caught.value.error
    assert caught.value.stage == "interface"


def test_an_asynchronous_generator_is_refused() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> Any:
        yield b""

    with pytest.raises(StartFailed, match="asynchronous generator"):
        loader.interface(app)


def test_a_named_interface_decides_what_is_open() -> None:
    assert loader.interface(Open(), "asgi") == "asgi"
    assert loader.interface(Open(), "wsgi") == "wsgi"
