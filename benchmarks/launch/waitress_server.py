"""waitress_server.py PORT MODULE:ATTRIBUTE THREADS: waitress without the log line for each request that waits.

Its documentation tells how to silence the logger waitress.queue; waitress-serve has no option for it.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys

import waitress

if __name__ == "__main__":
    sys.path.insert(0, os.getcwd())
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    module, _, attribute = sys.argv[2].partition(":")
    waitress.serve(
        getattr(importlib.import_module(module), attribute),
        listen=f"127.0.0.1:{sys.argv[1]}",
        threads=int(sys.argv[3]),
        connection_limit=2000,  # its 100 are fewer than some cells have
        backlog=1024,
    )
