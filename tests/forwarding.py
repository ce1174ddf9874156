"""A forwarder between a real log and a scripted upstream, its clock in the test's hand."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from msgspec import structs

from tests.histories import ANN
from tests.proxy import Clock
from thumbseal.events import AnyEntry
from thumbseal.forwarder import Forwarder
from thumbseal.ids import ThreadId
from thumbseal.log import Counts, Draft, Verdict
from thumbseal.log.sqlite import SqliteLog
from thumbseal.upstreams import Change, Delivered, Outcome

A, B, C = (ThreadId(f"019a0000-0000-0000-0000-{digit * 12}") for digit in "abc")
NAME: Final = "support/x"


class Scripted:
    """An upstream that answers as ``answer`` says and keeps what it was asked."""

    pause = 0.25
    batch = 1_000
    concurrency = 1
    keeps_state = False
    lossy: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.asked = asyncio.Event()
        self.answer: Callable[[Change], Outcome] = lambda change: Delivered()

    async def deliver(self, changes: Sequence[Change]) -> list[Outcome]:
        self.changes += changes
        self.asked.set()
        return [self.answer(change) for change in changes]

    async def wait(self, count: int) -> None:
        """Until it was asked to deliver so many changes."""
        async with asyncio.timeout(10):
            while len(self.changes) < count:
                self.asked.clear()
                await self.asked.wait()

    def take(self) -> list[str]:
        """What it was asked since the last look, such as ``a: 1 2`` for two events of thread A."""
        taken = [
            f"{change.conversation.thread[-1]}: "
            + " ".join(str(each.seq) for each in change.events)
            for change in self.changes
        ]
        self.changes.clear()
        return taken


class Bench:
    """A log, an upstream and the forwarder between them; jitter is 1, so waits are the longest."""

    def __init__(self, log: SqliteLog) -> None:
        self.log = log
        self.clock = Clock()
        self.upstream = Scripted()
        self._ids = itertools.count(1)
        self.restart()

    @property
    def ms(self) -> int:
        return int(self.clock.now * 1000)

    def restart(self) -> None:
        """A new forwarder, which knows only what is in the log."""
        self.forwarder = self.make()

    def make(self, name: str = NAME, jitter: float = 1.0) -> Forwarder:
        return Forwarder(name, self.log, self.upstream, self.clock, lambda: jitter)

    async def say(
        self, thread: ThreadId, *entries: AnyEntry, site: str = "support"
    ) -> list[Verdict]:
        """Append entries under fresh event ids."""
        drafts = [
            Draft(thread, "ann", "browser", ANN, self.ms, self._stamped(entry)) for entry in entries
        ]
        return await self.log.append(site, drafts, self.ms)

    def _stamped(self, entry: AnyEntry) -> AnyEntry:
        return structs.replace(entry, id=f"e{next(self._ids)}", at=self.ms)

    async def step(self) -> list[str]:
        """One step; what the upstream was asked in it."""
        await self.forwarder.step()
        return self.upstream.take()

    async def next_hold(self, name: str = NAME) -> int | None:
        """When the next hold is due, in ms."""
        return (await self.log.claim(name, "support", self.ms, 0, {})).next_hold

    async def counts(self, name: str = NAME, site: str = "support") -> Counts:
        return await self.log.counts(name, site)


@asynccontextmanager
async def open_bench(folder: Path) -> AsyncIterator[Bench]:
    log = await SqliteLog.open(folder / "log.db")
    try:
        yield Bench(log)
    finally:
        await log.close()
