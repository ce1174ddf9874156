"""A real proxy for tests: the application on a loopback socket, its time in the test's hand."""

import itertools
import json
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import httpx2
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.doubles.serving import serve
from thumbseal.keys import new_key
from thumbseal.settings import Secret, Server, Settings, Site, Upstream
from thumbseal.tokens import Tokens
from thumbseal.web.app import open_app

ORIGIN: Final = "https://chat.example.com"
START: Final = 1_790_000_000.0  # seconds; some day in 2026


class Clock:
    """Time that passes when a test says so. ``now`` is in epoch seconds."""

    def __init__(self, now: float = START) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    @property
    def ms(self) -> int:
        return int(self.now * 1000)


class Proxy:
    """A running proxy and a client that speaks to it as a page would."""

    def __init__(self, url: str, configured: Settings, clock: Clock) -> None:
        self.url = url
        self.settings = configured
        self.clock = clock
        self.http = httpx2.Client(base_url=url, trust_env=False)
        self._numbers = itertools.count(1)

    def tokens(self, site: str = "support") -> Tokens:
        return Tokens(site, self.settings.sites[site].signing_keys())

    def post(self, path: str, body: Any, **headers: str) -> httpx2.Response:
        """A POST as a page makes it; ``body`` is bytes, or becomes JSON."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"Origin": ORIGIN, "Content-Type": "text/plain;charset=UTF-8"}
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
        body = {"sent_at": self.clock.ms, "want": want, "events": [self.event(e) for e in events]}
        answer = self.post("/v1/events", {**body, **({"token": token} if token else {})})
        assert answer.status_code == 202, answer.text
        return list(answer.json()["results"])

    def event(self, fields: dict[str, Any]) -> dict[str, Any]:
        """An event with an id and a time, where it has none."""
        return {"id": f"e{next(self._numbers)}", "at": self.clock.ms, **fields}

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
    **site: Any,
) -> Settings:
    """Settings of one site, ``support``, with its log in ``folder``; ``others`` name more sites."""
    site.setdefault("origins", [ORIGIN])
    secrets = [Secret(key) for key in keys or (new_key(),)]
    support = Site(keys=secrets, upstreams=list(upstreams), **site)
    more = {name: Site(keys=[Secret(new_key())], origins=[ORIGIN]) for name in others}
    server = Server(listen="127.0.0.1:0", log=f"sqlite://{folder / 'log.db'}")
    return Settings(server, {"support": support, **more})


@contextmanager
def running(configured: Settings, clock: Clock | None = None, **options: Any) -> Iterator[Proxy]:
    """A proxy that serves these settings; a second one over the same folder is a restart."""
    clock = clock or Clock()
    with serve(_Lifespan(lambda: open_app(configured, clock=clock, **options))) as url:
        proxy = Proxy(url, configured, clock)
        try:
            yield proxy
        finally:
            proxy.http.close()


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
