"""The index of a running proxy, or of a log's file, as a test asks it."""

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Final, TypeVar

from thumbseal.index.asking import Index
from thumbseal.index.file import index_path, make
from thumbseal.index.keeping import Keeper
from thumbseal.log.ledger import last_seq

SITES: Final = ("support",)
MODULE: Final = "thumbseal.index.following"
T = TypeVar("T")
Rows = dict[str, list[tuple[object, ...]]]


def ask(log_path: Path, question: Callable[[Index], Awaitable[T]]) -> T:
    """The answer of the index beside a log."""

    async def asked() -> T:
        index = Index(log_path)
        try:
            return await question(index)
        finally:
            await index.close()

    return asyncio.run(asked())


def follow(log_path: Path, limit: int = 500) -> None:
    """Bring the index up to date here, as a command does."""
    make(index_path(log_path))
    with Keeper(log_path) as keeper:
        while keeper.step(limit).more:
            pass


def wait_for(log_path: Path, done: Callable[[], bool], seconds: float = 20) -> None:
    """Return once the server has brought its index so far."""
    until = time.monotonic() + seconds
    while not (_has_all(log_path) and done()):
        assert time.monotonic() < until, "the index does not follow its log"
        time.sleep(0.02)


def followers(folder: Path) -> list[int]:
    """The processes that keep an index in a folder up to date, or below it, as Linux names them."""
    found = []
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(ProcessLookupError, FileNotFoundError):  # it has ended
            words = each.read_bytes().decode(errors="replace").rstrip("\0").split("\0")
            if words[-2:-1] == [MODULE] and Path(words[-1]).is_relative_to(folder):
                found.append(int(each.parent.name))
    return found


def await_followers(folder: Path, count: int, seconds: float = 20) -> list[int]:
    """The same, once there are so many."""
    until = time.monotonic() + seconds
    while len(found := followers(folder)) != count:
        assert time.monotonic() < until, found
        time.sleep(0.02)
    return found


def content(log_path: Path) -> Rows:
    """Every row of an index."""
    with closing(sqlite3.connect(index_path(log_path))) as connection:
        tables = ("thread", "label", "answer", "vote")
        found: Rows = {
            table: connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2, 3").fetchall()  # noqa: S608
            for table in tables
        }
        found["docs"] = connection.execute("SELECT rowid, text FROM docs ORDER BY 1").fetchall()
        connection.execute("INSERT INTO docs (docs) VALUES ('integrity-check')")
        return found


def _has_all(log_path: Path) -> bool:
    if not index_path(log_path).exists():
        return False
    with (
        closing(sqlite3.connect(log_path)) as log,
        closing(sqlite3.connect(index_path(log_path))) as index,
    ):
        try:
            (cursor,) = index.execute("SELECT cursor FROM state").fetchone()
        except sqlite3.OperationalError:  # it is being made
            return False
        return bool(cursor == last_seq(log))
