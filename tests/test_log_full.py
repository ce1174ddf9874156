"""No room: what grows the log is refused by name, the rest goes on, and it mends itself."""

import asyncio
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest
from structlog.testing import capture_logs

from tests.forwarding import NAME, A, B, Bench, open_bench
from tests.histories import message
from tests.proxy import make_settings, running, said
from thumbseal.errors import LogError, LogFull
from thumbseal.log import Counts, Erasure, Verdict, ballast, writer
from thumbseal.log import sqlite as engine
from thumbseal.log.sqlite import SqliteLog

BIG: Final = "x" * 30_000


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with open_bench(tmp_path) as opened:
        yield opened


async def fill(bench: Bench) -> int:
    """Append until there is no room; how many events were taken."""
    for taken in range(10_000):
        try:
            verdicts = await bench.say((A, B)[taken % 2], message(f"u{taken}", content=BIG))
        except LogFull:
            return taken
        assert verdicts == [Verdict("accepted")]
    raise AssertionError("there is no end to it")


def size_of(path: Path) -> int:
    return path.stat().st_size


@pytest.mark.anyio
async def test_a_log_stops_growing_at_its_largest_size(tmp_path: Path) -> None:
    """At log_max_mib events are refused; delivering and erasing go on, and make room."""
    path = tmp_path / "log.db"
    log = await SqliteLog.open(path, max_mib=1)
    bench = Bench(log)
    try:
        taken = await fill(bench)
        with pytest.raises(LogFull):
            await log.check()
        assert await log.counts(NAME, "support") == Counts(taken, 0, taken, 0, 0)
        while await bench.step():
            pass
        assert await log.counts(NAME, "support") == Counts(taken, taken, 0, 0, 0)
        assert path.with_name("log.db.ballast").exists()
        await log.erase(Erasure(site="support", at=bench.ms, thread=A, upstreams=(NAME,)))
        assert await bench.say(B, message("u20000", content=BIG)) == [Verdict("accepted")]
    finally:
        await log.close()
    assert 1_000_000 < size_of(path) < 2_500_000


@pytest.mark.anyio
async def test_a_full_disk_costs_the_ballast_and_gives_it_back(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a full disk the ballast goes, settling goes on, and when there is room all comes back."""
    monkeypatch.setattr(engine, "POLL", 0.01)
    room = Room(bench.log, tmp_path / "log.db.ballast", monkeypatch)
    room.end()
    taken = await fill(bench)
    assert not room.ballast.exists()
    while await bench.step():
        pass
    assert await bench.counts() == Counts(taken, taken, 0, 0, 0)
    with pytest.raises(LogFull):
        await bench.log.check()
    room.come_back()
    async with asyncio.timeout(5):
        while bench.log._ballast.full:  # noqa: ASYNC110  a thread of the log sees to it
            await asyncio.sleep(0)
    await bench.log.check()
    assert room.ballast.stat().st_size == ballast.SIZE


class Room:
    """A disk in the test's hand: SQLite meets its end where the file may grow no more."""

    def __init__(self, log: SqliteLog, path: Path, patch: pytest.MonkeyPatch) -> None:
        self.ballast = path
        self._log = log
        self._patch = patch
        self._limit = 0

    def end(self) -> None:
        """No page more, until somebody gives up the ballast; and no room for a new one."""
        connection = self._log._writer._connection
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        self._limit = pages + 100
        connection.execute(f"PRAGMA max_page_count = {self._limit}")
        give_up = self._log._ballast.give_up

        def given_up() -> bool:
            more = self._limit + ballast.SIZE // 4096
            connection.execute(f"PRAGMA max_page_count = {more}")
            return give_up()

        usage = shutil.disk_usage
        self._patch.setattr(self._log._ballast, "give_up", given_up)
        self._patch.setattr(shutil, "disk_usage", lambda path: usage(path)._replace(free=0))

    def come_back(self) -> None:
        self._patch.undo()


@pytest.mark.anyio
async def test_a_disk_that_cannot_be_read_hangs_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log that cannot even tell its size says so, and goes on when it can again."""
    log = await SqliteLog.open(tmp_path / "log.db", 2)
    bench = Bench(log)
    try:
        with monkeypatch.context() as patched:
            patched.setattr(writer, "_used", _unreadable)
            with pytest.raises(LogError, match="disk I/O error"):
                await asyncio.wait_for(bench.say(A, message("u1")), 5)
        assert await bench.say(A, message("u1")) == [Verdict("accepted")]
    finally:
        await log.close()


def _unreadable(connection: sqlite3.Connection) -> int:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_READ
    raise error


@pytest.mark.anyio
async def test_the_journal_is_cut_back(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A journal that grew, since somebody was reading all the time, does not stay so long."""
    monkeypatch.setattr(engine, "POLL", 0.01)
    monkeypatch.setattr(engine, "WAL_LONG", 1024 * 1024)
    journal = tmp_path / "log.db-wal"
    with closing(sqlite3.connect(tmp_path / "log.db")) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM events").fetchone()
        for number in range(100):
            await bench.say((A, B)[number % 2], message(f"u{number}", content=BIG))
        assert size_of(journal) > 3_000_000
    async with asyncio.timeout(10):
        while size_of(journal) > 1024 * 1024:  # noqa: ASYNC110  a thread of the log sees to it
            await asyncio.sleep(0)


def test_a_page_hears_507_and_may_send_again(tmp_path: Path) -> None:
    """Over HTTP it is 507 with a code, ``retry`` and ``Retry-After``, readable by the page."""
    configured = make_settings(tmp_path, max_mib=1)
    with running(configured) as proxy, capture_logs():
        opened = proxy.open(want=32)
        token, blanks = opened["thread"]["token"], iter(opened["messages"])
        while True:
            event = proxy.event(said(next(blanks), "user", BIG))
            body = {"token": token, "sent_at": proxy.ms, "want": 2, "events": [event]}
            answer = proxy.post("/v1/events", body)
            if answer.status_code != 202:
                break
            blanks = iter([*blanks, *answer.json()["messages"]])
        assert answer.status_code == 507
        error = answer.json()["error"]
        assert (error["code"], error["retry"]) == ("storage_full", True)
        assert int(answer.headers["Retry-After"]) > 0
        assert answer.headers["Access-Control-Allow-Origin"] == proxy.origin
        assert proxy.http.get("/readyz").status_code == 503
        assert proxy.http.get("/livez").status_code == 200
        assert proxy.post("/v1/threads", {"site": "support"}).status_code == 200
