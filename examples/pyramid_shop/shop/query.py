"""Numbers in the query string."""

from __future__ import annotations

from pyramid.request import Request


def number(request: Request, name: str, default: int) -> int:
    """The query parameter ``name``; ``default`` where there is none, or no number."""
    try:
        return int(request.GET[name])
    except (KeyError, ValueError):
        return default
