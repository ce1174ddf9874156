"""Express with Lunary's SDK for Node: a chat with thumbs of its own, through Thumbseal."""

from pathlib import Path

from playwright.sync_api import BrowserContext, expect

from tests.browser.hosting import until
from tests.example import started

QUESTION = "How do I reset my password?"
ANSWER = f"You asked “{QUESTION}”, and this is where your model answers."


def test_express_with_lunarys_sdk(tmp_path: Path, context: BrowserContext) -> None:
    """Question and answer are recorded with the thread's tag, and the last vote is on the answer:
    a thumb up that became a thumb down."""
    with started("express", tmp_path) as example:
        page = example.open(context)
        page.get_by_label("Question").fill(QUESTION)
        page.get_by_label("Question").press("Enter")
        for name in ("Good answer", "Bad answer"):
            page.get_by_role("button", name=name).click()
            button = page.get_by_role("button", name=name)
            expect(button).to_have_attribute("aria-pressed", "true")
        example.records(page, QUESTION, ANSWER)
        voted = {ANSWER: {"thumb": "down"}}
        until(page, lambda: example.opinions() == voted, lambda: f"votes: {example.opinions()}")
        (told,) = example.proxy.conversations()
        assert told.tags == ("web",)
        assert [turn.source for turn in told.turns] == ["backend"] * 2
        assert len(told.exchanges) == 1
