"""The form after a vote: what a person wrote is theirs until they send it or throw it away."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Locator, Route, expect

from tests.browser.chat import REASONS, Chat, chatting, press_down, thumb

WORDS = "Mine is called Plans."


@pytest.fixture
def chat(tmp_path: Path) -> Iterator[Chat]:
    with chatting(tmp_path) as opened:
        yield opened


def form(thumbs: Locator) -> Locator:
    return thumbs.locator("form")


def comment(thumbs: Locator) -> Locator:
    return thumbs.get_by_role("textbox", name="Comment")


def write(thumbs: Locator, *reasons: str) -> None:
    for reason in reasons:
        thumbs.get_by_role("checkbox", name=reason).check()
    comment(thumbs).fill(WORDS)


def send(thumbs: Locator) -> None:
    thumbs.get_by_role("button", name="Send").click()


def said(thumbs: Locator, text: str) -> None:
    expect(thumbs.get_by_role("status")).to_have_text(text)


def recorded(chat: Chat, thumbs: Locator) -> dict[str, Any]:
    """What the log says once the page has sent what waits."""
    thumbs.page.evaluate("thumbseal.flush()")
    return chat.recorded()


def refuse(route: Route) -> None:
    events = json.loads(route.request.post_data or "")["events"]
    results = [{"status": "rejected", "code": "thread_full"} for _ in events]
    route.fulfill(
        status=202,
        headers={"Access-Control-Allow-Origin": route.request.headers["origin"]},
        json={"results": results, "messages": []},
    )


def test_the_thumb_alone_counts(chat: Chat, context: BrowserContext) -> None:
    """A person who presses the thumb and leaves the form alone has voted."""
    _, thumbs = chat.open(context)
    press_down(thumbs)
    expect(form(thumbs)).to_be_visible()
    assert recorded(chat, thumbs) == {"thumb": "down"}


def test_reasons_and_words_are_recorded(chat: Chat, context: BrowserContext) -> None:
    """What is sent is the site's reasons that were ticked and the words, without the blanks."""
    _, thumbs = chat.open(context)
    press_down(thumbs)
    assert [each.inner_text() for each in thumbs.locator("[part=reason]").all()] == [*REASONS]
    write(thumbs, "Wrong", "Not helpful")
    comment(thumbs).fill(f"  {WORDS}\n")
    send(thumbs)
    expect(form(thumbs)).to_have_count(0)
    expect(thumb(thumbs, "down")).to_be_focused()
    assert recorded(chat, thumbs) == {
        "thumb": "down",
        "reasons": ["Wrong", "Not helpful"],
        "comment": WORDS,
    }


def test_what_was_sent_can_be_changed_later(chat: Chat, context: BrowserContext) -> None:
    """After a reload the form holds what was recorded; what is emptied there is removed."""
    page, thumbs = chat.open(context)
    press_down(thumbs)
    write(thumbs, "Wrong")
    send(thumbs)
    assert recorded(chat, thumbs)["comment"] == WORDS
    page.reload()
    expect(thumb(thumbs, "down")).to_have_attribute("aria-pressed", "true")
    expect(form(thumbs)).to_have_count(0)
    thumb(thumbs, "more").click()
    expect(thumbs.get_by_role("checkbox", name="Wrong")).to_be_checked()
    expect(comment(thumbs)).to_have_value(WORDS)
    thumbs.get_by_role("checkbox", name="Wrong").uncheck()
    comment(thumbs).fill("")
    send(thumbs)
    assert recorded(chat, thumbs) == {"thumb": "down"}


def test_escape_keeps_the_words(chat: Chat, context: BrowserContext) -> None:
    """Escape closes the form and goes back to the thumb; opened again, it is as it was left. The
    page hears neither that key nor the words."""
    page, thumbs = chat.open(context)
    page.evaluate("keys = []; addEventListener('keydown', ({ key }) => keys.push(key))")
    press_down(thumbs)
    write(thumbs, "Unsafe")
    comment(thumbs).press("!")
    page.keyboard.press("Escape")
    expect(form(thumbs)).to_have_count(0)
    expect(thumb(thumbs, "down")).to_be_focused()
    page.keyboard.press("Tab")
    expect(thumb(thumbs, "more")).to_be_focused()
    page.keyboard.press("Enter")
    expect(thumbs.get_by_role("checkbox", name="Unsafe")).to_be_checked()
    expect(comment(thumbs)).to_have_value(f"{WORDS}!")
    assert page.evaluate("keys") == ["Tab", "Enter"]
    assert recorded(chat, thumbs) == {"thumb": "down"}


def test_cancel_forgets_the_words(chat: Chat, context: BrowserContext) -> None:
    """Cancel records nothing, and the form is empty when it is opened again."""
    _, thumbs = chat.open(context)
    press_down(thumbs)
    write(thumbs, "Wrong")
    thumbs.get_by_role("button", name="Cancel").click()
    expect(thumb(thumbs, "down")).to_be_focused()
    thumb(thumbs, "more").click()
    expect(thumbs.get_by_role("checkbox", name="Wrong")).not_to_be_checked()
    expect(comment(thumbs)).to_be_empty()
    assert recorded(chat, thumbs) == {"thumb": "down"}


def test_the_focus_moves_for_a_press_only(chat: Chat, context: BrowserContext) -> None:
    """The first field has the focus after a press; a vote from elsewhere opens nothing."""
    page, thumbs = chat.open(context)
    page.evaluate("(token) => thumbseal.trackFeedback(token, { thumb: 'down' })", chat.token)
    expect(thumb(thumbs, "down")).to_have_attribute("aria-pressed", "true")
    expect(form(thumbs)).to_have_count(0)
    assert page.evaluate("document.activeElement === document.body")
    thumb(thumbs, "more").focus()
    page.keyboard.press("Enter")
    expect(thumbs.get_by_role("checkbox", name="Wrong")).to_be_focused()
    expect(thumb(thumbs, "more")).to_have_attribute("aria-expanded", "true")


def test_a_turned_thumb_takes_its_words_along(chat: Chat, context: BrowserContext) -> None:
    """A comment on a bad answer is no comment on a good one."""
    _, thumbs = chat.open(context)
    press_down(thumbs)
    write(thumbs, "Wrong")
    send(thumbs)
    thumb(thumbs, "up").click()
    expect(thumb(thumbs, "more")).to_be_hidden()
    assert recorded(chat, thumbs) == {"thumb": "up"}


@pytest.mark.parametrize(
    ("tag", "own", "up", "down"),
    [
        ("", {}, False, True),
        ('data-comment="always"', {}, True, True),
        ('data-comment="never"', {}, False, False),
        ('data-comment="never"', {"comment": "always"}, True, True),
    ],
)
def test_the_page_says_when_to_ask(
    chat: Chat, context: BrowserContext, tag: str, own: dict[str, str], up: bool, down: bool
) -> None:
    """After a thumb down unless the tag says otherwise, and the element says it last."""
    _, thumbs = chat.open(context, tag=tag, **own)
    thumb(thumbs, "up").click()
    expect(thumb(thumbs, "more")).to_be_visible(visible=up)
    expect(form(thumbs)).to_have_count(int(up))
    expect(thumbs.get_by_role("checkbox")).to_have_count(0)  # they are reasons to be unhappy
    thumb(thumbs, "down").click()
    expect(thumb(thumbs, "more")).to_be_visible(visible=down)
    expect(form(thumbs)).to_have_count(int(down))


def test_an_element_has_its_own_reasons(chat: Chat, context: BrowserContext) -> None:
    """The attribute stands above the tag, and the tag above the policy."""
    _, thumbs = chat.open(context, tag='data-reasons="Old"', reasons="Too long|Not true")
    press_down(thumbs)
    expect(thumbs.locator("[part=reason]")).to_have_text(["Too long", "Not true"])
    _, thumbs = chat.open(context, tag='data-reasons="Old"')
    thumb(thumbs, "more").click()
    expect(thumbs.locator("[part=reason]")).to_have_text(["Old"])


@pytest.mark.parametrize("on", ["tag", "element"])
def test_a_score_and_a_better_answer(chat: Chat, context: BrowserContext, on: str) -> None:
    """A form that asks for a score and a correction records them, shows them again, removes what is
    emptied, and leaves alone what it does not ask for."""
    fields = "score correction"
    _, thumbs = chat.open(
        context,
        tag=f'data-fields="{fields}"' if on == "tag" else "",
        **({"fields": fields} if on == "element" else {}),
    )
    press_down(thumbs)
    expect(comment(thumbs)).to_have_count(0)
    score = thumbs.get_by_role("spinbutton", name="Score, 1 to 5")
    better = thumbs.get_by_role("textbox", name="A better answer")
    score.fill("9")
    send(thumbs)  # the browser says what is wrong
    expect(form(thumbs)).to_be_visible()
    score.fill("2")
    better.fill("Mine.")
    send(thumbs)
    said(thumbs, "Thanks")
    assert recorded(chat, thumbs) == {"thumb": "down", "score": 2, "correction": "Mine."}
    thumb(thumbs, "more").click()
    expect(better).to_have_value("Mine.")
    score.fill("")
    send(thumbs)
    expect(form(thumbs)).to_have_count(0)
    assert recorded(chat, thumbs) == {"thumb": "down", "correction": "Mine."}


def test_the_form_opens_offline(chat: Chat, context: BrowserContext) -> None:
    """The form is there before it is needed: a first thumb down without a network opens it."""
    page, thumbs = chat.open(context)
    page.wait_for_load_state("networkidle")
    context.set_offline(True)
    press_down(thumbs)
    write(thumbs)
    send(thumbs)
    said(thumbs, "Saved, will be sent later")
    context.set_offline(False)
    said(thumbs, "Thanks")
    assert recorded(chat, thumbs) == {"thumb": "down", "comment": WORDS}


def test_a_refused_vote_is_undone_and_said_so(chat: Chat, context: BrowserContext) -> None:
    """The earlier vote is back, the text says that the change was undone, and nobody who was in
    the form is left nowhere."""
    page, thumbs = chat.open(context)
    thumb(thumbs, "up").click()
    said(thumbs, "Thanks")
    held: list[Route] = []
    page.route("**/v1/events", lambda route: held.append(route))
    with page.expect_request("**/v1/events"):
        thumb(thumbs, "down").click()
    expect(thumbs.get_by_role("checkbox", name="Wrong")).to_be_focused()
    refuse(held.pop())
    said(thumbs, "Not accepted, undone")
    expect(thumb(thumbs, "up")).to_have_attribute("aria-pressed", "true")
    expect(form(thumbs)).to_have_count(0)
    expect(thumb(thumbs, "up")).to_be_focused()
    assert recorded(chat, thumbs) == {"thumb": "up"}


def test_words_written_offline_arrive(chat: Chat, context: BrowserContext) -> None:
    """Offline the text says that they are saved; online they are sent, and it says so."""
    _, thumbs = chat.open(context)
    press_down(thumbs)
    write(thumbs)
    context.set_offline(True)
    send(thumbs)
    said(thumbs, "Saved, will be sent later")
    context.set_offline(False)
    said(thumbs, "Thanks")
    assert recorded(chat, thumbs) == {"thumb": "down", "comment": WORDS}


def test_a_page_can_say_no(chat: Chat, context: BrowserContext) -> None:
    """A page that cancels the change sees what would have been recorded, and nothing is."""
    page, thumbs = chat.open(context)
    press_down(thumbs)
    write(thumbs, "Wrong")
    page.evaluate("""addEventListener("thumbseal-change", (event) => {
      event.preventDefault();
      detail = event.detail;
    })""")
    send(thumbs)
    detail = page.evaluate("detail")
    assert (detail["thumb"], detail["reasons"], detail["comment"]) == ("down", ["Wrong"], WORDS)
    assert recorded(chat, thumbs) == {"thumb": "down"}
