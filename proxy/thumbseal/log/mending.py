"""Mending: a log that turns out to be damaged is put aside while the server runs."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import structlog
from msgspec import structs

from thumbseal.errors import LogError
from thumbseal.log.opening import FAILURES, make_ready
from thumbseal.log.salvage import suspect

CALM: Final = 600.0  # seconds; a log that is damaged again so soon has a disk that is
AGAIN: Final = 30.0  # seconds until a salvage that failed is tried again


def open_sound(path: Path, *, known: bool) -> None:
    """Make the file a sound log, and tell the operator if that took a salvage; see `make_ready`."""
    salvaged = make_ready(path, known=known)
    if salvaged is not None:
        told = structs.asdict(salvaged)
        structlog.get_logger().error("log_salvaged", **told, remedy=salvaged.remedy)


class Mending:
    """Mends one log. ``stop`` has everybody leave its file, ``start`` has them come back.
    ``given_up`` says that the log is damaged and left so, for now."""

    def __init__(
        self, path: Path, stop: Callable[[], Awaitable[None]], start: Callable[[], None]
    ) -> None:
        self._path = path
        self._stop = stop
        self._start = start
        self._mended = -CALM
        self.given_up = False
        self._closing = asyncio.Event()
        self._logger = structlog.get_logger()
        self.task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Somebody met damage. Mending goes on beside; until it is done the log is closed."""
        if self.task is None or self.task.done():
            self.task = asyncio.create_task(self._mend(), name="thumbseal-mend")

    async def close(self) -> None:
        """Finish what is being done; what has failed is left to the next start."""
        self._closing.set()
        if self.task is not None:
            await asyncio.gather(self.task, return_exceptions=True)

    async def _mend(self) -> None:
        suspect(self._path)
        if time.monotonic() - self._mended < CALM:
            self.given_up = True
            self._logger.error("log_damaged_again", remedy="Look at the disk, then restart.")
            return
        self._logger.error("log_damaged")
        await self._stop()
        while not await self._salvage():
            try:
                async with asyncio.timeout(AGAIN):
                    await self._closing.wait()
            except TimeoutError:
                continue
            return
        self._mended = time.monotonic()
        self.given_up = False
        self._start()

    async def _salvage(self) -> bool:
        try:
            await asyncio.to_thread(open_sound, self._path, known=True)
        except (LogError, OSError, *FAILURES) as error:
            remedy = "Look at the disk of server.log; it is tried again in half a minute."
            self._logger.error("not_salvaged", error=str(error), remedy=remedy)
            return False
        return True
