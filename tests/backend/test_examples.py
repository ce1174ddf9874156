"""The examples of backends, as their readers run them, in a real browser."""

from pathlib import Path
from typing import Any

from playwright.sync_api import BrowserContext, Page, expect

from tests.backend.model import answer_to, model
from tests.browser.hosting import until
from tests.doubles.lunary import PROJECT, LunaryDouble
from tests.doubles.serving import serve
from tests.example import Example, press, pressed, started
from thumbseal.settings import Lunary, Secret

FIRST = "How do I reset my password?"
SECOND = "And my <user> name?"


def replied(question: str) -> str:
    return f"You asked “{question}”, and this is where your model answers."


def ask(page: Page, question: str) -> None:
    page.get_by_label("Question").fill(question)
    page.get_by_label("Question").press("Enter")
    expect(page.locator(".user").last).to_have_text(question)


def heard(example: Example, page: Page, *said: tuple[str, str]) -> None:
    """Wait until each question and its answer are recorded as one exchange, in whichever order they
    came. The answers are the backend's word."""
    wanted = [{"user": question, "assistant": answer} for question, answer in said]
    until(page, lambda: exchanges(example) == wanted, lambda: f"recorded: {exchanges(example)}")
    answers = [turn for turn in example.turns() if turn.message.role == "assistant"]
    assert {turn.source for turn in answers} == {"backend"}


def exchanges(example: Example) -> list[dict[str, Any]]:
    """What was said in each exchange, by role."""
    told = [each for told in example.proxy.conversations() for each in told.exchanges.values()]
    return [{turn.message.role: turn.message.content for turn in each.turns} for each in told]


def rated(example: Example, context: BrowserContext) -> tuple[Page, tuple[str, str]]:
    """A page that has asked twice, rated the first answer up and the second down, and both answers,
    which came from the model and are recorded."""
    page = example.open(context)
    thumbs = page.locator("thumb-seal")
    ask(page, FIRST)
    press(thumbs, "Good answer")
    ask(page, SECOND)
    expect(thumbs).to_have_count(2)
    press(thumbs.last, "Bad answer")
    answers = answer_to(FIRST), answer_to(SECOND)
    expect(page.locator(".assistant p")).to_have_text(answers)
    heard(example, page, (FIRST, answers[0]), (SECOND, answers[1]))
    return page, answers


def test_fastapi_with_openais_sdk(tmp_path: Path, context: BrowserContext) -> None:
    """Answers stream from the model to the page, are recorded by the backend, and take votes."""
    with model() as url, started("fastapi", tmp_path, OPENAI_BASE_URL=url) as example:
        page, answers = rated(example, context)
        page.evaluate("thumbseal.flush()")
        assert example.opinions() == {answers[0]: {"thumb": "up"}, answers[1]: {"thumb": "down"}}


def test_flask_without_javascript(tmp_path: Path, context: BrowserContext) -> None:
    """The backend records both sides; votes on its tokens are there in the next page."""
    with started("flask", tmp_path) as example:
        page = example.open(context)
        thumbs = page.locator("thumb-seal")
        ask(page, FIRST)
        press(thumbs, "Bad answer")
        ask(page, SECOND)
        expect(thumbs).to_have_count(2)
        pressed(thumbs.first, "Bad answer")
        pressed(thumbs.last, None)
        press(thumbs.last, "Good answer")
        heard(example, page, (FIRST, replied(FIRST)), (SECOND, replied(SECOND)))
        page.evaluate("thumbseal.flush()")
        opinions = {replied(FIRST): {"thumb": "down"}, replied(SECOND): {"thumb": "up"}}
        assert example.opinions() == opinions


def test_django_with_json(tmp_path: Path, context: BrowserContext) -> None:
    """The page's question and the backend's answer are one exchange, and the vote is on it."""
    with started("django", tmp_path) as example:
        page = example.open(context)
        ask(page, FIRST)
        press(page.locator("thumb-seal"), "Good answer")
        heard(example, page, (FIRST, replied(FIRST)))
        page.evaluate("thumbseal.flush()")
        assert example.opinions() == {replied(FIRST): {"thumb": "up"}}


def test_langchain_with_lunarys_callbacks(tmp_path: Path, context: BrowserContext) -> None:
    """Answers stream from the chain to the page; at Lunary, the run of each question's chain hangs
    on the exchange that the vote is on, and the model's run on the chain's."""
    double = LunaryDouble(requests_per_minute=10**9)
    with serve(double) as lunarys, model() as url:
        upstream = Lunary("lunary", Secret(PROJECT.private_key), lunarys, requests_per_minute=10**6)
        with started("langchain", tmp_path, upstreams=[upstream], OPENAI_BASE_URL=url) as example:
            page, answers = rated(example, context)
            wanted = [(FIRST, "up", [answers[0]]), (SECOND, "down", [answers[1]])]
            until(page, lambda: shown(double) == wanted, lambda: f"at Lunary: {shown(double)}")


def shown(double: LunaryDouble) -> list[Any]:
    """Each exchange's question and vote, and what the models of the chains under it have said."""
    runs = double.database.runs()
    chains = {run.id: run.parent_run_id for run in runs if run.type == "chain"}
    said = [(chains.get(str(run.parent_run_id)), run.output) for run in runs if run.type == "llm"]
    return [
        (
            *(message["content"] for message in exchange.input or ()),
            (exchange.feedback or {}).get("thumb"),
            [(output or {}).get("content") for under, output in said if under == exchange.id],
        )
        for thread in double.threads()
        for exchange in double.exchanges(thread.id)
    ]
