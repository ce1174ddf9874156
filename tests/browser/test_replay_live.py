"""The live tail in a real browser: every event once, whatever happens to the line."""

import socket
import sqlite3
from contextlib import ExitStack, closing
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.hosting import until
from tests.browser.replaying import enter, line_to
from tests.indexed import wait_for
from tests.proxy import Proxy, make_settings, running
from tests.replay.visiting import talk
from thumbseal.replay.live import PER_SESSION

SEQS = "(list) => [...list.children].flatMap((item) => item.dataset.seq ?? []).map(Number)"


def shown(page: Page) -> list[int]:
    """The places of the events on the page, oldest first."""
    seqs: list[int] = page.locator("#tail").evaluate(SEQS)
    return seqs[::-1]


def stored(proxy: Proxy) -> list[int]:
    with closing(sqlite3.connect(proxy.settings.server.log_path)) as connection:
        return [seq for (seq,) in connection.execute("SELECT seq FROM events ORDER BY seq")]


def say(proxy: Proxy, text: str) -> None:
    talk(proxy, f"{text}?", f"{text}.", thumb="down", reasons=["Wrong"])


def port_of(proxy: Proxy) -> int:
    return int(proxy.url.rpartition(":")[2])


def test_every_event_is_shown_once(context: BrowserContext, tmp_path: Path) -> None:
    """Through lines that are cut and a server that is started anew, in the order of the log."""
    configured = make_settings(tmp_path)
    page = context.new_page()
    state = page.get_by_role("status")
    with ExitStack() as first, ExitStack() as lines:
        proxy = first.enter_context(running(configured))
        line = lines.enter_context(line_to(port_of(proxy)))
        say(proxy, "before")
        enter(page, proxy, "live", line.url)
        expect(state).to_have_text("Live")
        say(proxy, "at once")
        expect(page.get_by_text("at once.", exact=True)).to_have_count(2)  # said, and voted on
        for turn in range(3):
            line.cut()
            say(proxy, f"cut {turn}")
            expect(state).to_have_text("No connection. Trying again …")
            say(proxy, f"away {turn}")
            line.mend()
            expect(page.get_by_text(f"away {turn}.", exact=True)).to_have_count(2)
            expect(state).to_have_text("Live")
        first.close()
        expect(state).to_have_text("No connection. Trying again …")
        with running(configured, port=port_of(proxy)) as again:
            say(again, "anew")
            expect(page.get_by_text("anew.", exact=True)).to_have_count(2)
            assert shown(page) == stored(again)
            assert len(shown(page)) == 3 * 9


def test_a_filter_and_a_pause_hold(context: BrowserContext, proxy: Proxy) -> None:
    """Only the filter's threads come; what is said in a pause comes after it."""
    page = context.new_page()
    enter(page, proxy, "live?tag=wanted")
    expect(page.get_by_text("Nothing happened lately")).to_be_visible()
    pause = page.get_by_role("button", name="Pause")
    pause.click()
    expect(page.get_by_role("status")).to_have_text("Paused")
    talk(proxy, "Other?", "Other.")
    talk(proxy, "Mine?", "Mine.", tags=["wanted"])
    expect(page.get_by_text("Mine.", exact=True)).to_have_count(0)
    pause.click()
    expect(page.get_by_text("Mine.", exact=True)).to_be_visible()
    expect(page.get_by_text("Nothing happened lately")).to_have_count(0)
    assert shown(page) == stored(proxy)[2:]
    page.get_by_text("Mine.", exact=True).click()
    expect(page.locator("article:target")).to_contain_text("Mine.")


def test_an_ended_session_ends_the_tail(context: BrowserContext, proxy: Proxy) -> None:
    """The page says so and asks no more; what is said then is not shown."""
    page = context.new_page()
    enter(page, proxy, "live")
    expect(page.get_by_role("status")).to_have_text("Live")
    other = context.new_page()
    other.goto(f"{proxy.url}/replay")
    other.get_by_role("button", name="Log out").click()
    other.wait_for_url("**/replay/login")
    say(proxy, "secret")
    expect(page.get_by_role("status")).to_have_text("You are logged out. Log in again to go on.")
    expect(page.get_by_text("secret")).to_have_count(0)
    page.get_by_role("link", name="Load again").click()
    page.wait_for_url("**/replay/login?next=live")


def test_it_is_read_without_a_script(browser: Browser, proxy: Proxy) -> None:
    """The newest events, and a link to load the page again."""
    say(proxy, "early")
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        enter(page, proxy, "live")
        assert page.get_by_text("early.", exact=True).count() == 2
        assert page.get_by_role("button", name="Pause").count() == 0
        say(proxy, "late")
        wait_for(proxy.settings.server.log_path, lambda: True)
        page.get_by_role("link", name="Load again").click()
        expect(page.get_by_text("late.", exact=True)).to_have_count(2)


def test_a_session_asks_only_so_often_at_once(context: BrowserContext, proxy: Proxy) -> None:
    """One window too many is told so."""
    page = context.new_page()
    enter(page, proxy)
    cookie = "; ".join(f"{each['name']}={each['value']}" for each in context.cookies())
    ask = f"GET /replay/live.json?after=0 HTTP/1.1\r\nHost: x\r\nCookie: {cookie}\r\n\r\n"
    with ExitStack() as opened:
        for _ in range(PER_SESSION):
            address = ("127.0.0.1", port_of(proxy))
            connection = opened.enter_context(socket.create_connection(address))
            connection.sendall(ask.encode() * 8)  # one after the other, for 40 seconds

        def is_told() -> bool:
            with page.expect_response("**/live.json*") as response:
                page.goto(f"{proxy.url}/replay/live")
            return response.value.status == 429

        until(page, is_told)
        expect(page.get_by_role("status")).to_contain_text("too many windows")
