"""The machine's clock is set while the server runs. Needs a C compiler."""

import asyncio
import os
import time
from concurrent.futures import Future
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import httpx2

from tests.doubles.lunary import Answer, Fault, Instead, LunaryDouble, Received, SystemClock
from tests.doubles.serving import serve
from tests.machine.client import Client
from tests.reliability.conftest import Report
from tests.reliability.server import Server

ASKED: Final = 2  # seconds that the upstream wants to be left alone
PATIENCE: Final = 60.0
BACK: Final = 30.0  # seconds for all to be there; a wait that the clock draws out lasts an hour
HONEST: Final = (30, -30, 3_600, 86_400)  # offsets at which a token of before is good
WRONG: Final = (-3_600, -86_400)


class Clock:
    """What a process takes for the time of day: the right one, and an offset in seconds."""

    def __init__(self, folder: Path, library: Path) -> None:
        self._file = folder / "clock"
        self.set(0)
        self.environment = {
            **os.environ,
            "LD_PRELOAD": str(library),
            "CLOCK_FILE": str(self._file),
        }

    def set(self, offset: int) -> None:
        new = self._file.with_suffix(".new")
        new.write_text(str(offset))
        new.rename(self._file)


class Busy:
    """An upstream that wants to be left alone, once; ``asked`` is when it said so, ``heard`` when
    somebody came again."""

    def __init__(self) -> None:
        self.asked: Future[float] = Future()
        self.heard: Future[float] = Future()

    def __call__(self, received: Received) -> Fault | None:
        if not self.asked.done():
            self.asked.set_result(time.monotonic())
            return Instead(Answer(429, {"retry-after": str(ASKED)}))
        if not self.heard.done():
            self.heard.set_result(time.monotonic())
        return None


def test_the_clock_is_set(tmp_path: Path, clock_library: Path, report: Report) -> None:
    """By a minute, an hour or a day, back and forth, in the middle of a wait: the wait is neither
    cut short nor drawn out, a token is good as long as the clocks differ by less than the leeway,
    and the times in a thread go on rising."""
    figures: dict[str, Any] = {"test": "clock", "waits": {}}
    double = LunaryDouble(SystemClock(), requests_per_minute=10**9)
    try:
        with serve(double) as url:
            asyncio.run(_run(tmp_path, clock_library, url, double, figures))
    finally:
        report(figures)
    waits = figures["waits"]
    assert waits.keys() == {*HONEST, *WRONG}
    assert min(waits.values()) >= ASKED - 0.05
    assert figures["threads"] >= len(HONEST) + len(WRONG)


async def _run(
    folder: Path, library: Path, url: str, double: LunaryDouble, figures: dict[str, Any]
) -> None:
    clock = Clock(folder, library)
    async with (
        asyncio.timeout(PATIENCE),
        httpx2.AsyncClient(trust_env=False) as http,
        Server(folder, url, http, environment=clock.environment) as server,
    ):
        await server.start()
        client = Client(server, http)
        for offset in (*HONEST, *WRONG):
            figures["waits"][offset] = await _set(clock, offset, client, double)
            async with asyncio.timeout(BACK):
                await server.drained()
        assert server.stored() == client.stored
        assert server.backlog()["dead"] == 0
        await server.stop()
    for thread in client.stored:
        _check_times(double, thread)
    figures["threads"] = len(client.stored)


async def _set(clock: Clock, offset: int, client: Client, double: LunaryDouble) -> float:
    """Set the clock while the upstream wants to be left alone; the seconds that it was."""
    clock.set(0)
    await client.open()
    double.faults.hook = busy = Busy()
    assert (await client.record()).status_code == 202
    asked = await asyncio.wrap_future(busy.asked)
    clock.set(offset)
    answer = await client.record()
    if offset in HONEST:
        assert answer.status_code == 202, answer.text
    else:
        assert answer.status_code == 401, answer.text
        await client.open()
        assert (await client.record()).status_code == 202
    async with asyncio.timeout(BACK):
        return round(await asyncio.wrap_future(busy.heard) - asked, 2)


def _check_times(double: LunaryDouble, thread: str) -> None:
    own = [run for run in double.database.runs() if run.parent_run_id == thread]
    times = [run.created_at for run in sorted(own, key=lambda run: run.number)]
    assert times
    assert all(earlier < later for earlier, later in pairwise(times)), times
