"""A site that tests edit while a browser shows it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.client import fetch
from harness.server import Server, Spec
from harness.waiting import eventually
from playwright.sync_api import BrowserContext, Page, expect


class Tab:
    """A page, and what became of it: how often it was loaded, and what its console says."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self._loads = 0
        self._console: list[str] = []
        page.on("load", self._loaded)
        page.on("console", lambda message: self._console.append(message.text))
        page.on("pageerror", lambda error: self._console.append(f"uncaught: {error}"))

    def _loaded(self, _page: Page) -> None:
        self._loads += 1

    # Events come while Playwright waits for something.

    @property
    def loads(self) -> int:
        self.page.evaluate("0")
        return self._loads

    @property
    def console(self) -> list[str]:
        self.page.evaluate("0")
        return self._console

    def says(self, text: str) -> None:
        """Waits for a line in the console."""
        eventually(lambda: any(text in line for line in self.console), f"{text!r} in the console")

    def shows(self, text: str, what: str = "h1") -> None:
        expect(self.page.locator(what)).to_have_text(text)

    def color(self, what: str, color: str) -> None:
        expect(self.page.locator(what)).to_have_css("color", color)

    def mark(self) -> None:
        """Leaves something in the page that a load takes away."""
        self.page.evaluate("window.mark = 'here'")

    @property
    def marked(self) -> bool:
        return bool(self.page.evaluate("window.mark === 'here'"))


@dataclass
class Site:
    """A running site in a folder of its own, under reload."""

    folder: Path
    context: BrowserContext
    run: Callable[[Spec], Server]
    settings: dict[str, Any] = field(default_factory=dict)
    # Its own, so that a second server can have the same address.
    bind: str = "127.0.0.1:0"

    def __post_init__(self) -> None:
        self.server = self.start()

    def start(self) -> Server:
        return self.run(
            Spec(
                target="app:app",
                directory=self.folder,
                workers=1,
                binds=(self.bind,),
                env={"POSTS": str(self.folder.parent / "posts")},
                settings={"reload": {"enabled": True, **self.settings}},
            )
        )

    def url(self, path: str, host: str = "") -> str:
        address = self.server.address
        return f"http://{host or address.host}:{address.port}{path}"

    def open(self, path: str = "/", host: str = "") -> Tab:
        tab = Tab(self.context.new_page())
        tab.page.goto(self.url(path, host))
        return tab

    def write(self, name: str, text: str) -> None:
        """As editors do it: a new file takes the place of the old one."""
        path = self.folder / name
        path.with_name(path.name + ".new~").write_text(text, encoding="utf-8")
        os.replace(path.with_name(path.name + ".new~"), path)

    def edit(self, name: str, old: str, new: str) -> None:
        text = (self.folder / name).read_text(encoding="utf-8")
        assert old in text
        self.write(name, text.replace(old, new))

    def say(self, word: str) -> None:
        """Changes the Python code."""
        self.write("words.py", f'WORD = "{word}"\n')

    def say_later(self, word: str) -> Callable[[], None]:
        """Changes the Python code to some that starts when the function that is returned is called."""
        gate = self.folder.parent / f"gate-{word}"
        started = self.server.log.mark()
        code = f"import os, time\nwhile not os.path.exists({str(gate)!r}):\n    time.sleep(0.01)\nWORD = {word!r}\n"
        self.write("words.py", code)
        self.server.log.wait_for("worker started", since=started)
        return gate.touch

    def waiting(self) -> int:
        """How many requests wait for a worker."""
        assert self.server.admin is not None
        metrics = fetch(self.server.admin, "GET", "/metrics").body
        return int(re.findall(rb"^pyspeed_queue_length (\d+)", metrics, re.M)[0])

    @property
    def posts(self) -> int:
        path = self.folder.parent / "posts"
        return len(path.read_text().splitlines()) if path.exists() else 0
