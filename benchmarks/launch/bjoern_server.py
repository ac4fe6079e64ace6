"""bjoern_server.py PORT MODULE:ATTRIBUTE: bjoern, which has no command line."""

from __future__ import annotations

import importlib
import os
import sys

import bjoern

if __name__ == "__main__":
    sys.path.insert(0, os.getcwd())
    module, _, attribute = sys.argv[2].partition(":")
    bjoern.run(getattr(importlib.import_module(module), attribute), "127.0.0.1", int(sys.argv[1]))
