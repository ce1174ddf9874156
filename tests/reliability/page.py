"""A person's browser as the server sees it: what is not acknowledged is sent again."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from random import Random
from typing import Any, Final

import httpx2

from tests.proxy import ORIGIN
from tests.reliability.oracle import Blank, Issued, Oracle
from tests.reliability.server import Server

# Seconds between two requests of a page, at most: people think, and the forwarder pauses between
# two deliveries, so pages without a pause would leave a long drain for the end.
THINK: Final = 0.03
HEADERS: Final = {"Origin": ORIGIN, "Content-Type": "text/plain;charset=UTF-8"}
THUMBS: Final = ("up", "down", None)
Act = Callable[[], Issued]


class Page:
    """One page that opens threads, talks and votes until it is told to stop.

    ``requests`` counts what it sent, ``repeats`` what it had to send again.
    """

    def __init__(
        self, server: Server, http: httpx2.AsyncClient, oracle: Oracle, random: Random
    ) -> None:
        self.requests = 0
        self.repeats = 0
        self._server = server
        self._http = http
        self._oracle = oracle
        self._random = random
        self._blanks: deque[Blank] = deque()

    async def run(self, stop: asyncio.Event) -> None:
        """Thread after thread; the last one ends whole."""
        while not stop.is_set():
            await self.talk(self._random.randint(1, 6))

    async def talk(self, exchanges: int) -> str:
        """A thread with this many exchanges and votes on most of them; gives its id."""
        opened = await self._post("/v1/threads", {"site": "support"}, 200)
        thread, token = opened["thread"]["id"], opened["thread"]["token"]
        self._blanks = deque(opened["messages"])
        for _ in range(exchanges):
            for acts in self._exchange(thread):
                await self._send(token, [act() for act in acts])
                await asyncio.sleep(self._random.uniform(0, THINK))
        return str(thread)

    def _exchange(self, thread: str) -> list[list[Act]]:
        """What a person does in one exchange, cut into requests anywhere. She acts, and her
        clock is read, when what she did before has been acknowledged."""
        say, vote = self._oracle.say, self._oracle.vote
        question, answer = self._blanks.popleft(), self._blanks.popleft()
        thumbs = self._random.choices(THUMBS, k=self._random.randint(0, 3))
        acts: list[Act] = [
            partial(say, thread, question, "user"),
            partial(say, thread, answer, "assistant"),
            *(partial(vote, thread, answer, thumb) for thumb in thumbs),
        ]
        cuts = sorted(self._random.sample(range(1, len(acts)), self._random.randrange(len(acts))))
        return [acts[start:end] for start, end in pairwise([0, *cuts, len(acts)])]

    async def _send(self, token: str, batch: Sequence[Issued]) -> None:
        asked = {"token": token, "want": 2, "events": [event.wire for event in batch]}
        answer = await self._post("/v1/events", asked, 202)
        self._oracle.acknowledge(batch, answer["results"])
        self._blanks.extend(answer["messages"])

    async def _post(self, path: str, body: dict[str, Any], status: int) -> dict[str, Any]:
        """The answer, from whichever life of the server gives one."""
        while True:
            url = await self._server.url()
            sent = body if path == "/v1/threads" else {**body, "sent_at": int(time.time() * 1000)}
            self.requests += 1
            try:
                answer = await self._http.post(url + path, json=sent, headers=HEADERS)
            except httpx2.TransportError:
                self.repeats += 1
                continue
            assert answer.status_code == status, answer.text
            return dict(answer.json())
