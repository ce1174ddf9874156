"""What stands before every route: CORS, keys and the rate limit, in the real order."""

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .clock import Clock
from .rows import Database
from .values import UUID

INGEST_PATH = "/v1/runs/ingest"
OPEN_PATHS = ("/api/report", "/v1/health")
WINDOW_SECONDS = 60
PREFLIGHT_HEADERS = {
    "access-control-allow-methods": "GET,POST,PATCH,DELETE,OPTIONS,PUT",
    "access-control-allow-headers": "Content-Type,Authorization,Accept",
}


@dataclass(frozen=True)
class Caller:
    """Whose key a request carries."""

    project_id: str
    private: bool


@dataclass
class _Window:
    ends: float
    used: int = 0


class RateLimiter:
    """So many requests an address in a fixed window, whatever their size."""

    def __init__(self, clock: Clock, limit: int) -> None:
        self._clock = clock
        self._limit = limit
        self._windows: dict[str, _Window] = {}

    def count(self, address: str) -> tuple[bool, dict[str, str]]:
        """Whether the request may pass, and the headers that tell."""
        now = self._clock.now()
        window = self._windows.get(address)
        if window is None or window.ends <= now:
            window = self._windows[address] = _Window(now + WINDOW_SECONDS)
        window.used += 1
        headers = {
            "rate-limit-total": str(self._limit),
            "rate-limit-remaining": str(max(0, self._limit - window.used)),
            "rate-limit-reset": str(int(window.ends)),
        }
        if window.used <= self._limit:
            return True, headers
        # Whole seconds, cut off: in the last one it says 0.
        return False, {**headers, "retry-after": str(int(window.ends - now))}


class Gate:
    """ASGI middleware: answers what does not pass, and adds the headers that every answer has."""

    def __init__(self, app: ASGIApp, database: Database, limiter: RateLimiter) -> None:
        self._app = app
        self._database = database
        self._limiter = limiter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        request = Request(scope)
        headers = cross_origin_headers(request.headers)
        refusal = self._stop(request, headers)
        answer = refusal or self._app
        return await answer(scope, receive, _adding(headers, send))

    def _stop(self, request: Request, headers: dict[str, str]) -> Response | None:
        if request.method == "OPTIONS":
            return preflight(request.headers)
        if self._database.answers_left == 0:
            return refuse(500, "connect ECONNREFUSED 127.0.0.1:5432")
        try:
            request.scope["caller"] = admit(request, self._database)
        except HTTPException as error:
            return refuse(error.status_code, error.detail)
        passes, limits = self._limiter.count(find_address(request))
        headers.update(limits)
        return None if passes else PlainTextResponse("Rate limit exceeded.", 429)


def refuse(status: int, message: str) -> Response:
    return JSONResponse({"message": message}, status)


def cross_origin_headers(headers: Headers) -> dict[str, str]:
    common = {"vary": "Origin", "keep-alive": "timeout=5"}
    origin = headers.get("origin")
    if origin is None:
        return common
    return {
        **common,
        "access-control-allow-origin": origin,
        "access-control-allow-credentials": "true",
    }


def preflight(headers: Headers) -> Response:
    if "origin" in headers and "access-control-request-method" in headers:
        return Response(status_code=204, headers=PREFLIGHT_HEADERS)
    return refuse(404, "Not Found")


def find_address(request: Request) -> str:
    forwarded = request.headers.get("x-forwarded-for")
    if forwarded:
        return forwarded.split(",")[0].strip()
    return request.client.host if request.client else ""


def admit(request: Request, database: Database) -> Caller | None:
    """The caller, None where the route needs no key; raises `HTTPException`."""
    path, method = request.url.path, request.method
    if path in OPEN_PATHS:
        return None
    if path.startswith("/v1/runs/") and path.endswith("/feedback"):
        return None if method == "GET" else _admit_to_feedback(request.headers, database)
    caller = identify(request.headers, database)
    if path == INGEST_PATH:
        if caller is None:
            raise HTTPException(402, "Incorrect project id format")
        return caller
    if caller is None:
        raise HTTPException(404, "Not Found")
    if not caller.private:
        raise HTTPException(401, "Invalid API key")
    return caller


def _admit_to_feedback(headers: Mapping[str, str], database: Database) -> Caller:
    caller = identify(headers, database)
    if caller is None or not caller.private:
        raise HTTPException(403, "Forbidden")
    return caller


def identify(headers: Mapping[str, str], database: Database) -> Caller | None:
    """Whose key it is, None without one; raises `HTTPException` for a bad one."""
    # The second word of the header, whatever the first: a double space makes it an empty one.
    bearer = headers.get("authorization", "").split(" ")[1:2]
    if bearer and bearer[0]:
        return _find_caller(bearer[0], database, HTTPException(401, "Invalid access token"))
    if "x-api-key" in headers:
        return _find_caller(headers["x-api-key"], database, HTTPException(404, "Not Found"))
    return None


def _find_caller(key: str, database: Database, malformed: HTTPException) -> Caller:
    if not UUID.fullmatch(key):
        raise malformed
    project = database.find_project(key)
    if project is None or key.lower() == project.id:
        raise HTTPException(401, "Invalid API key")
    return Caller(project.id, private=key.lower() == project.private_key)


def _adding(headers: dict[str, str], send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(headers)
        await send(message)

    return send_with_headers
