"""Operations: what a route takes and answers, said beside the route itself."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Literal

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from thumbseal.errors import (
    BadRequest,
    Forbidden,
    HeaderTooLarge,
    Internal,
    RequestError,
    RequestTimeout,
    TooLarge,
    TooMany,
    Unauthorized,
    Unavailable,
    UnsupportedBody,
)

JSON: Final = "application/json"
TEXT: Final = "text/plain"

Bearer = Literal["thread", "backend"] | None  # whose token `Authorization` holds; None for nobody's


class Answer(Struct, frozen=True):
    """An answer that is no error. ``media`` are the types that its body may have; ``body`` is the
    class that is written, or the words that are said; None where the body has no form of ours."""

    text: str
    status: int = 200
    media: tuple[str, ...] = (JSON,)
    body: Any = None
    headers: tuple[str, ...] = ()


class Parameter(Struct, frozen=True):
    """A part of the path, of the query or of the header; those of the path are required."""

    name: str
    place: Literal["path", "query", "header"]
    text: str


class Operation(Struct, frozen=True):
    """What a route takes and answers. ``name`` is for programs and stays; ``body`` is the class
    that is read, ``bearers`` whose token may come in the header, ``refusals`` are the errors that
    this route has beside those of all."""

    name: str
    answers: tuple[Answer, ...]
    refusals: tuple[type[RequestError], ...] = ()
    body: Any = None
    bearers: tuple[Bearer, ...] = (None,)
    parameters: tuple[Parameter, ...] = ()


class Described(Route):
    """A route with its operation; the first paragraph of the endpoint's docstring describes it."""

    def __init__(
        self, path: str, endpoint: Any, operation: Operation, methods: Sequence[str] = ("GET",)
    ) -> None:
        super().__init__(path, endpoint, methods=list(methods))
        # The application hears of errors; Starlette would listen for them once more in each route.
        self.app = _answering(endpoint)
        self.operation = operation


def _answering(endpoint: Callable[[Request], Awaitable[Response]]) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        response = await endpoint(Request(scope, receive, send))
        await response(scope, receive, send)

    return app


# What any request may meet, most of it before it is one: see `connection`.
OF_ALL: Final = (BadRequest, RequestTimeout, HeaderTooLarge, Internal, Unavailable)
OF_CALLERS: Final = (Unauthorized, Forbidden, TooMany)  # where it matters who speaks
OF_BODIES: Final = (TooLarge, UnsupportedBody)  # where there is one to read
