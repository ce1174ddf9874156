"""A real proxy for tests: the application on a loopback socket, its time in the test's hand."""

import itertools
import json
import os
import sqlite3
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final

import httpx2
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tests.doubles.serving import serve
from thumbseal import __version__
from thumbseal.conversation import Conversation, fold
from thumbseal.keys import new_key
from thumbseal.log.threads import read_thread
from thumbseal.settings import Secret, Server, Settings, Site, Upstream
from thumbseal.tokens import Tokens
from thumbseal.web.app import open_app
from thumbseal_widget import Release, release
from thumbseal_widget.build import build

ORIGIN: Final = "https://chat.example.com"
START: Final = 1_790_000_000.0  # seconds; some day in 2026


class Clock:
    """Time that passes when a test says so. ``now`` is in epoch seconds."""

    def __init__(self, now: float = START) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Proxy:
    """A running proxy and a client that speaks to it as a page would."""

    def __init__(
        self, url: str, configured: Settings, clock: Callable[[], float], journal: "Journal"
    ) -> None:
        self.url = url
        self.settings = configured
        self.clock = clock
        self.journal = journal
        self.origin = next(iter(configured.sites.values())).origins[0]
        self.http = httpx2.Client(base_url=url, trust_env=False)
        self._numbers = itertools.count(1)

    @property
    def ms(self) -> int:
        return int(self.clock() * 1000)

    def tokens(self, site: str = "support") -> Tokens:
        return Tokens(site, self.settings.sites[site].signing_keys())

    def post(self, path: str, body: Any, **headers: str) -> httpx2.Response:
        """A POST as a page makes it; ``body`` is bytes, or becomes JSON."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"Origin": self.origin, "Content-Type": "text/plain;charset=UTF-8"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        return self.http.post(path, content=content, headers=sent)

    def open(self, **asked: Any) -> dict[str, Any]:
        """A thread as ``POST /v1/threads`` gives it."""
        answer = self.post("/v1/threads", {"site": "support", **asked})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def record(
        self, token: str | None, *events: dict[str, Any], want: int = 0
    ) -> list[dict[str, Any]]:
        """The results of recording events; ids and times are filled in."""
        body = {"sent_at": self.ms, "want": want, "events": [self.event(e) for e in events]}
        answer = self.post("/v1/events", {**body, **({"token": token} if token else {})})
        assert answer.status_code == 202, answer.text
        return list(answer.json()["results"])

    def event(self, fields: dict[str, Any]) -> dict[str, Any]:
        """An event with an id and a time, where it has none."""
        return {"id": f"e{next(self._numbers)}", "at": self.ms, **fields}

    def conversations(self) -> list[Conversation]:
        """What the log's file holds now, thread by thread, oldest first."""
        with closing(sqlite3.connect(self.settings.server.log_path)) as connection:
            numbers = connection.execute("SELECT thread_no FROM threads ORDER BY 1").fetchall()
            stored = [read_thread(connection, number) for (number,) in numbers]
        return [fold(each.events, Conversation(each.thread, each.user)) for each in stored]

    def feedback(self, *tokens: str) -> list[dict[str, Any]]:
        answer = self.post("/v1/feedback", {"messages": tokens})
        assert answer.status_code == 200, answer.text
        return list(answer.json()["messages"])


def said(message: dict[str, str], role: str, content: Any, **more: Any) -> dict[str, Any]:
    """A message event under a blank."""
    return {"type": "message", "message": message["token"], "role": role, "content": content} | more


def voted(message: dict[str, str], **opinion: Any) -> dict[str, Any]:
    """A feedback event for a message."""
    return {"type": "feedback", "message": message["token"], "feedback": opinion}


def make_settings(
    folder: Path,
    *,
    upstreams: Sequence[Upstream] = (),
    keys: Sequence[str] = (),
    others: Sequence[str] = (),
    max_mib: int | None = None,
    hops: int = 0,
    **site: Any,
) -> Settings:
    """Settings of one site, ``support``, with its log in ``folder``; ``others`` name more sites."""
    site.setdefault("origins", [ORIGIN])
    secrets = [Secret(key) for key in keys or (new_key(),)]
    support = Site(keys=secrets, upstreams=list(upstreams), **site)
    more = {name: Site(keys=[Secret(new_key())], origins=[ORIGIN]) for name in others}
    log = f"sqlite://{folder / 'log.db'}"
    server = Server("127.0.0.1:0", None, log, log_max_mib=max_mib, trusted_proxies=hops)
    return Settings(server, {"support": support, **more})


class Journal:
    """The requests that an application answered, and a way to wait for one. Wraps the app."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._changed = threading.Condition()
        self.entries: list[tuple[str, str, int]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def noted(message: Message) -> None:
            await send(message)
            if message["type"] == "http.response.start":
                with self._changed:
                    self.entries.append((scope["method"], scope["path"], message["status"]))
                    self._changed.notify_all()

        await self._app(scope, receive, noted if scope["type"] == "http" else send)

    def count(self, method: str, path: str = "") -> int:
        """How many requests of this method to paths that begin so were answered."""
        return sum(entry[0] == method and entry[1].startswith(path) for entry in self.entries)

    def wait(self, method: str, path: str, count: int, seconds: float = 10) -> None:
        """Return once that many were answered; fail after ``seconds``."""
        with self._changed:
            enough = self._changed.wait_for(lambda: self.count(method, path) >= count, seconds)
        assert enough, f"{method} {path} was answered {self.count(method, path)} of {count} times"


@contextmanager
def running(
    configured: Settings, clock: Callable[[], float] | None = None, port: int = 0, **options: Any
) -> Iterator[Proxy]:
    """A proxy that serves these settings; a second one over the same folder is a restart."""
    clock = clock or Clock()
    options.setdefault("widget", tested_widget())
    journal = Journal(_Lifespan(lambda: open_app(configured, clock=clock, **options)))
    with serve(journal, port=port) as url:
        proxy = Proxy(url, configured, clock, journal)
        try:
            yield proxy
        finally:
            proxy.http.close()


@cache
def tested_widget() -> Release:
    """What pages get: readable, or with THUMBSEAL_WIDGET=minified as a wheel would bring it."""
    if os.environ.get("THUMBSEAL_WIDGET") == "minified":
        return build(__version__)
    return release(__version__)


class _Lifespan:
    """The application opened and closed by the server's own lifespan, on its event loop."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._stack = AsyncExitStack()
        self._app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            return await self._app(scope, receive, send)
        await self._step(receive, send, "startup", self._open)
        await self._step(receive, send, "shutdown", self._stack.aclose)

    async def _open(self) -> None:
        self._app = await self._stack.enter_async_context(self._make())

    async def _step(
        self, receive: Receive, send: Send, name: str, deed: Callable[[], Awaitable[None]]
    ) -> None:
        message = await receive()
        assert message["type"] == f"lifespan.{name}"
        try:
            await deed()
        except Exception as error:
            await send({"type": f"lifespan.{name}.failed", "message": str(error)})
            raise
        await send({"type": f"lifespan.{name}.complete"})
