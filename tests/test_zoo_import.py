"""Applications that cannot be imported: the gateway says why, once, and exits with a code that tells."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Shop
from harness import zoo
from harness.server import Server, Spec

pytestmark = pytest.mark.pyspeed

CANNOT_IMPORT, CANNOT_START = 4, 3


@pytest.mark.parametrize(
    ("target", "code", "cause"),
    [
        ("import_raises:app", CANNOT_IMPORT, "RuntimeError.*the settings are missing"),
        ("import_missing:app", CANNOT_IMPORT, "no_such_module_of_the_shop"),
        ("no_such_module:app", CANNOT_IMPORT, "no_such_module"),
        ("plain:no_such_attribute", CANNOT_IMPORT, "no_such_attribute"),
        ("plain:wsgi.no_such_attribute", CANNOT_IMPORT, "no_such_attribute"),
        ("import_exits:app", CANNOT_IMPORT, "this is a script"),
        ("plain:not_callable", None, "not_callable|callable"),
        ("import_dies:app", None, "9"),
    ],
)
def test_cannot_be_imported(
    start: Callable[..., Server], tmp_path: Path, interface: str, target: str, code: int | None, cause: str
) -> None:
    server = start(zoo.spec(target, interface, tmp_path), ready=False)
    ended = server.wait_exit()
    assert ended == code if code else ended in (CANNOT_IMPORT, CANNOT_START), str(server.log)
    server.log.wait_for(cause)


def test_syntax_error(start: Callable[..., Server], tmp_path: Path, interface: str) -> None:
    """Not a file of the zoo, for every tool that reads Python would trip over it."""
    (tmp_path / "broken.py").write_text("def app(environ, start_response) return []\n")
    server = start(Spec("broken:app", tmp_path, interface, workers=2), ready=False)
    assert server.wait_exit() == CANNOT_IMPORT, str(server.log)
    server.log.wait_for("SyntaxError")
    server.log.wait_for(r"broken\.py.*line 1|line 1.*broken\.py")


def test_import_that_never_returns(start: Callable[..., Server], tmp_path: Path, interface: str) -> None:
    settings = {"workers": {"startup_timeout": "1s"}}
    server = start(zoo.spec("import_hangs:app", interface, tmp_path, settings=settings), ready=False)
    assert server.wait_exit() == CANNOT_START, str(server.log)
    server.log.wait_for("(?i)startup|ready|1s")


@pytest.mark.parametrize(
    ("target", "option", "doing", "where"),
    [
        (
            "import_hangs:app",
            "import_timeout",
            "importing import_hangs:app",
            r"import_hangs\.py\", line \d+ in <module>",
        ),
        (
            "lifespan_fails:waits",
            "lifespan_timeout",
            "waiting for the application's lifespan startup",
            r"lifespan_fails\.py\", line \d+ in waits",
        ),
    ],
)
def test_parts_of_a_start_have_limits(
    start: Callable[..., Server], tmp_path: Path, target: str, option: str, doing: str, where: str
) -> None:
    server = start(zoo.spec(target, "asgi", tmp_path, settings={"app": {option: "300ms"}}), ready=False)
    assert server.wait_exit() == CANNOT_START, str(server.log)
    server.log.wait_for(f"did not become ready within 300ms: it was {doing}, .* raise app.{option}")
    server.log.wait_for(where)


def test_sigterm_during_an_import_that_never_returns(start: Callable[..., Server], tmp_path: Path) -> None:
    server = start(
        zoo.spec("import_hangs:app", "wsgi", tmp_path, settings={"server.timeouts": {"shutdown": "1s"}}), ready=False
    )
    server.log.wait_for("(?i)listening|starting|worker")
    code = server.terminate()
    assert code in (0, CANNOT_START), str(server.log)


@pytest.mark.parametrize("how", ["says_so", "raises"])
def test_lifespan_startup_fails(start: Callable[..., Server], tmp_path: Path, how: str) -> None:
    spec = zoo.spec(f"lifespan_fails:{how}", "asgi", tmp_path, settings={"app": {"lifespan": "on"}})
    server = start(spec, ready=False)
    assert server.wait_exit() == CANNOT_START, str(server.log)
    server.log.wait_for("no database here")


def test_lifespan_auto_serves_without(start_zoo: Callable[..., zoo.Zoo]) -> None:
    """ASGI: an exception for the lifespan scope means that the application does without."""
    assert start_zoo("lifespan_fails:raises", "asgi").get("/").body == b"raised"


def test_configuration_error_is_exit_code_1(start: Callable[..., Server], tmp_path: Path) -> None:
    server = start(zoo.spec("plain", "wsgi", tmp_path, settings={"server": {"bond": "127.0.0.1:1"}}), ready=False)
    assert server.wait_exit() == 1
    server.log.wait_for("bond.*bind")


def test_shop_starts_beside_a_taken_address(
    start_shop: Callable[..., Shop], start: Callable[..., Server], tmp_path: Path
) -> None:
    """An address that is in use: exit code 1 and the address in the message."""
    shop = start_shop("flask", "conn")
    spec = zoo.spec("plain", "wsgi", tmp_path)
    spec.binds = (shop.address.authority,)
    server = start(spec, ready=False)
    assert server.wait_exit() == 1, str(server.log)
    server.log.wait_for(shop.address.authority)
    assert shop.get("/items/1").status == 200
