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

STEP: Final = 2_000  # events at a time
# The keeper's thread and the event loop take turns at the interpreter. It rests after each thread,
# or requests would wait for as long as a step takes; and after a step, since a thread is read whole
# each time: to wait while many events come is less work. What has come while a step began is there
# after the next one, within a second as long as a step finds no more than some eighty threads.
BREATH: Final = 3.0  # times as long as a thread took
REST: Final = 4.0  # times as long as a step took, breaths included: 5 % of a processor,
LONGEST: Final = 0.3  # seconds, and no longer
BEHIND: Final = 1.0  # times as long as a thread took, while there is a backlog
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
        behind = False
        while keeper.is_current:
            stored.clear()
            began = loop.time()
            rest = BEHIND if behind else BREATH
            step = await loop.run_in_executor(thread, keeper.step, STEP, rest)
            behind = step.more
            if step.changed:
                index.move(step.progress)
            if not behind:
                await asyncio.sleep(min((loop.time() - began) * REST, LONGEST))
                await _wait(stored, EVERY)
    finally:
        keeper.hurry()
        thread.submit(keeper.close)


async def _wait(stored: asyncio.Event, seconds: float) -> None:
    # Not `wait_for`, which until Python 3.12 loses a cancellation that comes with the event.
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stored.wait()
