"""A conversation is played as it happened. The page's time passes when the test says so."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.proxy import START, Clock, Proxy, make_settings, running, said, voted
from tests.replay.visiting import code_of

#: Seconds after the first message, and what was said then.
TALK: dict[float, tuple[str, Any]] = {
    0: ("user", "One?"),
    2: ("assistant", "Two."),
    62: ("user", "Three?"),
    63: ("assistant", "Four."),
}
DOWN_AT = 70


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    with running(make_settings(tmp_path), Clock()) as opened:
        yield opened


@pytest.fixture
def page(proxy: Proxy, context: BrowserContext) -> Page:
    """A recorded conversation, open in a page whose clock stands."""
    opened = proxy.open()
    clock = proxy.clock
    assert isinstance(clock, Clock)
    events = []
    for blank, (after, (role, text)) in zip(opened["messages"], TALK.items(), strict=False):
        events.append(proxy.event(said(blank, role, text)) | {"at": at(after)})
    events.append(proxy.event(voted(opened["messages"][3], thumb="down")) | {"at": at(DOWN_AT)})
    clock.now = START + 100
    results = proxy.record(opened["thread"]["token"], *events)
    assert {each["status"] for each in results} == {"accepted"}
    page = context.new_page()
    page.goto(f"{proxy.url}/replay/threads/support/{opened['thread']['id']}")
    page.get_by_label("Login code").fill(code_of(proxy))
    page.clock.install(time=START)
    page.clock.pause_at(START + 1_000)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("region", name="Player")).to_be_visible()
    return page


def at(seconds: float) -> int:
    return int((START + seconds) * 1000)


def shown(page: Page) -> list[str]:
    return page.locator(".content:visible, .opinion:visible .vote").all_inner_texts()


EVERYTHING = ["One?", "Two.", "Three?", "Four.", "Bad answer"]


def test_it_is_played_with_its_pauses(page: Page) -> None:
    """At four times the speed unless told otherwise; a long pause is three seconds."""
    assert shown(page) == EVERYTHING
    page.get_by_role("button", name="Play").click()
    assert shown(page) == ["One?"]
    page.clock.run_for(499)
    assert shown(page) == ["One?"]
    page.clock.run_for(1)
    assert shown(page) == ["One?", "Two."]
    page.clock.run_for(749)
    assert shown(page) == ["One?", "Two."]
    page.clock.run_for(1)
    assert shown(page) == ["One?", "Two.", "Three?"]
    page.get_by_role("button", name="Pause").click()
    page.clock.run_for(60_000)
    assert shown(page) == ["One?", "Two.", "Three?"]
    page.get_by_role("button", name="Play").click()
    page.clock.run_for(60_000)
    assert shown(page) == EVERYTHING
    expect(page.get_by_role("button", name="Play")).to_be_visible()


def test_real_pauses_and_speeds_are_a_choice(page: Page) -> None:
    page.get_by_label("Real pauses").check()
    page.get_by_label("Speed").select_option("32")
    page.get_by_role("button", name="Play").click()
    page.clock.run_for(63)  # 2 s
    assert shown(page) == ["One?", "Two."]
    page.clock.run_for(1_874)
    assert shown(page) == ["One?", "Two."]
    page.clock.run_for(2)  # 60 s
    assert shown(page) == ["One?", "Two.", "Three?"]


def test_every_key_does_what_the_help_says(page: Page) -> None:
    page.get_by_text("Keys", exact=True).click()
    expect(page.get_by_text("Space plays and pauses")).to_be_visible()
    page.get_by_role("button", name="Play").click()
    page.keyboard.press("Home")
    assert shown(page) == ["One?"]
    page.keyboard.press("ArrowRight")
    assert shown(page) == ["One?", "Two."]
    expect(page.get_by_role("status")).to_contain_text("Step 2 of 5")
    page.keyboard.press("ArrowLeft")
    assert shown(page) == ["One?"]
    page.keyboard.press("+")
    expect(page.get_by_label("Speed")).to_have_value("8")
    page.keyboard.press("-")
    expect(page.get_by_label("Speed")).to_have_value("4")
    page.locator("h1").click()  # on a button, the space bar is the button's
    page.keyboard.press("Space")
    page.clock.run_for(500)
    assert shown(page) == ["One?", "Two."]
    page.keyboard.press("Space")
    page.clock.run_for(60_000)
    assert shown(page) == ["One?", "Two."]
    page.keyboard.press("End")
    assert shown(page) == EVERYTHING


def test_the_line_leads_to_any_moment(page: Page) -> None:
    """Marks stand where the votes are; the address names the moment, and brings it back."""
    line = page.get_by_role("slider", name="Time line")
    assert page.locator(".marks .down").count() == 1
    line.focus()
    page.keyboard.press("Home")
    assert shown(page) == ["One?"]
    assert page.url.endswith("#t=0")
    line.fill("2500")
    assert shown(page) == ["One?", "Two."]
    expect(line).to_have_attribute("aria-valuetext", "Step 2 of 5, 14:13:22")
    assert page.url.endswith("#t=2000")
    page.reload()
    expect(page.get_by_role("region", name="Player")).to_be_visible()
    assert shown(page) == ["One?", "Two."]
    page.evaluate("location.hash = '#t=62000'")
    expect(line).to_have_attribute("aria-valuetext", "Step 3 of 5, 14:14:22")
    assert shown(page) == ["One?", "Two.", "Three?"]


def test_clocks_that_differ_change_no_order(proxy: Proxy, page: Page) -> None:
    """What the page shows first is played first: a backend's clock may be behind."""
    opened = proxy.open()
    blanks = opened["messages"]
    events = [
        proxy.event(said(blanks[0], "user", "First?")) | {"at": at(50)},
        proxy.event(said(blanks[1], "assistant", "Second.")) | {"at": at(20)},
        proxy.event(said(blanks[2], "user", "Third?")) | {"at": at(60)},
    ]
    proxy.record(opened["thread"]["token"], *events)
    page.goto(f"{proxy.url}/replay/threads/support/{opened['thread']['id']}")
    expect(page.get_by_role("region", name="Player")).to_be_visible()
    page.keyboard.press("Home")
    assert shown(page) == ["First?"]
    page.keyboard.press("ArrowRight")
    assert shown(page) == ["First?", "Second."]


def test_without_scripts_everything_is_there(page: Page, context: BrowserContext) -> None:
    """And what the player needs is not."""
    browser = context.browser
    assert browser
    with browser.new_context(
        java_script_enabled=False, storage_state=context.storage_state()
    ) as bare:
        other = bare.new_page()
        other.goto(page.url)
        assert shown(other) == EVERYTHING
        expect(other.locator(".player")).to_be_hidden()
