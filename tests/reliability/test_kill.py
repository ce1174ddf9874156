"""The server is killed, again and again, while people talk and vote."""

import asyncio
import os
import time
from collections import Counter
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from statistics import median
from typing import Any, Final

import httpx2

from tests.doubles.lunary import Cut, Fault, LunaryDouble, Received, SystemClock
from tests.doubles.serving import serve
from tests.reliability.conftest import Report
from tests.reliability.judge import KINDS, Break, judge_log, judge_upstream
from tests.reliability.oracle import Oracle
from tests.reliability.page import Page
from tests.reliability.server import Ready, Server

KILLS: Final = int(os.environ.get("THUMBSEAL_KILLS", "50"))
PAGES: Final = 8
EARLIEST, LATEST = 0.2, 0.7  # seconds after the server is ready
WINDOW: Final = LATEST - EARLIEST  # longer than the pause between two deliveries
IN_DELIVERY: Final = 0.5  # the share of kills that are aimed at a delivery under way
APPLIED: Final = 0.5  # the share of those in which Lunary still applies it
READY: Final = 2.0  # seconds
PATIENCE: Final = 180.0 + 4.0 * KILLS  # seconds for the whole trial; 50 kills usually take 60

# A trial with less than this has shown nothing: each is far under what one usually does.
ENOUGH: Final = {
    "acknowledged": 2_000,
    "repeats": 25,
    "duplicates": 5,
    "kills_in_delivery": 5,
    "delivered_again": 50,
    "looks": 10,
}


@dataclass
class Trial:
    """One run: who takes part, and what is measured."""

    server: Server
    double: LunaryDouble
    oracle: Oracle
    random: Random
    pages: list[Page]
    ready: list[Ready] = field(default_factory=list)
    kills_in_delivery: int = 0
    kills: int = 0

    async def start(self) -> None:
        self.ready.append(await self.server.start())

    async def kill(self) -> None:
        """Kill the server at a random moment, or in the first delivery after the earliest one."""
        moment = self.random.uniform(EARLIEST, LATEST)
        if self.random.random() < IN_DELIVERY:
            await self._kill_in_delivery()
        else:
            await asyncio.sleep(moment)
            await self.server.kill()
        self.kills += 1

    async def _kill_in_delivery(self) -> None:
        """Kill it when a request has come to Lunary, which then takes all of it or nothing."""
        await asyncio.sleep(EARLIEST)
        arrived: Future[None] = Future()
        fault = Cut(applied=self.random.random() < APPLIED)
        self.double.faults.hook = partial(_once, arrived, fault)
        in_time, _ = await asyncio.wait([asyncio.wrap_future(arrived)], timeout=WINDOW)
        self.kills_in_delivery += len(in_time)
        await self.server.kill()
        self.double.faults.clear()

    async def finish(self) -> list[Break]:
        """What was promised and not kept, once everything had the time to arrive."""
        await self.server.drained()
        stored, runs = self.server.stored(), self.double.database.runs()
        return [
            *judge_log(self.oracle, stored),
            *judge_upstream(self.oracle, runs, self.double.effects),
        ]

    def figures(self) -> dict[str, Any]:
        exchanges = [each for name in self.oracle.threads for each in self.oracle.exchanges(name)]
        again = [effect for effect in self.double.effects if "already exists" in str(effect.error)]
        return {
            "kills": self.kills,
            "kills_in_delivery": self.kills_in_delivery,
            "requests": sum(page.requests for page in self.pages),
            "repeats": sum(page.repeats for page in self.pages),
            "duplicates": self.oracle.duplicates,
            "acknowledged": len(self.oracle.obligations),
            "threads": len(self.oracle.threads),
            "exchanges": len(exchanges),
            "votes": sum(len(exchange.opinions) for exchange in exchanges),
            "upstream_requests": len(self.double.journal),
            "delivered_again": len(again),
            "looks": self.server.watch.looks,
            "ready_median_seconds": round(median(ready.seconds for ready in self.ready), 3),
            "ready_max_seconds": round(max(ready.seconds for ready in self.ready), 3),
            "ready_max_own_seconds": round(max(ready.own for ready in self.ready), 3),
        }


def _once(arrived: Future[None], fault: Fault, _request: Received) -> Fault | None:
    """A hook that meets the next request with a fault, and tells."""
    if arrived.done():
        return None
    arrived.set_result(None)
    return fault


def test_kill(tmp_path: Path, seed: int, report: Report) -> None:
    """Kills at random moments lose, double and reorder nothing that was acknowledged."""
    double = LunaryDouble(SystemClock(), requests_per_minute=10**9)
    began, figures = time.monotonic(), {"test": "kill", "seed": seed}
    with serve(double) as upstream:
        try:
            asyncio.run(_run(tmp_path, upstream, double, Random(seed), figures))
        finally:
            report({**figures, "seconds": round(time.monotonic() - began, 1)})


async def _run(
    folder: Path, upstream: str, double: LunaryDouble, random: Random, figures: dict[str, Any]
) -> None:
    async with (
        asyncio.timeout(PATIENCE),
        httpx2.AsyncClient(trust_env=False) as http,
        Server(folder, upstream, http) as server,
    ):
        oracle = Oracle()
        pages = [Page(server, http, oracle, Random(random.random())) for _ in range(PAGES)]
        trial = Trial(server, double, oracle, random, pages)
        try:
            breaks = await _judged(trial)
        finally:
            figures |= trial.figures()
        figures |= {kind: Counter(each.kind for each in breaks)[kind] for kind in KINDS}
        _check(trial, figures, breaks)
        # Faults are over: whoever comes now is served as if nothing had been.
        await pages[0].talk(exchanges=1)
        assert await trial.finish() == []
        await server.stop()


async def _judged(trial: Trial) -> list[Break]:
    stop = asyncio.Event()
    await trial.start()
    async with asyncio.TaskGroup() as group:
        for page in trial.pages:
            group.create_task(page.run(stop))
        for _ in range(KILLS):
            await trial.kill()
            await trial.start()
        stop.set()
    return await trial.finish()


def _check(trial: Trial, figures: dict[str, Any], breaks: list[Break]) -> None:
    assert breaks == []
    assert trial.oracle.unanswered == []
    assert not any(trial.server.backlog().values())
    assert figures["ready_max_own_seconds"] <= READY
    assert trial.kills == KILLS
    assert {name: figures[name] for name in ENOUGH if figures[name] < ENOUGH[name]} == {}
