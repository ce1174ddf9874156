"""Health: whether the process lives, and whether it can take events. One word each."""

from collections.abc import Callable
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from thumbseal.errors import LogError
from thumbseal.log import Log
from thumbseal.web.operations import TEXT, Answer, Described, Operation

READY: Final = "/readyz"
_LIVE: Final = Operation("isAlive", (Answer("It does.", media=(TEXT,), body="alive"),))
_READY: Final = Operation(
    "isReady",
    (
        Answer("They are.", media=(TEXT,), body="ready"),
        Answer("Not now: the log is unwell, or the server stops.", 503, (TEXT,), "unready leaving"),
    ),
)


def routes(log: Log) -> list[Described]:
    """``/livez`` and ``/readyz``. An upstream that is down makes neither of them fail."""

    async def live(request: Request) -> PlainTextResponse:
        """``GET /livez``: whether the process runs."""
        return PlainTextResponse("alive")

    async def ready(request: Request) -> PlainTextResponse:
        """``GET /readyz``: whether events are taken."""
        try:
            await log.check()
        except LogError:
            return PlainTextResponse("unready", 503)
        return PlainTextResponse("ready")

    return [Described("/livez", live, _LIVE), Described(READY, ready, _READY)]


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
