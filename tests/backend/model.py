"""A server that speaks as OpenAI's does, as much as chat completions take."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.doubles.serving import serve


def answer_to(question: str) -> str:
    """What the model says to a question: part by part where it streams."""
    return "".join(_parts(question))


@contextmanager
def model() -> Iterator[str]:
    """The base URL of a model, to be given to OpenAI's SDK."""
    route = Route("/v1/chat/completions", _complete, methods=["POST"])
    with serve(Starlette(routes=[route])) as url:
        yield f"{url}/v1"


def _parts(question: str) -> list[str]:
    return ["Because", ": ", question]


async def _complete(request: Request) -> Response:
    if not request.headers.get("Authorization", "").startswith("Bearer "):
        error = {"message": "You didn't provide an API key.", "type": "invalid_request_error"}
        return JSONResponse({"error": error}, status_code=401)
    asked = await request.json()
    question, told = asked["messages"][-1]["content"], {"id": "c1", "created": 1}
    told |= {"model": asked["model"]}
    if asked.get("stream"):
        return StreamingResponse(_streamed(question, told), media_type="text/event-stream")
    message = {"role": "assistant", "content": answer_to(question)}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    told |= {"usage": {"prompt_tokens": 1, "completion_tokens": 3, "total_tokens": 4}}
    return JSONResponse({**told, "object": "chat.completion", "choices": [choice]})


async def _streamed(question: str, told: dict[str, Any]) -> AsyncIterator[str]:
    """As OpenAI streams: the role alone, the parts, an end without text, and usage without a
    choice."""
    deltas: list[dict[str, str]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": part} for part in _parts(question)]
    ends = [None] * len(deltas) + ["stop"]
    choices = [
        [{"index": 0, "delta": delta, "finish_reason": end}]
        for delta, end in zip([*deltas, {}], ends, strict=True)
    ]
    for each in [*choices, []]:
        chunk = {**told, "object": "chat.completion.chunk", "choices": each}
        yield f"data: {json.dumps(chunk)}\n\n"
    yield "data: [DONE]\n\n"
