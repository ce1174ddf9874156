"""The demo's routes, and the list of what was recorded."""

import re

import msgspec
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from thumbseal.demo.page import MAX_BODY, MAX_QUESTION, chat_routes
from thumbseal.demo.recorded import Conversation, Feedback, Message, render_recorded
from thumbseal.errors import BadRequest


@pytest.fixture
def client() -> TestClient:
    return TestClient(Starlette(routes=chat_routes(pause=0)))


def test_the_chat_page_is_the_example(client: TestClient) -> None:
    """``/chat`` is the example file, with the widget's tag as a newcomer finds it."""
    answer = client.get("/chat")
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.text.count('<script src="/widget.js" defer></script>') == 1


def test_an_answer_streams_as_lines_of_json(client: TestClient) -> None:
    """Words come first, line by line; the last line says that all is there, and whence."""
    answer = client.post("/chat/answer", json={"question": "Does it use cookies?"})
    *words, end = map(msgspec.json.decode, answer.text.splitlines())
    assert "sets no cookie" in "".join(line["text"] for line in words)
    assert end["done"] is True
    assert end["source"] == {
        "page": "Security",
        "heading": "Privacy and cookies",
        "url": "/docs/security.md",
    }
    assert client.get(end["source"]["url"]).text.startswith("# Security")


def test_no_answer_has_no_source(client: TestClient) -> None:
    """When nothing was found, the last line names no source."""
    answer = client.post("/chat/answer", json={"question": "Who won the cup?"})
    assert msgspec.json.decode(answer.text.splitlines()[-1]) == {"done": True, "source": None}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"question":""}',
        b'{"question":1}',
        b'{"question":"a","more":1}',
        b'{"question":"\xff"}',
        b"[" * 5000,
        msgspec.json.encode({"question": "a" * (MAX_QUESTION + 1)}),
    ],
)
def test_a_bad_question_is_refused(client: TestClient, body: bytes) -> None:
    """What is no question is the caller's mistake, never the server's."""
    with pytest.raises(BadRequest):
        client.post("/chat/answer", content=body)


def test_a_flood_is_refused(client: TestClient) -> None:
    """A body over the limit is refused before it is read as JSON."""
    assert client.post("/chat/answer", content=b" " * (MAX_BODY + 1)).status_code == 413


@pytest.mark.parametrize("name", ["nothing.md", "..%2Fpyproject.toml", "%2Fetc%2Fpasswd"])
def test_only_the_documentation_is_served(client: TestClient, name: str) -> None:
    """``/docs`` serves the pages it knows and no other file."""
    assert client.get(f"/docs/{name}").status_code == 404


def test_recorded_text_stays_text() -> None:
    """Whatever people wrote is shown, and none of it becomes markup."""
    evil = "<script>alert(1)</script>{{ 7*7 }}"
    feedback = Feedback("down", (evil,), evil)
    message = Message(evil, evil, 1_795_370_405_000, evil, feedback)
    html = render_recorded([Conversation(evil, 0, (message,))])
    assert "<script>alert" not in html
    assert html.count("&lt;script&gt;alert(1)&lt;/script&gt;{{ 7*7 }}") == 6


def test_recorded_shows_votes_and_times() -> None:
    """A conversation stands there with its time, its messages, the vote, reasons and comment."""
    feedback = Feedback("down", ("Wrong",), "too long")
    message = Message("assistant", "No.", 1_795_370_405_000, "browser", feedback)
    html = render_recorded([Conversation("0123456789", 1_795_370_405_000, (message,))])
    text = " ".join(re.sub(r"<[^>]+>", " ", html).split())
    assert "1 conversation, 1 message, 1 vote." in text
    assert "22 November 2026, 18:00 UTC thread 01234567" in text
    assert "18:00:05 assistant by browser No. Bad answer Wrong too long" in text


def test_nothing_recorded_says_what_to_do() -> None:
    """An empty list points at the chat."""
    assert '<a href="chat">' in render_recorded([])
