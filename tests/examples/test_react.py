"""React 19 without a build step."""

from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from tests.example import press, pressed, started
from tests.examples.elsewhere import react

SORRY = "Sorry! A person will read this."


def answer(question: str) -> str:
    return f"You asked “{question}”, and this is where your model answers."


def ask(page: Page, question: str) -> Locator:
    """Ask, and wait for the whole answer: gives its exchange."""
    page.get_by_label("Question").fill(question)
    page.get_by_label("Question").press("Enter")
    exchange = page.locator("article", has_text=question)
    expect(exchange.locator("thumb-seal")).to_be_visible()
    return exchange


@pytest.mark.parametrize("build", ["production", "development"])
def test_votes_in_what_react_renders(tmp_path: Path, context: BrowserContext, build: str) -> None:
    """Thumbs come once an answer has been streamed, tell React of a vote, and keep it while React
    renders again, removes a neighbour, and after a reload; React complains of nothing."""
    with started("react", tmp_path, react(build)) as example:
        page = example.open(context)
        first, second = ask(page, "One?"), ask(page, "Two?")
        press(second.locator("thumb-seal"), "Bad answer")
        expect(second).to_contain_text(SORRY)
        expect(first).not_to_contain_text(SORRY)

        page.get_by_label("Question").fill("renders all of it again, key by key")
        pressed(second.locator("thumb-seal"), "Bad answer")
        first.get_by_role("button", name="Remove").click()
        expect(page.locator("thumb-seal")).to_have_count(1)
        pressed(page.locator("thumb-seal"), "Bad answer")

        page.reload()
        pressed(page.locator("thumb-seal"), "Bad answer")
        example.records(page, "One?", answer("One?"), "Two?", answer("Two?"))
        assert example.opinions() == {answer("Two?"): {"thumb": "down"}}
        assert len(example.proxy.conversations()) == 1


def test_a_chat_without_the_widget(tmp_path: Path, context: BrowserContext) -> None:
    """Where the script is blocked, the same page answers, without thumbs."""
    context.route("**/widget.js", lambda route: route.abort())
    with started("react", tmp_path, react("production")) as example:
        page = example.open(context)
        page.get_by_label("Question").fill("One?")
        page.get_by_label("Question").press("Enter")
        expect(page.locator("article")).to_contain_text(answer("One?"))
        assert "ERR_FAILED" in example.trouble.pop()
