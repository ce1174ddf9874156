"""What every log promises, run over each engine there is."""

import asyncio
import os
import sqlite3
import stat
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from thumbseal import events
from thumbseal.errors import LogBusy, LogError
from thumbseal.events import Custom, Feedback, Message, Opinion
from thumbseal.ids import ActorId, ThreadId, new_id
from thumbseal.log import Draft, Log, Settled, Verdict, opening
from thumbseal.log.barriers import Barrier, Barriers
from thumbseal.log.sqlite import SqliteLog

pytestmark = pytest.mark.anyio
ENGINES = [SqliteLog]
NOW = 1_790_000_000_000
A, B = ThreadId(new_id(NOW)), ThreadId(new_id(NOW))
ME = ActorId(new_id(NOW))


@pytest.fixture(params=ENGINES)
async def log(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Log]:
    opened: Log = await request.param.open(tmp_path / "log.db")
    yield opened
    await opened.close()


def said(text: str, **more: Any) -> Draft:
    fields = {"id": new_id(NOW), "message": new_id(NOW), "thread": A, "user": None, **more}
    thread, user = fields.pop("thread"), fields.pop("user")
    entry = Message(at=NOW, role="user", content=text, **fields)
    return Draft(thread, user, "browser", ME, NOW, entry)


def voted(message: str, thumb: Any, **more: Any) -> Draft:
    entry = Feedback(id=new_id(NOW), at=NOW, message=message, feedback=Opinion(thumb=thumb))
    return Draft(more.get("thread", A), None, "browser", more.get("actor", ME), NOW, entry)


async def append(log: Log, *drafts: Draft, site: str = "support") -> list[Verdict]:
    return await log.append(site, drafts, NOW)


async def texts(log: Log, thread: ThreadId = A, site: str = "support") -> list[Any]:
    stored = await log.read(site, thread)
    return [event.entry.content for event in stored.events] if stored else []  # type: ignore[union-attr]


async def test_events_come_back_as_they_were_stored(log: Log) -> None:
    """What is read is what was appended, in that order, with who and when."""
    drafts = [said("one"), said("two"), said("three")]
    assert await append(log, *drafts) == [Verdict("accepted")] * 3
    stored = await log.read("support", A)
    assert stored is not None
    assert [event.entry for event in stored.events] == [draft.entry for draft in drafts]
    assert [event.seq for event in stored.events] == [1, 2, 3]
    assert {(event.source, event.actor, event.at) for event in stored.events} == {
        ("browser", ME, NOW)
    }
    assert await log.read("support", B) is None
    assert await log.read("other", A) is None


async def test_repeats_are_duplicates_and_stored_once(log: Log) -> None:
    """The same event again, alone or in one batch or at the same moment, is stored once."""
    draft, twin = said("once"), said("twice")
    assert [each.status for each in await append(log, draft, twin, twin)] == [
        "accepted",
        "accepted",
        "duplicate",
    ]
    again = await asyncio.gather(*(append(log, draft) for _ in range(50)))
    assert again == [[Verdict("duplicate")]] * 50
    assert await texts(log) == ["once", "twice"]


async def test_an_id_stands_for_one_event(log: Log) -> None:
    """An event id, or a message, that stands for something else already is refused."""
    first = said("first")
    await append(log, first)
    assert isinstance(first.entry, Message)
    reused = said("other", id=first.entry.id)
    under_it = said("other", message=first.entry.message)
    same_again = said("first", message=first.entry.message)
    assert await append(log, reused, under_it, same_again) == [
        Verdict("rejected", "id_reused", "id"),
        Verdict("rejected", "message_used", "message"),
        Verdict("duplicate"),
    ]


async def test_ids_are_free_in_other_threads_and_sources(log: Log) -> None:
    """Nobody can occupy an event id in another thread, on another site or for the backend."""
    first = said("mine", id="e1")
    backend = Draft(A, None, "backend", ME, NOW, said("backend", id="e1").entry)
    await append(log, first)
    assert (
        await append(log, said("theirs", id="e1", thread=B), backend) == [Verdict("accepted")] * 2
    )
    assert await append(log, first, site="other") == [Verdict("accepted")]


async def test_a_vote_of_another_actor_is_no_repeat(log: Log) -> None:
    """Two actors of a thread who hit upon one event id: the second hears so, and is not lost."""
    mine = voted(new_id(NOW), "up")
    theirs = Draft(A, None, "browser", ActorId(new_id(NOW)), NOW, mine.entry)
    await append(log, mine)
    assert await append(log, theirs) == [Verdict("rejected", "id_reused", "id")]


async def test_a_full_thread_still_takes_votes(log: Log) -> None:
    """The last tenth of a thread's room is kept for votes, and then it is full for all."""
    room = events.MAX_THREAD_EVENTS
    messages = [said(str(number)) for number in range(room)]
    verdicts = await append(log, *messages)
    assert [each.code for each in verdicts].count("thread_full") == room // 10
    entry = messages[0].entry
    assert isinstance(entry, Message)
    votes = await append(log, *(voted(entry.message, "up") for _ in range(room // 10 + 1)))
    assert [each.status for each in votes] == ["accepted"] * (room // 10) + ["rejected"]
    assert await append(log, messages[0]) == [Verdict("duplicate")]
    assert await append(log, said("elsewhere", thread=B)) == [Verdict("accepted")]


async def test_a_thread_is_full_by_size_too(log: Log) -> None:
    """Two megabytes are the room of a thread, also when few events fill it."""
    big = "x" * events.MAX_CONTENT
    verdicts = await append(log, *(said(big) for _ in range(70)))
    full = sum(each.code == "thread_full" for each in verdicts)
    assert full
    assert (70 - full) * len(big) < events.MAX_THREAD_BYTES
    assert await append(log, said(big)) == [Verdict("rejected", "thread_full")]


async def test_a_thread_learns_its_user_once(log: Log) -> None:
    """A bare vote knows no user; the first event that does names the thread's for good."""
    await append(log, voted(new_id(NOW), "up"))
    await append(log, said("hi", user="u1"), said("hi", user="u2"))
    stored = await log.read("support", A)
    assert stored is not None
    assert stored.user == "u1"


async def test_everything_survives_reopening(tmp_path: Path) -> None:
    """A closed and reopened log has the events, the cursor, the barriers, and the next number."""
    log = await SqliteLog.open(tmp_path / "log.db")
    await append(log, said("before"))
    claim = await log.claim("support/hook", "support", NOW, 10, {})
    await log.settle(claim, [Settled(due.stored.thread_no) for due in claim.due], NOW)
    await log.bar(Barrier("support", "actor", ME, 5))
    await log.close()
    log = await SqliteLog.open(tmp_path / "log.db")
    await append(log, said("after"))
    assert await texts(log) == ["before", "after"]
    claim = await log.claim("support/hook", "support", NOW, 10, {})
    assert [due.since_seq for due in claim.due] == [2]
    assert log.barriers.refuse("support", 5, actor=ME)
    await log.close()


async def test_closing_finishes_what_was_handed_in(log: Log) -> None:
    """A clean stop stores what is under way; what comes later is refused, not lost silently."""
    handed_in = [asyncio.create_task(append(log, said(str(n)))) for n in range(100)]
    await asyncio.sleep(0)
    await log.close()
    assert await asyncio.gather(*handed_in) == [[Verdict("accepted")]] * 100
    with pytest.raises(LogError, match="closed"):
        await append(log, said("late"))


async def test_one_bad_job_does_not_fail_its_neighbours(log: Log) -> None:
    """A batch that cannot be stored fails alone, though it shares a transaction with others."""
    unstorable = Draft(A, None, "browser", ME, 2**70, said("out of range").entry)
    results = await asyncio.gather(
        append(log, said("left")),
        append(log, unstorable),
        append(log, said("right")),
        return_exceptions=True,
    )
    assert results[0] == results[2] == [Verdict("accepted")]
    assert isinstance(results[1], Exception)
    assert await texts(log) == ["left", "right"]


async def test_an_actor_sees_her_own_votes(log: Log) -> None:
    """Votes are read for one actor of one thread."""
    message, other = new_id(NOW), ActorId(new_id(NOW))
    await append(log, voted(message, "up"), voted(message, "down", actor=other), said("hi"))
    mine = await log.votes("support", A, ME)
    assert [(event.actor, event.entry.message) for event in mine] == [(ME, message)]  # type: ignore[union-attr]
    assert await log.votes("support", B, ME) == []


async def test_recent_threads_come_newest_first(log: Log) -> None:
    """The list for people has a limit and starts with the newest thread of the site."""
    threads = [ThreadId(new_id(NOW)) for _ in range(3)]
    for thread in threads:
        await append(log, said("hi", thread=thread))
    await append(log, said("hi"), site="other")
    assert [each.thread for each in await log.recent("support", 2)] == threads[:0:-1]


async def test_a_watcher_wakes_for_what_was_stored(log: Log) -> None:
    """A forwarder that waits is told at once, and of its own site alone: it has nothing to look for
    when others are loud."""
    stored, own, others = log.watch(), log.watch("support"), log.watch("other")
    assert not any(each.is_set() for each in (stored, own, others))
    await append(log, Draft(A, None, "browser", ME, NOW, Custom(id="c", at=NOW, name="opened")))
    assert stored.is_set()
    assert own.is_set()
    assert not others.is_set()


async def test_a_second_server_is_refused(tmp_path: Path) -> None:
    """Two servers on one log would both deliver: the second hears what to do instead."""
    log = await SqliteLog.open(tmp_path / "log.db")
    with pytest.raises(LogBusy, match="Stop it, or give this one a log of its own"):
        await SqliteLog.open(tmp_path / "log.db")
    await log.close()
    await (await SqliteLog.open(tmp_path / "log.db")).close()


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        (
            f"PRAGMA user_version = {opening.SCHEMA_VERSION + 1}",
            "newer Thumbseal .* Run that version",
        ),
        ("DROP TABLE events; DROP TABLE threads; PRAGMA application_id = 7", "not a log of"),
    ],
)
async def test_a_strange_file_is_refused(tmp_path: Path, sql: str, words: str) -> None:
    """A newer log, or another program's database, is left alone and named."""
    path = tmp_path / "log.db"
    await (await SqliteLog.open(path)).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(f"PRAGMA secure_delete = ON; {sql}; VACUUM;")
    before = path.read_bytes()
    with pytest.raises(LogError, match=words):
        await SqliteLog.open(path)
    assert path.read_bytes() == before


async def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    """A path that points at something else destroys nothing there."""
    path = tmp_path / "letter.txt"
    path.write_text("Dear Sir or Madam, " * 1_000)
    before = path.read_bytes()
    with pytest.raises(LogError, match=r"not a database\. Choose another path"):
        await SqliteLog.open(path)
    assert path.read_bytes() == before


async def test_an_older_log_is_upgraded(tmp_path: Path) -> None:
    """A log of the first version becomes one like any other, with everything that is in it."""
    path = tmp_path / "log.db"
    log = await SqliteLog.open(tmp_path / "new.db")
    await log.close()
    folder = Path(opening.__file__).parent
    with closing(sqlite3.connect(path)) as old:
        old.executescript((folder / opening.STEPS[0]).read_text("utf-8"))
        old.executescript(
            f"PRAGMA user_version = 1; PRAGMA application_id = {opening.APPLICATION_ID};"
        )
        old.execute("INSERT INTO threads VALUES (1, 'support', 't', 'u', 1)")
        old.execute("INSERT INTO cursor VALUES ('support/hook', 7)")
        old.commit()
    log = await SqliteLog.open(path)
    assert (await append(log, said("hi")))[0].status == "accepted"
    assert (await log.claim("support/hook", "support", NOW, 10, {})).since == 7
    await log.close()
    schema = "SELECT type, name, sql FROM sqlite_schema ORDER BY name"
    with (
        closing(sqlite3.connect(path)) as old,
        closing(sqlite3.connect(tmp_path / "new.db")) as new,
    ):
        assert old.execute(schema).fetchall() == new.execute(schema).fetchall()
        assert old.execute("PRAGMA user_version").fetchone() == (opening.SCHEMA_VERSION,)


async def test_nobody_else_reads_the_log(tmp_path: Path) -> None:
    """Its file and its journal are the server's user's alone."""
    log = await SqliteLog.open(tmp_path / "log.db")
    await append(log, said("hi"))
    for name in ("log.db", "log.db-wal"):
        assert stat.filemode(os.stat(tmp_path / name).st_mode) == "-rw-------"
    await log.close()


async def test_a_commit_is_synced(tmp_path: Path) -> None:
    """The file is in WAL mode and SQLite syncs every commit: a 202 means on disk."""
    log = await SqliteLog.open(tmp_path / "log.db")
    connection = log._writer._connection
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    await log.close()


def test_barriers_refuse_what_was_issued_before() -> None:
    """A barrier stops the tokens issued by its time; a thread's barrier stops them all."""
    barriers = Barriers(
        [
            Barrier("s", "actor", "a", 10),
            Barrier("s", "thread", "t", 10),
            Barrier("z", "site", "z", 3),
        ]
    )
    assert barriers.refuse("s", 10, actor="a", thread="x")
    assert not barriers.refuse("s", 11, actor="a", thread="x")
    assert barriers.refuse("s", 99, actor="b", thread="t")
    assert not barriers.refuse("other", 1, actor="a", thread="t")
    assert barriers.refuse("z", 3, actor="q")
    assert not barriers.refuse("z", 4, actor="q")
