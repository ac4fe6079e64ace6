"""Dies at import without a word."""

import os

os._exit(9)
