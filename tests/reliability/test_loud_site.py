"""A site a hundred times as loud as its neighbour, with an upstream that is dead: R18 of the
reliability catalogue. What must hold is that nothing of the quiet site is refused, lost or held;
how much later it is answered and delivered is printed, and what the server and its index take for
all of it. THUMBSEAL_LOUD has the seconds of a block.
"""

import asyncio
import json
import os
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Final

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.bench.traffic import write_requests
from tests.doubles.serving import serve
from tests.indexed import await_followers
from tests.machine.cost import MIB, cpu, peak
from tests.proxy import ORIGIN
from tests.raw import Raw, running_raw
from tests.reliability.conftest import Report
from tests.reliability.loud import Loud, loud
from tests.reliability.test_overload import read_answer
from thumbseal.index.file import index_path
from thumbseal.keys import Keys, new_key
from thumbseal.tokens import Tokens

BLOCK: Final = float(os.environ.get("THUMBSEAL_LOUD", "1"))  # seconds, of each kind by turns
BLOCKS: Final = 3
LOOK: Final = 0.05  # seconds
QUIET: Final = 5.0  # requests a second
LOUD: Final = 100 * QUIET
PATIENCE: Final = 60.0 + 10 * BLOCK
SECRET: Final = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SETTINGS: Final = """\
[server]
listen = "127.0.0.1:0"
log = "sqlite:log.db"
lines = "json"
"""
SITE: Final = """
[sites.{name}]
keys = ["file:{name}.key"]
origins = ["{origin}"]
limits = "off"

[[sites.{name}.upstreams]]
name = "hook"
kind = "webhook"
url = "{url}"
secret = "file:hook.secret"
allow_private = ["127.0.0.1"]
"""


class Receiver:
    """A webhook's receiver that notes when each event came."""

    def __init__(self) -> None:
        self.came: dict[str, float] = {}
        self.app = Starlette(routes=[Route("/", self._take, methods=["POST"])])

    async def _take(self, request: Request) -> Response:
        self.came[json.loads(await request.body())["data"]["event"]["id"]] = time.monotonic()
        return Response(status_code=204)


class Talker:
    """One site's requests at a steady pace; how long each took, and when it was answered."""

    def __init__(self, port: int, tokens: Tokens) -> None:
        self._port, self._tokens = port, tokens
        self.took: list[float] = []
        self.answered: dict[str, float] = {}

    async def talk(self, seconds: float, rate: float) -> None:
        requests = write_requests(self._tokens, int(seconds * rate), 1, 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        loop = asyncio.get_running_loop()
        start = loop.time()
        for number, request in enumerate(requests):
            await asyncio.sleep(start + number / rate - loop.time())
            began = time.monotonic()
            writer.write(request)
            status, answer = await read_answer(reader)
            now = time.monotonic()
            assert (status, answer["results"]) == (202, [{"status": "accepted"}])
            self.took.append(now - began)
            (event,) = json.loads(request.partition(b"\r\n\r\n")[2])["events"]
            self.answered[event["id"]] = now
        writer.close()


class Standing:
    """How far behind the index was at most, in seconds, while somebody looked; and what the server
    and the process of the index took for it."""

    def __init__(self, server: int, log_path: Path) -> None:
        self._server, self._log_path = server, log_path
        self.behind = 0.0
        self.took = [0.0, 0.0]
        self.held = 0

    @asynccontextmanager
    async def noted(self) -> AsyncIterator[None]:
        (index,) = await asyncio.to_thread(await_followers, self._log_path.parent, 1)
        before = [cpu(self._server), cpu(index)]
        looking = asyncio.create_task(self._look())
        yield
        looking.cancel()
        for number, process in enumerate((self._server, index)):
            self.took[number] += cpu(process) - before[number]
        self.held = peak(index)

    async def _look(self) -> None:
        with (
            closing(sqlite3.connect(self._log_path)) as log,
            closing(sqlite3.connect(index_path(self._log_path))) as index,
        ):
            while True:
                cursor = index.execute("SELECT cursor FROM state").fetchone()
                first = log.execute(
                    "SELECT received_at FROM events WHERE seq > ? ORDER BY seq LIMIT 1", cursor
                ).fetchone()
                if first:
                    self.behind = max(self.behind, time.time() - first[0] / 1000)
                await asyncio.sleep(LOOK)


@pytest.fixture
def raw_and_receiver(tmp_path: Path) -> Any:
    """A server with a quiet and a loud site, whose upstream nobody serves."""
    receiver = Receiver()
    (tmp_path / "hook.secret").write_text(SECRET)
    with serve(receiver.app) as url:
        text = SETTINGS
        for name, target in (("quiet", url), ("loud", "http://127.0.0.1:9")):
            (tmp_path / f"{name}.key").write_text(new_key())
            text += SITE.format(name=name, origin=ORIGIN, url=target)
        (tmp_path / "thumbseal.toml").write_text(text)
        with running_raw(tmp_path / "thumbseal.toml") as raw:
            yield raw, receiver


def test_a_loud_site_takes_nothing_from_a_quiet_one(
    raw_and_receiver: tuple[Raw, Receiver], tmp_path: Path, report: Report
) -> None:
    raw, receiver = raw_and_receiver
    quiet = Tokens("quiet", Keys.derive([(tmp_path / "quiet.key").read_text()]))
    requests = int(BLOCK * LOUD)
    with loud(raw.port, "loud", tmp_path / "loud.key", requests, LOUD, BLOCKS) as neighbour:
        measured = by_turns(raw, receiver, quiet, neighbour, tmp_path / "log.db")
        figures = asyncio.run(asyncio.wait_for(measured, PATIENCE))
    report({"test": "loud_site", "block_seconds": BLOCK, **figures})


async def by_turns(
    raw: Raw, receiver: Receiver, quiet: Tokens, neighbour: Loud, log_path: Path
) -> dict[str, Any]:
    alone, disturbed = Talker(raw.port, quiet), Talker(raw.port, quiet)
    await Talker(raw.port, quiet).talk(1, QUIET)  # to warm up
    standing = Standing(raw.process.pid, log_path)
    for _ in range(BLOCKS):
        await alone.talk(BLOCK, QUIET)
        async with standing.noted():
            await asyncio.to_thread(neighbour.begin)
            await disturbed.talk(BLOCK, QUIET)
            await asyncio.to_thread(neighbour.finish)
    expected = alone.answered.keys() | disturbed.answered.keys()
    while not expected <= receiver.came.keys():  # noqa: ASYNC110  no event crosses processes
        await asyncio.sleep(0.05)
    lags = [
        [receiver.came[event] - at for event, at in each.answered.items()]
        for each in (alone, disturbed)
    ]
    return {
        "p50_ms": [ms(median(each.took)) for each in (alone, disturbed)],
        "p99_ms": [ms(p99(each.took)) for each in (alone, disturbed)],
        "p99_ratio": round(p99(disturbed.took) / p99(alone.took), 2),
        "lag_p50_ms": [ms(median(each)) for each in lags],
        "lag_p99_ms": [ms(p99(each)) for each in lags],
        "lag_p99_ratio": round(p99(lags[1]) / p99(lags[0]), 2),
        "index_behind_ms": ms(standing.behind),
        "index_mib": round(standing.held / MIB, 1),
        "cpu_us_per_event": [
            round(each / (BLOCKS * BLOCK * (QUIET + LOUD)) * 1e6) for each in standing.took
        ],
    }


def ms(seconds: float) -> float:
    return round(seconds * 1000, 1)


def p99(seconds: list[float]) -> float:
    return quantiles(seconds, n=100)[-1]
