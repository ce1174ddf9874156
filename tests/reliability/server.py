"""The real server in a process of its own, started and killed over one folder."""

import asyncio
import json
import signal
import sqlite3
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import httpx2

from tests.doubles.lunary import PROJECT
from tests.proxy import ORIGIN
from tests.reliability.conservation import Watch, check_conservation
from thumbseal.keys import new_key

UPSTREAM: Final = ("support/lunary", "support")
THUMBSEAL: Final = (sys.executable, "-m", "thumbseal")
POLL: Final = 0.05  # seconds between looks at another process's progress

# Port 0: while the server is down anybody may take its port, so each life has a new one.
_SETTINGS: Final = """\
[server]
listen = "127.0.0.1:0"
log = "sqlite:log.db"

[sites.support]
keys = ["file:site.key"]
origins = ["{origin}"]
limits = "off"

[[sites.support.upstreams]]
name = "lunary"
kind = "lunary"
url = "{upstream}"
key = "file:lunary.key"
"""


@dataclass(frozen=True)
class Ready:
    """A start, in seconds: until the first ``ready``, and how long of that others had the CPU."""

    seconds: float
    waited: float

    @property
    def own(self) -> float:
        return self.seconds - self.waited


class Server:
    """The lives of one server; between two of them `url` makes its callers wait. Each second its
    log is held to promise 2."""

    def __init__(
        self,
        folder: Path,
        upstream: str,
        http: httpx2.AsyncClient,
        launcher: Sequence[str] = THUMBSEAL,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.log = folder / "log.db"
        self.lines: list[dict[str, Any]] = []
        self.settings = folder / "thumbseal.toml"
        self.watch = Watch(self.log, *UPSTREAM)
        self._http = http
        self._launcher = launcher
        self._environment = environment
        self._up = asyncio.Event()
        self._url = ""
        self._process: Process | None = None
        self._reading: asyncio.Task[None]
        self._watching: asyncio.Task[None]
        self.settings.write_text(_SETTINGS.format(origin=ORIGIN, upstream=upstream), "utf-8")
        (folder / "site.key").write_text(new_key(), "utf-8")
        (folder / "lunary.key").write_text(PROJECT.private_key, "utf-8")

    async def __aenter__(self) -> Self:
        self._watching = asyncio.create_task(self.watch.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process is not None and self._process.returncode is None:
            await self.kill()
        self._watching.cancel()
        with suppress(asyncio.CancelledError):
            await self._watching

    async def start(self) -> Ready:
        """How long it took from the start of the process to a ``ready`` of ``/readyz``."""
        began = time.monotonic()
        command = (*self._launcher, "serve", "--config", str(self.settings))
        self._process = await asyncio.create_subprocess_exec(
            *command, stderr=PIPE, env=self._environment
        )
        serving: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._reading = asyncio.create_task(self._read(self._process, serving))
        self._url = await serving
        answer = await self._http.get(f"{self._url}/readyz")
        assert (answer.status_code, answer.text) == (200, "ready")
        ready = Ready(time.monotonic() - began, waited(self._process.pid))
        self._up.set()
        return ready

    async def url(self) -> str:
        """Where it serves, once it does."""
        await self._up.wait()
        return self._url

    async def kill(self) -> None:
        """End it with SIGKILL; a server that had ended by itself fails the test."""
        await self._end(signal.SIGKILL, -signal.SIGKILL)

    async def stop(self) -> None:
        """End it with SIGTERM."""
        await self._end(signal.SIGTERM, 0)

    def send(self, number: signal.Signals) -> None:
        """A signal, and nothing else."""
        assert self._process is not None
        self._process.send_signal(number)

    async def ended(self) -> int:
        """Its status, once it has ended by itself."""
        assert self._process is not None
        self._up.clear()
        status = await self._process.wait()
        await self._reading
        return status

    async def said(self, event: str, count: int = 1) -> None:
        """Return when it has said so often that something happened."""
        while sum(line.get("event") == event for line in self.lines) < count:  # noqa: ASYNC110  no event crosses processes
            await asyncio.sleep(POLL)

    async def drained(self) -> None:
        """Return when nothing is pending or held at the upstream."""
        while (backlog := self.backlog())["pending"] or backlog["held"]:  # noqa: ASYNC110  no event crosses processes
            await asyncio.sleep(POLL)

    def waited(self) -> float:
        """See `waited`."""
        assert self._process is not None
        return waited(self._process.pid)

    def backlog(self) -> dict[str, int]:
        """The events that are not delivered, by what they wait for."""
        with closing(self._read_log()) as log:
            pending = "events WHERE seq > (SELECT coalesce(max(seq), 0) FROM cursor)"
            tables = {"pending": pending, "held": "hold", "waiting": "waiting", "dead": "dead"}
            counts = {name: f"SELECT count(*) FROM {rows}" for name, rows in tables.items()}  # noqa: S608
            return {name: log.execute(query).fetchone()[0] for name, query in counts.items()}

    def stored(self) -> dict[str, list[str]]:
        """The ids of the events in the log, by thread, in its order. Whoever asks is at an end, so
        the figures must be right, too."""
        check_conservation(self.log, *UPSTREAM)
        threads: dict[str, list[str]] = {}
        query = "SELECT thread, event_id FROM events JOIN threads USING (thread_no) ORDER BY seq"
        with closing(self._read_log()) as log:
            assert log.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            for thread, event in log.execute(query):
                threads.setdefault(thread, []).append(event)
        return threads

    def _read_log(self) -> sqlite3.Connection:
        return sqlite3.connect(f"{self.log.as_uri()}?mode=ro", uri=True)

    async def _read(self, process: Process, serving: asyncio.Future[str]) -> None:
        """Take down what the process says, until it has said its last."""
        assert process.stderr is not None
        async for text in process.stderr:
            line = json.loads(text) if text.startswith(b"{") else {"text": text.decode()}
            self.lines.append(line)
            if line.get("event") == "serving":
                serving.set_result(line["url"])
        if not serving.done():
            serving.set_exception(RuntimeError(f"The server did not start: {self.lines[-20:]}"))

    async def _end(self, number: signal.Signals, status: int) -> None:
        assert self._process is not None
        assert self._process.returncode is None, self.lines[-20:]
        self._up.clear()
        self._process.send_signal(number)
        assert await self._process.wait() == status, self.lines[-20:]
        await self._reading


def waited(pid: int) -> float:
    """The seconds a process could have run and did not: Linux counts them, others say 0."""
    counts = Path(f"/proc/{pid}/schedstat")
    return int(counts.read_text().split()[1]) / 1e9 if counts.exists() else 0.0
