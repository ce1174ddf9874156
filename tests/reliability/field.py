"""A forwarder in the field: a real log, real HTTP, an upstream with moods, and virtual time."""

import itertools
import sqlite3
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from random import Random
from typing import Final
from uuid import UUID

import httpx2
from msgspec import structs

from tests.forwarding import NAME
from tests.histories import ANN
from tests.proxy import START
from tests.reliability.conservation import check_conservation
from thumbseal.events import AnyEntry
from thumbseal.forwarder import Forwarder
from thumbseal.ids import ThreadId
from thumbseal.log import Counts, Draft, Receipt, StoredThread
from thumbseal.log.receipts import receipts
from thumbseal.log.sqlite import SqliteLog
from thumbseal.log.threads import read_thread
from thumbseal.upstreams import Upstream
from thumbseal.upstreams.calls import DEADLINE
from thumbseal.upstreams.guard import ANYWHERE
from thumbseal.upstreams.network import make_client
from thumbseal.upstreams.pace import Pace
from thumbseal.web.serving import SWITCH_SECONDS

SITE: Final = "support"
Said = tuple[ThreadId, AnyEntry]


class Time:
    """Seconds that pass when the field says so; ``now`` counts from 1970."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


class Field:
    """One log, and forwarders that come and go."""

    def __init__(
        self, path: Path, log: SqliteLog, client: httpx2.AsyncClient, random: Random
    ) -> None:
        self.log = log
        self._path = path
        self.client = client
        self.random = random
        self.time = Time()
        self.steps = 0
        self._numbers = itertools.count(1)

    def pace(self) -> Pace:
        """Lunary's limit, in the field's time."""

        async def sleep(seconds: float) -> None:
            self.time.now += seconds

        return Pace(140, self.time, sleep)

    def forwarder(self, upstream: Upstream) -> Forwarder:
        return Forwarder(NAME, self.log, upstream, self.time, self.random.random)

    async def store(self, said: Sequence[Said], chunk: int = 500) -> None:
        """Append events, all of them now."""
        ms = int(self.time.now * 1000)
        for start in range(0, len(said), chunk):
            drafts = [
                Draft(thread, "ann", "browser", ANN, ms, self._stamped(entry, ms))
                for thread, entry in said[start : start + chunk]
            ]
            verdicts = await self.log.append(SITE, drafts, ms)
            assert {each.status for each in verdicts} == {"accepted"}

    def _stamped(self, entry: AnyEntry, ms: int) -> AnyEntry:
        number = next(self._numbers)
        return structs.replace(entry, id=f"e{number}", at=ms + number)

    async def pass_time(self, forwarder: Forwarder, seconds: float, steps: int = 10**9) -> None:
        """Let the forwarder work for so long, or so many steps, or until nothing is left to do."""
        until, last = self.time.now + seconds, self.steps + steps
        while self.time.now < until and self.steps < last:
            wait = await forwarder.step()
            self.steps += 1
            if wait is None:
                claim = await self.log.claim(NAME, SITE, int(self.time.now * 1000), 0, {})
                hold = claim.next_hold
                if hold is None:
                    return
                wait = max(hold / 1000 - self.time.now, 0.001)
            self.time.now += wait

    async def counts(self) -> Counts:
        return await self.log.counts(NAME, SITE)

    def receipts(self) -> dict[ThreadId, dict[int, Receipt]]:
        """What became of each event, event by event."""
        with closing(sqlite3.connect(self._path)) as connection:
            threads = connection.execute("SELECT thread, thread_no FROM threads").fetchall()
            return {
                ThreadId(thread): receipts(connection, NAME, thread_no)
                for thread, thread_no in threads
            }

    async def check_conservation(self) -> Counts:
        """Every event has one receipt, and the figures are the sums of those."""
        return check_conservation(self._path, NAME, SITE)

    def threads(self) -> list[StoredThread]:
        """All that is stored."""
        with closing(sqlite3.connect(self._path)) as connection:
            numbers = connection.execute("SELECT thread_no FROM threads ORDER BY 1").fetchall()
            return [read_thread(connection, number) for (number,) in numbers]


@asynccontextmanager
async def open_field(folder: Path, random: Random) -> AsyncIterator[Field]:
    log = await SqliteLog.open(folder / "log.db")
    client, interval = make_client(DEADLINE, ANYWHERE), sys.getswitchinterval()
    # As the server does it: the upstream's thread would make the log's wait for the interpreter.
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        yield Field(folder / "log.db", log, client, random)
    finally:
        sys.setswitchinterval(interval)
        await client.aclose()
        await log.close()


def numbered(random: Random, count: int) -> list[ThreadId]:
    """Thread ids."""
    return [ThreadId(str(UUID(int=random.getrandbits(128)))) for _ in range(count)]
