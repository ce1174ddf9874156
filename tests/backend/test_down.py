"""A whole application while its Thumbseal is down, slow or refusing: nobody who chats notices."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import httpx2
import pytest
from fastapi import FastAPI

import thumbseal
from tests.doubles.serving import serve
from tests.proxy import make_settings, running
from tests.test_client import Gate, closed_port
from tests.test_site import site_of
from thumbseal.backend import answers, asgi
from thumbseal.backend.delivery import Counts

REQUESTS: Final = 50


@contextmanager
def chatting(client: thumbseal.Client) -> Iterator[str]:
    """A chat that records question and answer of each request, and gives the answer's message."""
    app = FastAPI()
    app.add_middleware(asgi.ThumbsealMiddleware, site=client.site, bad="refuse")

    @app.post("/api/chat")
    async def chat(number: int) -> dict[str, object]:
        question = thumbseal.current_message()
        assert question is not None
        thread = client.thread_of(question)
        thread.track_message({"role": "user", "content": f"Q{number}"}, message=question)
        said = {"role": "assistant", "content": f"A{number}"}
        answer = thread.track_message(said, reply_to=question)
        client.track_feedback(answer, {"thumb": "up"})
        return answers.json_of(answer, {"text": said["content"]})

    with serve(app) as url:
        yield url


@pytest.mark.parametrize("trouble", ["down", "slow", "refusing"])
def test_an_application_goes_on_and_all_is_delivered(trouble: str, tmp_path: Path) -> None:
    """Every request is answered while Thumbseal takes nothing; once it is back, it gets all of it,
    once and in order."""
    port = closed_port()
    with ExitStack() as stack:
        proxy = stack.enter_context(running(make_settings(tmp_path), time.time))
        client = thumbseal.Client(f"http://127.0.0.1:{port}", site_of(proxy))
        gate = Gate(proxy.url, 503 if trouble == "refusing" else None)
        if trouble == "down":
            gate.opened.set()
        else:
            stack.enter_context(serve(gate, port=port))
        url = stack.enter_context(chatting(client))
        http = stack.enter_context(httpx2.Client(base_url=url, trust_env=False))
        thread = client.site.open_thread()
        for number in range(REQUESTS):
            headers = {"x-thumbseal-message": client.site.mint_message(thread).token}
            answer = http.post(f"/api/chat?number={number}", headers=headers)
            assert (answer.status_code, answer.json()["text"]) == (200, f"A{number}")
        assert client.counts.waiting == 3 * REQUESTS
        assert proxy.conversations() == []

        gate.opened.set()
        if trouble == "down":
            stack.enter_context(serve(gate, port=port))
        assert client.flush(60)
        assert client.counts == Counts(3 * REQUESTS, 0, 0, 0)
        (told,) = proxy.conversations()
        assert [turn.message.content for turn in told.turns] == [
            f"{who}{number}" for number in range(REQUESTS) for who in "QA"
        ]
        assert len(told.ratings) == REQUESTS
