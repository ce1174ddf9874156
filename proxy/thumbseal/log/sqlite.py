"""The log in a SQLite file: WAL, every commit synced, one writer thread, readers apart."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path
from typing import Final, Self, TypeVar

from thumbseal.errors import LogBusy, LogError
from thumbseal.events import Event
from thumbseal.ids import ActorId, ThreadId
from thumbseal.log import (
    MAX_DUE_HOLDS,
    Barrier,
    Barriers,
    Claim,
    Counts,
    Draft,
    Receipt,
    Settled,
    Standing,
    StoredThread,
    Verdict,
    claims,
    lag,
    receipts,
)
from thumbseal.log.ledger import Batch, Ledger
from thumbseal.log.writer import Writer

SCHEMA_VERSION: Final = 1
APPLICATION_ID: Final = 0x54425331  # "TBS1": so that `file` and we know a log when we see one
READERS: Final = 2
BUSY_MS: Final = 5_000
POLL: Final = 1.0  # seconds between looks at what the command line wrote
WAL_LIMIT: Final = 64 * 1024 * 1024

T = TypeVar("T")


class SqliteLog:
    """See `thumbseal.log.Log`. Made by `open`, which also refuses a second server."""

    def __init__(self, path: Path, owner: sqlite3.Connection, barriers: Barriers) -> None:
        self._path = path
        self._owner = owner
        self._ledger = Ledger()
        self._writer = Writer(_connect(path), self._ledger.forget)
        self._pool = ThreadPoolExecutor(READERS, "thumbseal-read")
        self._local = threading.local()
        self._readers: list[sqlite3.Connection] = []
        self._watchers: list[asyncio.Event] = []
        self.barriers = barriers
        self._poll = asyncio.create_task(self._poll_barriers(), name="thumbseal-barriers")

    @classmethod
    async def open(cls, path: Path) -> Self:
        """The log at ``path``, made if it is not there.

        Raises:
            LogBusy: another server has it.
            LogError: the file is not a log, is newer than this program, or cannot be opened.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            owner = _own(path)
            connection = _connect(path)
        except (OSError, sqlite3.Error) as error:
            raise LogError(f"Cannot open the log {path}: {error}.") from error
        try:
            _prepare(connection, path)
            barriers = _barriers(connection)
        except BaseException:
            owner.close()
            raise
        finally:
            connection.close()
        return cls(path, owner, barriers)

    async def append(self, site: str, drafts: Sequence[Draft], received_at: int) -> list[Verdict]:
        if not drafts:
            return []
        batch = Batch(site, drafts, received_at)
        verdicts = await self._writer.do(self._ledger.append, batch, len(drafts))
        for watcher in self._watchers:
            watcher.set()
        return verdicts

    async def read(self, site: str, thread: ThreadId) -> StoredThread | None:
        def found(connection: sqlite3.Connection) -> StoredThread | None:
            thread_no = _thread_no(connection, site, thread)
            return None if thread_no is None else claims.read_thread(connection, thread_no)

        return await self._reading(found)

    async def recent(self, site: str, limit: int) -> list[StoredThread]:
        def newest(connection: sqlite3.Connection) -> list[StoredThread]:
            rows = connection.execute(
                "SELECT thread_no FROM threads WHERE site = ? ORDER BY thread_no DESC LIMIT ?",
                (site, limit),
            ).fetchall()
            return [claims.read_thread(connection, thread_no) for (thread_no,) in rows]

        return await self._reading(newest)

    async def votes(self, site: str, thread: ThreadId, actor: ActorId) -> list[Event]:
        def found(connection: sqlite3.Connection) -> list[Event]:
            thread_no = _thread_no(connection, site, thread)
            return [] if thread_no is None else claims.read_votes(connection, thread_no, actor)

        return await self._reading(found)

    async def bar(self, barrier: Barrier) -> None:
        await self._writer.do(_bar, barrier)
        self.barriers = await self._reading(_barriers)

    async def claim(
        self,
        upstream: str,
        site: str,
        now: int,
        limit: int,
        known: Mapping[int, int],
        holds: int = MAX_DUE_HOLDS,
    ) -> Claim:
        return await self._reading(
            lambda connection: claims.claim(connection, upstream, site, now, limit, known, holds)
        )

    async def settle(self, claim: Claim, outcomes: Sequence[Settled], now: int) -> None:
        await self._writer.do(claims.settle, claims.Settlement(claim, outcomes, now))

    async def next_hold(self, upstream: str) -> int | None:
        return await self._reading(lambda connection: claims.next_hold(connection, upstream))

    async def counts(self, upstream: str, site: str) -> Counts:
        return await self._reading(lambda connection: receipts.count(connection, upstream, site))

    async def receipts(self, upstream: str, site: str, thread: ThreadId) -> dict[int, Receipt]:
        def found(connection: sqlite3.Connection) -> dict[int, Receipt]:
            thread_no = _thread_no(connection, site, thread)
            return {} if thread_no is None else receipts.receipts(connection, upstream, thread_no)

        return await self._reading(found)

    async def standing(self, upstream: str) -> Standing | None:
        return await self._reading(lambda connection: receipts.read_standing(connection, upstream))

    async def stand(self, upstream: str, standing: Standing | None) -> None:
        await self._writer.do(receipts.stand, (upstream, standing))

    async def oldest_undelivered(self, upstream: str, site: str) -> int | None:
        return await self._reading(
            lambda connection: lag.oldest_undelivered(connection, upstream, site)
        )

    def watch_commits(self, observe: Callable[[float], object]) -> None:
        self._writer.observe = observe

    async def check(self) -> None:
        await self._writer.do(_nothing, None)

    def watch(self) -> asyncio.Event:
        self._watchers.append(asyncio.Event())
        return self._watchers[-1]

    async def close(self) -> None:
        self._poll.cancel()
        await asyncio.gather(self._poll, return_exceptions=True)
        await self._writer.close()
        self._pool.shutdown()
        for reader in self._readers:
            reader.close()
        self._owner.close()

    async def _reading(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """The result of ``work`` on a reader's connection, all of it in one snapshot."""

        def run() -> T:
            connection = self._reader()
            connection.execute("BEGIN")
            try:
                return work(connection)
            finally:
                connection.execute("ROLLBACK")

        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, run)
        except sqlite3.Error as error:
            raise LogError(f"The log cannot be read: {error}.") from error

    def _reader(self) -> sqlite3.Connection:
        if not hasattr(self._local, "connection"):
            self._local.connection = _connect(self._path)
            self._local.connection.execute("PRAGMA query_only = ON")
            self._readers.append(self._local.connection)
        connection: sqlite3.Connection = self._local.connection
        return connection

    async def _poll_barriers(self) -> None:
        """See within a second what was revoked from the command line."""
        while True:
            await asyncio.sleep(POLL)
            self.barriers = await self._reading(_barriers)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA fullfsync = ON")  # on macOS a plain fsync stops at the drive's cache
    connection.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT}")
    return connection


def _own(path: Path) -> sqlite3.Connection:
    """A lock for as long as this process lives: SQLite's own, so it holds wherever SQLite does."""
    owner = sqlite3.connect(
        f"{path}.owner", timeout=0, isolation_level=None, check_same_thread=False
    )
    try:
        owner.execute("PRAGMA locking_mode = EXCLUSIVE")
        owner.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as error:
        owner.close()
        raise LogBusy(
            f"Another Thumbseal server has the log {path}. Stop it, or give this one a log of its "
            "own (server.log)."
        ) from error
    return owner


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if version == 0 and tables == 0:
        schema = files("thumbseal.log").joinpath("schema.sql").read_text(encoding="utf-8")
        connection.executescript(
            f"BEGIN; {schema} PRAGMA user_version = {SCHEMA_VERSION};"
            f" PRAGMA application_id = {APPLICATION_ID}; COMMIT;"
        )
    elif application != APPLICATION_ID:
        raise LogError(f"{path} is a database, but not a log of Thumbseal. Choose another path.")
    elif version > SCHEMA_VERSION:
        raise LogError(
            f"The log {path} was written by a newer Thumbseal (schema {version}, this one knows "
            f"{SCHEMA_VERSION}). Run that version or a newer one."
        )


def _barriers(connection: sqlite3.Connection) -> Barriers:
    rows = connection.execute("SELECT site, scope, id, at FROM barrier")
    return Barriers([Barrier(*row) for row in rows])


def _bar(connection: sqlite3.Connection, barriers: Sequence[Barrier]) -> list[None]:
    connection.executemany(
        "INSERT INTO barrier VALUES (?, ?, ?, ?)"
        " ON CONFLICT DO UPDATE SET at = max(at, excluded.at)",
        [(barrier.site, barrier.scope, barrier.id, barrier.at) for barrier in barriers],
    )
    return [None] * len(barriers)


def _nothing(connection: sqlite3.Connection, items: Sequence[None]) -> Sequence[None]:
    return items


def _thread_no(connection: sqlite3.Connection, site: str, thread: ThreadId) -> int | None:
    row = connection.execute(
        "SELECT thread_no FROM threads WHERE site = ? AND thread = ?", (site, thread)
    ).fetchone()
    return None if row is None else int(row[0])
