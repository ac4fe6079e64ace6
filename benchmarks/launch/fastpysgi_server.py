"""fastpysgi_server.py PORT MODULE:ATTRIBUTE: what its command line does, with a plain import of the application.

The command line does not put the module into sys.modules, which Pyramid needs.
"""

from __future__ import annotations

import importlib
import os
import sys

import fastpysgi

if __name__ == "__main__":
    sys.path.insert(0, os.getcwd())
    module, _, attribute = sys.argv[2].partition(":")
    application = getattr(importlib.import_module(module), attribute)
    fastpysgi.run(application, "127.0.0.1", int(sys.argv[1]), fastpysgi.LL_ERROR)
