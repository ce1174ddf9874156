"""The demo as a person uses it, on one origin and across two."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import Struct
from playwright.sync_api import BrowserContext, Locator, Page, expect
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from tests.doubles.serving import serve
from tests.proxy import Proxy, make_settings, running
from thumbseal.demo.page import chat_routes
from thumbseal.demo.served import demo_routes, demo_settings

EXAMPLE = Path(__file__).parents[2] / "examples" / "chat" / "index.html"
SCRIPT = '<script src="/widget.js" defer></script>'
QUESTIONS = ("How do I put thumbs under my answers?", "What happens to a vote when I go offline?")


class Chat(Struct):
    """A chat page at ``url`` and the proxy it records to."""

    url: str
    proxy: Proxy


def same_origin(folder: Path) -> Iterator[Chat]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    settings = demo_settings(port, folder)
    with running(settings, time.time, port, more=demo_routes) as proxy:
        yield Chat(f"{proxy.url}/chat", proxy)


def cross_origin(folder: Path) -> Iterator[Chat]:
    """The example's file served elsewhere: only the script's address differs."""
    addresses: dict[str, str] = {}

    async def page(request: Request) -> Response:
        html = EXAMPLE.read_text(encoding="utf-8")
        assert html.count(SCRIPT) == 1
        tag = SCRIPT.replace("/widget.js", f"{addresses['proxy']}/widget.js")
        return HTMLResponse(html.replace(SCRIPT, tag))

    app = Starlette(routes=[Route("/", page), *chat_routes(pause=0.01)])
    with serve(app) as url:
        settings = make_settings(folder, origins=[url])
        with running(settings, time.time) as proxy:
            addresses["proxy"] = proxy.url
            yield Chat(f"{url}/", proxy)


@pytest.fixture(params=[same_origin, cross_origin], ids=["same-origin", "cross-origin"])
def chat(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Chat]:
    yield from request.param(tmp_path)


def ask(page: Page, question: str) -> Locator:
    """Ask and wait for the whole answer; gives its two thumbs."""
    thumbs = page.locator("thumb-seal")
    before = thumbs.count()
    page.get_by_placeholder("Ask a question").fill(question)
    page.keyboard.press("Enter")
    expect(thumbs).to_have_count(before + 1)  # they come when the answer has been streamed
    return thumbs.nth(before)


def up(thumbs: Locator) -> Locator:
    return thumbs.get_by_role("button", name="Good answer")


def down(thumbs: Locator) -> Locator:
    return thumbs.get_by_role("button", name="Bad answer")


def pressed(button: Locator, state: bool) -> None:
    expect(button).to_have_attribute("aria-pressed", str(state).lower())


def said(thumbs: Locator, text: str) -> None:
    expect(thumbs.get_by_role("status")).to_have_text(text)


def recorded(chat: Chat, token: str | None) -> dict[str, str]:
    """What the log says of a message now."""
    assert token
    (state,) = chat.proxy.feedback(token)
    return dict(state["feedback"] or {})


def test_a_vote_lives_through_everything_a_person_does(chat: Chat, context: BrowserContext) -> None:
    """Two questions, a thumb down, a reload, an undo, a flip, a closed tab: the log knows the last
    word each time, and the browser never asked for permission first."""
    page = context.new_page()
    page.goto(chat.url)
    first = ask(page, QUESTIONS[0])
    second = ask(page, QUESTIONS[1])
    token = second.get_attribute("message")

    down(second).click()
    said(second, "Thanks")
    pressed(down(second), True)
    assert recorded(chat, token) == {"thumb": "down"}

    page.reload()
    expect(page.locator("thumb-seal")).to_have_count(2)
    pressed(down(second), True)
    pressed(up(second), False)
    pressed(down(first), False)

    down(second).click()
    said(second, "Vote removed")
    pressed(down(second), False)
    assert recorded(chat, token) == {}

    down(second).click()
    said(second, "Thanks")
    votes = chat.proxy.journal.count("POST", "/v1/events")
    up(second).click()
    page.close()
    chat.proxy.journal.wait("POST", "/v1/events", votes + 1)
    assert recorded(chat, token) == {"thumb": "up"}

    page = context.new_page()
    page.goto(chat.url)
    pressed(up(page.locator("thumb-seal").nth(1)), True)
    assert chat.proxy.journal.count("OPTIONS") == 0


def test_the_conversation_is_recorded_as_it_happened(chat: Chat, context: BrowserContext) -> None:
    """Both questions and both whole answers are in the log, in one thread, each answer with its
    question."""
    page = context.new_page()
    page.goto(chat.url)
    for question in QUESTIONS:
        ask(page, question)
    shown = page.locator("[data-thumbseal-message]").all_inner_texts()
    page.evaluate("thumbseal.flush()")
    (told,) = chat.proxy.conversations()
    exchanges = list(told.exchanges.values())
    asked = [[turn.message.content for turn in each.turns if turn.asks] for each in exchanges]
    assert asked == [[question] for question in QUESTIONS]
    for exchange, text in zip(exchanges, shown, strict=True):
        assert exchange.answer is not None
        first_words = str(exchange.answer.message.content).split()[:5]
        assert " ".join(first_words) in " ".join(text.split())
