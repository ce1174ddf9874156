"""assistant-ui, with thumbs of its own and a FeedbackAdapter."""

from pathlib import Path

from playwright.sync_api import BrowserContext, Locator, Page, expect

from tests.example import started

QUESTION = "How do I reset my password?"
ANSWER = f"You asked “{QUESTION}”, and this is where your model answers."


def button(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name)


def test_the_whole_way(tmp_path: Path, context: BrowserContext) -> None:
    """Question and answer are recorded, a vote by assistant-ui's own buttons is in the log, can be
    changed, and comes back from the proxy after a reload."""
    with started("assistant-ui", tmp_path) as example:
        page = example.open(context)
        page.get_by_label("Question").fill(QUESTION)
        page.get_by_label("Question").press("Enter")
        button(page, "Bad answer").click()
        question, answer = example.records(page, QUESTION, ANSWER)
        assert answer.message.reply_to == question.message.message
        assert page.locator("thumb-seal").count() == 0
        page.evaluate("thumbseal.flush()")
        assert example.opinions() == {ANSWER: {"thumb": "down"}}

        button(page, "Good answer").click()
        page.evaluate("thumbseal.flush()")
        assert example.opinions() == {ANSWER: {"thumb": "up"}}

        page.reload()
        expect(button(page, "Good answer")).to_have_attribute("aria-pressed", "true")
        expect(button(page, "Bad answer")).to_have_attribute("aria-pressed", "false")
        assert "submittedFeedback" not in page.evaluate("localStorage.messages")
