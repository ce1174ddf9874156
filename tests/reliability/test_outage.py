"""An upstream that is away for hours costs no memory, and is caught up with in order."""

import asyncio
import gc
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any, Final

from tests.reliability.conftest import Report
from tests.reliability.field import Field, Said, numbered, open_field
from thumbseal.events import Message
from thumbseal.ids import MessageId, ThreadId
from thumbseal.upstreams import Change, Delivered, Outcome, UpstreamDown

HOURS: Final = 6
# Events a second. What is promised is promised for 100 (THUMBSEAL_RATE=100 takes a while); memory
# that grew with what waits shows at a twentieth of it, too.
RATE: Final = int(os.environ.get("THUMBSEAL_RATE", "5"))
PERIOD: Final = 60  # seconds of arrivals that are stored at once
LENGTH: Final = 20  # events in a thread
MEMORY: Final = 50 * 1024 * 1024
FASTER: Final = 5  # times the arrival rate of 100 a second


class Absent:
    """An upstream that keeps state, at the pace that Lunary allows; away until it is ``back``."""

    pause = 0.5
    batch = 1_000
    concurrency = 1
    keeps_state = True
    lossy: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.back = False
        self.asked = 0
        self.delivered = 0
        self.disordered = 0
        # Of threads that go on: the last event, and how many there were. No more than that, since
        # this lies in the memory that is measured.
        self._open: dict[str, tuple[int, int]] = {}

    async def deliver(self, changes: Sequence[Change]) -> list[Outcome]:
        self.asked += 1
        if not self.back:  # nobody there, and from time to time somebody who does not answer
            raise UpstreamDown("away", whole=self.asked % 3 > 0)
        for change in changes:
            seqs = [event.seq for event in change.events]
            thread = change.conversation.thread
            last, told = self._open.pop(thread, (0, 0))
            self.disordered += seqs != sorted(seqs) or seqs[0] <= last
            if told + len(seqs) < LENGTH:
                self._open[thread] = (seqs[-1], told + len(seqs))
            self.delivered += len(seqs)
        return [Delivered()] * len(changes)


def arrivals(random: Random) -> Iterator[Said]:
    """Threads that begin, go on side by side, and end."""
    left: dict[ThreadId, int] = {}
    while True:
        if len(left) < RATE * 10:
            left[numbered(random, 1)[0]] = LENGTH
        thread = random.choice(list(left)[:50])
        left[thread] -= 1
        role: Any = "assistant" if left[thread] % 2 == 0 else "user"
        if left[thread] == 0:
            del left[thread]
        own = MessageId(numbered(random, 1)[0])
        yield thread, Message(id="_", at=0, message=own, role=role, content="grüß dich " * 20)


def memory() -> int:
    """The bytes that this process has in memory now."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_outage(tmp_path: Path, seed: int, report: Report) -> None:
    """Six hours of arrivals without an upstream, and what happens when it is back."""
    figures: dict[str, Any] = {"test": "outage", "seed": seed, "hours": HOURS, "rate": RATE}
    began = time.monotonic()
    try:
        asyncio.run(run(tmp_path, Random(seed), figures))
    finally:
        report({**figures, "seconds": round(time.monotonic() - began, 1)})
    assert figures["disordered"] == 0
    assert figures["growth_bytes"] <= MEMORY
    assert figures["drained_a_second"] >= FASTER * 100
    # Probes spread out to one in two and a half minutes on average.
    assert figures["probes"] <= 300


async def run(folder: Path, random: Random, figures: dict[str, Any]) -> None:
    upstream = Absent()
    async with open_field(folder, random) as field:
        forwarder = field.forwarder(upstream)
        sizes = await away(field, forwarder, random)
        counts = await field.counts()
        assert counts.delivered == counts.dead == 0
        assert counts.accepted == HOURS * 3600 * RATE
        figures |= {"probes": upstream.asked, "held_by_probes": counts.held}
        upstream.back = True
        back, clock = field.time.now, time.monotonic()
        await field.pass_time(forwarder, 7 * 86_400)
        sizes.append(memory())
        counts = await field.counts()
        assert (counts.delivered, upstream.delivered) == (counts.accepted, counts.accepted)
        figures |= {
            "growth_bytes": max(sizes) - sizes[0],
            "drained_a_second": round(counts.accepted / (field.time.now - back)),
            "drained_a_second_of_this_machine": round(counts.accepted / (time.monotonic() - clock)),
            "disordered": upstream.disordered,
        }


async def away(field: Field, forwarder: Any, random: Random) -> list[int]:
    """The outage; the memory in use after its first minutes and then every half hour."""
    telling, end = arrivals(random), field.time.now + HOURS * 3600
    sizes: list[int] = []
    probe = field.time.now
    while field.time.now < end:
        await field.store([next(telling) for _ in range(PERIOD * RATE)])
        field.time.now += PERIOD
        while probe <= field.time.now:
            probe += await forwarder.step() or 1.0
        if len(sizes) < (field.time.now - end) / 1800 + HOURS * 2 + 0.2:
            sizes.append(memory())
    return sizes
