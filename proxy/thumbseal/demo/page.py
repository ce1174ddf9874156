"""The demo's routes: the chat page, its answers, and the documentation as plain text."""

from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import Route

from thumbseal.bodies import parse_body
from thumbseal.demo.bot import PAUSE, Answer, Bot, stream
from thumbseal.demo.documentation import EXAMPLE, Passage, pages, read, root

MAX_QUESTION: Final = 2_000  # characters, as the page's field has it
MAX_BODY: Final = 16 * 1024  # bytes: such a question in any script, and JSON around it
FRESH: Final = {"Cache-Control": "no-cache"}


class Question(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of ``POST /chat/answer``."""

    question: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_QUESTION)]


QUESTION: Final = msgspec.json.Decoder(Question)


def chat_routes(*, pause: float = PAUSE) -> list[Route]:
    """``/chat``, ``/chat/answer`` and ``/docs/…``; ``pause`` in seconds between two words.

    Raises `FileNotFoundError` when the example page is not where the package keeps it. A bad body
    raises `thumbseal.errors.BadRequest`, for the application's handler.
    """
    bot, files = Bot(read()), pages()
    example = root() / EXAMPLE

    async def page(request: Request) -> Response:
        return FileResponse(example, media_type="text/html", headers=FRESH)

    async def answer(request: Request) -> Response:
        answered = bot.answer(parse_body(await request.body(), QUESTION).question)
        return StreamingResponse(_lines(answered, pause), media_type="application/x-ndjson")

    async def document(request: Request) -> Response:
        file = files.get(request.path_params["name"])
        if file is None:
            return Response("There is no such page.\n", 404, media_type="text/plain")
        return FileResponse(file, media_type="text/plain", headers=FRESH)

    return [
        Route("/chat", page),
        Route("/chat/answer", answer, methods=["POST"], max_body_size=MAX_BODY),
        Route("/docs/{name}", document),
    ]


async def _lines(answer: Answer, pause: float) -> AsyncIterator[bytes]:
    """Lines of JSON: ``{"text"}`` for each word, then ``{"done": true, "source"}``."""
    async for text in stream(answer.text, pause):
        yield _line({"text": text})
    yield _line({"done": True, "source": answer.source and _source(answer.source)})


def _source(passage: Passage) -> dict[str, str]:
    return {
        "page": passage.page,
        "heading": passage.heading,
        "url": f"/docs/{passage.file}",
    }


def _line(value: dict[str, Any]) -> bytes:
    return msgspec.json.encode(value) + b"\n"
