"""The task that keeps the index up to date: it ends when it is told to."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import cast

import pytest

from tests.bench.history import write_history
from tests.indexed import content, follow
from thumbseal import indexing
from thumbseal.index.asking import Index
from thumbseal.index.file import index_path
from thumbseal.log import Log
from thumbseal.log.sqlite import SqliteLog


class Awaited(asyncio.Event):
    """An event that says when somebody waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.awaited = asyncio.Event()

    async def wait(self) -> bool:  # type: ignore[override]
        self.awaited.set()
        return await super().wait()


@pytest.mark.parametrize("steps", range(4))
def test_it_ends_also_while_something_is_stored(tmp_path: Path, steps: int) -> None:
    """A cancellation that comes with the news, or a step of the loop later, is not lost."""

    class Watched:
        """A log, as far as the task looks at one."""

        def watch(self) -> asyncio.Event:
            return stored

    async def end() -> None:
        begun = asyncio.Event()
        path = tmp_path / "log.db"
        log, index = await SqliteLog.open(path), Index(path)
        running = asyncio.create_task(indexing.run(cast(Log, Watched()), index, path, begun))
        await stored.awaited.wait()
        await asyncio.sleep(0)
        stored.set()
        for _ in range(steps):
            await asyncio.sleep(0)
        running.cancel()
        done, _ = await asyncio.wait({running}, timeout=10)
        assert done, "it goes on"
        await index.close()
        await log.close()

    stored = Awaited()
    asyncio.run(end())


def test_it_ends_in_the_middle_of_a_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that would rest for minutes is over when the server stops."""
    monkeypatch.setattr(indexing, "BREATH", 3e4)
    path = tmp_path / "log.db"
    write_history(path, 100)

    async def end() -> None:
        log, index = await SqliteLog.open(path), Index(path)
        running = asyncio.create_task(indexing.run(log, index, path, asyncio.Event()))
        while not await asyncio.to_thread(is_written_to, index_path(path)):  # noqa: ASYNC110  a file
            await asyncio.sleep(0.01)
        running.cancel()
        done, _ = await asyncio.wait({running}, timeout=10)
        assert done, "it rests"
        await index.close()
        await log.close()

    asyncio.run(end())
    follow(path)
    assert len(content(path)["thread"]) == 5


def is_written_to(path: Path) -> bool:
    """Whether an index is in the middle of a step."""
    if not path.exists():
        return False
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as other:
        try:
            other.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
        return False
