"""Entry point of the zip that the gateway hands to ``python``."""

import sys

from pyspeed import precompile

if __name__ == "__main__":
    imported = precompile.begin(sys.modules["__main__"].__loader__)
    from pyspeed.worker import main

    sys.exit(main(sys.argv[1:], imported))
