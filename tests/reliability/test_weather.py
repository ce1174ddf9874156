"""Upstreams that fail at random, slow down, ask for time or storm: order, pace and patience."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise
from pathlib import Path
from random import Random
from statistics import mean
from typing import Any, Final

import pytest

from tests.doubles.lunary import PROJECT, Answer, Instead, LunaryDouble
from tests.doubles.serving import serve
from tests.forwarding import NAME
from tests.histories import message, vote
from tests.reliability.conftest import Report
from tests.reliability.field import Field, Said, Time, numbered, open_field
from thumbseal import retry
from thumbseal.forwarder import Forwarder
from thumbseal.ids import ThreadId
from thumbseal.settings import Lunary, Secret
from thumbseal.upstreams import Change, Delivered, Later, Outcome
from thumbseal.upstreams.lunary import LunaryUpstream

DAY: Final = 86_400.0


class Hook:
    """An upstream that is told every event, one call for each thread, ``concurrency`` at once.

    A call fails with the chance ``failing``, after it told a part of its events. ``arrived`` has
    the virtual time of each event, ``calls`` that of each call.
    """

    pause = 0.0
    batch = 1
    concurrency = 8
    keeps_state = False
    lossy: tuple[str, ...] = ()

    def __init__(self, time: Time, random: Random) -> None:
        self.failing = 0.0
        self.order: dict[str, list[int]] = {}
        self.arrived: dict[int, float] = {}
        self.calls: list[float] = []
        self.failed: set[str] = set()
        self.busiest = 0
        self._busy = 0
        self._time = time
        self._random = random

    async def deliver(self, changes: Sequence[Change]) -> list[Outcome]:
        (change,) = changes
        self._busy += 1
        self.busiest = max(self.busiest, self._busy)
        self.calls.append(self._time())
        await asyncio.sleep(0)
        self._busy -= 1
        return [self._take(change)]

    def _take(self, change: Change) -> Outcome:
        thread = change.conversation.thread
        for event in change.events:
            if self._random.random() < self.failing:
                self.failed.add(thread)
                return Later("status 503", since=event.seq)
            self.order.setdefault(thread, []).append(event.seq)
            self.arrived[event.seq] = self._time()
        return Delivered()


def chatter(threads: Sequence[ThreadId], each: int) -> list[Said]:
    """Every thread says something, in turn."""
    return [(thread, message(f"u{number}{thread}")) for number in range(each) for thread in threads]


@pytest.mark.parametrize("failing", [0.1])
def test_order(tmp_path: Path, seed: int, report: Report, failing: float) -> None:
    """With a call in ten failing at random no thread is told out of its order or twice, and who is
    spared waits no longer than if all were."""

    async def run() -> dict[str, Any]:
        random = Random(seed)
        delays: dict[float, float] = {}
        for share in (0.0, failing):
            folder = tmp_path / str(share)
            folder.mkdir()
            async with open_field(folder, random) as field:
                hook = Hook(field.time, random)
                hook.failing = share
                forwarder = field.forwarder(hook)
                threads = numbered(random, 1_000)
                asked: dict[int, float] = {}
                for start in range(0, 1_000, 100):
                    await field.store(chatter(threads[start : start + 100], each=5))
                    asked |= dict.fromkeys(range(len(asked) + 1, start * 5 + 501), field.time())
                    await field.pass_time(forwarder, 1.0)
                await field.pass_time(forwarder, DAY)
                counts = await field.check_conservation()
                assert counts.delivered == counts.accepted == 5_000
                spared = hook.order.keys() - hook.failed
                inversions = sum(seqs != sorted(set(seqs)) for seqs in hook.order.values())
                assert inversions == 0
                own = [seq for name in spared for seq in hook.order[name]]
                delays[share] = mean(hook.arrived[seq] - asked[seq] for seq in own)
                failed = len(hook.failed)
        return {"inversions": inversions, "failed": failed, "delays": delays}

    figures = asyncio.run(run())
    report({"test": "order", "seed": seed, **figures})
    assert figures["failed"] > 100
    # A step takes no virtual time, so a delay is a wait: none for who is spared.
    assert figures["delays"][failing] <= 2 * figures["delays"][0.0] + 0.001


def test_storm(tmp_path: Path, seed: int, report: Report) -> None:
    """Ten minutes in which nine calls of ten fail: the upstream is left alone but for a probe each
    half minute, the tenth of them that gets through brings no crowd with it, nothing dies, and
    afterwards all arrives."""

    async def run() -> dict[str, Any]:
        random = Random(seed)
        async with open_field(tmp_path, random) as field:
            hook = Hook(field.time, random)
            hook.failing = 0.9
            forwarder = field.forwarder(hook)
            began = field.time()
            threads = numbered(random, 400)
            for minute in range(10):
                await field.store(chatter(threads[minute * 40 : minute * 40 + 40], each=3))
                await field.pass_time(forwarder, began + (minute + 1) * 60 - field.time())
                field.time.now = max(field.time.now, began + (minute + 1) * 60)
                assert (await field.check_conservation()).dead == 0
            stormy = [at for at in hook.calls if at < began + 600]
            open_ = [at for at in stormy if at >= began + retry.OPEN]
            hook.failing = 0.0
            await field.pass_time(forwarder, DAY)
            counts = await field.check_conservation()
            assert counts.delivered == counts.accepted == 1_200
            return {
                "calls_in_the_storm": len(stormy),
                "most_in_a_second_once_open": max(Counter(map(int, open_)).values()),
                "periods": 600 / retry.OPEN,
            }

    figures = asyncio.run(run())
    report({"test": "storm", "seed": seed, **figures})
    assert figures["most_in_a_second_once_open"] <= 10
    assert figures["calls_in_the_storm"] <= 40 + 10 * figures["periods"]


class Fated(Hook):
    """An upstream of which is said beforehand which calls fail."""

    fates: Sequence[bool] = ()

    def _take(self, change: Change) -> Outcome:
        fate, *self.fates = self.fates or [True]
        self.failing = float(fate)
        return super()._take(change)


@pytest.mark.parametrize(("failing", "seconds"), [(3, 0.0), (4, retry.OPEN)])
def test_recovery(tmp_path: Path, seed: int, failing: int, seconds: float) -> None:
    """An upstream that recovers gets more only while no more calls fail than go well: of a crowd of
    seven that came after a lucky probe, three may fail and not four."""

    async def run() -> float | None:
        random = Random(seed)
        async with open_field(tmp_path, random) as field:
            hook = Fated(field.time, random)
            forwarder = field.forwarder(hook)
            threads = numbered(random, 60)
            await field.store(chatter(threads[:20], each=1))
            assert await forwarder.step() == retry.OPEN
            field.time.now += retry.OPEN
            await field.store(chatter(threads[20:], each=1))
            hook.calls.clear()
            hook.fates = [False, *[True] * failing, *[False] * (7 - failing)]
            await forwarder.step()
            assert len(hook.calls) == 1
            wait = await forwarder.step()
            assert len(hook.calls) == 8
            return wait

    assert asyncio.run(run()) == seconds


def test_slowness(tmp_path: Path, seed: int, report: Report) -> None:
    """Where calls fail, half as many are made at once, down to one; where they go well again, twice
    as many."""

    async def run() -> dict[str, Any]:
        random = Random(seed)
        async with open_field(tmp_path, random) as field:
            hook = Hook(field.time, random)
            forwarder = field.forwarder(hook)
            threads = numbered(random, 1_000)
            widths: list[int] = []

            async def talk(number: int) -> None:
                hook.busiest = 0
                await field.store(chatter(threads[number * 50 : number * 50 + 50], each=1))
                await forwarder.step()
                widths.append(hook.busiest)

            for number in range(4):
                await talk(number)
            hook.failing = 0.3
            for number in range(4, 8):
                await talk(number)
            hook.failing = 0.0
            field.time.now += DAY
            for number in range(8, 12):
                await talk(number)
            await field.pass_time(forwarder, DAY)
            counts = await field.check_conservation()
            assert counts.delivered == counts.accepted
            return {"widths": widths}

    figures = asyncio.run(run())
    report({"test": "slowness", "seed": seed, **figures})
    assert figures["widths"] == [1, 2, 4, 8, 8, 4, 2, 1, 1, 2, 4, 8]


SOON: Final = timedelta(seconds=120)


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [
        ("41", 41, 42),
        ("0", 1, 2),
        ("-7", 1, 2),
        ("99999999", 3600, 3601),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 3600, 3601),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 1, 2),
        (SOON, 60, 121),
        (None, 0, 2),
        ("soon", 0, 2),
    ],
)
def test_what_lunary_asks_for(
    tmp_path: Path, seed: int, header: str | timedelta | None, least: float, most: float
) -> None:
    """Five times 429: nothing is sent before the time, nobody waits for more than an hour, and an
    answer that says how long is no failure, after which waits would grow."""

    async def run() -> list[float]:
        random = Random(seed)
        async with open_field(tmp_path, random) as field:
            double = LunaryDouble(Adjusted(field.time), requests_per_minute=10**9)
            headers = {} if header is None else {"retry-after": spelled(header)}
            double.faults.plan(*[Instead(Answer(429, headers))] * 5)
            await field.store(chatter(numbered(random, 2), each=2))
            with serve(double) as url:
                await field.pass_time(forwarder_to(field, url), DAY)
            counts = await field.check_conservation()
            assert counts.delivered == counts.accepted == 4
            return [request.at for request in double.journal]

    times = asyncio.run(run())
    waits = [later - earlier for earlier, later in pairwise(times)]
    assert len(waits) == 5
    known = header not in (None, "soon")
    for number, wait in enumerate(waits):
        assert least <= wait <= (most if known else 2.0 ** (number + 1))


def spelled(header: str | timedelta) -> str:
    """A time from now, which runs on while other tests do, is spelled only when it is needed."""
    if isinstance(header, str):
        return header
    return format_datetime(datetime.now(UTC) + header, usegmt=True)


class Adjusted:
    """The field's time, as the double wants it."""

    def __init__(self, time: Time) -> None:
        self._time = time

    def now(self) -> float:
        return self._time()

    async def sleep(self, seconds: float) -> None:
        return


def forwarder_to(field: Field, url: str) -> Forwarder:
    return field.forwarder(
        LunaryUpstream(Lunary("x", Secret(PROJECT.private_key), url), field.client, field.pace())
    )


def test_a_pause_outlives_the_forwarder(tmp_path: Path, seed: int) -> None:
    """A restart in the middle of a wait that Lunary asked for ends it no earlier."""

    async def run() -> None:
        random = Random(seed)
        async with open_field(tmp_path, random) as field:
            double = LunaryDouble(Adjusted(field.time), requests_per_minute=10**9)
            double.faults.plan(Instead(Answer(429, {"retry-after": "120"})))
            await field.store(chatter(numbered(random, 2), each=2))
            with serve(double) as url:
                await forwarder_to(field, url).step()
                field.time.now += 20
                left = await forwarder_to(field, url).resume()
            assert left == pytest.approx(100.0)
            standing = await field.log.standing(NAME)
            assert standing is not None
            assert (standing.state, standing.reason) == ("asked", "status 429")

    asyncio.run(run())


def test_a_toggled_thumb_at_lunary(tmp_path: Path, seed: int, report: Report) -> None:
    """Ten clicks within a second are one request with one vote, the last one; and a thumb that is
    taken back is taken back at Lunary."""

    async def run() -> dict[str, Any]:
        async with open_field(tmp_path, Random(seed)) as field:
            double = LunaryDouble(Adjusted(field.time), requests_per_minute=10**9)
            (thread,) = numbered(field.random, 1)
            with serve(double) as url:
                forwarder = forwarder_to(field, url)
                await field.store([(thread, message("u1")), (thread, message("a1"))])
                await field.pass_time(forwarder, DAY)
                asked = [await click(field, forwarder, double, thread, THUMBS)]
                shown = [double.exchanges(thread)[0].feedback]
                asked.append(await click(field, forwarder, double, thread, ["up", None]))
                shown.append(double.exchanges(thread)[0].feedback)
            counts = await field.check_conservation()
            assert counts.delivered == counts.accepted == 14
            return {"requests": asked, "thumbs": [each["thumb"] for each in shown]}

    figures = asyncio.run(run())
    report({"test": "toggle", "seed": seed, **figures})
    assert figures["requests"] == [1, 1]
    assert figures["thumbs"] == ["down", None]


THUMBS: Final = ["up", "down"] * 5


async def click(
    field: Field, forwarder: Forwarder, double: LunaryDouble, thread: ThreadId, thumbs: list[Any]
) -> int:
    """Click through these thumbs within a second; how many requests that made in the end."""
    before = len(double.journal)
    for thumb in thumbs:
        await field.store([(thread, vote("a1", thumb=thumb))])
        await forwarder.step()
        field.time.now += 0.09
    await field.pass_time(forwarder, DAY)
    return len(double.journal) - before
