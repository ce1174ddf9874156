"""The disk is full, and then it is not. Needs root: the disk is a small one in memory."""

import asyncio
import itertools
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest

from tests.doubles.lunary import Answer, Instead, LunaryDouble, SystemClock
from tests.doubles.serving import serve
from tests.proxy import ORIGIN, said
from tests.reliability.conftest import Report
from tests.reliability.server import Server

SIZE: Final = 12  # MiB
FILLER: Final = 4  # MiB, somebody else's
TEXT: Final = "x" * 8_000
HEADERS: Final = {"Origin": ORIGIN, "Content-Type": "text/plain;charset=UTF-8"}
DOWN: Final = Instead(Answer(503))
PATIENCE: Final = 120.0
BACK: Final = 5.0  # seconds


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of its own."""
    assert os.geteuid() == 0, "This test mounts a disk of its own, and that takes root."
    folder = tmp_path / "disk"
    folder.mkdir()
    _root("mount", "-t", "tmpfs", "-o", f"size={SIZE}m,mode=700", "tmpfs", folder)
    try:
        yield folder
    finally:
        _root("umount", "--lazy", folder)


def _root(command: str, *arguments: str | Path) -> None:
    program = shutil.which(command)
    assert program, f"This test needs {command}."
    subprocess.run([program, *arguments], check=True)


class Client:
    """A page with one thread after another; ``stored`` has the event ids that were accepted."""

    def __init__(self, server: Server, http: httpx2.AsyncClient) -> None:
        self.stored: dict[str, list[str]] = {}
        self._server = server
        self._http = http
        self._numbers = itertools.count()
        self._thread = ""
        self._token = ""
        self._blanks: list[dict[str, str]] = []

    async def open(self) -> None:
        answer = await self._post("/v1/threads", {"site": "support", "want": 8})
        assert answer.status_code == 200, answer.text
        opened = answer.json()
        self._thread, self._token = opened["thread"]["id"], opened["thread"]["token"]
        self._blanks = opened["messages"]

    async def record(self) -> httpx2.Response:
        """One message; the answer."""
        if not self._blanks:
            await self.open()
        id_ = f"e{next(self._numbers)}"
        event = {**said(self._blanks.pop(), "user", TEXT), "id": id_, "at": _now()}
        body = {"token": self._token, "sent_at": _now(), "events": [event]}
        answer = await self._post("/v1/events", body)
        if answer.status_code == 202:
            assert answer.json()["results"] == [{"status": "accepted"}]
            self.stored.setdefault(self._thread, []).append(id_)
        return answer

    async def fill(self) -> httpx2.Response:
        """Record until there is no room; that answer."""
        while (answer := await self.record()).status_code == 202:
            pass
        return answer

    async def _post(self, path: str, body: dict[str, Any]) -> httpx2.Response:
        return await self._http.post(await self._server.url() + path, json=body, headers=HEADERS)


def test_full_disk(disk: Path, report: Report) -> None:
    """At a full disk pages hear 507, what is pending is delivered, erasing works; with room again
    events are taken within five seconds, by the same process, and nothing acknowledged is lost."""
    began, figures = time.monotonic(), {"test": "full disk"}
    double = LunaryDouble(SystemClock(), requests_per_minute=10**9)
    with serve(double) as upstream:
        try:
            asyncio.run(_run(disk, upstream, double, figures))
        finally:
            report({**figures, "seconds": round(time.monotonic() - began, 1)})


async def _run(disk: Path, upstream: str, double: LunaryDouble, figures: dict[str, Any]) -> None:
    async with (
        asyncio.timeout(PATIENCE),
        httpx2.AsyncClient(trust_env=False) as http,
        Server(disk, upstream, http) as server,
    ):
        filler = _fill(disk / "filler")
        await server.start()
        client = Client(server, http)
        double.faults.hook = lambda received: DOWN
        refused = await client.fill()
        figures["accepted"] = sum(map(len, client.stored.values()))
        _check_refusal(refused)
        assert (await http.get(f"{await server.url()}/readyz")).status_code == 503
        assert server.backlog()["pending"] > 0
        double.faults.clear()
        await server.drained()
        erased = next(iter(client.stored))
        await _erase(disk, erased)
        _check_refusal(await client.fill())
        figures["back_after_seconds"] = await _come_back(client, filler)
        assert figures["back_after_seconds"] < BACK
        await server.drained()
        del client.stored[erased]
        assert server.stored() == client.stored
        await server.stop()


def _fill(path: Path) -> Path:
    """Room that somebody else has taken."""
    path.write_bytes(bytes(FILLER * 1024 * 1024))
    return path


def _check_refusal(answer: httpx2.Response) -> None:
    assert answer.status_code == 507, answer.text
    error = answer.json()["error"]
    assert (error["code"], error["retry"]) == ("storage_full", True)
    assert int(answer.headers["Retry-After"]) > 0


async def _erase(disk: Path, thread: str) -> None:
    command = (sys.executable, "-m", "thumbseal", "erase", "--yes", "--thread", thread)
    config = ("--config", str(disk / "thumbseal.toml"))
    process = await asyncio.create_subprocess_exec(*command, *config)
    assert await process.wait() == 0


async def _come_back(client: Client, filler: Path) -> float:
    """Somebody makes room; the seconds until an event is taken."""
    await asyncio.to_thread(filler.unlink)
    began = time.monotonic()
    while (await client.record()).status_code != 202:  # noqa: ASYNC110  as a page tries again
        await asyncio.sleep(0.05)
    return round(time.monotonic() - began, 2)


def _now() -> int:
    return int(time.time() * 1000)
