"""The forwarder, step by step: what it takes from the log, and what it does with an answer."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from structlog.testing import capture_logs

from tests.forwarding import NAME, A, B, Bench, C, Scripted, open_bench
from tests.histories import custom, message, uid, vote
from thumbseal import forwarder as module
from thumbseal import retry
from thumbseal.errors import LogError
from thumbseal.events import Message, Opinion
from thumbseal.forwarder import Forwarder
from thumbseal.ids import ThreadId
from thumbseal.log import Claim, Counts, Receipt, Settled, Standing
from thumbseal.log.sqlite import SqliteLog
from thumbseal.retry import FAULTS, REFUSED
from thumbseal.upstreams import Change, Delivered, Later, Outcome, UpstreamDown

pytestmark = pytest.mark.anyio


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with open_bench(tmp_path) as bench:
        yield bench


def later(*threads: str, after: float | None = None) -> Callable[[Change], Outcome]:
    """An upstream that does not take these threads now."""
    return lambda change: (
        Later("busy", after) if change.conversation.thread in threads else Delivered()
    )


def down(error: Exception) -> Callable[[Change], Outcome]:
    def fail(change: Change) -> Outcome:
        raise error

    return fail


# The cursor.


async def test_events_are_delivered_once(bench: Bench) -> None:
    """What was delivered is not delivered again, and only then there is nothing to do."""
    await bench.say(A, message("u1"), message("a1"))
    await bench.say(B, message("u2"))
    assert await bench.forwarder.step() == bench.upstream.pause
    assert bench.upstream.take() == ["a: 1 2", "b: 3"]
    assert await bench.forwarder.step() is None
    await bench.say(A, message("u3"))
    assert await bench.step() == ["a: 4"]
    assert await bench.counts() == Counts(4, 4, 0, 0, 0)


async def test_a_change_tells_the_whole_thread(bench: Bench) -> None:
    """A change has the new events alone, and the conversation from its beginning."""
    await bench.say(A, message("u1"))
    await bench.step()
    for restarts in (False, True):
        await bench.say(A, message("a2" if restarts else "a1"))
        if restarts:
            bench.restart()
        await bench.forwarder.step()
        (change,) = bench.upstream.changes
        bench.upstream.take()
        assert [each.seq for each in change.events] == [3 if restarts else 2]
        assert (change.site, change.conversation.user) == ("support", "ann")
        assert [turn.seq for turn in change.conversation.turns] == [1, 2, 3][: 3 if restarts else 2]


async def test_a_forgotten_fold_is_told_anew(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """However few conversations are kept in memory, each change tells the whole thread."""
    monkeypatch.setattr(module, "MAX_FOLDS", 1)
    claim, kept = SqliteLog.claim, []

    async def watched(*asked: Any) -> Claim:
        kept.append(len(asked[5]))
        return await claim(*asked)

    monkeypatch.setattr(SqliteLog, "claim", watched)
    for names in (("u1", "u2", "u3"), ("a1", "a2", "a3"), ("u4", "u5", "u6")):
        for thread, name in zip((A, B, C), names, strict=True):
            await bench.say(thread, message(name))
        await bench.forwarder.step()
    for change in bench.upstream.changes:
        stored = await bench.log.read("support", ThreadId(change.conversation.thread))
        assert stored is not None
        upto = change.events[-1].seq
        known = [turn.seq for turn in change.conversation.turns]
        assert known == [event.seq for event in stored.events if event.seq <= upto]
    assert kept == [0, 1, 1]


async def test_sites_share_a_log_and_nothing_else(bench: Bench) -> None:
    """A forwarder delivers and counts its own site's events alone."""
    other = bench.make("other/x")
    await bench.say(A, message("u1"))
    await bench.say(A, message("u1"), message("a1"), site="other")
    assert await bench.step() == ["a: 1"]
    assert await bench.counts() == Counts(1, 1, 0, 0, 0)
    assert await bench.counts("other/x", "other") == Counts(2, 0, 2, 0, 0)
    await other.step()
    assert bench.upstream.take() == ["a: 2 3"]
    assert await bench.counts("other/x", "other") == Counts(2, 2, 0, 0, 0)


async def test_upstreams_of_a_site_do_not_wait_for_each_other(bench: Bench) -> None:
    """Each upstream of a site has a cursor of its own."""
    await bench.say(A, message("u1"))
    await bench.step()
    assert await bench.counts("support/y") == Counts(1, 0, 1, 0, 0)
    await bench.make("support/y").step()
    assert bench.upstream.take() == ["a: 1"]


async def test_the_cursor_passes_other_sites(bench: Bench) -> None:
    """A quiet site does not read a busy one's events over and over."""
    for _ in range(3):
        await bench.say(A, *[custom("x")] * 400, site="other")
    assert await bench.step() == []
    claim = await bench.log.claim(NAME, "support", bench.ms, 10, {})
    assert claim.since == 1200
    await bench.say(A, message("u1"))
    assert await bench.step() == ["a: 1201"]


# Holds.


async def test_a_held_thread_waits_alone(bench: Bench) -> None:
    """While one thread waits for its time, the others go on."""
    bench.upstream.answer = later(A)
    await bench.say(A, message("u1"), message("a1"))
    await bench.say(B, message("u2"))
    assert await bench.step() == ["a: 1 2", "b: 3"]
    assert await bench.counts() == Counts(3, 1, 0, 2, 0)
    await bench.say(A, message("u3"))
    await bench.say(B, message("a2"))
    assert await bench.counts() == Counts(5, 1, 2, 2, 0)
    assert await bench.step() == ["b: 5"]
    assert await bench.counts() == Counts(5, 2, 0, 3, 0)


async def test_a_held_thread_drains_in_order(bench: Bench) -> None:
    """When its time comes, all that a held thread missed goes out in order, and nothing else."""
    bench.upstream.answer = later(A)
    await bench.say(A, message("u1"), message("a1"))
    await bench.say(B, message("u2"))
    await bench.step()
    await bench.say(A, message("u3"))
    await bench.step()
    bench.upstream.answer = later()
    assert await bench.step() == []
    bench.clock.now += 1.0
    assert await bench.step() == ["a: 1 2 4"]
    assert await bench.step() == []
    assert await bench.counts() == Counts(4, 4, 0, 0, 0)


async def test_a_hold_starts_at_the_failing_event(bench: Bench) -> None:
    """What a thread delivered before its trouble is not delivered again."""
    bench.upstream.answer = lambda change: Later("busy", since=2, dead=((1, "no"),))
    await bench.say(A, message("u1"), message("a1"), message("u2"))
    await bench.step()
    assert await bench.counts() == Counts(3, 0, 0, 2, 1)
    bench.upstream.answer = later()
    bench.clock.now += 1.0
    await bench.forwarder.step()
    assert bench.upstream.changes[0].dead == {1}
    assert bench.upstream.take() == ["a: 2 3"]


async def test_a_hold_that_moves_on_waits_as_at_first(bench: Bench) -> None:
    """A thread that got further before it failed again has not failed twice in a row."""
    await bench.say(A, message("u1"), message("a1"), message("u2"), message("a2"))
    for since, wait in ((1, 1.0), (2, 1.0), (3, 1.0), (3, 2.0), (4, 1.0)):
        outcome = Later("busy", since=since)
        bench.upstream.answer = lambda change, outcome=outcome: outcome  # type: ignore[misc]
        await bench.forwarder.step()
        assert await bench.next_hold() == bench.ms + int(wait * 1000)
        bench.clock.now += wait


async def test_a_hold_waits_longer_each_time(bench: Bench) -> None:
    """The n-th attempt waits twice as long as the one before, after a success from the start."""
    bench.upstream.answer = later(A)
    await bench.say(A, message("u1"))
    for wait in (1.0, 2.0, 4.0, 8.0):
        assert await bench.step() == ["a: 1"]
        bench.clock.now += wait - 0.001
        assert await bench.step() == []
        bench.clock.now += 0.001
    bench.upstream.answer = later()
    assert await bench.step() == ["a: 1"]
    bench.upstream.answer = later(A)
    await bench.say(A, message("a1"))
    assert await bench.step() == ["a: 2"]
    assert await bench.next_hold() == bench.ms + 1000


async def test_a_hold_obeys_retry_after(bench: Bench) -> None:
    """A thread is not tried again before the time that its upstream asked for."""
    bench.upstream.answer = later(A, after=41.0)
    await bench.say(A, message("u1"))
    await bench.step()
    assert await bench.next_hold() == bench.ms + 41_000


async def test_held_threads_do_not_fill_the_claim(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much a held thread is sent meanwhile, what comes after it is delivered."""
    monkeypatch.setattr(module, "CLAIM", 3)
    bench.upstream.answer = later(A, after=3600.0)
    await bench.say(A, message("u1"))
    await bench.step()
    await bench.say(A, *[custom("x")] * 10)
    await bench.say(B, message("u2"))
    asked = [await bench.step() for _ in range(6)]
    assert ["b: 12"] in asked
    assert await bench.counts() == Counts(12, 1, 0, 11, 0)


# The dead and the waiting.


async def test_a_dead_event_is_counted_and_named(bench: Bench) -> None:
    """An event refused for good is counted as dead, and later changes say so."""
    bench.upstream.answer = lambda change: Delivered(dead=((1, "no"),))
    await bench.say(A, message("u1"), message("a1"))
    await bench.step()
    assert await bench.counts() == Counts(2, 1, 0, 0, 1)
    bench.upstream.answer = later()
    await bench.say(A, message("u2"))
    await bench.forwarder.step()
    assert bench.upstream.changes[-1].dead == {1}
    assert await bench.counts() == Counts(3, 2, 0, 0, 1)


async def test_a_waiting_vote_holds_nothing_up(bench: Bench) -> None:
    """A vote on an unknown message is counted as held until the message is delivered."""
    bench.upstream.answer = lambda change: Delivered(waiting=((1, uid("a1")),))
    await bench.say(A, vote("a1", thumb="up"))
    await bench.step()
    assert await bench.counts() == Counts(1, 0, 0, 1, 0)
    bench.upstream.answer = later()
    await bench.say(A, message("u1"))
    assert await bench.step() == ["a: 2"]
    assert await bench.counts() == Counts(2, 1, 0, 1, 0)
    await bench.say(A, message("a1"))
    assert await bench.step() == ["a: 3"]
    assert await bench.counts() == Counts(3, 3, 0, 0, 0)


# The upstream as a whole.


async def test_an_upstream_that_is_down_moves_nothing(bench: Bench) -> None:
    """While nothing can be said of any thread, all stay where they are and the wait doubles."""
    await bench.say(A, message("u1"))
    bench.upstream.answer = down(UpstreamDown("no answer"))
    assert [await bench.forwarder.step() for _ in range(4)] == [1.0, 2.0, 4.0, 8.0]
    assert await bench.counts() == Counts(1, 0, 1, 0, 0)
    bench.upstream.take()
    bench.upstream.answer = later()
    assert await bench.step() == ["a: 1"]
    await bench.say(A, message("a1"))
    bench.upstream.answer = down(UpstreamDown("no answer"))
    assert await bench.forwarder.step() == 1.0
    bench.upstream.answer = down(UpstreamDown("no answer", after=41.0))
    assert await bench.forwarder.step() == 41.0


async def test_an_upstream_that_refuses_us_is_left_alone(bench: Bench) -> None:
    """A wrong key is tried again after five minutes at the earliest, and somebody is told."""
    await bench.say(A, message("u1"))
    bench.upstream.answer = down(UpstreamDown("status 401", refused=True))
    with capture_logs() as logs:
        assert await bench.forwarder.step() == REFUSED
    assert [each["event"] for each in logs] == ["upstream_refused"]
    assert await bench.counts() == Counts(1, 0, 1, 0, 0)


async def test_what_an_upstream_asks_for_is_no_failure(bench: Bench) -> None:
    """However often it asks for time, the wait after the next real failure is the first one."""
    await bench.say(A, message("u1"))
    bench.upstream.answer = down(UpstreamDown("status 429", after=0.0, whole=True))
    assert [await bench.forwarder.step() for _ in range(5)] == [1.0] * 5
    bench.upstream.answer = down(UpstreamDown("no answer", whole=True))
    assert await bench.forwarder.step() == 1.0


async def test_a_wait_that_was_asked_for_survives_a_restart(bench: Bench) -> None:
    """A restarted server is no earlier than the upstream said; an outage it may ask about."""
    await bench.say(A, message("u1"))
    bench.upstream.answer = down(UpstreamDown("status 429", after=41.0, whole=True))
    await bench.forwarder.step()
    bench.clock.now += 1.0
    bench.restart()
    assert await bench.forwarder.resume() == pytest.approx(40.0)
    bench.upstream.answer = down(UpstreamDown("no answer", whole=True))
    await bench.forwarder.step()
    bench.restart()
    assert await bench.forwarder.resume() == 0.0


async def test_whoever_asks_is_told_what_is_the_matter(bench: Bench) -> None:
    """What ails an upstream as a whole stands in the log, since when, until it is well again."""
    await bench.say(A, message("u1"))
    began = bench.ms
    for error in (UpstreamDown("away"), UpstreamDown("key", refused=True)):
        bench.upstream.answer = down(error)
        wait = await bench.forwarder.step()
        assert wait is not None
        next_at = bench.ms + int(wait * 1000)
        standing = Standing("refused" if error.refused else "down", str(error), began, next_at)
        assert await bench.log.standing(NAME) == standing
        bench.clock.now += wait
    bench.upstream.answer = later()
    await bench.step()
    assert await bench.log.standing(NAME) is None


async def test_what_makes_an_upstream_fail_ends_up_alone(bench: Bench) -> None:
    """A thread at which the upstream breaks down each time is found by ever smaller claims, and
    held; the others arrive."""

    def break_down(change: Change) -> Outcome:
        if change.conversation.thread == B:
            raise UpstreamDown("status 500")
        return Delivered()

    bench.upstream.answer = break_down
    for name, thread in (("u1", A), ("u2", B), ("u3", C)):
        await bench.say(thread, message(name), message(name.replace("u", "a")))
    for _ in range(20):
        bench.clock.now += await bench.forwarder.step() or 1.0
    assert await bench.counts() == Counts(6, 4, 0, 2, 0)
    receipts = await bench.log.receipts(NAME, "support", B)
    assert {each.reason for each in receipts.values()} == {"status 500"}


async def test_an_upstream_that_is_away_holds_no_thread(bench: Bench) -> None:
    """Where nothing was looked at, nothing in it is to blame, however long it takes."""
    await bench.say(A, message("u1"))
    bench.upstream.answer = down(UpstreamDown("no answer", whole=True))
    for _ in range(20):
        await bench.forwarder.step()
    assert await bench.counts() == Counts(1, 0, 1, 0, 0)


async def test_the_breaker_leaves_a_failing_upstream_alone(bench: Bench) -> None:
    """Where most threads fail, one thread every half minute asks whether it is over."""
    threads = [ThreadId(f"{A[:-2]}{number:02}") for number in range(20)]
    bench.upstream.answer = later(*threads)
    for number, thread in enumerate(threads):
        await bench.say(thread, message(f"u{number}"))
    assert await bench.forwarder.step() == retry.OPEN
    assert len(bench.upstream.take()) == 20
    for _ in range(5):
        bench.clock.now += retry.OPEN
        assert await bench.forwarder.step() == retry.OPEN
        assert len(bench.upstream.take()) == 1
    bench.upstream.answer = later()
    bench.clock.now += retry.OPEN
    assert await bench.forwarder.step() == bench.upstream.pause
    assert len(bench.upstream.take()) == 1
    bench.clock.now += 300
    assert [len(await bench.step()) for _ in range(3)] == [4, 15, 0]


# A thumb that is toggled.


async def test_a_toggled_thumb_makes_one_call(bench: Bench) -> None:
    """Ten votes within a second are one delivery with the last word, at an upstream that keeps
    state; the older nine are delivered as superseded."""
    await record_answer(bench)
    for number in range(10):
        await bench.say(A, vote("a1", thumb="down" if number % 2 else "up"))
        assert await bench.step() == []
        bench.clock.now += 0.09
    assert await bench.counts() == Counts(12, 2, 10, 0, 0)
    bench.clock.now += 0.2
    await bench.forwarder.step()
    (change,) = bench.upstream.changes
    (rating,) = change.conversation.ratings.values()
    assert rating.opinion.thumb == "down"
    assert await bench.step() == ["a: " + " ".join(map(str, range(3, 13)))]
    assert await bench.step() == []
    receipts = await bench.log.receipts(NAME, "support", A)
    assert [receipts[seq].remark for seq in range(1, 13)] == [None, None, *["superseded"] * 9, None]
    assert await bench.counts() == Counts(12, 12, 0, 0, 0)


async def test_an_undo_is_a_last_word(bench: Bench) -> None:
    """A thumb that is taken back within the second goes out as none."""
    await record_answer(bench)
    await bench.say(A, vote("a1", thumb="up"))
    await bench.step()
    await bench.say(A, vote("a1", thumb=None))
    bench.clock.now += 1.0
    await bench.forwarder.step()
    (change,) = bench.upstream.changes
    (rating,) = change.conversation.ratings.values()
    assert rating.opinion == Opinion()


async def test_a_message_takes_a_young_vote_along(bench: Bench) -> None:
    """Only votes wait: what is said is delivered at once."""
    await record_answer(bench)
    await bench.say(A, vote("a1", thumb="up"), message("u2"))
    assert await bench.step() == ["a: 3 4"]


async def test_an_old_vote_does_not_wait(bench: Bench) -> None:
    """What is older than a second, as after an outage, goes out at once."""
    await record_answer(bench)
    await bench.say(A, vote("a1", thumb="up"))
    bench.clock.now += 1.0
    assert await bench.step() == ["a: 3"]


@pytest.mark.parametrize("jump", [-86_400.0, 86_400.0])
async def test_a_clock_that_jumps_keeps_no_vote(bench: Bench, jump: float) -> None:
    """The server's time of a vote and the forwarder's may part: it waits no more than a second."""
    await record_answer(bench)
    now = bench.clock.now
    bench.clock.now += jump
    await bench.say(A, vote("a1", thumb="up"))
    bench.clock.now = now
    told = await bench.step()
    bench.clock.now += 1.0
    assert told + await bench.step() == ["a: 3"]


async def test_a_webhook_gets_every_vote(bench: Bench) -> None:
    """An upstream that does not keep state is told each vote at once."""
    await bench.say(A, message("u1"), message("a1"), vote("a1", thumb="up"))
    assert await bench.step() == ["a: 1 2 3"]
    await bench.say(A, vote("a1", thumb=None))
    assert await bench.step() == ["a: 4"]


async def record_answer(bench: Bench) -> None:
    """A question and its answer, delivered to an upstream that keeps state."""
    bench.upstream.keeps_state = True
    await bench.say(A, message("u1"), message("a1"))
    assert await bench.step() == ["a: 1 2"]


# Clocks.


async def test_a_hold_from_another_time_is_due(bench: Bench) -> None:
    """A hold written before the clock was set back a day does not wait for that day."""
    bench.upstream.answer = later(A)
    await bench.say(A, message("u1"))
    await bench.step()
    bench.clock.now -= 86_400
    bench.restart()
    bench.upstream.answer = later()
    assert await bench.step() == ["a: 1"]


@pytest.mark.parametrize("jump", [-86_400.0, -3_600.0, 3_600.0, 86_400.0])
async def test_the_machine_s_clock_may_jump(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    """A wait is neither cut short nor drawn out by whatever is done to the machine's clock."""
    clock = module.steady_clock()
    forwarder = Forwarder(NAME, bench.log, bench.upstream, clock, lambda: 1.0)
    bench.upstream.answer = later(A, after=600.0)
    await bench.say(A, message("u1"))
    await forwarder.step()
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + jump)
    assert await forwarder.step() is None
    hold = await bench.next_hold()
    assert hold is not None
    assert hold / 1000 - clock() == pytest.approx(600.0, abs=60.0)
    passed = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: passed() + 600.0)
    bench.upstream.take()
    await forwarder.step()
    assert bench.upstream.take() == ["a: 1"]


# Killed anywhere.


async def test_killed_while_delivering(bench: Bench) -> None:
    """A forwarder killed before its answer came delivers the same again."""

    class Slow(Scripted):
        async def deliver(self, changes: Sequence[Change]) -> list[Outcome]:
            await super().deliver(changes)
            await asyncio.get_running_loop().create_future()
            raise AssertionError

    await bench.say(A, message("u1"), message("a1"))
    fast, bench.upstream = bench.upstream, Slow()
    await kill(bench, bench.upstream.asked)
    assert bench.upstream.take() == ["a: 1 2"]
    bench.upstream = fast
    bench.restart()
    assert await bench.counts() == Counts(2, 0, 2, 0, 0)
    assert await bench.step() == ["a: 1 2"]
    assert await bench.step() == []


async def test_killed_while_settling(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A forwarder killed before its settlement was stored delivers the same again."""
    reached = asyncio.Event()

    async def settle(log: SqliteLog, claim: Claim, outcomes: Sequence[Settled], now: int) -> None:
        reached.set()
        await asyncio.get_running_loop().create_future()

    await bench.say(A, message("u1"))
    with monkeypatch.context() as patched:
        patched.setattr(SqliteLog, "settle", settle)
        await kill(bench, reached)
    assert bench.upstream.take() == ["a: 1"]
    bench.restart()
    assert await bench.step() == ["a: 1"]
    assert await bench.counts() == Counts(1, 1, 0, 0, 0)


async def kill(bench: Bench, reached: asyncio.Event) -> None:
    """Cancel a step once it has reached a point."""
    bench.restart()
    task = asyncio.create_task(bench.forwarder.step())
    await reached.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


# Running.


async def test_it_delivers_as_soon_as_something_is_stored(bench: Bench) -> None:
    """A forwarder that has nothing to do is woken by what is stored, not by its clock."""
    async with running(bench):
        await bench.say(A, message("u1"))
        async with asyncio.timeout(module.POLL * 0.9):
            await bench.upstream.wait(1)
    assert bench.upstream.take() == ["a: 1"]


async def test_a_fault_of_ours_holds_one_thread(bench: Bench) -> None:
    """An error that nobody foresaw is told, and its thread waits alone."""
    await bench.say(A, message("u1"))
    await bench.say(B, message("u2"))
    bench.upstream.answer = faulty("u1")
    with capture_logs() as logs:
        await bench.step()
    assert "delivery_failed" in [each["event"] for each in logs]
    assert await bench.counts() == Counts(2, 1, 0, 1, 0)


async def test_what_we_cannot_send_dies_alone(bench: Bench) -> None:
    """After a few tries the one event that our own code cannot send is dead; what stands before
    and behind it in its thread is delivered."""
    await bench.say(A, message("u1"), message("a1"), message("u2"))
    bench.upstream.answer = faulty("a1")
    for _ in range(FAULTS - 1):
        await bench.step()
        assert await bench.counts() == Counts(3, 0, 0, 3, 0)
        bench.clock.now += 300
    await bench.step()
    assert await bench.counts() == Counts(3, 2, 0, 0, 1)
    receipts = await bench.log.receipts(NAME, "support", A)
    assert receipts[2] == Receipt("dead", "a fault of ours: KeyError")


def faulty(content: str) -> Callable[[Change], Outcome]:
    """An upstream whose code cannot send a message of this content."""

    def answer(change: Change) -> Outcome:
        for event in change.events:
            if isinstance(event.entry, Message) and event.entry.content == content:
                raise KeyError(content)
        return Delivered()

    return answer


async def test_an_ill_log_is_waited_for(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log that cannot be read is told of and asked again."""
    monkeypatch.setattr(module, "POLL", 0.01)
    claim, failures = SqliteLog.claim, [LogError("disk")]

    async def fail(*asked: Any) -> Claim:
        if failures:
            raise failures.pop()
        return await claim(*asked)

    monkeypatch.setattr(SqliteLog, "claim", fail)
    await bench.say(A, message("u1"))
    with capture_logs() as logs:
        async with running(bench):
            await bench.upstream.wait(1)
            failures.append(LogError("disk"))
            while failures:  # noqa: ASYNC110  a failing read has no event
                await asyncio.sleep(0.01)
            await bench.say(B, message("u2"))
            await bench.upstream.wait(2)
    assert [each["event"] for each in logs].count("log_failed") == 2


@asynccontextmanager
async def running(bench: Bench) -> AsyncIterator[None]:
    task = asyncio.create_task(bench.make(jitter=0.0).run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_an_upstream_that_is_gone_is_left_alone(bench: Bench) -> None:
    """After 410 nothing is sent, across restarts, until somebody asks for it."""
    await bench.say(A, message("u1"))
    bench.upstream.answer = down(UpstreamDown("status 410", gone=True))
    await bench.forwarder.step()
    standing = await bench.log.standing(NAME)
    assert standing is not None
    assert standing.state == "gone"
    bench.clock.now += 7 * 86_400
    bench.restart()
    wait = await bench.forwarder.resume()
    assert wait is not None
    assert wait > 365 * 86_400
    await bench.log.stand(NAME, structs.replace(standing, next_at=0))
    bench.restart()
    assert await bench.forwarder.resume() == 0.0
    bench.upstream.answer = later()
    assert await bench.step() == ["a: 1", "a: 1"]
