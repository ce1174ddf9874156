"""Bare sockets: a server in a process of its own, and clients that speak as they like."""

import asyncio
import json
import resource
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

import httptools

from tests.proxy import ORIGIN
from thumbseal.keys import new_key

WAIT: Final = 60.0  # seconds before something that must happen counts as stuck
PACE: Final = 0.02  # seconds between the bytes of a client that dribbles
ALIVE: Final = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"


class Raw:
    """A running server, its process, and what it says."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.lines: list[dict[str, Any]] = []
        self._serving = threading.Event()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        assert self._serving.wait(WAIT)
        assert self.lines, "the server did not start"
        self.port = int(self.lines[0]["url"].rpartition(":")[2])

    def _read(self) -> None:
        """Take down what it says, or it would wait for a reader."""
        assert self.process.stderr is not None
        for text in self.process.stderr:
            self.lines.append(json.loads(text))
            self._serving.set()
        self._serving.set()

    def said(self, event: str) -> list[dict[str, Any]]:
        """Its lines about an event so far."""
        return [line for line in self.lines if line["event"] == event]

    def stop(self) -> None:
        self.process.terminate()
        assert self.process.wait(WAIT) == 0
        self._reader.join()

    @asynccontextmanager
    async def connect(
        self, limit: int = 65_536
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A connection; at the end it is cut."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=limit)
        try:
            yield reader, writer
        finally:
            writer.transport.abort()

    async def told(self, *parts: bytes) -> bytes:
        """All that comes back until the server closes, for what is sent at once."""
        async with asyncio.timeout(WAIT), self.connect() as (reader, writer):
            writer.write(b"".join(parts))
            return await reader.read()

    async def dribbled(self, start: bytes, bit: bytes) -> bytes:
        """All that comes back until the server closes, for a start and then bit upon bit."""
        async with asyncio.timeout(WAIT), self.connect() as (reader, writer):
            writer.write(start)
            dribbling = asyncio.create_task(_dribble(writer, bit))
            try:
                return await reader.read()
            finally:
                dribbling.cancel()


async def _dribble(writer: asyncio.StreamWriter, bit: bytes) -> None:
    while True:
        writer.write(bit)
        await asyncio.sleep(PACE)


@contextmanager
def serving_raw(folder: Path, *, files: int | None = None, **server: object) -> Iterator[Raw]:
    """A server with these settings under ``[server]``, and so many files that it may open."""
    lines = [f"{name} = {json.dumps(value)}" for name, value in server.items()]
    (folder / "site.key").write_text(new_key(), "utf-8")
    config = folder / "thumbseal.toml"
    config.write_text(
        "\n".join(
            ['[server]\nlisten = "127.0.0.1:0"\nlog = "sqlite:log.db"\nlines = "json"', *lines]
        )
        + f'\n[sites.support]\nkeys = ["file:site.key"]\norigins = ["{ORIGIN}"]\n',
        "utf-8",
    )
    # The limit stands in the shell's hand, between fork and exec.
    shell = ["/bin/sh", "-c", f'ulimit -n {files} && exec "$@"', "sh"] if files else []
    with running_raw(config, shell) as raw:
        yield raw


@contextmanager
def running_raw(config: Path, launcher: Sequence[str] = ()) -> Iterator[Raw]:
    """A server with the settings of a file, started by a launcher."""
    command = [*launcher, sys.executable, "-m", "thumbseal", "serve", "--config", str(config)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            raw = Raw(process)
            yield raw
            raw.stop()
        finally:
            process.kill()


class _Answers:
    """What httptools tells of answers."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.bodies: list[bytes] = []
        self.finished = 0
        self.parser = httptools.HttpResponseParser(self)

    def on_headers_complete(self) -> None:
        self.statuses.append(self.parser.get_status_code())
        self.bodies.append(b"")

    def on_body(self, body: bytes) -> None:
        self.bodies[-1] += body

    def on_message_complete(self) -> None:
        self.finished += 1


def parse_answers(told: bytes) -> list[tuple[int, bytes]]:
    """Status and body of each answer; anything else between or after them is a failure."""
    answers = _Answers()
    answers.parser.feed_data(told)
    assert answers.finished == len(answers.statuses), told
    return list(zip(answers.statuses, answers.bodies, strict=True))


def statuses(told: bytes) -> list[int]:
    """The status of each answer."""
    return [status for status, _ in parse_answers(told)]


def allow_files(count: int) -> None:
    """Let this process open so many files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
