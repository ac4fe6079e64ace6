"""A Django project by its name. Django itself is not needed: what it would make is made by a stand-in.

With Django, and over HTTP: ``tests/test_django.py``.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Iterator

import pytest

from pyspeed import loader
from pyspeed.control import StartFailed

ENTRY = (
    "import os\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'site1.settings')\ndef application(*arguments): ...\n"
)


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in {"__init__": "", **files}.items():
        (folder / (name + ".py")).write_text(text)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(sys, "path", [str(loader._SHIM), *sys.path])
    monkeypatch.chdir(tmp_path)
    # Set first, so that what the project puts there is taken back.
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "")
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE")
    # The real one, if another test has imported it; it is put back.
    for name in [name for name in sys.modules if name.partition(".")[0] == "django"]:
        monkeypatch.delitem(sys.modules, name)
    before = set(sys.modules)
    # Django's place in this test: it has what django_project asks for, and says so.
    made = "def get_%s_application():\n    def application(*arguments): ...\n    return application\n"
    write(tmp_path / "django")
    write(tmp_path / "django" / "core", wsgi=made % "wsgi", asgi=made % "asgi")
    loader.arrange_path(str(tmp_path))
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("files", "interface", "module"),
    [
        (("settings", "wsgi", "asgi"), "auto", "site1.wsgi"),
        (("settings", "wsgi", "asgi"), "wsgi", "site1.wsgi"),
        (("settings", "wsgi", "asgi"), "asgi", "site1.asgi"),
        (("settings", "asgi"), "auto", "site1.asgi"),
        (("settings", "asgi"), "wsgi", "django.core.wsgi"),
        (("settings", "wsgi"), "asgi", "django.core.asgi"),
        (("settings",), "auto", "django.core.wsgi"),
        (("settings",), "wsgi", "django.core.wsgi"),
        (("settings",), "asgi", "django.core.asgi"),
    ],
)
def test_the_entry_goes_with_the_interface(folder: Path, files: tuple[str, ...], interface: str, module: str) -> None:
    write(folder / "site1", **{name: ENTRY if name != "settings" else "DEBUG = False" for name in files})
    assert loader.load("site1", wanted=interface).__module__ == module
    assert os.environ["DJANGO_SETTINGS_MODULE"] == "site1.settings"


@pytest.mark.parametrize("entry", [{}, {"wsgi": ENTRY}])
def test_settings_that_are_named_stay(folder: Path, monkeypatch: pytest.MonkeyPatch, entry: dict[str, str]) -> None:
    """They may also be all there is: settings split into several modules."""
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "site1.production")
    write(folder / "site1", production="DEBUG = False", **entry)
    loader.load("site1")
    assert os.environ["DJANGO_SETTINGS_MODULE"] == "site1.production"


def test_a_nested_project(folder: Path) -> None:
    write(folder / "company")
    write(folder / "company" / "site1", settings="", wsgi=ENTRY)
    assert loader.load("company.site1").__module__ == "company.site1.wsgi"


def test_an_application_of_the_packages_own_comes_first(folder: Path) -> None:
    write(folder / "site1", __init__=ENTRY, settings="", wsgi=ENTRY)
    assert loader.load("site1").__module__ == "site1"


def test_what_the_project_raises_passes(folder: Path) -> None:
    write(folder / "site1", settings="", wsgi="import no_such_package")
    with pytest.raises(ModuleNotFoundError, match="no_such_package"):
        loader.load("site1")


def test_without_django(folder: Path) -> None:
    (folder / "django" / "__init__.py").write_text("raise ImportError('no Django here')")
    write(folder / "site1", settings="")
    with pytest.raises(StartFailed) as caught:
        loader.load("site1")
    assert "'site1': it is a Django project, and Django cannot be imported: no Django here" in caught.value.error


def test_what_is_no_project(folder: Path) -> None:
    write(folder / "plain")
    write(folder / "entries", wsgi=ENTRY, asgi=ENTRY)
    write(folder / "outer" / "site1", settings="", wsgi=ENTRY)
    (folder / "outer" / "manage.py").touch()
    write(folder / "odd", settings="", wsgi="app = None")

    def error(target: str) -> str:
        with pytest.raises(StartFailed) as caught:
            loader.load(target)
        assert caught.value.stage == "import"
        return caught.value.error

    lacks = "the package %r has neither 'application' nor 'app', and no settings as a Django project has"
    assert error("plain") == "cannot load 'plain': " + lacks % "plain"
    assert error("entries").endswith("; did you mean entries.wsgi or entries.asgi?")
    assert error("outer").endswith(
        lacks % "outer" + "; it is the folder of manage.py: start there (app.directory or --chdir)"
    )
    assert "module odd.wsgi has no 'application'; name what is to be served, as in odd.wsgi:app" in error("odd")
