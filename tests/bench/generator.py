"""The load: keep-alive connections that each send the next request when they have an answer.

Requests are whole byte strings, made beforehand, so that the generator costs less than a server.
"""

import asyncio
import gc
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Final, cast

import uvloop

END: Final = b"\r\n\r\n"
LENGTH: Final = b"\r\ncontent-length: "


@dataclass(frozen=True)
class Expected:
    """What a good answer is: its status, and how often a word stands in its body."""

    status: bytes
    word: bytes = b""
    count: int = 0

    def check(self, head: bytes, body: bytes) -> None:
        if not head.startswith(b"HTTP/1.1 " + self.status):
            raise AssertionError(f"{head!r} {body!r}")
        if self.word and body.count(self.word) != self.count:
            raise AssertionError(f"not {self.count} times {self.word!r}: {body!r}")


@dataclass(frozen=True)
class Load:
    """What one round came to; times in seconds, ``busy`` the share of a core that it took here."""

    requests: int
    seconds: float
    latency_p50: float
    latency_p99: float
    busy: float

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds


def generate(
    port: int, requests: Sequence[bytes], expected: Expected, connections: int = 64
) -> Load:
    """Send all requests over this many connections, one at a time on each."""
    gc.collect()
    gc.disable()
    try:
        return uvloop.run(_generate(port, requests, expected, connections))
    finally:
        gc.enable()


async def send_paced(
    port: int,
    requests: Sequence[bytes],
    expected: Expected,
    rate: float,
    sending: Callable[[bytes], None],
    connections: int = 64,
) -> Sequence[float]:
    """Send so many requests a second, each at its time unless the answer before it on the same
    connection is late; ``sending`` gets each as it goes. The seconds until each answer."""
    loop = asyncio.get_running_loop()
    latencies, start, every = list[float](), loop.time(), connections / rate
    pages = [
        _Paced(iter(requests[number::connections]), latencies, expected, sending)
        for number in range(connections)
    ]
    for number, page in enumerate(pages):
        await loop.create_connection(lambda page=page: page, "127.0.0.1", port)  # type: ignore[misc]
        page.begin(start + 1 + number / rate, every)
    await asyncio.gather(*(page.done for page in pages))
    for page in pages:
        page.transport.close()
    return latencies


async def _generate(
    port: int, requests: Sequence[bytes], expected: Expected, connections: int
) -> Load:
    loop = asyncio.get_running_loop()
    waiting, latencies = iter(requests), list[float]()
    pages = [_Connection(waiting, latencies, expected) for _ in range(connections)]
    for page in pages:
        await loop.create_connection(lambda page=page: page, "127.0.0.1", port)  # type: ignore[misc]
    cpu, began = time.process_time(), time.perf_counter()
    for page in pages:
        page.send_next()
    await asyncio.gather(*(page.done for page in pages))
    seconds, busy = time.perf_counter() - began, time.process_time() - cpu
    for page in pages:
        page.transport.close()
    percentiles = quantiles(latencies, n=100)
    return Load(len(latencies), seconds, median(latencies), percentiles[98], busy / seconds)


class _Connection(asyncio.Protocol):
    """One client. Its ``done`` ends when no request is left, or fails with the first bad answer."""

    transport: asyncio.Transport

    def __init__(
        self, waiting: Iterator[bytes], latencies: list[float], expected: Expected
    ) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting = waiting
        self._latencies = latencies
        self._expected = expected
        self._buffer = b""
        self._began = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(
            asyncio.Transport, transport
        )  # what uvloop gives is one in all but name

    def send_next(self) -> None:
        request = next(self._waiting, None)
        if request is None:
            self.done.set_result(None)
        else:
            self.send(request)

    def send(self, request: bytes) -> None:
        self._began = time.perf_counter()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer = self._buffer + data
        end = buffer.find(END)
        if end < 0 or len(buffer) < end + len(END) + content_length(buffer[:end]):
            return
        self._latencies.append(time.perf_counter() - self._began)
        self._buffer = b""
        try:
            self._expected.check(buffer[:end], buffer[end + len(END) :])
        except AssertionError as error:
            self.done.set_exception(error)
        else:
            self.send_next()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(error or ConnectionResetError("the server hung up"))


class _Paced(_Connection):
    """A client that sends at its times, ``every`` so many seconds."""

    def __init__(
        self,
        waiting: Iterator[bytes],
        latencies: list[float],
        expected: Expected,
        sending: Callable[[bytes], None],
    ) -> None:
        super().__init__(waiting, latencies, expected)
        self._sending = sending
        self._at, self._every = 0.0, 0.0

    def begin(self, at: float, every: float) -> None:
        self._at, self._every = at, every
        self.send_next()

    def send_next(self) -> None:
        asyncio.get_running_loop().call_at(self._at, super().send_next)
        self._at += self._every

    def send(self, request: bytes) -> None:
        self._sending(request)
        super().send(request)


def content_length(head: bytes) -> int:
    """The length that a message's header tells of its body."""
    start = head.lower().index(LENGTH) + len(LENGTH)
    return int(head[start:].split(b"\r\n", 1)[0])
