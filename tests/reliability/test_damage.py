"""A damaged log: put aside and never deleted, what can be read goes on, and nothing is made up."""

import asyncio
import os
import re
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Final

import httpx2
import pytest

from tests.doubles.lunary import LunaryDouble, SystemClock
from tests.doubles.serving import serve
from tests.lines import captured
from tests.proxy import Proxy, make_settings, running, said
from tests.reliability.conftest import Report
from tests.reliability.oracle import Oracle
from tests.reliability.page import Page
from tests.reliability.server import Server
from thumbseal.errors import LogError
from thumbseal.events import Custom, Event, Message
from thumbseal.ids import ActorId, ThreadId, new_id
from thumbseal.log import Draft, Settled, mending, opening, salvage
from thumbseal.log.sqlite import SqliteLog
from thumbseal.log.threads import DAMAGED

NOW: Final = 1_790_000_000_000
ME: Final = ActorId(new_id(NOW))
THREADS: Final = [ThreadId(new_id(NOW)) for _ in range(20)]
PATIENCE: Final = 20.0  # seconds
EVENTS: Final = 30  # in each thread
TRIALS: Final = 36
HOOK: Final = "support/hook"
VERSION: Final = range(60, 64)  # where the header has the schema's version

Known = dict[ThreadId, list[Event]]
Harm = Callable[[Path, Random], None]


def draft(thread: ThreadId, text: str) -> Draft:
    entry = Message(id=new_id(NOW), at=NOW, message=new_id(NOW), role="user", content=text)
    return Draft(thread, "ann", "browser", ME, NOW, entry)


async def fill(path: Path) -> Known:
    """A log with a few hundred events, half of them delivered, some in its journal only."""
    log = await SqliteLog.open(path)
    for number in range(EVENTS):
        drafts = [draft(thread, f"{number} " * 60) for thread in THREADS]
        await log.append("support", drafts, NOW)
    claim = await log.claim(HOOK, "support", NOW, 300, {})
    await log.settle(claim, [Settled(due.stored.thread_no) for due in claim.due], NOW)
    known = {each.thread: each.events for each in await log.recent("support", 100)}
    lay_down(path, path.with_name("kept"))  # as a kill would leave it
    await log.close()
    lay_down(path.with_name("kept"), path)
    return known


def lay_down(origin: Path, path: Path) -> None:
    """The files of a log under another name."""
    for part in ("", "-wal", ".owner"):
        Path(f"{path}{part}").write_bytes(Path(f"{origin}{part}").read_bytes())


def checkpoint(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def flip(path: Path, random: Random, low: int = 0, high: int | None = None) -> None:
    """A few bytes of the file are others."""
    data = bytearray(path.read_bytes())
    places = [place for place in range(low, high or len(data)) if place not in VERSION]
    for place in random.sample(places, random.randint(1, 8)):
        data[place] ^= random.randint(1, 255)
    path.write_bytes(data)


def flip_header(path: Path, random: Random) -> None:
    flip(path, random, high=salvage.HEADER)


def flip_schema(path: Path, random: Random) -> None:
    """A name in the schema is no text any more, nor is then what SQLite says of it."""
    data = bytearray(path.read_bytes())
    found = list(re.finditer(rb"(?:table|index)([a-z_]+?)(?:events|threads)\W?CREATE ", data))
    if found:
        chosen = random.choice(found)
        data[chosen.start(1)] = data[chosen.end() - 4] = 0xF2
    path.write_bytes(data)


def flip_structure(path: Path, random: Random) -> None:
    """The first bytes of some pages, where SQLite keeps what leads to the rows."""
    data = path.read_bytes()
    for page in random.sample(range(len(data) // opening.PAGE), 3):
        flip(path, random, page * opening.PAGE, page * opening.PAGE + 64)


def flip_journal(path: Path, random: Random) -> None:
    flip(path.with_name(f"{path.name}-wal"), random)


def blank_page(path: Path, random: Random) -> None:
    data = bytearray(path.read_bytes())
    start = random.randrange(len(data) // opening.PAGE) * opening.PAGE
    data[start : start + opening.PAGE] = bytes(opening.PAGE)
    path.write_bytes(data)


def blank_beginning(path: Path, random: Random) -> None:
    data = path.read_bytes()
    path.write_bytes(bytes(opening.PAGE) + data[opening.PAGE :])


def cut(path: Path, random: Random) -> None:
    os.truncate(path, random.randrange(path.stat().st_size))


def empty(path: Path, random: Random) -> None:
    os.truncate(path, 0)


def lose_journal(path: Path, random: Random) -> None:
    path.with_name(f"{path.name}-wal").unlink()


HARMS: Final[list[Harm]] = [
    flip,
    flip_header,
    flip_schema,
    flip_structure,
    flip_structure,
    flip_journal,
    blank_page,
    blank_page,
    blank_beginning,
    cut,
    empty,
    lose_journal,
]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Known]:
    path = tmp_path_factory.mktemp("filled") / "log.db"
    return path, asyncio.run(fill(path))


def test_damage(filled: tuple[Path, Known], tmp_path: Path, seed: int, report: Report) -> None:
    """Whatever is wrong with the files, the log opens, is sound, takes new events, says of each
    event whether it can be read, and the damaged file lies beside it."""
    random = Random(seed)
    figures = {"test": "damage", "seed": seed, "trials": 0, "put_aside": 0, "kept": 0, "named": 0}
    try:
        for trial in range(TRIALS):
            folder = tmp_path / str(trial)
            folder.mkdir()
            harm = HARMS[trial % len(HARMS)]
            kept, named, aside = asyncio.run(_try(folder, filled, harm, random))
            figures["trials"] += 1  # type: ignore[operator]
            figures["put_aside"] += aside  # type: ignore[operator]
            figures["kept"] += kept  # type: ignore[operator]
            figures["named"] += named  # type: ignore[operator]
    finally:
        report(figures)
    assert figures["put_aside"] > TRIALS / 4  # type: ignore[operator]
    assert figures["kept"] > TRIALS * len(THREADS) * EVENTS / 3  # type: ignore[operator]


async def _try(
    folder: Path, filled: tuple[Path, Known], harm: Harm, random: Random
) -> tuple[int, int, int]:
    origin, known = filled
    path = folder / "log.db"
    lay_down(origin, path)
    if random.random() < 0.5 and harm not in (flip_journal, lose_journal, empty):
        checkpoint(path)
    harm(path, random)
    journal = path.with_name(f"{path.name}-wal")
    pages = journal.stat().st_size // opening.PAGE if journal.exists() else 0
    before = path.read_bytes()
    log = await SqliteLog.open(path)
    try:
        kept, named = _compare(known, [await log.read("support", thread) for thread in THREADS])
        claim = await log.claim(HOOK, "support", NOW, 10, {})
        (verdict,) = await log.append("support", [draft(THREADS[0], "after")], NOW)
        assert verdict.status == "accepted"
        stored = await log.read("support", THREADS[0])
        assert stored is not None
        assert stored.events[-1].seq > max(
            claim.since, *(each.seq for each in stored.events[:-1]), 0
        )
    finally:
        await log.close()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    put_aside = salvage.quarantined(path)
    for each in put_aside:
        check_unchanged(each, before, pages)
    return kept, named, len(put_aside)


def check_unchanged(aside: Path, before: bytes, journalled: int) -> None:
    """Nothing was done to a damaged file but what SQLite does with its journal at each close."""
    after = aside.read_bytes()
    if len(after) == len(before):
        starts = range(opening.PAGE, len(before), opening.PAGE)
        changed = sum(
            after[at : at + opening.PAGE] != before[at : at + opening.PAGE] for at in starts
        )
        assert changed <= journalled
    else:
        assert len(after) > len(before) or not after


def _compare(known: Known, found: list[object]) -> tuple[int, int]:
    kept = named = 0
    for stored in found:
        if stored is None:
            continue
        owed = {event.seq: event for event in known[stored.thread]}  # type: ignore[attr-defined]
        for event in stored.events:  # type: ignore[attr-defined]
            if isinstance(event.entry, Custom):
                assert event.entry.name == DAMAGED
                named += 1
            else:
                kept += event == owed.get(event.seq)
    return kept, named


class Crash(Exception):
    """The process ended here."""


@pytest.mark.parametrize("renames", range(5))
def test_a_salvage_that_is_cut_off_is_finished(
    filled: tuple[Path, Known], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renames: int
) -> None:
    """A crash between any two deeds of putting a log aside loses nothing of what was saved."""
    origin, _ = filled
    path = tmp_path / "log.db"
    lay_down(origin, path)
    checkpoint(path)
    blank_beginning(path, Random(1))
    damaged = path.read_bytes()
    calls = 0

    def rename(*names: str) -> None:
        nonlocal calls
        calls += 1
        if calls > renames:
            raise Crash
        os.replace(*names)

    monkeypatch.setattr(os, "rename", rename)
    with pytest.raises(Crash):
        asyncio.run(_count(path))
    monkeypatch.undo()
    assert asyncio.run(_count(path)) == len(THREADS) * EVENTS
    (aside,) = salvage.quarantined(path)
    assert aside.read_bytes() == damaged


async def _count(path: Path) -> int:
    log = await SqliteLog.open(path)
    try:
        return (await log.counts(HOOK, "support")).accepted
    finally:
        await log.close()


@pytest.mark.parametrize("lose", [lambda path: os.truncate(path, 0), Path.unlink])
def test_a_log_that_is_lost_is_told_of(tmp_path: Path, lose: Callable[[Path], None]) -> None:
    """A log that was closed and then emptied or deleted is begun anew, but not without a word: what
    was there lies beside it until somebody has looked, and commands say so before the start."""
    path = tmp_path / "log.db"
    asyncio.run(fill(path))
    asyncio.run(_count(path))  # closed cleanly: nothing is left in a journal
    lose(path)
    with pytest.raises(LogError, match="there was one"), opening.beside(path):
        pass
    with captured() as lines:
        assert asyncio.run(_count(path)) == 0
        assert asyncio.run(_count(path)) == 0  # once it is told, and begun anew
    (line,) = lines.named("log_salvaged")
    assert (line["threads"], line["events"], line["unreadable"]) == (0, 0, 0)
    assert "restore a backup" in line["remedy"]
    (aside,) = salvage.quarantined(path)
    assert (line["quarantine"], aside.stat().st_size) == (str(aside), 0)


def test_a_log_is_begun_anew_on_purpose(tmp_path: Path) -> None:
    """As the line about a lost one says: without anything beside it there was none."""
    path = tmp_path / "log.db"
    asyncio.run(fill(path))
    for each in tmp_path.glob("log.db*"):
        each.unlink()
    with captured() as lines:
        assert asyncio.run(_count(path)) == 0
    assert lines.text == ""
    assert salvage.quarantined(path) == []


def test_a_first_start_that_fails_leaves_no_log_to_miss(tmp_path: Path) -> None:
    """What went wrong before there was a log is no loss of one at the next start."""
    path = tmp_path / "log.db"
    path.mkdir()
    with pytest.raises(LogError, match="Cannot open"):
        asyncio.run(_count(path))
    path.rmdir()
    with captured() as lines:
        assert asyncio.run(_count(path)) == 0
    assert lines.text == ""


def test_damage_under_a_running_server_is_mended(
    filled: tuple[Path, Known], tmp_path: Path
) -> None:
    """Whoever meets the damage gets an error; soon after the log works, without a restart."""
    asyncio.run(_mended(filled, tmp_path / "log.db"))


async def _mended(filled: tuple[Path, Known], path: Path) -> None:
    log = await SqliteLog.open(path)
    known = await _fill_open(log)
    harm_open(path)
    with pytest.raises(LogError, match="cannot be read"):
        await asyncio.gather(*(log.read("support", thread) for thread in known))
    async with asyncio.timeout(20):
        await mended(log)
    (verdict,) = await log.append("support", [draft(THREADS[0], "after")], NOW)
    assert verdict.status == "accepted"
    await _fill_open(log)
    harm_open(path)
    with pytest.raises(LogError, match="cannot be read"):
        await asyncio.gather(*(log.read("support", thread) for thread in known))
    await mended(log)
    await log.close()
    assert len(salvage.quarantined(path)) == 1  # so soon again: it is the disk, and no loop
    await _count(path)
    assert len(salvage.quarantined(path)) == 2


def test_a_log_that_is_damaged_again_is_not_ready(tmp_path: Path) -> None:
    """Mended once, the server is ready again; when it gives the disk up it says so to whoever
    shares out requests, for as long as it runs, and to nobody that it should be killed."""
    with captured() as lines, running(make_settings(tmp_path)) as proxy:
        for told in ("log_salvaged", "log_damaged_again"):
            await_ready(proxy)
            opened = proxy.open()
            for _ in range(10):
                proxy.record(opened["thread"]["token"], said(opened["messages"][0], "user", "Hi."))
            harm_open(proxy.settings.server.log_path)
            proxy.post("/v1/feedback", {"messages": [opened["messages"][0]["token"]]})
            assert lines.named(told)
        for _ in range(3):
            assert (ready := proxy.http.get("/readyz")).status_code == 503
            assert ready.text == "unready"
        assert proxy.http.get("/livez").status_code == 200
    with captured(), running(make_settings(tmp_path)) as proxy:
        assert proxy.http.get("/readyz").status_code == 200


def await_ready(proxy: Proxy) -> None:
    """Return once the log takes events."""
    end = time.monotonic() + PATIENCE
    while proxy.http.get("/readyz").status_code != 200:
        assert time.monotonic() < end
        time.sleep(0.01)


# A flipped bit may be one that means nothing, as on a page that is free.
NOTICED: Final[list[Harm]] = [blank_beginning, cut, empty]
SPOILT: Final[list[Harm]] = [flip_header, flip_structure, *NOTICED]


def test_a_server_starts_with_a_damaged_log(tmp_path: Path, seed: int, report: Report) -> None:
    """The same in a process of its own, damaged anew before each start: it is ready, says where the
    damaged file lies, records and delivers, and never loops."""
    double = LunaryDouble(SystemClock(), requests_per_minute=10**9)
    with serve(double) as upstream:
        figures = asyncio.run(_started(tmp_path, upstream, Random(seed)))
    report({"test": "damaged_starts", "seed": seed, **figures})
    assert figures["put_aside"] == figures["told"] >= len(NOTICED)


async def _started(folder: Path, upstream: str, random: Random) -> dict[str, int]:
    told = 0
    async with (
        asyncio.timeout(120),
        httpx2.AsyncClient(trust_env=False) as http,
        Server(folder, upstream, http) as server,
    ):
        page = Page(server, http, Oracle(), random)
        await server.start()
        for harm in SPOILT:
            for _ in range(5):
                await page.talk(exchanges=3)
            await server.drained()
            await server.stop()
            server.lines.clear()
            async with server.watch.rest:
                harm(server.log, random)
                await server.start()
            lines = [line for line in server.lines if line.get("event") == "log_salvaged"]
            assert lines or harm not in NOTICED, harm.__name__
            told += len(lines)
            places = {str(place) for place in salvage.quarantined(server.log)}
            assert {line["quarantine"] for line in lines} <= places
        await page.talk(exchanges=3)
        await server.drained()
        await server.stop()
    return {"starts": len(SPOILT), "told": told, "put_aside": len(salvage.quarantined(server.log))}


async def mended(log: SqliteLog) -> None:
    """Return when the log has been mended, or is left alone."""
    assert log._mending.task is not None
    await log._mending.task


def test_a_salvage_that_fails_is_tried_again(
    filled: tuple[Path, Known], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as there is no room for the copy the log is closed; then it goes on, without a
    restart."""
    monkeypatch.setattr(mending, "AGAIN", 0.05)
    asyncio.run(_mended_late(filled, tmp_path / "log.db"))


async def _mended_late(filled: tuple[Path, Known], path: Path) -> None:
    log = await SqliteLog.open(path)
    known = await _fill_open(log)
    obstacle = path.with_name(f"{path.name}.salvaging")
    obstacle.mkdir()
    with captured() as lines:
        harm_open(path)
        with pytest.raises(LogError, match="cannot be read"):
            await asyncio.gather(*(log.read("support", thread) for thread in known))
        await asyncio.to_thread(lines.named, "not_salvaged", 3)
        with pytest.raises(LogError):
            await log.check()
        obstacle.rmdir()
        await mended(log)
    (verdict,) = await log.append("support", [draft(THREADS[0], "after")], NOW)
    assert verdict.status == "accepted"
    await log.close()


def harm_open(path: Path) -> None:
    """Damage some pages behind the server's back, the upper ones of its tables among them."""
    checkpoint(path)
    with path.open("r+b") as file:
        file.seek(opening.PAGE)
        file.write(os.urandom(20 * opening.PAGE))


async def _fill_open(log: SqliteLog) -> list[ThreadId]:
    for number in range(EVENTS):
        drafts = [draft(thread, f"{number} " * 60) for thread in THREADS]
        await log.append("support", drafts, NOW)
    return THREADS
