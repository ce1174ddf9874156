"""What reaches the proxy, and what can go wrong on the way: an ASGI layer around it."""

import asyncio
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tests.doubles.serving import cut, wait_for_disconnect
from tests.engines.page import PATIENCE

EVENTS: Final = "/v1/events"
#: A request there that brings no event: it opens a thread, or asks for votes.
ASKED: Final = "/v1/ (no event)"
Fault = Callable[[ASGIApp], ASGIApp]


@dataclass
class Request:
    """One request, as it came, at a time in seconds; ``status`` is None as long as nothing has been
    answered."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    at: float
    status: int | None = None

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def event_ids(self) -> list[str]:
        return [event["id"] for event in self.json["events"]]


class Traffic:
    """The layer. ``requests`` are all that came from a browser, oldest first; ``busiest`` is the
    most of them for events that were under way at once."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._changed = threading.Condition()
        self._once: deque[tuple[str, Fault]] = deque()
        self._lasting: list[tuple[str, Fault]] = []
        self._busy = 0
        self.busiest = 0
        self.requests: list[Request] = []

    def plan(self, path: str, *faults: Fault) -> None:
        """The next requests to the path meet these faults, one each."""
        self._once.extend((path, fault) for fault in faults)

    @contextmanager
    def failing(self, path: str, fault: Fault) -> Iterator[None]:
        """Every request to paths that begin so meets the fault meanwhile."""
        entry = (path, fault)
        self._lasting.append(entry)
        try:
            yield
        finally:
            self._lasting.remove(entry)

    def to(self, path: str, *statuses: int) -> list[Request]:
        """The POSTs to a path; with statuses, those that were answered so."""
        posts = [each for each in self.requests if (each.method, each.path) == ("POST", path)]
        return [each for each in posts if not statuses or each.status in statuses]

    def wait(self, path: str, count: int, *statuses: int) -> list[Request]:
        """Return once that many came, or were answered so; fail after `PATIENCE`."""
        with self._changed:
            self._changed.wait_for(lambda: len(self.to(path, *statuses)) >= count, PATIENCE)
        seen = self.to(path, *statuses)
        assert len(seen) >= count, f"{len(seen)} of {count} to {path}, {statuses or 'any status'}"
        return seen

    def statuses(self, path: str) -> list[int | None]:
        """How the requests to a path were answered, once all of them are."""
        with self._changed:
            self._changed.wait_for(lambda: None not in self._statuses(path), PATIENCE)
        return self._statuses(path)

    def _statuses(self, path: str) -> list[int | None]:
        return [each.status for each in self.to(path)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode(): value.decode() for name, value in scope.get("headers", ())}
        if "sec-fetch-mode" not in headers:
            return await self._app(scope, receive, send)
        body = await _read(receive)
        path = ASKED if scope["path"] == EVENTS and not _brings_events(body) else scope["path"]
        request = Request(scope["method"], path, headers, body, time.monotonic())
        app = self._fault(request.path)(self._app)
        is_events = request.path == EVENTS
        self._note(is_events, lambda: self.requests.append(request))

        async def noted(message: Message) -> None:
            await send(message)
            if message["type"] == "http.response.start":
                self._note(0, lambda: setattr(request, "status", message["status"]))

        try:
            await app(scope, _replay(body, receive), noted)
        finally:
            self._note(-is_events, lambda: None)

    def _note(self, more: int, deed: Callable[[], None]) -> None:
        with self._changed:
            self._busy += more
            self.busiest = max(self.busiest, self._busy)
            deed()
            self._changed.notify_all()

    def _fault(self, path: str) -> Fault:
        for entry in list(self._once):
            if entry[0] == path:
                self._once.remove(entry)
                return entry[1]
        return next((fault for start, fault in self._lasting if path.startswith(start)), _no_fault)


def drop(app: ASGIApp) -> ASGIApp:
    """The connection breaks before the proxy sees the request."""

    async def dropped(scope: Scope, receive: Receive, send: Send) -> None:
        await cut(scope, receive)

    return dropped


def lose(app: ASGIApp) -> ASGIApp:
    """The proxy does what it is asked, and its answer is lost."""

    async def lost(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope, receive, _ignore)
        await cut(scope, receive)

    return lost


def hang(app: ASGIApp) -> ASGIApp:
    """Nothing happens until the browser gives up."""

    async def hung(scope: Scope, receive: Receive, send: Send) -> None:
        await wait_for_disconnect(receive)

    return hung


class Hold:
    """Requests wait at the door until `release`."""

    def __init__(self) -> None:
        self._open = threading.Event()
        self.release = self._open.set

    def __call__(self, app: ASGIApp) -> ASGIApp:
        async def held(scope: Scope, receive: Receive, send: Send) -> None:
            await asyncio.to_thread(self._open.wait, PATIENCE)
            await app(scope, receive, send)

        return held


def answer(status: int, body: Any, **headers: str) -> Fault:
    """This instead of the proxy's answer; a string goes as HTML, as gateways do."""
    text = body if isinstance(body, str) else json.dumps(body)
    kind = "text/html" if isinstance(body, str) else "application/json"
    sent = {
        "content-type": kind,
        "access-control-allow-origin": "*",
        "access-control-expose-headers": "Retry-After",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    raw = [(name.encode(), value.encode()) for name, value in sent.items()]

    async def instead(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": raw})
        await send({"type": "http.response.body", "body": text.encode()})

    return lambda app: instead


def refuse(status: int, code: str, *, retry: bool, **headers: str) -> Fault:
    """An error as the proxy words it."""
    return answer(status, {"error": {"code": code, "message": code, "retry": retry}}, **headers)


def _no_fault(app: ASGIApp) -> ASGIApp:
    return app


async def _ignore(message: Message) -> None:
    pass


def _brings_events(body: bytes) -> bool:
    return bool(json.loads(body)["events"]) if body else False


async def _read(receive: Receive) -> bytes:
    body = b""
    while (message := await receive())["type"] == "http.request":
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    return body


def _replay(body: bytes, receive: Receive) -> Receive:
    """The body again, then what the connection says."""
    first: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return first.pop() if first else await receive()

    return replayed
