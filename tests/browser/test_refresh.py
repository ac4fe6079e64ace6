"""Pages that refresh themselves, in a real browser and with the real binary."""

from __future__ import annotations

import re
from collections.abc import Callable

from edited import Site
from harness.client import fetch
from harness.waiting import eventually
from playwright.sync_api import expect


def test_a_python_edit_loads_the_page_again(site: Site) -> None:
    tab = site.open()
    tab.shows("one")
    for loads, word in enumerate(("two", "three", "four"), start=2):
        site.say(word)
        tab.shows(word)
        # Not once more than needed: the page knows that it is up to date.
        eventually(lambda loads=loads: tab.loads == loads, "loaded once more")
    assert not tab.console


def test_the_document_is_as_the_application_made_it(site: Site) -> None:
    tab = site.open()
    tab.shows("one")
    expect(tab.page.locator("script")).to_have_count(0)
    assert tab.page.evaluate("document.body.lastElementChild.localName") == "div"


def test_a_style_sheet_is_exchanged_in_the_page(site: Site) -> None:
    tab = site.open()
    tab.mark()
    tab.page.evaluate("scrollTo(0, 1200)")
    tab.color("h1", "rgb(1, 1, 1)")
    for n in (2, 3, 4):
        site.write("static/site.css", f"h1 {{ color: rgb({n}, {n}, {n}); }}")
        tab.color("h1", f"rgb({n}, {n}, {n})")
    # One that another imports, by a URL that does not change.
    for n in (5, 6):
        site.write("static/deep.css", f"#imported {{ color: rgb({n}, {n}, {n}); }}")
        tab.color("#imported", f"rgb({n}, {n}, {n})")
    assert tab.marked
    assert tab.loads == 1
    assert tab.page.evaluate("scrollY") == 1200
    expect(tab.page.locator("link[rel=stylesheet]")).to_have_count(2)


def test_an_image_is_exchanged_in_the_page(site: Site) -> None:
    tab = site.open()
    tab.mark()
    site.edit("static/square.svg", 'width="10" height="10"', 'width="33" height="33"')
    eventually(lambda: tab.page.evaluate("document.getElementById('image').naturalWidth") == 33, "the new image")
    assert tab.marked


def test_a_template_edit_loads_the_page_again_where_it_was(site: Site) -> None:
    tab = site.open()
    pid = fetch(site.server.address, "GET", "/").body
    tab.page.evaluate("scrollTo(0, 1200)")
    site.edit("templates/index.html", "first", "second")
    tab.shows("second", "#template")
    eventually(lambda: tab.page.evaluate("scrollY") == 1200, "scrolled back")
    eventually(lambda: tab.loads == 2, "loaded once more")  # the event comes when all of the page is there
    # The worker is the same one.
    assert site.server.log.since().count(b"worker ready") == 1, site.server.log
    assert pid


def test_pages_that_scroll_by_themselves_are_scrolled_back(site: Site) -> None:
    site.edit("templates/index.html", "</body>", "<script>history.scrollRestoration = 'manual'</script></body>")
    tab = site.open()
    tab.page.evaluate("scrollTo(0, 1200)")
    site.say("two")
    tab.shows("two")
    eventually(lambda: tab.page.evaluate("scrollY") == 1200, "scrolled back")


def test_a_streamed_page(site: Site) -> None:
    tab = site.open("/streamed")
    tab.shows("one")
    site.say("two")
    tab.shows("two")


def test_many_tabs(site: Site) -> None:
    """More than a browser has connections for: a stream for each would leave none for the pages."""
    tabs = [site.open() for _ in range(9)]
    for word in ("two", "three"):
        site.say(word)
        for tab in tabs:
            tab.shows(word)
    # The one that listened is closed; another takes its place.
    tabs[0].page.close()
    site.say("four")
    for tab in tabs[1:]:
        tab.shows("four")
    eventually(lambda: [tab.loads for tab in tabs[1:]] == [4] * 8, "all have loaded what was shown")


def test_a_page_that_comes_back(site: Site) -> None:
    tab = site.open()
    tab.page.goto(site.url("/form"))
    tab.page.go_back()
    tab.shows("one")
    site.say("two")
    tab.shows("two")


def test_a_change_while_the_page_is_away(site: Site) -> None:
    """What the browser has kept is old, however long it may keep it."""
    tab = site.open("/kept")
    tab.shows("one")
    tab.page.goto("about:blank")
    other = site.open("/form")
    site.say("two")
    other.shows("two")
    tab.page.goto(site.url("/kept"))
    tab.shows("two")


def test_a_page_that_waited_for_the_new_code_has_it(site: Site) -> None:
    tab = site.open()
    go_on = site.say_later("two")
    tab.page.evaluate("setTimeout(() => location.reload())")
    eventually(site.waiting, "a request that waits")
    go_on()
    tab.shows("two")
    site.say("three")
    tab.shows("three")
    eventually(lambda: tab.loads == 3, "loaded, and not in between")


def test_what_was_clicked_meanwhile_is_not_lost(site: Site) -> None:
    """The new code answers the click; the news of it must not have the page that was left loaded again."""
    tab = site.open("/form")
    go_on = site.say_later("two")
    tab.page.get_by_role("button").click(no_wait_after=True)
    eventually(site.waiting, "a request that waits")
    go_on()
    tab.shows("POST", "#method")
    tab.shows("two")
    assert site.posts == 1


def test_frames(site: Site) -> None:
    tab = site.open("/frames")
    inner = tab.page.frame_locator("iframe")
    expect(inner.locator("h1")).to_have_text("one")
    # Style sheets in the frame are exchanged, too.
    tab.mark()
    site.write("static/site.css", "h1 { color: rgb(2, 2, 2); }")
    expect(inner.locator("h1")).to_have_css("color", "rgb(2, 2, 2)")
    assert tab.marked
    navigated: list[str] = []
    tab.page.on("framenavigated", lambda frame: navigated.append("inner" if frame.parent_frame else "outer"))
    site.say("two")
    tab.shows("two")
    expect(inner.locator("h1")).to_have_text("two")
    assert sorted(navigated) == ["inner", "outer"]


def test_the_answer_to_a_form_is_not_sent_again(site: Site) -> None:
    tab = site.open("/form")
    tab.page.get_by_role("button").click()
    tab.shows("POST", "#method")
    tab.mark()
    other = site.open()
    site.say("two")
    other.shows("two")
    tab.says("answers a form")
    assert tab.marked
    tab.shows("one")
    assert site.posts == 1


def test_a_policy_that_forbids_it_is_heeded(site: Site) -> None:
    tab = site.open("/strict")
    tab.shows("one")
    navigates = [("Accept", "text/html"), ("Sec-Fetch-Dest", "document")]
    assert b"<script" not in fetch(site.server.address, "GET", "/strict", navigates).body
    assert b"<script" in fetch(site.server.address, "GET", "/", navigates).body
    assert not tab.console
    site.server.log.wait_for("cannot refresh a page in the browser: its Content-Security-Policy.*path=/strict")


def test_a_policy_with_a_nonce(site: Site) -> None:
    tab = site.open("/nonce")
    tab.shows("one")
    site.say("two")
    tab.shows("two")


def test_the_applications_own_events(site: Site) -> None:
    tab = site.open("/listens")
    tab.shows("one")
    for n, text in enumerate(("first", "second")):
        assert fetch(site.server.address, "POST", "/tell", body=text.encode()).body == b"told"
        expect(tab.page.locator("li")).to_have_count(n + 1)
    expect(tab.page.locator("li")).to_have_text(["first", "second"])
    # Its stream is open, and does not hold up the new code.
    site.say("two")
    tab.shows("two")


def test_by_another_name_the_page_is_as_it_was(site: Site) -> None:
    """A web site's own name that leads to this machine (DNS rebinding)."""
    asked: list[str] = []
    tab = site.open("/", host="shop.example")
    tab.page.on("request", lambda request: asked.append(request.url))
    tab.page.reload()
    tab.shows("one")
    assert not [url for url in asked if ".pyspeed" in url]
    answer = tab.page.evaluate(
        "fetch('/.pyspeed/reload', {headers: {Accept: 'application/json'}}).then((r) => r.status)"
    )
    assert answer == 404  # the application's


def test_the_gateway_is_started_anew(start_site: Callable[..., Site], own_address: str) -> None:
    site = start_site(own_address)
    tab = site.open()
    second = site.open("/form")
    tab.shows("one")
    assert site.server.terminate() == 0  # open streams do not hold it up
    site.write("words.py", 'WORD = "two"\n')
    site.server = site.start()
    tab.shows("two")
    second.shows("two")


def test_without_live_refresh(start_site: Callable[..., Site]) -> None:
    site = start_site(browser=False)
    asked: list[str] = []
    tab = site.open()
    tab.page.on("request", lambda request: asked.append(request.url))
    tab.page.reload()
    tab.shows("one")
    site.say("two")
    eventually(lambda: re.search(rb"<h1>two", fetch(site.server.address, "GET", "/").body), "the new code")
    tab.shows("one")
    assert not [url for url in asked if ".pyspeed" in url]
