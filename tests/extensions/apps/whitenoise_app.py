"""WhiteNoise in front of a bare application: files, ranges, conditional requests."""

from pathlib import Path
from typing import Any

from whitenoise import WhiteNoise


def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"not a file"]


app = WhiteNoise(application, root=str(Path(__file__).parent), prefix="static/")
