"""Entry point of the zip that the gateway hands to ``python``."""

import sys

from pyspeed.worker import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
