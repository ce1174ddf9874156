"""CORS: which pages may read an answer, and the only routes whose preflights are granted."""

from collections.abc import Sequence
from typing import Final

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

ASKED: Final = "/v1/runs/"  # Lunary's SDKs send their key in a header, so browsers ask first


class Preflights:
    """``app`` with CORS for ``origins``, a regular expression; ``exposed`` are headers that a page
    may read. No route but the Lunary API needs a preflight, and none grants one."""

    def __init__(self, app: ASGIApp, origins: str, exposed: Sequence[str]) -> None:
        def cors(*headers: str) -> ASGIApp:
            return CORSMiddleware(
                app,
                allow_origin_regex=origins,
                allow_methods=("GET", "POST"),
                allow_headers=headers,
                expose_headers=exposed,
            )

        self._public = cors()
        self._lunary = cors("Authorization", "Content-Type")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = scope["type"] == "http" and scope["path"].startswith(ASKED)
        await (self._lunary if asked else self._public)(scope, receive, send)
