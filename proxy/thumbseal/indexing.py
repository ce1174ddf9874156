"""Indexing: the index of a running server follows its log, within a second and politely."""

import asyncio
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Final

import structlog

from thumbseal.index.asking import Index
from thumbseal.index.file import prepare
from thumbseal.index.keeping import Keeper
from thumbseal.log import Log
from thumbseal.log.opening import FAILURES

STEP: Final = 500  # events at a time: about the tenth of a second
REST: Final = 19  # times as long as a step took: 5 % of a processor
EVERY: Final = 1.0  # seconds between looks for what a command has removed beside the server
AGAIN: Final = 5.0  # seconds after a failure
_logger: Final = structlog.get_logger()


async def run(log: Log, index: Index, log_path: Path, begun: asyncio.Event) -> None:
    """Keep the index up to date, for ever; returns only by cancellation. ``begun`` is set as soon
    as there is something to ask, or the disk has refused."""
    stored = log.watch()
    while True:
        # One thread for all that the keeper does: it is closed when its last step is through.
        thread = ThreadPoolExecutor(1, "thumbseal-index")
        try:
            await _follow(thread, index, log_path, stored, begun)
        except (OSError, *FAILURES) as error:
            _logger.error("index_failed", error=str(error), remedy="Look at the disk.")
            begun.set()
            await asyncio.sleep(AGAIN)
        finally:
            await asyncio.to_thread(thread.shutdown)


async def _follow(
    thread: Executor, index: Index, log_path: Path, stored: asyncio.Event, begun: asyncio.Event
) -> None:
    """Return once the log's file is another one."""
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(thread, prepare, log_path)
    keeper = Keeper(log_path)
    try:
        await loop.run_in_executor(thread, keeper.open)
        begun.set()
        while keeper.is_current:
            stored.clear()
            began = loop.time()
            step = await loop.run_in_executor(thread, keeper.step, STEP)
            if step.changed:
                index.move(step.progress)
            took = loop.time() - began
            # A thread is read whole each time, so that to wait while many events come is less work
            # as well. A backlog gets half of the time: the rest is for whoever records.
            await asyncio.sleep(took if step.more else min(took * REST, EVERY))
            if not step.more:
                await _wait(stored, EVERY)
    finally:
        thread.submit(keeper.close)


async def _wait(stored: asyncio.Event, seconds: float) -> None:
    # Not `wait_for`, which until Python 3.12 loses a cancellation that comes with the event.
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stored.wait()
