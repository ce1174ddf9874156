"""A loud neighbour, in a process of its own: what it does must not make the one late who measures.

`python -m tests.reliability.loud PORT SITE KEY_FILE REQUESTS RATE BLOCKS` says ``ready``; for each
line that it is given it sends so many requests, and says ``sending`` before the first and ``sent``
after the last answer. An answer that is not good ends it.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Final

import uvloop

from tests.bench.generator import Expected, send_paced
from tests.bench.traffic import write_requests
from thumbseal.keys import Keys
from thumbseal.tokens import Tokens

CONNECTIONS: Final = 20
ACCEPTED: Final = Expected(b"202", b'"accepted"', 1)


class Loud:
    """The neighbour; it is ready."""

    def __init__(self, process: "Popen[str]") -> None:
        self._process = process
        self._await("ready")

    def begin(self) -> None:
        """Return once it sends."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        self._await("sending")

    def finish(self) -> None:
        """Return once all that it sent is answered."""
        self._await("sent")

    def _await(self, word: str) -> None:
        assert self._process.stdout is not None
        assert self._process.stdout.readline().strip() == word, "the loud neighbour has ended"


@contextmanager
def loud(
    port: int, site: str, key_file: Path, requests: int, rate: float, blocks: int
) -> Iterator[Loud]:
    """A neighbour that sends ``requests`` to a site, ``rate`` a second, up to ``blocks`` times."""
    said = [str(each) for each in (port, site, key_file, requests, rate, blocks)]
    command = [sys.executable, "-m", "tests.reliability.loud", *said]
    with Popen(command, stdin=PIPE, stdout=PIPE, text=True) as process:
        try:
            yield Loud(process)
        finally:
            process.kill()


def main(port: int, site: str, key_file: Path, requests: int, rate: float, blocks: int) -> None:
    tokens = Tokens(site, Keys.derive([key_file.read_text()]))
    written = [write_requests(tokens, requests, 1, 0) for _ in range(blocks)]
    say("ready")
    for block in written:
        if not sys.stdin.readline():
            return
        uvloop.run(send(port, block, rate))
        say("sent")


async def send(port: int, requests: list[bytes], rate: float) -> None:
    first = [True]

    def sending(request: bytes) -> None:
        if first:
            first.clear()
            say("sending")

    await send_paced(port, requests, ACCEPTED, rate, sending, CONNECTIONS)


def say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    _, port_, site_, key_, requests_, rate_, blocks_ = sys.argv
    main(int(port_), site_, Path(key_), int(requests_), float(rate_), int(blocks_))
