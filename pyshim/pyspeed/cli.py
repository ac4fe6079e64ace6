"""The command line ``python -m pyspeed``.

In: the arguments. With ``--fastcgi`` this process becomes a FastCGI responder (:mod:`pyspeed.fastcgi`);
with anything else it becomes the gateway, which is executed in its place: signals, exit codes and
``--help`` are then the gateway's own.
"""

from __future__ import annotations

import os
import sys

from . import binary

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List

EXIT_CONFIGURATION = 1


def main(arguments: List[str]) -> int:
    """Do what ``arguments`` (without the program's name) ask for; returns the exit code, where it returns."""
    if any(argument == "--fastcgi" or argument.startswith("--fastcgi=") for argument in arguments):
        from . import fastcgi

        return fastcgi.main(arguments)
    try:
        gateway = binary.find()
    except binary.NotFound as error:
        sys.stderr.write("pyspeed: %s\n" % error)
        return EXIT_CONFIGURATION
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execve(gateway, [gateway, *arguments], binary.environment(os.environ))
    except OSError as error:
        sys.stderr.write("pyspeed: cannot start the gateway: %s: %s\n" % (gateway, error.strerror))
    return EXIT_CONFIGURATION
