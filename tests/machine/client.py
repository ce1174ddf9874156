"""A page that goes on whatever the disk does, and knows what was accepted."""

import asyncio
import itertools
import time
from typing import Any, Final

import httpx2

from tests.proxy import ORIGIN, said
from tests.reliability.server import Server

TEXT: Final = "x" * 8_000
HEADERS: Final = {"Origin": ORIGIN, "Content-Type": "text/plain;charset=UTF-8"}


class Client:
    """A page with one thread after another; ``stored`` has the event ids that were accepted."""

    def __init__(self, server: Server, http: httpx2.AsyncClient) -> None:
        self.stored: dict[str, list[str]] = {}
        self._server = server
        self._http = http
        self._numbers = itertools.count()
        self._thread = ""
        self._token = ""
        self._blanks: list[dict[str, str]] = []

    async def open(self) -> None:
        answer = await self._post("/v1/threads", {"site": "support", "want": 8})
        assert answer.status_code == 200, answer.text
        opened = answer.json()
        self._thread, self._token = opened["thread"]["id"], opened["thread"]["token"]
        self._blanks = opened["messages"]

    async def record(self) -> httpx2.Response:
        """One message; the answer."""
        if not self._blanks:
            await self.open()
        id_ = f"e{next(self._numbers)}"
        event = {**said(self._blanks.pop(), "user", TEXT), "id": id_, "at": _now()}
        body = {"token": self._token, "sent_at": _now(), "events": [event]}
        answer = await self._post("/v1/events", body)
        if answer.status_code == 202:
            assert answer.json()["results"] == [{"status": "accepted"}]
            self.stored.setdefault(self._thread, []).append(id_)
        return answer

    async def fill(self) -> httpx2.Response:
        """Record until there is no room; that answer."""
        while (answer := await self.record()).status_code == 202:
            pass
        return answer

    async def recover(self) -> float:
        """Try as a page does until an event is taken; the seconds that took."""
        began = time.monotonic()
        while (await self.record()).status_code != 202:  # noqa: ASYNC110  as a page does
            await asyncio.sleep(0.05)
        return round(time.monotonic() - began, 2)

    async def _post(self, path: str, body: dict[str, Any]) -> httpx2.Response:
        return await self._http.post(await self._server.url() + path, json=body, headers=HEADERS)


def _now() -> int:
    return int(time.time() * 1000)
