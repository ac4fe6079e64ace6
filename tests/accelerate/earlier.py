"""Applications that replace something before the frameworks are imported, or before anything is accelerated.

Run by ``differential.py``, and in processes of their own by itself, as a module is imported once in each:

    python tests/accelerate/earlier.py CASE never|first|last

It prints the outcomes of what the application of that name does: accelerated never, from the start, or once all has
been imported, as :func:`pyspeed.run_app` does it.
"""

from __future__ import annotations

import functools
import json
import json.encoder
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
VALUES = ({"a": [1.5, "é", None]}, [1.25, {"b": "c"}], {"a": {1, 2}}, {"nan": float("nan")}, "text")
BODIES = (b'{"a": [1.5, "\xc3\xa9"]}', b"[NaN, 1e400]", b"{")


def own_render(self: Any, content: Any) -> bytes:
    return json.dumps({"own": content}, ensure_ascii=False, separators=(",", ":")).encode()


def with_own(init: Any) -> Any:
    """An ``__init__`` that changes its content, and has all attributes of what it wraps."""

    @functools.wraps(init)
    def wrapper(self: Any, content: Any = None, *args: Any, **kwargs: Any) -> None:
        init(self, {"own": content} if isinstance(content, (dict, list, str)) else content, *args, **kwargs)

    return wrapper


def render_and_dumps() -> None:
    from starlette.responses import JSONResponse

    JSONResponse.render = own_render
    # rest_framework.utils.json needs no settings, as its renderers do.
    from rest_framework.utils import json as rest_json

    dumps = rest_json.dumps
    rest_json.dumps = functools.wraps(dumps)(lambda data, **kwargs: dumps({"own": data}, **kwargs))


def init() -> None:
    from starlette.responses import JSONResponse

    JSONResponse.__init__ = with_own(JSONResponse.__init__)


def base_init_and_wrapped_render() -> None:
    from starlette.responses import JSONResponse, Response

    Response.__init__ = with_own(Response.__init__)
    render = JSONResponse.render

    @functools.wraps(render)
    def wrapper(self: Any, content: Any) -> bytes:
        assert isinstance(content, dict), content
        return render(self, content)

    JSONResponse.render = wrapper


class Rounding(float):
    __repr__ = staticmethod(lambda number: format(number, ".1f"))


def of_json() -> None:
    """As answers on the web say that floats are rounded."""
    json.encoder.c_make_encoder = None
    json.encoder.float = Rounding
    json._default_decoder = json.JSONDecoder(parse_float=str)


CASES = {function.__name__: function for function in (render_and_dumps, init, base_init_and_wrapped_render, of_json)}


def outcomes(case: str, when: str) -> None:
    import logging
    import os

    sys.path.append(str(HERE.parents[1] / "pyshim"))
    os.environ["DJANGO_SETTINGS_MODULE"] = "django_settings"
    logging.disable(logging.CRITICAL)
    from pyspeed import accelerate

    if when == "first":
        accelerate.begin()
    CASES[case]()
    import surfaces

    of_values, of_bodies = surfaces.surfaces()
    if when == "last":
        accelerate.begin()
    for name in ("flask returned", "starlette", "jsonable_encoder", "fastapi /untyped", "django", "rest"):
        for number, value in enumerate(VALUES):
            print(name, number, of_values[name](value))
    for name, surface in of_bodies.items():
        for number, body in enumerate(BODIES):
            print(name, number, surface(body))


def different() -> list[str]:
    """Each line that is not as it is where nothing is accelerated."""
    wrong = []
    for case in CASES:
        running = {
            when: subprocess.Popen(
                [sys.executable, str(HERE / "earlier.py"), case, when],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for when in ("never", "first", "last")
        }
        told = {}
        for when, process in running.items():
            out, err = process.communicate(timeout=300)
            told[when] = out.splitlines()
            if process.returncode or not out:
                wrong.append(f"{case}, {when}: {err[-2000:]}")
        if not any("own" in line or "'1.5'" in line for line in told["never"]):
            wrong.append(f"{case}: nothing is replaced")
        for when in ("first", "last"):
            for line, expected in zip(told[when], told["never"]):
                if line != expected:
                    wrong.append(f"{case}, {when}: {line}\n  instead of {expected}")
    return wrong


if __name__ == "__main__":
    outcomes(*sys.argv[1:])
