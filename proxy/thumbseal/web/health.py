"""Health: whether the process lives, and whether it can take events. One word each."""

from collections.abc import Callable
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from thumbseal.errors import LogError
from thumbseal.log import Log

READY: Final = "/readyz"


def routes(log: Log) -> list[Route]:
    """``/livez`` and ``/readyz``. An upstream that is down makes neither of them fail."""

    async def live(request: Request) -> PlainTextResponse:
        return PlainTextResponse("alive")

    async def ready(request: Request) -> PlainTextResponse:
        try:
            await log.check()
        except LogError:
            return PlainTextResponse("unready", 503)
        return PlainTextResponse("ready")

    return [Route("/livez", live), Route(READY, ready)]


class Leaving:
    """The application, unready as soon as it is about to stop: whoever shares out requests sends
    the next ones elsewhere, while those that come all the same are answered."""

    def __init__(self, app: ASGIApp, leaves: Callable[[], bool]) -> None:
        self._app = app
        self._leaves = leaves

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == READY and self._leaves():
            await PlainTextResponse("leaving", 503)(scope, receive, send)
        else:
            await self._app(scope, receive, send)
