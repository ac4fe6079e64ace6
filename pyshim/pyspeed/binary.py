"""Finds the gateway's binary, ``pyspeed-gw``, for what is started from the Python side.

In: the environment and where this package lies. Out: a path. Any thread may call it.
"""

from __future__ import annotations

import os
import sys

from . import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, List, Mapping, Optional

NAME = "pyspeed-gw"
# Names the binary; also what the tests are run with.
VARIABLE = "PYSPEED_GW"
# Tells the gateway who started it (docs/internals.md, "Started from Python").
CALLER = "PYSPEED_CALLER"


class NotFound(RuntimeError):
    """There is no gateway binary; the message says where was looked and what to do."""


def find(environ: Optional[Mapping[str, str]] = None) -> str:
    """The path of the gateway's binary.

    The first of: ``$PYSPEED_GW``, ``bin/pyspeed-gw`` in this package, the scripts folder of this
    Python, PATH, and ``bin/pyspeed-gw`` of the source checkout that this package lies in. Raises
    :class:`NotFound`.
    """
    if environ is None:
        environ = os.environ
    named = environ.get(VARIABLE)
    if named:
        if not _executable(named):
            raise NotFound("cannot start the gateway: %s names %s, which is no executable file" % (VARIABLE, named))
        return os.path.abspath(named)
    looked = _places(environ)
    for path in looked:
        if _executable(path):
            return path
    raise NotFound(
        "cannot find the gateway's binary %s; looked at %s; put it on PATH (make build in a source checkout "
        "makes bin/%s), or name it with the variable %s" % (NAME, ", ".join(looked), NAME, VARIABLE)
    )


def environment(environ: Mapping[str, str], said: Optional[Mapping[str, int]] = None) -> Dict[str, str]:
    """``environ`` for the gateway, which is told who starts it, and ``said``, numbers of descriptors.

    Its workers are then to run this very interpreter, unless the user names another.
    """
    import json

    result = dict(environ)
    result[CALLER] = json.dumps({"version": __version__, "python": sys.executable or "", **(said or {})})
    return result


def _places(environ: Mapping[str, str]) -> List[str]:
    import sysconfig

    package = os.path.dirname(os.path.abspath(__file__))
    places = [os.path.join(package, "bin", NAME), os.path.join(sysconfig.get_path("scripts"), NAME)]
    # Not relative folders: what runs would depend on where the program was started.
    places += [
        os.path.join(folder, NAME)
        for folder in environ.get("PATH", os.defpath).split(os.pathsep)
        if os.path.isabs(folder)
    ]
    root = os.path.dirname(os.path.dirname(package))
    if os.path.isfile(os.path.join(root, "go.mod")):
        places.append(os.path.join(root, "bin", NAME))
    return list(dict.fromkeys(places))


def _executable(path: str) -> bool:
    return os.path.isfile(path) and os.access(path, os.X_OK)
