"""CORS: which pages may read an answer, and the only routes whose preflights are granted."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from thumbseal.web.headers import header

ASKED: Final = "/v1/runs/"  # Lunary's SDKs send their key in a header, so browsers ask first
ALLOWED: Final = b"access-control-allow-origin"
ORIGINS: Final = 256  # remembered; most sites have one or two

RawHeaders = tuple[tuple[bytes, bytes], ...]


class Preflights:
    """``app`` with CORS for ``origins``, a regular expression; ``exposed`` are headers that a page
    may read. No route but the Lunary API needs a preflight, and none grants one."""

    def __init__(self, app: ASGIApp, origins: str, exposed: Sequence[str]) -> None:
        def cors(*headers: str) -> CORSMiddleware:
            return CORSMiddleware(
                app,
                allow_origin_regex=origins,
                allow_methods=("GET", "POST"),
                allow_headers=headers,
                expose_headers=exposed,
            )

        self._app = app
        self._public = cors()
        self._lunary = cors("Authorization", "Content-Type")
        # The library writes the same few headers anew for each answer, over its own mapping.
        self._granted = lru_cache(ORIGINS)(self._grant)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        if scope["method"] == "OPTIONS":
            asked = scope["path"].startswith(ASKED)
            return await (self._lunary if asked else self._public)(scope, receive, send)
        granted = self._granted(header(scope, b"origin"))

        async def granting(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message["headers"]
                open_to_all = ALLOWED in dict(headers)  # as the widget's files are
                more = [each for each in granted if not open_to_all or each[0] != ALLOWED]
                message["headers"] = [*headers, *more]
            await send(message)

        await self._app(scope, receive, granting)

    def _grant(self, origin: str | None) -> RawHeaders:
        """What an answer to a page of this origin says; None is a request of no page."""
        told = {"Vary": "Origin"}
        if origin is not None:
            told |= self._public.simple_headers
            if self._public.is_allowed_origin(origin):
                told["Access-Control-Allow-Origin"] = origin
        return tuple(
            (name.lower().encode(), value.encode("latin-1")) for name, value in told.items()
        )
