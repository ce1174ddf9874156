"""All pages of a server as one application, apart from what browsers of other origins may ask."""

from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Protocol

from msgspec import Struct
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from thumbseal.errors import LogError, RequestError
from thumbseal.index.asking import Index
from thumbseal.keys import Keys
from thumbseal.log import Log
from thumbseal.replay.conversation import ConversationPage
from thumbseal.replay.entrance import Attempts, Entrance
from thumbseal.replay.live import LivePage
from thumbseal.replay.overview import OverviewPage
from thumbseal.replay.pages import render
from thumbseal.replay.session import Sessions
from thumbseal.replay.threads import ThreadsPage
from thumbseal.settings import Upstream
from thumbseal.tokens import Tokens

PATH = "/replay"


class Served(Protocol):
    """A page, or some that belong together."""

    def routes(self) -> list[Route]:
        """Where they are."""


class Ground(Struct, frozen=True):
    """What the pages stand on: where they read, whom they let in, and how they are reached.
    ``origin`` is the server's own, where the settings name it; ``upstreams`` are by "site/name"."""

    log: Log
    index: Index
    tokens: Mapping[str, Tokens]
    keys: Mapping[str, Keys]
    upstreams: Mapping[str, Upstream]
    attempts: Attempts
    clock: Callable[[], float]
    address_of: Callable[[Request], str | None]
    origin: str | None
    session_seconds: int


def make_replay(ground: Ground) -> ASGIApp:
    """The application of the pages under ``/replay``."""
    sessions = Sessions(
        ground.tokens,
        ground.log,
        ground.clock,
        ground.session_seconds,
        secure=(ground.origin or "").startswith("https:"),
    )
    entrance = Entrance(
        sessions, ground.keys, ground.attempts, ground.clock, ground.address_of, ground.origin
    )
    pages: list[Served] = [
        OverviewPage(entrance, ground.index, ground.clock),
        ThreadsPage(entrance, ground.index, ground.log, ground.clock),
        ConversationPage(entrance, ground.log, ground.upstreams),
        LivePage(entrance, ground.index, ground.log, ground.clock),
    ]
    static = Path(str(files("thumbseal.replay") / "static"))
    return Starlette(
        routes=[
            *entrance.routes(),
            *(route for page in pages for route in page.routes()),
            Mount("/replay/static", StaticFiles(directory=static)),
        ],
        exception_handlers={
            RequestError: _refuse,
            HTTPException: _refuse_http,
            LogError: _wait,
            Exception: _fail,
        },
    )


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)  # noqa: S101  the handler table says so
    return _problem(request, error.status, error.message, "")


async def _refuse_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  the handler table says so
    if error.status_code == 404:
        return _problem(request, 404, "There is no such page", "Look for it from the overview on.")
    return _problem(request, error.status_code, "This cannot be done", error.detail)


async def _wait(request: Request, error: Exception) -> Response:
    text = "The log or its index cannot be read at the moment. The server's lines say why."
    return _problem(request, 503, "Not now", text)


async def _fail(request: Request, error: Exception) -> Response:
    return _problem(request, 500, "Something went wrong here", "The server's lines say more.")


def _problem(request: Request, status: int, heading: str, remedy: str) -> Response:
    return render(request, "problem", status=status, heading=heading, remedy=remedy)
