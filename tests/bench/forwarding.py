"""Forwarding: how fast what waits goes out, and how late an event arrives while many come.

The upstream is a Lunary that answers every batch at once. It runs on the generator's core.
"""

import asyncio
import re
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Final, cast

import msgspec
import uvloop

from tests.bench.generator import END, Expected, content_length, send_paced
from tests.bench.machine import Served
from tests.machine.cost import peak

MESSAGE: Final = re.compile(rb'"messageId":"([0-9a-f-]{36})"')
EVENT: Final = re.compile(rb'"id":"([0-9a-f]{22})"')
RATE: Final = 1_000.0  # events a second
PATIENCE: Final = 60.0  # seconds

UPSTREAM: Final = """
[[sites.{site}.upstreams]]
name = "lunary"
kind = "lunary"
key = "file:../site.key"
url = "http://127.0.0.1:{port}"
requests_per_minute = 100000
"""


Start = Callable[[int], AbstractContextManager[Served]]  # a server, given its upstream's port


@dataclass(frozen=True)
class Drained:
    """Messages a second from the first to the last, the seconds until the server was there, and its
    bytes of memory at most."""

    rate: float
    ready: float
    memory: int


@dataclass(frozen=True)
class Lag:
    """Seconds from sending an event until the upstream has it, and until its answer."""

    median: float
    p99: float
    answer_p99: float


class Upstream:
    """An upstream that notes when each message came first."""

    def __init__(self) -> None:
        self.came: dict[bytes, float] = {}
        self._came = asyncio.Event()

    async def listen(self) -> int:
        """The port that it listens on from now on."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Taking(self._take), "127.0.0.1", 0)
        return int(server.sockets[0].getsockname()[1])

    async def wait(self, messages: int) -> None:
        """Return once so many have come.

        Raises:
            TimeoutError: they do not.
        """
        async with asyncio.timeout(PATIENCE):
            while len(self.came) < messages:
                self._came.clear()
                await self._came.wait()

    def _take(self, body: bytes) -> None:
        now = time.perf_counter()
        for found in MESSAGE.finditer(body):
            self.came.setdefault(found[1].replace(b"-", b"")[:22], now)
        self._came.set()


class _Taking(asyncio.Protocol):
    """A connection that each request is answered on at once: all that was sent succeeded."""

    _transport: asyncio.Transport

    def __init__(self, take: Callable[[bytes], None]) -> None:
        self._take = take
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, rest = self._buffer.partition(END)
        if not found or len(rest) < (length := content_length(head)):
            return
        body, self._buffer = rest[:length], rest[length:]
        self._take(body)
        self._transport.write(_answer(body))


def _answer(body: bytes) -> bytes:
    sent = msgspec.json.decode(body)["events"]
    results = [{"id": each["runId"], "success": True} for each in sent]
    answer = msgspec.json.encode({"results": results})
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(answer)}"
    return head.encode() + END + answer


def drain(start: Start, messages: int) -> Drained:
    """What it takes to send the first messages of a log in which so many and more wait."""

    async def measure() -> Drained:
        upstream = Upstream()
        port, began = await upstream.listen(), time.perf_counter()
        with start(port) as served:
            ready = time.perf_counter() - began
            await upstream.wait(messages)
            memory = sum(map(peak, served.family()))
        came = sorted(upstream.came.values())
        return Drained(len(came) / (came[-1] - came[0]), ready, memory)

    return uvloop.run(measure())


def follow(start: Start, write: Callable[[], Sequence[bytes]], expected: Expected) -> Lag:
    """How late each of the requests' events comes, at `RATE`."""

    async def measure() -> Lag:
        upstream, requests = Upstream(), write()
        sent: dict[bytes, float] = {}

        def sending(request: bytes) -> None:
            if found := EVENT.search(request):
                sent[found[1]] = time.perf_counter()

        with start(await upstream.listen()) as served:
            answers = await send_paced(served.port, requests, expected, RATE, sending)
            await upstream.wait(len(requests))
        lags = [upstream.came[event] - at for event, at in sent.items()]
        return Lag(median(lags), quantiles(lags, n=100)[98], quantiles(answers, n=100)[98])

    return uvloop.run(measure())
