"""The log in a SQLite file: WAL, every commit synced, one writer thread, readers apart."""

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final, Self, TypeVar

import structlog
from msgspec import structs

from thumbseal.claims import PassClaims
from thumbseal.errors import LogDamaged, LogError
from thumbseal.events import Event
from thumbseal.ids import ActorId, ThreadId
from thumbseal.log import (
    MAX_DUE_HOLDS,
    Alias,
    Claim,
    Counts,
    Deletion,
    Draft,
    Erasure,
    Receipt,
    Removed,
    Retention,
    Settled,
    Standing,
    Start,
    StoredThread,
    Verdict,
    aliases,
    barring,
    claims,
    lag,
    receipts,
    removal,
    roster,
)
from thumbseal.log.ballast import Ballast
from thumbseal.log.barriers import Barrier, Barriers
from thumbseal.log.ledger import Batch, Ledger
from thumbseal.log.mending import Mending, open_sound
from thumbseal.log.opening import FAILURES, PAGE, connect, own, owner_path
from thumbseal.log.readers import Readers
from thumbseal.log.removal import Sweep, Swept
from thumbseal.log.threads import find_thread, read_named, read_recent, read_votes
from thumbseal.log.writer import Work, Writer
from thumbseal.patterns import Rule
from thumbseal.redaction import redact

POLL: Final = 1.0  # seconds between looks at what the command line wrote, and at the disk
WAL_LONG: Final = 16 * 1024 * 1024  # bytes; SQLite itself starts it anew at 4 MiB, if it can

I = TypeVar("I")  # noqa: E741  an item
R = TypeVar("R")
T = TypeVar("T")


class SqliteLog:
    """See `thumbseal.log.Log`. Made by `open`, which also refuses a second server."""

    def __init__(self, path: Path, owner: sqlite3.Connection, limit: int | None) -> None:
        self._path = path
        self._owner = owner
        self._rules: Mapping[str, Sequence[Rule]] = {}
        self._limit = limit
        self._watchers: list[tuple[str | None, asyncio.Event]] = []
        self._observe: Callable[[float], object] = lambda seconds: None
        self._ballast = Ballast(path)
        self._removed = False
        self._mending = Mending(path, self._stop, self._start)
        self._seen: tuple[int, int] = (-1, 0)
        self.barriers = Barriers()
        self._logger = structlog.get_logger()
        self._start()
        self._poll = asyncio.create_task(self._tend(), name="thumbseal-log")

    def _start(self) -> None:
        self._ledger = Ledger()
        self._readers = Readers(self._path)
        self._ballast.take()
        self._writer = Writer(connect(self._path), self._ledger.forget, self._ballast, self._limit)
        self._writer.observe = self._observe

    @classmethod
    async def open(cls, path: Path, max_mib: int | None = None) -> Self:
        """The log at ``path``, made if it is not there; ``max_mib`` is the size at which no more
        events are taken.

        Raises:
            LogBusy: another server has it.
            LogError: the file is not a log, is newer than this program, or cannot be opened.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            known = owner_path(path).exists()
            owner = own(path)
        except (OSError, *FAILURES) as error:
            raise LogError(f"Cannot open the log {path}: {error}.") from error
        try:
            await asyncio.to_thread(open_sound, path, known=known)
            log = cls(path, owner, max_mib and max_mib * 1024 * 1024 // PAGE)
            await log._see_barriers()
        except FAILURES as error:
            owner.close()
            raise LogError(f"Cannot open the log {path}: {error}.") from error
        except BaseException:
            owner.close()
            raise
        return log

    def redact(self, rules: Mapping[str, Sequence[Rule]]) -> None:
        self._rules = rules

    async def append(
        self,
        site: str,
        drafts: Sequence[Draft],
        received_at: int,
        aliases: Sequence[Alias] = (),
    ) -> list[Verdict]:
        if not drafts:
            return []
        if rules := self._rules.get(site):
            drafts = [structs.replace(each, entry=redact(each.entry, rules)) for each in drafts]
        batch = Batch(site, drafts, received_at, aliases)
        verdicts = await self._writing(self._ledger.append, batch, len(drafts), grows=True)
        for watched, watcher in self._watchers:
            if watched in (None, site):
                watcher.set()
        return verdicts

    async def read(self, site: str, thread: ThreadId) -> StoredThread | None:
        return await self._reading(lambda connection: read_named(connection, site, thread))

    async def recent(self, site: str, limit: int) -> list[StoredThread]:
        return await self._reading(lambda connection: read_recent(connection, site, limit))

    async def votes(self, site: str, thread: ThreadId, actor: ActorId) -> list[Event]:
        return await self._reading(lambda connection: read_votes(connection, site, thread, actor))

    async def aliases(self, site: str, names: Sequence[str]) -> dict[str, Alias]:
        return await self._reading(lambda connection: aliases.find(connection, site, names))

    async def spell(self, site: str, claims: PassClaims, key: str) -> None:
        while not await self._writing(aliases.spell, aliases.Spelling(site, claims, key)):
            pass

    async def alias_keys(self, site: str) -> list[PassClaims]:
        return await self._reading(lambda connection: aliases.keys(connection, site))

    async def bar(self, barrier: Barrier) -> None:
        await self._writing(self._barring, barrier)
        await self._see_barriers()

    async def erase(self, erasure: Erasure) -> Removed:
        removed = await self._writing(self._erasing, erasure)
        self._removed = True
        await self._see_barriers()
        return removed

    async def expire(self, rules: Mapping[str, Retention], now: int) -> Removed:
        removed, after = Removed(0, 0), 0
        while True:
            swept = await self._writing(self._sweeping, Sweep(after, rules, now))
            removed += swept.removed
            self._removed = self._removed or swept.removed.threads > 0
            if swept.after is None:
                return removed
            after = swept.after

    async def deletions(self, upstream: str, now: int, limit: int) -> list[Deletion]:
        return await self._reading(
            lambda connection: removal.due_deletions(connection, upstream, now, limit)
        )

    async def settle_deletion(self, deletion: Deletion, *, done: bool) -> None:
        await self._writing(removal.settle_deletions, (deletion, done))

    async def meet(self, starts: Mapping[str, Start]) -> None:
        if await self._reading(lambda connection: roster.is_news(connection, starts)):
            await self._writing(roster.meet, starts)

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
        await self._writing(removal.settle, claims.Settlement(claim, outcomes, now))

    async def counts(self, upstream: str, site: str) -> Counts:
        return await self._reading(lambda connection: receipts.count(connection, upstream, site))

    async def receipts(self, upstream: str, site: str, thread: ThreadId) -> dict[int, Receipt]:
        def found(connection: sqlite3.Connection) -> dict[int, Receipt]:
            thread_no = find_thread(connection, site, thread)
            return {} if thread_no is None else receipts.receipts(connection, upstream, thread_no)

        return await self._reading(found)

    async def standing(self, upstream: str) -> Standing | None:
        return await self._reading(lambda connection: receipts.read_standing(connection, upstream))

    async def stand(self, upstream: str, standing: Standing | None) -> None:
        await self._writing(receipts.stand, (upstream, standing))

    async def oldest_undelivered(self, upstream: str, site: str) -> int | None:
        return await self._reading(
            lambda connection: lag.oldest_undelivered(connection, upstream, site)
        )

    def watch_commits(self, observe: Callable[[float], object]) -> None:
        self._observe = self._writer.observe = observe

    async def check(self) -> None:
        if self._mending.given_up:  # an empty transaction meets no damage
            raise LogDamaged("The log was damaged again. Look at the disk, then restart.")
        await self._writing(_nothing, None, grows=True)

    def watch(self, site: str | None = None) -> asyncio.Event:
        watcher = asyncio.Event()
        self._watchers.append((site, watcher))
        return watcher

    async def close(self) -> None:
        self._poll.cancel()
        await asyncio.gather(self._poll, return_exceptions=True)
        await self._mending.close()
        await self._stop()
        self._owner.close()

    def _barring(
        self, connection: sqlite3.Connection, barriers: Sequence[Barrier]
    ) -> Sequence[None]:
        self._ledger.forget()
        barring.bar(connection, barriers)
        return [None] * len(barriers)

    def _erasing(
        self, connection: sqlite3.Connection, erasures: Sequence[Erasure]
    ) -> Sequence[Removed]:
        self._ledger.forget()
        return removal.erase(connection, erasures)

    def _sweeping(self, connection: sqlite3.Connection, sweeps: Sequence[Sweep]) -> Sequence[Swept]:
        swept = removal.sweep(connection, sweeps)
        if any(each.removed.threads for each in swept):
            self._ledger.forget()
        return swept

    async def _reading(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return await self._readers.do(work)
        except LogDamaged:
            self._mending.begin()
            raise

    async def _writing(
        self, work: Work[I, R], item: I, weight: int = 1, *, grows: bool = False
    ) -> R:
        try:
            return await self._writer.do(work, item, weight, grows=grows)
        except LogDamaged:
            self._mending.begin()
            raise

    async def _see_barriers(self) -> None:
        """Have the barriers as they are now, if any has changed."""
        seen, barriers = await self._reading(
            lambda connection: barring.read(connection, self._seen)
        )
        if barriers is not None:
            self._seen, self.barriers = seen, barriers

    async def _tend(self) -> None:
        """Second by second: see what the command line wrote, and keep the files small."""
        while True:
            await asyncio.sleep(POLL)
            try:
                await self._see_barriers()
                await asyncio.to_thread(self._keep_small)
            except (LogError, OSError, *FAILURES) as error:
                self._logger.error("log_failed", error=str(error))

    def _keep_small(self) -> None:
        if self._ballast.full:
            self._ballast.take()
        wal = self._path.with_name(f"{self._path.name}-wal")
        if (
            self._removed
            or self._ballast.full
            or (wal.stat().st_size if wal.exists() else 0) > WAL_LONG
        ):
            with closing(connect(self._path)) as connection:
                connection.execute("PRAGMA busy_timeout = 0")
                (busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                self._removed = self._removed and bool(busy)

    async def _stop(self) -> None:
        await self._writer.close()
        await self._readers.close()


def _nothing(connection: sqlite3.Connection, items: Sequence[None]) -> Sequence[None]:
    return items
