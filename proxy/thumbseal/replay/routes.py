"""All pages of a server as one application, apart from what browsers of other origins may ask."""

from importlib.resources import files
from pathlib import Path
from typing import Protocol

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from thumbseal.errors import LogError, RequestError
from thumbseal.replay.conversation import ConversationPage
from thumbseal.replay.entrance import Entrance
from thumbseal.replay.ground import Ground
from thumbseal.replay.live import LivePage
from thumbseal.replay.overview import OverviewPage
from thumbseal.replay.pages import render
from thumbseal.replay.threads import ThreadsPage

PATH = "/replay"


class Served(Protocol):
    """A page, or some that belong together."""

    def routes(self) -> list[Route]:
        """Where they are."""


def make_replay(ground: Ground) -> ASGIApp:
    """The application of the pages under ``/replay``."""
    entrance = Entrance(ground)
    pages: list[Served] = [
        entrance,
        OverviewPage(entrance, ground),
        ThreadsPage(entrance, ground),
        ConversationPage(entrance, ground),
        LivePage(entrance, ground),
    ]
    static = Path(str(files("thumbseal.replay") / "static"))
    return Starlette(
        routes=[
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
