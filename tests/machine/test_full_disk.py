"""The disk is full, and then it is not. Needs root: the disk is a small one of our own."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest

from tests.doubles.lunary import Answer, Instead, LunaryDouble, SystemClock
from tests.doubles.serving import serve
from tests.machine.client import Client
from tests.machine.disk import fill_up, mounted
from tests.reliability.conftest import Report
from tests.reliability.server import Server

FILLER: Final = 6  # MiB, somebody else's
DOWN: Final = Instead(Answer(503))
PATIENCE: Final = 120.0
BACK: Final = 5.0  # seconds


@pytest.fixture(params=["tmpfs", "ext4"])
def disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A folder on a disk of its own."""
    with mounted(tmp_path / "disk", request.param) as folder:
        yield folder


def test_full_disk(disk: Path, report: Report, request: pytest.FixtureRequest) -> None:
    """At a full disk pages hear 507, what is pending is delivered, erasing works; with room again
    events are taken within five seconds, by the same process, and nothing acknowledged is lost."""
    _try("full disk", _fill_by_events, disk, report, request)


def test_disk_filled_by_others(disk: Path, report: Report, request: pytest.FixtureRequest) -> None:
    """The same where the log is small and another process has taken all the room."""
    _try("disk filled by others", _fill_by_others, disk, report, request)


def _try(name: str, trial: Callable[..., Any], disk: Path, report: Report, request: Any) -> None:
    began, figures = time.monotonic(), {"test": name, "disk": request.node.callspec.id}
    double = LunaryDouble(SystemClock(), requests_per_minute=10**9)
    with serve(double) as upstream:
        try:
            asyncio.run(trial(disk, upstream, double, figures))
        finally:
            report({**figures, "seconds": round(time.monotonic() - began, 1)})


@asynccontextmanager
async def _started(
    disk: Path, upstream: str
) -> AsyncIterator[tuple[Server, Client, httpx2.AsyncClient]]:
    async with (
        asyncio.timeout(PATIENCE),
        httpx2.AsyncClient(trust_env=False) as http,
        Server(disk, upstream, http) as server,
    ):
        await server.start()
        yield server, Client(server, http), http


async def _fill_by_events(
    disk: Path, upstream: str, double: LunaryDouble, figures: dict[str, Any]
) -> None:
    filler = disk / "filler"
    filler.write_bytes(bytes(FILLER * 1024 * 1024))
    double.faults.hook = lambda received: DOWN
    async with _started(disk, upstream) as (server, client, http):
        refused = await client.fill()
        figures["accepted"] = sum(map(len, client.stored.values()))
        _check_refusal(refused)
        assert (await http.get(f"{await server.url()}/readyz")).status_code == 503
        assert server.backlog()["pending"] > 0
        double.faults.clear()
        await server.drained()
        erased = next(iter(client.stored))
        await _erase(disk, erased)
        _check_refusal(await client.fill())
        await _come_back(client, filler, figures)
        await server.drained()
        del client.stored[erased]
        assert server.stored() == client.stored
        await server.stop()


async def _fill_by_others(
    disk: Path, upstream: str, double: LunaryDouble, figures: dict[str, Any]
) -> None:
    double.faults.hook = lambda received: DOWN
    async with _started(disk, upstream) as (server, client, _):
        for _ in range(20):
            assert (await client.record()).status_code == 202
        await fill_up(disk / "filler")
        _check_refusal(await client.fill())
        figures["accepted"] = sum(map(len, client.stored.values()))
        assert server.backlog()["pending"] > 0
        double.faults.clear()
        await server.drained()
        _check_refusal(await client.record())
        await _come_back(client, disk / "filler", figures)
        await server.drained()
        assert server.stored() == client.stored
        await server.stop()


def _check_refusal(answer: httpx2.Response) -> None:
    assert answer.status_code == 507, answer.text
    error = answer.json()["error"]
    assert (error["code"], error["retry"]) == ("storage_full", True)
    assert int(answer.headers["Retry-After"]) > 0


async def _erase(disk: Path, thread: str) -> None:
    command = (sys.executable, "-m", "thumbseal", "erase", "--yes", "--thread", thread)
    config = ("--config", str(disk / "thumbseal.toml"))
    process = await asyncio.create_subprocess_exec(*command, *config)
    assert await process.wait() == 0


async def _come_back(client: Client, filler: Path, figures: dict[str, Any]) -> None:
    """Somebody makes room, and soon an event is taken."""
    await asyncio.to_thread(filler.unlink)
    figures["back_after_seconds"] = await client.recover()
    assert figures["back_after_seconds"] < BACK
