"""The disk refuses to be written to: input/output errors, and a file system that the kernel has
made read-only. Needs a C compiler, and root for the latter."""

import asyncio
import errno
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest

from tests.doubles.lunary import Answer, Instead, LunaryDouble, SystemClock
from tests.doubles.serving import serve
from tests.machine.client import Client
from tests.machine.disk import make_image, make_read_only, mount_image, repair, run, unmount
from tests.reliability.conftest import Report
from tests.reliability.server import Server

DOWN: Final = Instead(Answer(503))
PATIENCE: Final = 60.0
BACK: Final = 5.0  # seconds
SOME: Final = 20  # events


@asynccontextmanager
async def _started(
    folder: Path, url: str, environment: Mapping[str, str] | None = None
) -> AsyncIterator[tuple[Server, Client, httpx2.AsyncClient]]:
    async with (
        asyncio.timeout(PATIENCE),
        httpx2.AsyncClient(trust_env=False) as http,
        Server(folder, url, http, environment=environment) as server,
    ):
        await server.start()
        yield server, Client(server, http), http


@pytest.mark.parametrize("number", [errno.EIO, errno.EROFS])
def test_refused_writes(tmp_path: Path, shim: Path, report: Report, number: int) -> None:
    """While no write succeeds pages hear that they shall come again and what is stored goes to the
    upstream; when writes succeed again, events are taken within five seconds by the same process,
    and neither more nor less is stored than was acknowledged."""
    figures: dict[str, Any] = {"test": "refused writes", "error": errno.errorcode[number]}
    home, fault = tmp_path / "home", tmp_path / "fault"
    home.mkdir()
    environment = {
        **os.environ,
        "LD_PRELOAD": str(shim),
        "DISK_ROOT": str(home / "log.db"),
        "DISK_FAULT": str(fault),
    }

    async def trial() -> None:
        with serve(double) as url:
            async with _started(home, url, environment) as (server, client, http):
                await _store_some(double, client)
                fault.write_text(str(number))
                await _endure(server, client, http, double, figures)
                fault.unlink()
                figures["back_after_seconds"] = await client.recover()
                await server.drained()
                assert server.stored() == client.stored
                await server.stop()

    double = LunaryDouble(SystemClock(), requests_per_minute=10**9)
    try:
        asyncio.run(trial())
    finally:
        report(figures)
    assert figures["back_after_seconds"] < BACK


def test_read_only_disk(tmp_path: Path, report: Report) -> None:
    """The same on a disk that the kernel itself has made read-only; once that is repaired, which
    takes a restart, all that was acknowledged is there and goes on."""
    figures: dict[str, Any] = {"test": "read-only disk"}
    folder = tmp_path / "disk"
    image = make_image(folder)

    async def trial() -> None:
        with serve(double) as url:
            async with _started(folder, url) as (server, client, http):
                await asyncio.to_thread(run, "sync", "--file-system", folder)  # the settings
                await _store_some(double, client)
                await asyncio.to_thread(make_read_only, folder)
                await _endure(server, client, http, double, figures)
                await server.kill()
                await asyncio.to_thread(_mend, image, folder)
                await server.start()
                assert (await client.record()).status_code == 202
                await server.drained()
                assert server.stored() == client.stored
                await server.stop()

    mount_image(image, folder)
    double = LunaryDouble(SystemClock(), requests_per_minute=10**9)
    try:
        asyncio.run(trial())
    finally:
        unmount(folder)
        report(figures)


async def _store_some(double: LunaryDouble, client: Client) -> None:
    """Events that an upstream which is down does not have."""
    double.faults.hook = lambda received: DOWN
    for _ in range(SOME):
        assert (await client.record()).status_code == 202


async def _endure(
    server: Server,
    client: Client,
    http: httpx2.AsyncClient,
    double: LunaryDouble,
    figures: dict[str, Any],
) -> None:
    """Events are refused, and those before are delivered all the same."""
    began = time.monotonic()
    statuses = Counter([(await client.record()).status_code for _ in range(SOME)])
    figures["statuses"] = dict(statuses)
    assert statuses.keys() <= {503, 507}
    url = await server.url()
    assert (await http.get(f"{url}/readyz")).status_code == 503
    assert (await http.get(f"{url}/livez")).status_code == 200
    double.faults.clear()
    threads = client.stored.keys()
    arrived = double.until(lambda: threads <= {run.id for run in double.database.runs()})
    await asyncio.wrap_future(arrived)
    figures["delivered_after_seconds"] = round(time.monotonic() - began, 1)


def _mend(image: Path, folder: Path) -> None:
    unmount(folder)
    try:
        repair(image)
    finally:
        mount_image(image, folder)
