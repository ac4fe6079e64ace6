"""Parts of a server by themselves, ours in Go and Python beside what servers in Python use, on the same bytes."""
