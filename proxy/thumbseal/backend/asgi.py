"""Middleware for ASGI: Starlette, FastAPI, and whatever else speaks it.

`app.add_middleware(ThumbsealMiddleware, site=site)`; then `thumbseal.current_message()`, or
`request.state.thumbseal_message`, is the page's message, and the model's calls belong to it.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from thumbseal.backend.offering import REFUSAL, REFUSED, Bad, Desk
from thumbseal.backend.parent import parent
from thumbseal.backend.site import HEADER, Site

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
_NAME: Final = HEADER.encode()


class ThumbsealMiddleware:
    """Wraps an application. See `offering.Desk` for ``bad``."""

    def __init__(self, app: App, site: Site, bad: Bad = "ignore") -> None:
        self._app = app
        self._desk = Desk(site, bad)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self._app(scope, receive, send)
        offer = self._desk.offer(_header(scope))
        if offer.refused and scope["type"] == "http":
            return await _refuse(send)
        scope.setdefault("state", {})["thumbseal_message"] = offer.message
        with parent(offer.message):
            await self._app(scope, receive, send)


def _header(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == _NAME:
            return str(value, "latin-1")
    return None


async def _refuse(send: Send) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": REFUSED, "headers": headers})
    await send({"type": "http.response.body", "body": REFUSAL.encode()})
