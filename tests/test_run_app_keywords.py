"""The keyword table of ``run_app`` against the signatures of what it stands in for, as installed."""

from __future__ import annotations

import inspect
import sys

import bottle
import flask
import pytest
import uvicorn
import waitress.adjustments
import werkzeug.serving
from harness.server import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "pyshim"))
from pyspeed import keywords

pytestmark = pytest.mark.pyspeed


def parameters(function: object) -> set[str]:
    return {
        name
        for name, parameter in inspect.signature(function).parameters.items()  # type: ignore[arg-type]
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD
    }


@pytest.mark.parametrize(
    ("server", "names"),
    [
        ("flask", parameters(flask.Flask.run)),
        ("werkzeug", parameters(werkzeug.serving.run_simple)),
        ("uvicorn", parameters(uvicorn.run)),
        ("waitress", {name for name, _ in waitress.adjustments.Adjustments._params}),
        ("bottle", parameters(bottle.run)),
    ],
)
def test_every_keyword_is_in_the_table(server: str, names: set[str]) -> None:
    names -= {"self", "app", "application"}  # what is served
    assert len(names) > 3
    assert names - set(keywords.KEYWORDS) == set(), f"keywords of {server} without a decision"


def test_every_option_exists() -> None:
    """A key that the gateway does not have would be an error for whoever uses the keyword."""
    reference = (REPOSITORY / "docs" / "configuration.md").read_text()
    keys = {keyword.key for keyword in keywords.KEYWORDS.values() if keyword.action == keywords.OPTION}
    assert keys
    assert {key for key in keys if f"`PYSPEED_{key.upper().replace('.', '_')}`" not in reference} == set()


def test_documentation_has_the_table() -> None:
    """``docs/run_app.md`` shows every keyword with what becomes of it."""
    text = (REPOSITORY / "docs" / "run_app.md").read_text()
    missing = [line for line in keywords.table() if line not in text]
    assert not missing, "not in docs/run_app.md:\n" + "\n".join(missing)
