"""Live: what is being said and voted now.

The page asks again and again for what came after the last thing that it shows, and each question
waits here for news. An answer that ends gets through proxies that hold back a stream, and the place
in the log that it names lets the page go on after a lost connection, or with another server.
"""

import asyncio
from collections import Counter
from collections.abc import Collection
from typing import Any, Final

import msgspec
from msgspec import structs
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from thumbseal.errors import BadRequest
from thumbseal.events import MAX_INTEGER
from thumbseal.index.filter import Filter, parse_filter
from thumbseal.replay.entrance import Entrance
from thumbseal.replay.ground import Ground
from thumbseal.replay.pages import HEADERS, render
from thumbseal.replay.session import Viewer
from thumbseal.replay.tail import Tail, read_newest, read_tail

NEWEST: Final = 50  # events on the page before anything happens
HOLD: Final = 5.0  # seconds that a question waits, unless the server leaves
PER_SESSION: Final = 4  # questions at once: a browser makes six connections, and others need some
IN_ALL: Final = 200


class LivePage:
    """The routes of the live tail."""

    def __init__(self, entrance: Entrance, ground: Ground) -> None:
        self._entrance = entrance
        self._ground = ground
        self._waiting: Counter[str] = Counter()

    def routes(self) -> list[Route]:
        shown = self._entrance.shown
        return [
            Route("/replay/live", shown(self.show), methods=["GET"]),
            Route("/replay/live.json", shown(self.follow), methods=["GET"]),
        ]

    async def show(self, request: Request, viewer: Viewer) -> Response:
        """``GET /replay/live``: the newest events of a filter's threads."""
        wanted = parse_filter(request.query_params.multi_items())
        tail = await read_newest(
            self._ground.log, self._ground.index, viewer.sites, wanted, self._ground.now, NEWEST
        )
        newest = structs.replace(tail, rows=tail.rows[::-1])
        return render(request, "live", viewer=viewer, tail=newest, query=wanted.query())

    async def follow(self, request: Request, viewer: Viewer) -> Response:
        """``GET /replay/live.json?after=N``: what came after a place in the log, once there is
        something or some seconds have passed. 429 for a session that asks too often at once."""
        after = _place(request.query_params.get("after", ""))
        wanted = parse_filter(request.query_params.multi_items())
        if self._waiting[viewer.id] >= PER_SESSION or self._waiting.total() >= IN_ALL:
            return Response(None, 429, HEADERS)
        self._waiting[viewer.id] += 1
        try:
            tail = await self._news(request, viewer, wanted, after)
        finally:
            self._waiting[viewer.id] -= 1
            self._waiting += Counter()  # forgets those who wait no more

        async def tell(_: Request, __: Viewer) -> Response:
            return Response(msgspec.json.encode(tail), 200, HEADERS, "application/json")

        return await self._entrance.shown(tell)(request)  # the session may have ended meanwhile

    async def _news(self, request: Request, viewer: Viewer, wanted: Filter, after: int) -> Tail:
        """What came after a place; nothing after some seconds, or once one of the two leaves."""
        watcher = self._ground.index.watch()
        ends = (
            asyncio.create_task(_disconnect(request)),
            asyncio.create_task(self._ground.leaving.wait()),
        )
        until = asyncio.get_running_loop().time() + HOLD
        try:
            while True:
                watcher.clear()
                tail = await read_tail(
                    self._ground.log,
                    self._ground.index,
                    viewer.sites,
                    wanted,
                    self._ground.now,
                    after,
                )
                if tail.rows or tail.skipped or not await _wait(watcher, ends, until):
                    return tail
                after = tail.cursor
        finally:
            for each in ends:
                each.cancel()
            self._ground.index.unwatch(watcher)


async def _wait(
    watcher: asyncio.Event, ends: Collection["asyncio.Task[Any]"], until: float
) -> bool:
    """Whether there may be news before that time and before any of the ends."""
    news = asyncio.create_task(watcher.wait())
    left = until - asyncio.get_running_loop().time()
    try:
        done, _ = await asyncio.wait(
            (news, *ends), timeout=max(0, left), return_when=asyncio.FIRST_COMPLETED
        )
    finally:
        news.cancel()
    return done == {news}


async def _disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _place(text: str) -> int:
    """Raises BadRequest for what is no place in a log."""
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(MAX_INTEGER))):
        raise BadRequest("Say after which place in the log, as a number.")
    return min(int(text), MAX_INTEGER)
