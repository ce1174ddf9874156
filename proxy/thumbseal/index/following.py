"""Following: the process that keeps the index of a running server up to date.

`python -m thumbseal.index.following LOG`, as `thumbseal.indexing` starts it. A byte on its input
says that something was stored; the end of its input is its own end. What it has to say stands line
by line on its output, each a `Told`.
"""

import os
import sys
import threading
import time
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from thumbseal.index import Progress
from thumbseal.index.keeping import Keeper
from thumbseal.log.ballast import Ballast
from thumbseal.log.opening import FAILURES

EVENTS: Final = 2_000  # of a step, at most
SECONDS: Final = 0.2  # of a step, at most
# A container's share of a processor knows no niceness, hence the rest. It also saves work, since a
# thread is read whole each time. What is stored waits for a step, a rest and a step at most.
REST: Final = 8.0  # times the processor time of the step before
LONGEST: Final = 0.4  # seconds
BEHIND: Final = 1.0  # instead of `REST`, while there is a backlog
EVERY: Final = 1.0  # seconds between looks for what a command has removed beside the server


class Told(Struct, frozen=True, omit_defaults=True):
    """How far the index is; or the fields of a line that says what failed, and the end."""

    progress: Progress | None = None
    failed: dict[str, Any] = {}


class Server:
    """The server as its child sees it: what comes in through a ``source``, and goes out to a
    ``target``. Both are pipes."""

    def __init__(self, source: int, target: int) -> None:
        self._source, self._target = source, target
        self._stored, self._ended = threading.Event(), threading.Event()
        threading.Thread(target=self._listen, daemon=True).start()

    @property
    def ended(self) -> bool:
        return self._ended.is_set()

    def rest(self, seconds: float) -> None:
        """Return after that time, or once the server has ended."""
        self._ended.wait(seconds)

    def wait(self, seconds: float) -> None:
        """The same, or once something was stored since the last time."""
        self._stored.wait(seconds)
        self._stored.clear()

    def tell(self, told: Told) -> None:
        """Say it, if there is still a server."""
        try:
            os.write(self._target, msgspec.json.encode(told) + b"\n")
        except BrokenPipeError:
            self._end()

    def _listen(self) -> None:
        while os.read(self._source, 4_096):
            self._stored.set()
        self._end()

    def _end(self) -> None:
        self._ended.set()
        self._stored.set()


def follow(log_path: Path, server: Server) -> None:
    """Keep the index up to date until the server has ended; say how far it is after each change.

    Raises:
        sqlite3.Error, OSError: the log or the index cannot be used.
    """
    news, ballast = True, Ballast(log_path)
    while not server.ended:
        with Keeper(log_path) as keeper:
            while keeper.is_current and not server.ended:
                if not ballast.leaves_room():
                    server.rest(EVERY)
                    continue
                began = time.process_time()
                step = keeper.step(EVENTS, SECONDS)
                took = time.process_time() - began
                if step.changed or news:
                    news = False
                    server.tell(Told(step.progress))
                server.rest(min(took * (BEHIND if step.more else REST), LONGEST))
                if not step.more:
                    server.wait(EVERY)


def main(log_path: Path) -> None:
    """Follow, and end with the server or with what stands in the way."""
    server = Server(sys.stdin.fileno(), sys.stdout.fileno())
    try:
        follow(log_path, server)
    except (OSError, *FAILURES) as error:
        server.tell(Told(failed={"error": str(error), "remedy": "Look at the disk."}))
    except Exception as error:  # noqa: BLE001  told without its text, which may quote the log
        from thumbseal import journal

        line = journal.tell_error(None, "error", {"exc_info": error})
        server.tell(Told(failed={**line, "remedy": "Tell those who make Thumbseal of this line."}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
