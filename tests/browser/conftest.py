"""Fixtures: a browser, and a site that tests edit. `make browser` runs this folder; `make test` does not."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from edited import Site
from harness.client import PATIENCE
from harness.server import Server, Spec
from playwright.sync_api import Browser, BrowserContext, expect, sync_playwright

SITE = Path(__file__).resolve().parent / "site"
PROGRAMS = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # A name that is not this machine's and leads to it all the same.
    "--host-resolver-rules=MAP shop.example 127.0.0.1",
]

expect.set_options(timeout=PATIENCE * 1000)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    program = os.environ.get("PYSPEED_TEST_BROWSER") or next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.fail("there is no Chromium: install it (see .ci/browser), or set PYSPEED_TEST_BROWSER")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS, timeout=4 * PATIENCE * 1000)
        yield browser
        browser.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """Tabs of one user, with nothing kept from before."""
    context = browser.new_context()
    context.set_default_timeout(PATIENCE * 1000)
    yield context
    context.close()


@pytest.fixture
def start_site(start: Callable[[Spec], Server], context: BrowserContext, tmp_path: Path) -> Callable[..., Site]:
    """A site of the test's own: start_site(browser=False, …) with options of [reload]."""
    folder = tmp_path / "site"
    shutil.copytree(SITE, folder, ignore=shutil.ignore_patterns("__pycache__"))

    def start_one(bind: str = "127.0.0.1:0", **settings: Any) -> Site:
        return Site(folder, context, start, settings, bind)

    return start_one


@pytest.fixture
def site(start_site: Callable[..., Site]) -> Site:
    return start_site()


@pytest.fixture
def own_address() -> str:
    """An address of this machine that nobody else has."""
    choose = random.SystemRandom().randrange
    return f"127.{choose(1, 255)}.{choose(256)}.{choose(1, 255)}:{choose(20000, 30000)}"
