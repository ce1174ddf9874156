"""A forwarder in the field: a real log, real HTTP, an upstream with moods, and virtual time."""

import itertools
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Final
from uuid import UUID

import httpx2
from msgspec import structs

from tests.forwarding import NAME
from tests.histories import ANN
from tests.proxy import START
from thumbseal.conversation import Conversation, fold
from thumbseal.events import AnyEntry
from thumbseal.forwarder import Forwarder
from thumbseal.ids import ThreadId
from thumbseal.log import Counts, Draft, Receipt
from thumbseal.log.sqlite import SqliteLog
from thumbseal.upstreams import Upstream
from thumbseal.upstreams.calls import make_client

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

    def __init__(self, log: SqliteLog, client: httpx2.AsyncClient, random: Random) -> None:
        self.log = log
        self.client = client
        self.random = random
        self.time = Time()
        self.steps = 0
        self.stored: list[ThreadId] = []
        self._numbers = itertools.count(1)

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
        self.stored = list(dict.fromkeys([*self.stored, *(thread for thread, _ in said)]))

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
                hold = await self.log.next_hold(NAME)
                if hold is None:
                    return
                wait = max(hold / 1000 - self.time.now, 0.001)
            self.time.now += wait

    async def counts(self) -> Counts:
        return await self.log.counts(NAME, SITE)

    async def receipts(self) -> dict[ThreadId, dict[int, Receipt]]:
        """What became of each event, event by event."""
        return {thread: await self.log.receipts(NAME, SITE, thread) for thread in self.stored}

    async def check_conservation(self) -> Counts:
        """Every event has one receipt, and the figures are the sums of those."""
        counts = await self.counts()
        found = Counter(
            receipt.state for own in (await self.receipts()).values() for receipt in own.values()
        )
        told = {name: getattr(counts, name) for name in ("delivered", "pending", "held", "dead")}
        assert {name: found[name] for name in told} == told  # type: ignore[index]
        assert counts.accepted == sum(told.values())
        return counts

    async def conversations(self) -> Iterator[Conversation]:
        stored = [await self.log.read(SITE, thread) for thread in self.stored]
        return (fold(each.events, Conversation(each.thread, each.user)) for each in stored if each)


@asynccontextmanager
async def open_field(folder: Path, random: Random) -> AsyncIterator[Field]:
    log = await SqliteLog.open(folder / "log.db")
    client = make_client()
    try:
        yield Field(log, client, random)
    finally:
        await client.aclose()
        await log.close()


def numbered(random: Random, count: int) -> list[ThreadId]:
    """Thread ids."""
    return [ThreadId(str(UUID(int=random.getrandbits(128)))) for _ in range(count)]
