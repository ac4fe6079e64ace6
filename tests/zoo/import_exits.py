"""Ends the interpreter at import, as a script without a main guard does."""

import sys

sys.exit("this is a script")
