"""The AI SDK's useChat."""

from pathlib import Path
from uuid import UUID

from playwright.sync_api import BrowserContext, Page, Request, expect

from tests.example import Example, press, pressed, started

QUESTION = "How do I reset my password?"
ANSWER = f"You asked “{QUESTION}”, and this is where your model answers."
BACKEND = "**/api/chat"


def ask(page: Page, question: str) -> Request:
    """Ask, and wait for the thumbs: gives the request to the chat's backend."""
    with page.expect_request(BACKEND) as asked:
        page.get_by_label("Question").fill(question)
        page.get_by_label("Question").press("Enter")
    expect(page.locator("thumb-seal")).to_be_visible()
    return asked.value


def named(example: Example, request: Request) -> str:
    """The message that a request names: by its token, and as a trace to a backend that traces."""
    (state,) = example.proxy.feedback(request.headers["x-thumbseal-message"])
    trace = request.headers["traceparent"].split("-")[1]
    assert state["id"] == str(UUID(trace))
    return str(state["id"])


def test_the_whole_way(tmp_path: Path, context: BrowserContext) -> None:
    """The request to the backend names the question that is recorded, the answer is recorded as
    its answer, a vote is in the log and after a reload on the page, and an answer tried again
    has no vote and is named by its own request."""
    with started("ai-sdk", tmp_path) as example:
        page = example.open(context)
        request = ask(page, QUESTION)
        thumbs = page.locator("thumb-seal")
        press(thumbs, "Bad answer")
        question, answer = example.records(page, QUESTION, ANSWER)
        assert named(example, request) == question.message.message
        assert answer.message.reply_to == question.message.message
        assert example.opinions() == {ANSWER: {"thumb": "down"}}

        page.reload()
        pressed(thumbs, "Bad answer")
        page.evaluate("thumbseal.flush()")
        with page.expect_request(BACKEND) as asked:
            page.get_by_role("button", name="Try again").click()
        pressed(thumbs, None)
        *_, again = example.records(page, QUESTION, ANSWER, ANSWER)
        assert named(example, asked.value) == again.message.message
        assert again.message.retry_of == answer.message.message
