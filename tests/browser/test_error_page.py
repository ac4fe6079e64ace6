"""The page that is served while the new code does not start."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from edited import Site
from harness.client import fetch
from harness.waiting import eventually
from playwright.sync_api import expect

BROKEN = 'import os\n\n\nif os:\n    WORD = "two"\nelse\n    WORD = "three"\n'


def test_a_syntax_error_is_shown_and_heals(site: Site) -> None:
    tab = site.open()
    other = site.open("/form")
    site.write("words.py", BROKEN)
    for one in (tab, other):
        expect(one.page).to_have_title(re.compile("^The application does not start: SyntaxError: "))
    expect(tab.page.locator("h1")).to_contain_text("SyntaxError: ")
    frame = tab.page.locator(".frame").first
    expect(frame.locator("h3")).to_have_text("words.py:6")
    expect(frame.locator(".failing")).to_contain_text("else")
    expect(frame.locator(".row")).to_have_count(7)
    expect(tab.page.locator(".when")).to_contain_text("after a change of words.py")
    expect(tab.page.locator("#traceback")).to_contain_text('File "')
    # Another mistake: the page follows.
    site.write("words.py", "import nothing_of_this_name\n")
    expect(tab.page.locator("h1")).to_have_text("ModuleNotFoundError: No module named 'nothing_of_this_name'")
    site.say("two")
    for one in (tab, other):
        one.shows("two")
    assert not [line for line in tab.console if "500" not in line], tab.console


def test_an_error_in_a_library_is_folded(site: Site) -> None:
    tab = site.open()
    site.write("words.py", "import json\n\nWORD = json.loads('{')\n")
    expect(tab.page.locator("h1")).to_contain_text("JSONDecodeError")
    expect(tab.page.locator("details summary")).to_have_text("3 calls in libraries")
    expect(tab.page.locator("main > .frame h3").first).to_have_text("words.py:3 in <module>")
    expect(tab.page.locator("main > .frame mark").first).to_have_text("json.loads('{')")
    expect(tab.page.locator("details .frame").first).not_to_be_visible()
    tab.page.locator("summary").click()
    expect(tab.page.locator("details .frame").first).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_can_be_read_by_day_and_by_night(site: Site, scheme: str) -> None:
    """The page's own style sheet is let in by its policy, and follows what the browser wants."""
    tab = site.open()
    tab.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    site.write("words.py", BROKEN)
    expect(tab.page.locator("h1")).to_contain_text("SyntaxError")
    background = tab.page.evaluate(
        "getComputedStyle(document.documentElement).backgroundColor.match(/\\d+/g).map(Number)"
    )
    assert all(part > 200 for part in background) == (scheme == "light"), background
    expect(tab.page.locator("#copy")).to_be_visible()  # its script was let in


def test_without_live_refresh_it_heals_all_the_same(start_site: Callable[..., Site]) -> None:
    site = start_site(browser=False)
    tab = site.open()
    site.write("words.py", BROKEN)
    eventually(lambda: fetch(site.server.address, "GET", "/").status == 500, "the error")
    tab.shows("one")
    tab.page.reload()
    expect(tab.page.locator("h1")).to_contain_text("SyntaxError")
    site.say("two")
    tab.shows("two")


def test_a_form_that_met_it_is_not_sent_again(site: Site) -> None:
    tab = site.open("/form")
    watching = site.open()
    tab.page.route("**/.pyspeed/**", lambda route: route.abort())  # it has missed the news
    tab.page.reload()
    site.write("words.py", BROKEN)
    expect(watching.page.locator("h1")).to_contain_text("SyntaxError")
    tab.page.unroute("**/.pyspeed/**")
    tab.page.get_by_role("button").click()
    expect(tab.page.locator("h1")).to_contain_text("SyntaxError")
    site.say("two")
    expect(tab.page.locator("[data-pyspeed-kept]")).to_be_visible()
    assert site.posts == 0


def test_by_another_name_it_says_nothing(site: Site) -> None:
    watching = site.open()
    site.write("words.py", BROKEN)
    expect(watching.page.locator("h1")).to_contain_text("SyntaxError")
    tab = site.open("/", host="shop.example")
    assert tab.page.locator("body").inner_text().strip() == "500 Internal Server Error"


def test_programs_get_text_or_json(site: Site) -> None:
    watching = site.open()
    site.write("words.py", BROKEN)
    expect(watching.page.locator("h1")).to_contain_text("SyntaxError")
    plain = fetch(site.server.address, "GET", "/")
    assert plain.status == 500
    assert b"\nSyntaxError: " in plain.body
    assert b"<" not in plain.body.replace(b"<module>", b"")
    told = fetch(site.server.address, "GET", "/", fields=[("Accept", "application/json")])
    assert told.status == 500
    assert told.json()["summary"].startswith("SyntaxError: ")
    assert told.json()["changed"] == ["words.py"]


def test_the_old_code_can_be_kept(start_site: Callable[..., Site]) -> None:
    site = start_site(on_error="keep")
    tab = site.open()
    tab.mark()
    site.write("words.py", BROKEN)
    tab.says("the new code does not start, the old one still serves: ")
    assert tab.marked
    assert b"<h1>one" in fetch(site.server.address, "GET", "/").body
    site.say("two")
    tab.shows("two")
