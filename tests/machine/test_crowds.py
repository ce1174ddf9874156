"""Crowds: thousands of connections that ask for nothing, or that dribble, and a few that work.

What must hold is structural; times are printed, and judged nowhere.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest

from tests.machine.cost import MIB, Cost
from tests.proxy import ORIGIN, said
from tests.raw import ALIVE, Raw, allow_files, serving_raw, statuses
from tests.reliability.conftest import Report

IDLERS: Final = 10_000
DRIBBLERS: Final = 2_000
WORKERS: Final = 20
ROUNDS: Final = 25
FILES: Final = 12_000
AT_ONCE: Final = 500  # connections made together, fewer than the system keeps waiting
PATIENCE: Final = 120.0  # seconds for a trial
DEADLINE: Final = 3.0
HEADERS: Final = {"Origin": ORIGIN, "Content-Type": "text/plain;charset=UTF-8"}


class Client(asyncio.Protocol):
    """A connection with next to nothing around it: what it was told, and whether it has ended."""

    def __init__(self) -> None:
        self.told = b""
        self.transport: asyncio.Transport
        self.answered = asyncio.Event()
        self.ended = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.told += data
        self.answered.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.set()


async def crowd(raw: Raw, count: int) -> list[Client]:
    """So many connections, made a few hundred at a time."""
    loop, clients = asyncio.get_running_loop(), []
    for start in range(0, count, AT_ONCE):
        made = await asyncio.gather(
            *(
                loop.create_connection(Client, "127.0.0.1", raw.port)
                for _ in range(min(AT_ONCE, count - start))
            )
        )
        clients += [client for _, client in made]
    return clients


async def leave(clients: list[Client]) -> None:
    for client in clients:
        client.transport.abort()
    await asyncio.gather(*(client.ended.wait() for client in clients))


class Work:
    """Pages that record a message at a time, each on a connection of its own that is kept."""

    def __init__(self, raw: Raw) -> None:
        self._url = f"http://127.0.0.1:{raw.port}"
        self.seconds: list[float] = []

    async def run(self) -> None:
        """Some messages for each; one that is not stored fails."""
        await asyncio.gather(*(self._talk() for _ in range(WORKERS)))

    async def _talk(self) -> None:
        client = httpx2.AsyncClient(
            base_url=self._url, headers=HEADERS, trust_env=False, timeout=PATIENCE
        )
        async with client as http:
            opened = await self._post(http, "/v1/threads", {"site": "support"}, 200)
            blanks, token = opened["messages"], opened["thread"]["token"]
            for _ in range(ROUNDS):
                now = int(time.time() * 1000)
                event = {**said(blanks[0], "user", "x"), "id": f"e{time.monotonic_ns()}", "at": now}
                body = {"token": token, "sent_at": now, "want": 1, "events": [event]}
                answer = await self._post(http, "/v1/events", body, 202)
                assert [each["status"] for each in answer["results"]] == ["accepted"]
                blanks = answer["messages"]

    async def _post(
        self, http: httpx2.AsyncClient, path: str, body: dict[str, Any], status: int
    ) -> dict[str, Any]:
        began = time.perf_counter()
        answer = await http.post(path, json=body)
        if status == 202:  # before the first answer the client has much to do by itself
            self.seconds.append(time.perf_counter() - began)
        assert answer.status_code == status, answer.text
        return dict(answer.json())

    def p99(self) -> float:
        return sorted(self.seconds)[int(len(self.seconds) * 0.99)]


async def worked(raw: Raw) -> float:
    """The p99 of a round of work, in seconds."""
    work = Work(raw)
    await work.run()
    return work.p99()


def trial(raw: Raw, deed: Callable[[Raw], Awaitable[None]]) -> None:
    async def run() -> None:
        async with asyncio.timeout(PATIENCE):
            await deed(raw)

    asyncio.run(run())


@pytest.fixture
def patient(tmp_path: Path) -> Iterator[Raw]:
    """A server that waits as long as it does by itself."""
    allow_files(FILES)
    with serving_raw(tmp_path) as raw:
        yield raw


@pytest.fixture
def quick(tmp_path: Path) -> Iterator[Raw]:
    """A server that waits a few seconds for a request."""
    allow_files(FILES)
    with serving_raw(tmp_path, header_seconds=DEADLINE, request_seconds=DEADLINE) as raw:
        yield raw


def test_ten_thousand_idle_connections_are_held(patient: Raw, report: Report) -> None:
    """All are accepted, answered and kept, others work beside them, and all are answered again;
    when they leave, their files are closed."""

    async def deed(raw: Raw) -> None:
        cost = Cost(raw.process.pid)
        alone, files = await worked(raw), cost.files()
        before = cost.held()
        idlers = await crowd(raw, IDLERS)
        for _ in range(2):
            for idler in idlers:
                idler.answered.clear()
                idler.transport.write(ALIVE)
            await asyncio.gather(*(idler.answered.wait() for idler in idlers))
        held = cost.held() - before
        beside = await worked(raw)
        assert {tuple(statuses(idler.told)) for idler in idlers} == {(200, 200)}
        assert not any(idler.ended.is_set() for idler in idlers)
        assert cost.files() >= IDLERS
        await leave(idlers)
        while cost.files() > files + WORKERS:
            statuses(await raw.told(ALIVE[:-2] + b"Connection: close\r\n\r\n"))
        report(
            {
                "connections": IDLERS,
                "MiB": round(held / MIB, 1),
                "whole MiB": round((before + held) / MIB, 1),
                "p99 ms alone": round(alone * 1000, 1),
                "p99 ms beside them": round(beside * 1000, 1),
                "ratio": round(beside / alone, 2),
            }
        )
        assert held + before <= 250 * MIB

    trial(patient, deed)
    assert {line["event"] for line in patient.lines} == {"serving", "request"}


def test_two_thousand_dribblers_keep_nobody_waiting(quick: Raw, report: Report) -> None:
    """Every good request is answered while they dribble; each of them is closed at its deadline,
    with one answer, whatever it sends."""

    async def dribble(clients: list[Client]) -> None:
        while True:
            for number, client in enumerate(clients):
                if not client.ended.is_set():
                    client.transport.write(b"X: y\r\n" if number % 2 else b" ")
                if number % 100 == 0:
                    await asyncio.sleep(0)
            await asyncio.sleep(1)

    async def deed(raw: Raw) -> None:
        alone = await worked(raw)
        dribblers = await crowd(raw, DRIBBLERS)
        for number, client in enumerate(dribblers):
            line, more = ("GET", b"") if number % 2 else ("POST", b"Content-Length: 9999\r\n\r\n")
            client.transport.write(f"{line} /v1/events HTTP/1.1\r\nHost: x\r\n".encode() + more)
        dribbling = asyncio.create_task(dribble(dribblers))
        beside = await worked(raw)
        await asyncio.gather(*(client.ended.wait() for client in dribblers))
        dribbling.cancel()
        with suppress(asyncio.CancelledError):
            await dribbling
        got = {tuple(statuses(client.told)) for client in dribblers}
        report(
            {
                "dribblers": DRIBBLERS,
                "p99 ms alone": round(alone * 1000, 1),
                "p99 ms beside them": round(beside * 1000, 1),
                "ratio": round(beside / alone, 2),
            }
        )
        assert got == {(408,)}

    trial(quick, deed)
