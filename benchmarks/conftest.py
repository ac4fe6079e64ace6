"""Makes pytest put this directory on sys.path, so that the tests find the package `runner`."""
