"""Retention and erasing: whole threads go, and nothing goes without a name."""

import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest
from msgspec import structs
from structlog.testing import capture_logs

from tests.forwarding import NAME, A, B, Bench, C, open_bench
from tests.histories import ANN, message, vote
from tests.proxy import Clock, make_settings, running
from thumbseal.ids import ThreadId, actor_of, new_id
from thumbseal.log import (
    Counts,
    Deletion,
    Draft,
    Erasure,
    Removed,
    Retention,
    Settled,
    Verdict,
    removal,
)
from thumbseal.upstreams import Delivered, Later

pytestmark = pytest.mark.anyio
DAY: Final = 24 * 3600 * 1000
RULE: Final = Retention(90 * DAY, None, (NAME,))
STRICT: Final = Retention(90 * DAY, 180 * DAY, (NAME,))
GONE: Final = Verdict("rejected", "gone")
CANARY: Final = "a canary in the rows"


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with open_bench(tmp_path) as opened:
        yield opened


async def expire(bench: Bench, rule: Retention = RULE, site: str = "support") -> Removed:
    return await bench.log.expire({site: rule}, bench.ms)


def erasure(bench: Bench, **what: object) -> Erasure:
    return structs.replace(
        Erasure(site="support", at=bench.ms, upstreams=(NAME,), deletions=(NAME,)), **what
    )


async def threads(bench: Bench, site: str = "support") -> list[ThreadId]:
    return [each.thread for each in await bench.log.recent(site, 100)]


async def test_an_idle_thread_goes_whole_once_it_is_delivered(bench: Bench) -> None:
    """A thread stays until its last event is old enough, then all of it goes at once."""
    await bench.say(A, message("u1"), message("a1"))
    await bench.step()
    bench.clock.now += 60 * 86_400
    await bench.say(A, vote("a1", thumb="up"))
    await bench.say(B, message("u1"))
    await bench.step()
    bench.clock.now += 89 * 86_400
    assert await expire(bench) == Removed(0, 0)
    bench.clock.now += 2 * 86_400
    await bench.say(C, message("u1"))
    assert await expire(bench) == Removed(2, 4)
    assert await threads(bench) == [C]
    assert await bench.counts() == Counts(5, 4, 1, 0, 0)
    assert await bench.step() == ["c: 5"]
    assert await bench.counts() == Counts(5, 5, 0, 0, 0)


async def test_what_an_upstream_still_wants_stays(bench: Bench) -> None:
    """Pending, held or waiting for its message, a thread outlives its days; dead does not count."""
    await bench.say(A, message("u1"))
    bench.upstream.answer = lambda change: Later("busy")
    await bench.step()
    await bench.say(B, message("u1"))
    bench.clock.now += 91 * 86_400
    assert await expire(bench) == Removed(0, 0)
    bench.upstream.answer = lambda change: Delivered(dead=((change.events[0].seq, "no"),))
    await bench.step()
    assert (await bench.counts()).dead == 2
    assert await expire(bench) == Removed(2, 2)
    assert await bench.counts() == Counts(2, 0, 0, 0, 0, 0, 2)


async def test_a_waiting_vote_keeps_its_thread(bench: Bench) -> None:
    """A vote whose message is not recorded yet is not delivered, so its thread stays."""
    bench.upstream.answer = lambda change: Delivered(waiting=((1, "m"),))  # type: ignore[arg-type]
    await bench.say(A, vote("a1", thumb="up"))
    await bench.step()
    bench.clock.now += 91 * 86_400
    assert await expire(bench) == Removed(0, 0)
    assert await bench.counts() == Counts(1, 0, 0, 1, 0)


async def test_the_longest_time_holds_regardless(bench: Bench) -> None:
    """After max_retention_days also what was never delivered goes, and is counted as expired."""
    await bench.say(A, message("u1"), message("a1"))
    bench.clock.now += 179 * 86_400
    assert await expire(bench, STRICT) == Removed(0, 0)
    bench.clock.now += 2 * 86_400
    assert await expire(bench, STRICT) == Removed(1, 2)
    assert await bench.counts() == Counts(2, 0, 0, 0, 0, 0, 2)
    await bench.say(A, message("u2"))
    assert await bench.step() == ["a: 3"]


async def test_each_site_has_its_own_rule(bench: Bench) -> None:
    """A sweep looks at all sites and touches those that have a rule."""
    await bench.say(A, message("u1"), site="other")
    await bench.say(B, message("u1"), site="third")
    bench.clock.now += 91 * 86_400
    assert await expire(bench, Retention(90 * DAY), "other") == Removed(1, 1)
    assert await threads(bench, "third") == [B]


async def test_a_sweep_reads_on_behind_its_first_page(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages smaller than the log remove as much as one, however many events fill them."""
    monkeypatch.setattr(removal, "PAGE", 3)
    monkeypatch.setattr(removal, "ENOUGH", 4)
    for _ in range(10):
        await bench.say(ThreadId(new_id(bench.ms)), message("u1"), message("a1"))
        await bench.step()
    bench.clock.now += 91 * 86_400
    assert await expire(bench) == Removed(10, 20)


async def test_an_erased_thread_is_gone_and_stays_gone(bench: Bench, tmp_path: Path) -> None:
    """Its rows, its holds and its bytes are gone; repeats and new events are refused."""
    await bench.say(A, message("u1", content=CANARY), message("a1"))
    await bench.step()
    await bench.say(A, message("u2"))
    await bench.say(B, message("u1"))
    assert await bench.log.erase(erasure(bench, thread=A)) == Removed(1, 3)
    assert await threads(bench) == [B]
    assert await bench.counts() == Counts(4, 2, 1, 0, 0, 1)
    assert await bench.say(A, message("u3")) == [GONE]
    assert bench.log.barriers.closed("support", A)
    assert await bench.step() == ["b: 4"]
    await bench.log.close()
    assert found(tmp_path) == []


def found(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if CANARY.encode() in path.read_bytes()]


async def test_erasing_between_claim_and_settlement_leaves_nothing(bench: Bench) -> None:
    """A thread that is erased while it is on its way neither comes back nor spoils the accounts."""
    await bench.say(A, message("u1"))
    claim = await bench.log.claim(NAME, "support", bench.ms, 10, {})
    await bench.log.erase(erasure(bench, thread=A))
    (due,) = claim.due
    held = Settled(due.stored.thread_no, 1, 1, bench.ms, "busy", dead=((1, "no"),))
    await bench.log.settle(claim, [held], bench.ms)
    assert await bench.counts() == Counts(1, 0, 0, 0, 0, 1)
    assert await bench.next_hold() is None
    assert await bench.step() == []


async def test_a_user_is_erased_wherever_she_took_part(bench: Bench) -> None:
    """Her threads and those she voted in go; other people's and other sites' stay."""
    hers = actor_of("support", "eve")
    bare = structs.replace(vote("a1", thumb="up"), id="v", at=bench.ms)
    said = structs.replace(message("u1"), id="m", at=bench.ms)
    await bench.log.append("support", [Draft(A, None, "browser", hers, bench.ms, bare)], bench.ms)
    await bench.log.append("support", [Draft(B, "eve", "browser", ANN, bench.ms, said)], bench.ms)
    await bench.say(C, message("u1"))
    await bench.log.append("other", [Draft(B, "eve", "browser", ANN, bench.ms, said)], bench.ms)
    assert await bench.log.erase(erasure(bench, user="eve")) == Removed(2, 2)
    assert await threads(bench) == [C]
    assert await threads(bench, "other") == [B]
    now = bench.ms // 1000
    assert bench.log.barriers.refuse("support", now, user="eve")
    assert bench.log.barriers.refuse("support", now, actor=hers)
    assert not bench.log.barriers.refuse("support", now + 1, user="eve")


async def test_deletions_wait_until_nothing_can_be_under_way(bench: Bench) -> None:
    """There is one deletion for each thread and upstream, also for a thread unknown here."""
    await bench.say(A, message("u1"))
    await bench.log.erase(erasure(bench, thread=A))
    await bench.log.erase(erasure(bench, thread=A))
    await bench.log.erase(erasure(bench, thread=B))
    assert await bench.log.deletions(NAME, bench.ms, 10) == []
    due = bench.ms + removal.GRACE_MS
    first, second = await bench.log.deletions(NAME, due, 10)
    assert (first, second) == (Deletion(NAME, A, due), Deletion(NAME, B, due))
    await bench.log.settle_deletion(first, done=True)
    later = structs.replace(second, attempts=1, next_at=due + 1, reason="down")
    await bench.log.settle_deletion(later, done=False)
    assert await bench.log.deletions(NAME, due, 10) == []
    assert await bench.log.deletions(NAME, due + 1, 10) == [later]


def test_a_server_removes_what_is_due_when_it_starts(tmp_path: Path) -> None:
    """The site's own days count: after them a thread is gone, and no day earlier."""
    configured = make_settings(tmp_path, retention_days=3)
    clock = Clock()
    for days, left in ((0, 1), (2, 1), (2, 0)):
        clock.now += days * 86_400
        with running(configured, clock) as proxy, capture_logs():
            if days == 0:
                opened = proxy.open()
                proxy.record(opened["thread"]["token"], {"type": "custom", "name": "opened"})
            deadline = time.monotonic() + 20
            while len(proxy.conversations()) != left and time.monotonic() < deadline:
                time.sleep(0.02)  # the sweep is the server's own
            assert len(proxy.conversations()) == left


def test_every_table_that_knows_a_thread_is_emptied(tmp_path: Path) -> None:
    """A new table with a thread's or an event's number is one that removing has to know."""
    schema = Path(removal.__file__).with_name("schema.sql").read_text("utf-8")
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(schema)
        tables = [
            name
            for (name,) in connection.execute(
                "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
            )
        ]
        columns = {
            table: {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
            for table in tables
        }
    by_thread = {table for table in tables if "thread_no" in columns[table]}
    by_seq = {table for table in tables if "seq" in columns[table]}
    assert by_thread - by_seq == {*removal._BY_THREAD, "threads"}
    assert by_seq - {"events", "cursor"} == set(removal._BY_SEQ)
