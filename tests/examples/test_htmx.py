"""htmx: the whole body is swapped with each question."""

from pathlib import Path

from playwright.sync_api import BrowserContext, Page, expect

from tests.example import press, pressed, started
from tests.examples.elsewhere import htmx

FIRST = "How do I reset my password?"
SECOND = "And my <user> name?"


def answered(question: str) -> tuple[str, str]:
    return question, f"You asked “{question}”, and this is where your model answers."


def ask(page: Page, question: str) -> None:
    page.get_by_label("Question").fill(question)
    page.get_by_label("Question").press("Enter")
    expect(page.locator(".user").last).to_have_text(question)


def test_votes_survive_the_swap(tmp_path: Path, context: BrowserContext) -> None:
    """A vote is there after the body was swapped and after a reload; the page's scripts run once,
    and every message is recorded once."""
    context.add_init_script(
        "window.starts = 0; addEventListener('thumbseal:ready', () => { starts += 1; })"
    )
    with started("htmx", tmp_path, htmx()) as example:
        page = example.open(context)
        thumbs = page.locator("thumb-seal")
        ask(page, FIRST)
        press(thumbs, "Bad answer")

        before = page.query_selector(".user")
        ask(page, SECOND)
        assert before is not None
        assert not before.evaluate("(element) => element.isConnected")  # fails in another document
        expect(thumbs).to_have_count(2, timeout=15_000)
        pressed(thumbs.first, "Bad answer")
        pressed(thumbs.last, None)
        press(thumbs.last, "Good answer")
        assert page.evaluate("starts") == 1
        assert example.proxy.journal.count("GET", "/widget.js") == 1

        page.reload()
        expect(thumbs).to_have_count(2, timeout=15_000)
        pressed(thumbs.first, "Bad answer")
        pressed(thumbs.last, "Good answer")
        page.evaluate("thumbseal.flush()")
        said = [*answered(FIRST), *answered(SECOND)]
        example.records(page, *said)
        assert example.opinions() == {said[1]: {"thumb": "down"}, said[3]: {"thumb": "up"}}
        assert len(example.proxy.conversations()) == 1
