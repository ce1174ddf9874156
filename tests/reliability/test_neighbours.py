"""An upstream that hangs is no trouble of those who record: R8 of the reliability catalogue."""

import asyncio
import itertools
import time
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Final

import httpx2

from tests.doubles.lunary import Hang, LunaryDouble, SystemClock
from tests.doubles.serving import serve
from tests.proxy import said
from tests.reliability.conftest import Report
from tests.reliability.server import Server
from tests.reliability.test_signals import HEADERS

BLOCKS: Final = 3  # of each kind, by turns
REQUESTS: Final = 200  # in a block
PAGES: Final = 4
PATIENCE: Final = 120.0  # seconds for the trial
# A request that waited for the upstream would wait for its deadline, 30 s.
WORST: Final = 5.0  # seconds


async def talk(http: httpx2.AsyncClient, url: str, requests: int) -> list[float]:
    """Messages of one thread, one a request; how long each took, in seconds."""
    asked = {"site": "support", "want": 1}
    answer = await http.post(f"{url}/v1/threads", json=asked, headers=HEADERS)
    opened, took = answer.json(), []
    (blank,) = opened["messages"]
    for number in range(requests):
        now = int(time.time() * 1000)
        event = {**said(blank, "user", "x"), "id": f"e{number}", "at": now}
        body = {"token": opened["thread"]["token"], "sent_at": now, "want": 1, "events": [event]}
        began = time.perf_counter()
        answer = await http.post(f"{url}/v1/events", json=body, headers=HEADERS)
        took.append(time.perf_counter() - began)
        assert answer.status_code == 202, answer.text
        assert answer.json()["results"] == [{"status": "accepted"}]
        (blank,) = answer.json()["messages"]
    return took


async def block(http: httpx2.AsyncClient, url: str) -> list[float]:
    each = [talk(http, url, REQUESTS // PAGES) for _ in range(PAGES)]
    return list(itertools.chain.from_iterable(await asyncio.gather(*each)))


def test_a_hanging_upstream_is_not_waited_for(tmp_path: Path, report: Report) -> None:
    """While every delivery hangs, recording goes on as before, and all of it arrives later."""
    double = LunaryDouble(SystemClock(), requests_per_minute=10**9)
    with serve(double) as upstream:
        figures = asyncio.run(asyncio.wait_for(by_turns(tmp_path, upstream, double), PATIENCE))
    report({"test": "hanging_upstream", "requests": BLOCKS * REQUESTS, **figures})
    assert figures["worst_ms_hanging"] < WORST * 1000


async def by_turns(folder: Path, upstream: str, double: LunaryDouble) -> dict[str, Any]:
    healthy: list[float] = []
    hanging: list[float] = []
    async with (
        httpx2.AsyncClient(trust_env=False, timeout=PATIENCE) as http,
        Server(folder, upstream, http) as server,
    ):
        await server.start()
        url = await server.url()
        await block(http, url)  # to warm up
        for _ in range(BLOCKS):
            healthy += await block(http, url)
            hang = Hang()
            double.faults.hook = lambda received, hang=hang: hang
            await talk(http, url, 1)
            await asyncio.wrap_future(hang.entered)
            hanging += await block(http, url)
            assert not hang.released.done()  # it hung all the time
            double.faults.clear()
            hang.release()
            await server.drained()
        await server.stop()
        server.stored()
    return {
        "p50_ms": round(median(healthy) * 1000, 2),
        "p50_ms_hanging": round(median(hanging) * 1000, 2),
        "p99_ms": round(p99(healthy) * 1000, 2),
        "p99_ms_hanging": round(p99(hanging) * 1000, 2),
        "p99_ratio": round(p99(hanging) / p99(healthy), 2),
        "worst_ms_hanging": round(max(hanging) * 1000),
    }


def p99(seconds: list[float]) -> float:
    return quantiles(seconds, n=100)[-1]
