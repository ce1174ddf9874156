"""One line and one measurement for each request, and a name to find them by.

A line holds the route as it is written in the code, never the path or the query that was asked
for: there is no way to know what somebody put there.
"""

import re
import time
from collections.abc import Callable, Iterable
from random import getrandbits
from typing import Any, Final

import structlog
from msgspec import Struct
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from thumbseal.journal import REQUEST

HEADER: Final = "X-Request-Id"
NAME: Final = HEADER.lower().encode()
TRACE: Final = b"traceparent"
CODE: Final = "thumbseal.code"  # where a refusal leaves its code for the line
PROBES: Final = frozenset({"/livez", "/readyz"})  # asked each second; a line only when they fail
NO_ROUTE: Final = "none"
CLOSED: Final = 499  # as nginx writes it: the client went away before there was an answer
_TRACEPARENT: Final = re.compile(  # W3C Trace Context: version, trace id, parent id, flags
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?"
)
_REQUEST_ID: Final = re.compile(
    r"[0-9a-f]{16,32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE
)


class Request(Struct, frozen=True):
    """What a request was: ``code`` is that of its refusal."""

    method: str
    route: str
    status: int
    seconds: float
    code: str | None


class Access:
    """Wraps the whole application, CORS included; ``observe`` gets each request at its end."""

    def __init__(self, app: ASGIApp, observe: Callable[[Request], None]) -> None:
        self._app = app
        self._observe = observe
        self._logger = structlog.get_logger().bind()  # once: it takes longer than a line

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        began = time.perf_counter()
        name = request_id(scope["headers"])
        REQUEST.set(name)  # in a context of its own, as every request's task has one
        told = NAME, name.encode()
        status: int | None = None

        async def named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], told]
            await send(message)

        try:
            await self._app(scope, receive, named)
        except Exception:
            # Starlette has answered 500 and passes the error on; here it is told, once.
            self._logger.error(
                "request_failed",
                remedy="A fault of Thumbseal: please report it with this line.",
                exc_info=True,
            )
            if status is None:
                raise
        finally:
            seconds = time.perf_counter() - began
            self._tell(Request(*_named(scope), status or CLOSED, seconds, scope.get(CODE)))

    def _tell(self, request: Request) -> None:
        self._observe(request)
        if request.route in PROBES and request.status < 400:
            return
        told: dict[str, Any] = {
            "method": request.method,
            "route": request.route,
            "status": request.status,
            "ms": round(request.seconds * 1000, 1),
        }
        self._logger.info("request", **told, **({"code": request.code} if request.code else {}))


def request_id(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The caller's name for the request, where it is one that can hold nothing else: a trace id or
    hex digits. Else a new one."""
    given = ""
    for name, value in headers:
        if name == TRACE and (trace := _TRACEPARENT.fullmatch(value.decode("latin-1"))):
            return trace[1]
        if name == NAME:
            given = value.decode("latin-1")
    return given.lower() if _REQUEST_ID.fullmatch(given) else f"{getrandbits(128):032x}"


def _named(scope: Scope) -> tuple[str, str]:
    """Method and route, both from a list that we know."""
    method = scope["method"] if scope["method"] in _METHODS else "OTHER"
    return method, getattr(scope.get("route"), "path", NO_ROUTE)


_METHODS: Final = frozenset({"GET", "HEAD", "POST", "OPTIONS"})
