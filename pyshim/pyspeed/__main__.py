"""``python -m pyspeed``: the gateway, started from the Python side; see :mod:`pyspeed.cli`."""

import sys

from pyspeed.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
