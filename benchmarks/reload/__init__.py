"""From a saved edit to its answer: pyspeed-gw and other servers with their reloaders, in turns on one machine."""
