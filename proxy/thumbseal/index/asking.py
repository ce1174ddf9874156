"""Asking the index: what pages and exports want to know."""

import asyncio
import json
import sqlite3
from collections.abc import Collection
from pathlib import Path
from typing import Final

import msgspec
from msgspec import structs

from thumbseal.ids import ThreadId
from thumbseal.index import Answer, Changes, Overview, Page, Progress, Summary
from thumbseal.index.describing import MARKS
from thumbseal.index.figures import read_overview, read_worst
from thumbseal.index.file import index_path
from thumbseal.index.filter import Filter
from thumbseal.index.query import SORTING, Where, threads_of, without_text, words
from thumbseal.log.readers import Readers

PLACES: Final = 4_096  # see schema.sql
AROUND: Final = 24  # words of a snippet
_SUMMARY: Final = msgspec.json.Decoder(Summary)


class Index:
    """The index beside the log at ``log_path``. ``sites`` are always those that the asking person
    may see. Every method raises `thumbseal.errors.LogError` where the file cannot be read."""

    def __init__(self, log_path: Path) -> None:
        self._readers = Readers(index_path(log_path))
        self._watchers: list[asyncio.Event] = []
        self._total = 0

    async def find(
        self, sites: Collection[str], wanted: Filter, now: int, after: str = "", limit: int = 50
    ) -> Page:
        """The threads of a filter in its order, those behind ``after``, which is from the page
        before; one that is not is the beginning. ``now`` in ms."""
        sorting = SORTING[wanted.order]
        streams = bool(wanted.text) and wanted.order != "worst"
        where = (without_text if streams else threads_of)(sites, wanted, now)
        where = sorting.behind(where, after)

        def found(connection: sqlite3.Connection) -> Page:
            if streams:
                threads = _hits(connection, where, words(wanted.text), sorting.down, limit + 1)
            else:
                threads = _summaries(connection, where, sorting.clause, limit + 1)
            page = _with_snippets(connection, threads[:limit], wanted.text)
            if len(threads) <= limit:
                return Page(page, None)
            return Page(page, sorting.place(page[-1]))

        return await self._readers.do(found)

    async def names(
        self, sites: Collection[str], wanted: Filter, now: int, after: int, limit: int
    ) -> list[tuple[int, str, ThreadId]]:
        """The numbers, sites and ids of a filter's threads past a number, in ascending order."""
        where = threads_of(sites, wanted, now).also("thread.thread_no > ?", after)

        def found(connection: sqlite3.Connection) -> list[tuple[int, str, ThreadId]]:
            return connection.execute(
                "SELECT thread_no, site, summary ->> 'thread' FROM thread"  # noqa: S608
                f" WHERE {where.text} ORDER BY thread_no LIMIT ?",
                (*where.values, limit),
            ).fetchall()

        return await self._readers.do(found)

    async def overview(self, sites: Collection[str], wanted: Filter, now: int) -> Overview:
        """What the threads of a filter come to; thumbs count by when they were given."""
        where, span = threads_of(sites, wanted, now), wanted.span(now)
        return await self._readers.do(lambda each: read_overview(each, where, span, now))

    async def worst(
        self, sites: Collection[str], wanted: Filter, now: int, limit: int = 10
    ) -> list[Answer]:
        """The answers with the worst opinions given in the filter's time: more downs than ups
        first, then the lowest score, then the newest."""
        where, span = threads_of(sites, wanted, now), wanted.span(now)
        return await self._readers.do(lambda each: list(read_worst(each, where, span, limit)))

    async def changes(
        self, sites: Collection[str], wanted: Filter, now: int, after: int, limit: int = 50
    ) -> Changes:
        """The threads with an event past ``after``; begin with `progress().done`."""
        where = threads_of(sites, wanted, now).also("thread.seq > ?", after)

        def found(connection: sqlite3.Connection) -> Changes:
            threads = _summaries(connection, where, "thread.seq", limit)
            whole = len(threads) < limit
            return Changes(threads, max(_cursor(connection), after) if whole else threads[-1].seq)

        return await self._readers.do(found)

    async def progress(self) -> Progress:
        """How far the index is."""
        done = await self._readers.do(_cursor)
        return Progress(done, max(done, self._total))

    def watch(self) -> asyncio.Event:
        """An event that is set whenever the index has moved on; clear it before you ask. Hand it
        back with `unwatch`."""
        self._watchers.append(asyncio.Event())
        return self._watchers[-1]

    def unwatch(self, watcher: asyncio.Event) -> None:
        """Set it no more."""
        self._watchers.remove(watcher)

    def move(self, progress: Progress) -> None:
        """Note that the index has moved on."""
        self._total = progress.total
        for watcher in self._watchers:
            watcher.set()

    async def close(self) -> None:
        """Finish what is under way."""
        await self._readers.close()


def _summaries(
    connection: sqlite3.Connection, where: Where, order: str, limit: int
) -> list[Summary]:
    rows = connection.execute(
        f"SELECT summary FROM thread WHERE {where.text} ORDER BY {order} LIMIT ?",  # noqa: S608
        (*where.values, limit),
    )
    return [_SUMMARY.decode(summary) for (summary,) in rows]


def _hits(
    connection: sqlite3.Connection, where: Where, text: str, down: bool, limit: int
) -> list[Summary]:
    """The threads in which a text stands, by number. FTS5 gives its finds in that order, so the
    first ones of a common word cost little: nothing collects and sorts the rest."""
    rows = connection.execute(
        "SELECT thread.thread_no, summary FROM docs CROSS JOIN thread"  # noqa: S608
        " ON thread.thread_no = docs.rowid >> 12"
        f" WHERE docs MATCH ? AND {where.text} ORDER BY docs.rowid {'DESC' if down else 'ASC'}",
        (text, *where.values),
    )
    found: dict[int, Summary] = {}
    for number, summary in rows:
        if number not in found:
            found[number] = _SUMMARY.decode(summary)
        if len(found) == limit:
            break
    return list(found.values())


def _with_snippets(
    connection: sqlite3.Connection, threads: list[Summary], text: str
) -> list[Summary]:
    """The threads, each with the first place where a text stands. One search for all of them: to
    begin one takes as long as reading a common word's places."""
    if not (text and threads):
        return threads
    numbers = [thread.thread_no for thread in threads]
    rows = connection.execute(
        "SELECT rowid >> 12, snippet(docs, 0, ?, ?, '…', ?) FROM docs WHERE docs MATCH ?"
        " AND rowid BETWEEN ? AND ? AND rowid >> 12 IN (SELECT value FROM json_each(?))",
        (
            *MARKS,
            AROUND,
            words(text),
            min(numbers) * PLACES,
            max(numbers) * PLACES + PLACES - 1,
            json.dumps(numbers),
        ),
    )
    found: dict[int, str] = {}
    for number, snippet in rows:
        found.setdefault(number, snippet)
    return [
        structs.replace(each, snippet=_pieces(found.get(each.thread_no, ""))) for each in threads
    ]


def _pieces(snippet: str) -> tuple[tuple[str, bool], ...]:
    """A snippet as (text, found?) pieces."""
    begin, end = MARKS
    pieces: list[tuple[str, bool]] = []
    for part in snippet.split(begin):
        hit, mark, rest = part.partition(end)
        pieces += [(hit, True), (rest, False)] if mark else [(part, False)]
    return tuple(piece for piece in pieces if piece[0])


def _cursor(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT cursor FROM state").fetchone()[0])
