"""Indexing: a process of its own keeps the index of a running server up to date.

Its work is all Python's, so within the server every request would wait for turns at the
interpreter. It is started once there is something to index, started anew when it ends, and whatever
it does, the server goes on.
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog

from thumbseal.index.asking import Index
from thumbseal.index.file import is_needed, prepare
from thumbseal.index.following import Told
from thumbseal.log import Log
from thumbseal.log.opening import FAILURES

APART: Final = 0.02  # seconds between two words that something was stored
NICENESS: Final = 10  # more than the server: of a processor that both want it gets one part in ten
LAST: Final = 19  # no process is nicer
SCORE: Final = 500  # of 1,000: the first to be ended for want of memory, on Linux
AGAIN: Final = 5.0  # seconds after a failure
PATIENCE: Final = 5.0  # seconds for its last step, which takes a fraction of one
MACHINE: Final = (
    "It is started again every few seconds. If that repeats, look at the machine's memory, and at "
    "how many processes it allows."
)
_TOLD: Final = msgspec.json.Decoder(Told)
_logger: Final = structlog.get_logger()

Line = dict[str, Any]


async def run(log: Log, index: Index, log_path: Path, begun: asyncio.Event) -> None:
    """Keep the index up to date, for ever; returns only by cancellation, with no process left.
    ``begun`` is set as soon as there is something to ask, or the disk has refused."""
    stored = log.watch()
    follower = Follower(index, log_path)
    while True:
        try:
            await asyncio.to_thread(prepare, log_path)
            begun.set()
            if not await asyncio.to_thread(is_needed, log_path):
                await stored.wait()
            failed = await follower.follow(stored)
        except (OSError, *FAILURES) as error:
            failed = {"error": str(error), "remedy": "Look at the disk."}
        begun.set()
        follower.say(failed)
        await asyncio.sleep(AGAIN)


class Follower:
    """The process that follows the log, each time it is started."""

    def __init__(self, index: Index, log_path: Path) -> None:
        self._index = index
        self._log_path = log_path
        self._failed: Line = {}
        self._said = False

    def say(self, failed: Line) -> None:
        """Say what has failed, once until it has got on."""
        if not self._said:
            _logger.error("index_failed", **failed)
        self._said = True

    async def follow(self, stored: asyncio.Event) -> Line:
        """Start it; what it has failed with when it ends. Cancelled, it has it end."""
        try:
            process = _start(self._log_path)
        except OSError as error:
            return {"error": str(error), "remedy": MACHINE}
        loop, self._failed = asyncio.get_running_loop(), {}

        def hear(told: Told) -> None:
            loop.call_soon_threadsafe(self._hear, told)

        assert process.stdin is not None  # noqa: S101  a pipe, as it was started
        telling = asyncio.create_task(_tell(process.stdin.fileno(), stored))
        with ThreadPoolExecutor(1, "thumbseal-index") as thread:
            ending = loop.run_in_executor(thread, _listen, process, hear)
            try:
                status = await asyncio.shield(ending)
            finally:
                telling.cancel()
                process.stdin.close()
                if not (await asyncio.wait({ending}, timeout=PATIENCE))[0]:
                    process.kill()
                await asyncio.wait({ending})
        return self._failed or {
            "error": f"Its process ended with status {status}.",
            "remedy": MACHINE,
        }

    def _hear(self, told: Told) -> None:
        if told.progress is not None:
            self._said = False
            self._index.move(told.progress)
        self._failed = told.failed


def _start(log_path: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-P", "-m", "thumbseal.index.following", str(log_path.absolute())]
    with _deaf():
        process = subprocess.Popen(  # noqa: S603
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
    assert process.stdin is not None  # noqa: S101
    with suppress(AttributeError):  # on Windows, before Python 3.12
        os.set_blocking(process.stdin.fileno(), False)
    _put_last(process.pid)
    return process


def _put_last(process: int) -> None:
    """Where the processor or the memory is short, the server has it, as far as the system can tell
    them apart."""
    with suppress(OSError, AttributeError):
        own = os.getpriority(os.PRIO_PROCESS, 0)
        os.setpriority(os.PRIO_PROCESS, process, min(own + NICENESS, LAST))
    with suppress(OSError):
        Path(f"/proc/{process}/oom_score_adj").write_text(str(SCORE), "ascii")


@contextmanager
def _deaf() -> Iterator[None]:
    """What is started meanwhile hears no signal that asks the server to end, or to read its
    settings again: a terminal and systemd send them to all processes, and its end is its input's.
    """
    if not hasattr(signal, "pthread_sigmask"):  # on Windows
        yield
        return
    asking = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, asking)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


async def _tell(target: int, stored: asyncio.Event) -> None:
    """Say that something was stored, but not for each of many events."""
    while True:
        await stored.wait()
        stored.clear()
        # A full pipe says it already; one that nobody reads has ended, which is noticed elsewhere.
        with suppress(BlockingIOError, BrokenPipeError):
            os.write(target, b"\n")
        await asyncio.sleep(APART)


def _listen(process: "subprocess.Popen[bytes]", hear: Callable[[Told], object]) -> int:
    """Hand on what a process says, until it has ended; with which status."""
    assert process.stdout is not None  # noqa: S101
    with process.stdout as lines:
        for line in lines:
            with suppress(msgspec.MsgspecError):  # whatever else an interpreter prints
                hear(_TOLD.decode(line))
    return process.wait()
