"""The task that keeps the index up to date: it ends when it is told to."""

import asyncio
from pathlib import Path
from typing import cast

import pytest

from thumbseal import indexing
from thumbseal.index.asking import Index
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
