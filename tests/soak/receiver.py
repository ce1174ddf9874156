"""The receiver of a webhook that counts what arrives, and is not always well."""

import json
from collections import Counter
from random import Random
from typing import Final

from starlette.types import Receive, Scope, Send

from tests.doubles.serving import cut

BUSY: Final = 0.01  # the share of requests that meet a 503
BROKEN: Final = 0.01  # and of those that are answered by a broken connection, half of them taken


class Receiver:
    """An ASGI application. Every event's content is "number of count" of its thread, so that no
    more than the threads under way have to be remembered. No event fails twice: the second wait
    takes minutes."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._open: dict[str, int] = {}
        self._failed: set[str] = set()
        self.counts: Counter[str] = Counter()

    @property
    def unfinished(self) -> int:
        """The threads of which something is still to come."""
        return len(self._open)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message["body"]
            if not message["more_body"]:
                break
        name = dict(scope["headers"])[b"webhook-id"].decode()
        chance = 1.0 if name in self._failed else self._random.random()
        self._failed.discard(name)
        if chance < BUSY + BROKEN:
            self._failed.add(name)
        if chance < BUSY:
            self.counts["busy"] += 1
            return await _answer(send, 503, (b"retry-after", b"1"))
        if chance >= BUSY + BROKEN / 2:
            self._take(json.loads(body)["data"])
        if chance < BUSY + BROKEN:
            self.counts["broken"] += 1
            return await cut(scope, receive)
        await _answer(send, 204)

    def _take(self, told: dict[str, object]) -> None:
        event = told["event"]
        assert isinstance(event, dict)
        number, _, count = event["content"].partition(" of ")
        thread = str(told["thread"])
        expected = self._open.get(thread, 0) + 1
        if int(number) < expected or (thread not in self._open and int(number) == int(count)):
            self.counts["repeated"] += 1
        elif int(number) > expected:
            self.counts["disordered"] += 1
        else:
            self.counts["received"] += 1
            self._open[thread] = expected
            if expected == int(count):
                del self._open[thread]


async def _answer(send: Send, status: int, *headers: tuple[bytes, bytes]) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body"})
