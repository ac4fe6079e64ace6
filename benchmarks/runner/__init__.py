"""Compares pyspeed-gw with other Python servers on one machine.

In: a list of cells (`cells`), the command lines of the servers (`servers`).
Out: one `measure.Round` per server and round, as JSON and as Markdown
(`report`), and a verdict against the project's goals (`goals`). Everything
runs on the calling thread; at most one server and one wrk are alive at a time.
"""
