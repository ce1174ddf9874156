"""The double itself: an ASGI app, its faults, its journal and its state."""

import asyncio
import json
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.types import Message, Receive, Scope, Send

from ..serving import cut, wait_for_disconnect
from .clock import Clock, VirtualClock
from .faults import Answer, Faults, Received, perform
from .gate import Gate, RateLimiter
from .ingest import Effect, Ingestion
from .reading import children
from .routes import Routes, answer_http_error, answer_lunary_error, inflate
from .rows import OTHER_PROJECT, PROJECT, Database, Project, Run, User
from .values import LunaryError, Value, get

REQUESTS_PER_MINUTE = 150


class LunaryDouble:
    """An ASGI app that behaves as badly as the real Lunary, and worse where ``faults`` say so.

    ``journal`` holds every request with a whole body, in the order of arrival; ``effects`` what
    each event did. Safe to read from another thread than the one that serves it.
    """

    def __init__(
        self,
        clock: Clock | None = None,
        *,
        projects: Sequence[Project] = (PROJECT, OTHER_PROJECT),
        requests_per_minute: int = REQUESTS_PER_MINUTE,
    ) -> None:
        self.clock = clock or VirtualClock()
        self.faults = Faults()
        self.journal: list[Received] = []
        self.effects: list[Effect] = []
        self.database = Database(projects)
        limiter = RateLimiter(self.clock, requests_per_minute)
        ingestion = Ingestion(self.database, self.clock, self.effects)
        self._app = Starlette(
            routes=Routes(self.database, ingestion).table(),
            middleware=[Middleware(Gate, database=self.database, limiter=limiter)],
            exception_handlers={LunaryError: answer_lunary_error, HTTPException: answer_http_error},
        )
        self._lock = threading.Lock()
        self._running: set[asyncio.Task[Answer]] = set()
        self._watchers: list[tuple[Callable[[], bool], Future[None]]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        body = await _read_body(receive)
        if body is None:
            return None
        received = _record(scope, body, self.clock.now())
        self.journal.append(received)
        wire = _Wire(self, scope, body, receive, send)
        return await perform(self.faults.take(received), wire)

    async def apply(self, scope: Scope, body: bytes) -> Answer:
        """Run a request to its end, whether or not the client is still there for the answer."""
        task = asyncio.create_task(_capture(self._app, scope, body))
        with self._lock:
            self._running.add(task)
        task.add_done_callback(self._finish)
        return await asyncio.shield(task)

    def settled(self) -> Future[None]:
        """A future that is done once no request is at work, whether its client waits or not."""
        return self.until(lambda: not self._running)

    def until(self, condition: Callable[[], bool]) -> Future[None]:
        """A future that is done once this holds; looked at now and after each request's effect.

        The condition runs on the thread that serves, and must not ask for a future of this kind.
        """
        done: Future[None] = Future()
        with self._lock:
            self._watchers.append((condition, done))
            self._tell_watchers()
        return done

    def _finish(self, task: asyncio.Task[Answer]) -> None:
        with self._lock:
            self._running.discard(task)
            self._tell_watchers()

    def _tell_watchers(self) -> None:
        for condition, done in self._watchers:
            if condition():
                done.set_result(None)
        self._watchers = [watcher for watcher in self._watchers if not watcher[1].done()]

    def threads(self) -> list[Run]:
        """The threads, in the order of their first event's arrival."""
        return [run for run in self.database.runs() if run.type == "thread"]

    def exchanges(self, thread_id: str) -> list[Run]:
        """The thread's exchanges, oldest first."""
        return children(self.database.runs(), thread_id, "chat")

    def custom_events(self, thread_id: str) -> list[Run]:
        """The thread's custom events, oldest first."""
        return children(self.database.runs(), thread_id, "custom-event")

    def run(self, run_id: str) -> Run | None:
        return self.database.find(run_id)

    def users(self) -> list[User]:
        return self.database.users()

    def user_of(self, run: Run) -> str | None:
        """The external id of the run's user."""
        named = [user.external_id for user in self.users() if user.number == run.user]
        return named[0] if named else None

    def events(self) -> list[Value]:
        """Every event received, in the order sent."""
        return [event for received in list(self.journal) for event in received.events]

    def effect_count(self, run_id: str, event: str | None = None) -> int:
        """How many events for this run id (as sent), of this name, changed anything."""
        return sum(
            bool(effect.changed)
            for effect in list(self.effects)
            if get(effect.event, "runId") == run_id and event in (None, get(effect.event, "event"))
        )


@dataclass(frozen=True)
class _Wire:
    """One request, as `perform` sees it."""

    double: LunaryDouble
    scope: Scope
    body: bytes
    receive: Receive
    _send: Send

    async def apply(self, database_answers: int | None = None) -> Answer:
        if database_answers is None:
            return await self.double.apply(self.scope, self.body)
        self.double.database.answers_left = database_answers
        try:
            return await self.double.apply(self.scope, self.body)
        finally:
            self.double.database.answers_left = None

    async def send(self, answer: Answer, *, whole: bool = True) -> None:
        headers = [(key.encode(), value.encode()) for key, value in answer.headers.items()]
        if whole and "content-length" not in answer.headers and answer.status != 204:
            headers.append((b"content-length", str(len(answer.body)).encode()))
        await self._send(
            {"type": "http.response.start", "status": answer.status, "headers": headers}
        )
        await self._send(
            {"type": "http.response.body", "body": answer.body, "more_body": not whole}
        )

    async def send_more(self, chunk: bytes) -> None:
        await self._send({"type": "http.response.body", "body": chunk, "more_body": True})

    async def cut(self) -> None:
        await cut(self.scope, self.receive)

    async def gone(self) -> None:
        await wait_for_disconnect(self.receive)


async def _read_body(receive: Receive) -> bytes | None:
    """The whole body, None where the client left before its end."""
    chunks: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        chunks.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(chunks)


def _record(scope: Scope, body: bytes, now: float) -> Received:
    headers = {key.decode("latin-1"): text.decode("latin-1") for key, text in scope["headers"]}
    try:
        parsed = json.loads(inflate(headers, body))
    except (OSError, ValueError):
        parsed = None
    return Received(
        method=scope["method"],
        path=scope["path"],
        query=scope["query_string"].decode("latin-1"),
        headers=headers,
        body=body,
        json=parsed,
        at=now,
    )


async def _capture(app: Starlette, scope: Scope, body: bytes) -> Answer:
    """The honest answer of the app behind, taken down instead of sent."""
    start: Message = {}
    chunks: list[bytes] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            start.update(message)
        else:
            chunks.append(message.get("body", b""))

    await app(scope, receive, send)
    headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in start["headers"]}
    return Answer(start["status"], headers, b"".join(chunks))
