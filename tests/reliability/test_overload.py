"""More than a server can take: it says so, keeps what it acknowledged, and is itself again at once.

R12, R18 and R19 of the reliability catalogue.
"""

import asyncio
import json
import os
import sqlite3
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import httpx2

from tests.bench.traffic import write_requests
from tests.reliability.conftest import Report
from tests.reliability.server import Server
from thumbseal.keys import Keys
from thumbseal.log.writer import MAX_WAITING
from thumbseal.tokens import Tokens

BATCH: Final = 50
CONNECTIONS: Final = 3 * MAX_WAITING // BATCH  # three times what may wait
ROUNDS: Final = 2  # requests of each connection in a wave
LASTING: Final = float(os.environ.get("THUMBSEAL_FLOOD", "0"))  # seconds; one wave at least
PATIENCE: Final = 120.0 + 2 * LASTING  # seconds for the trial


class Flood:
    """Clients that send all at once, and the next request as soon as they have an answer."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self.statuses: Counter[int] = Counter()
        self.acknowledged: list[str] = []

    async def run(self, requests: list[bytes]) -> None:
        """Send them all, over as many connections as there may be."""
        connections = [
            await asyncio.open_connection(self._host, self._port) for _ in range(CONNECTIONS)
        ]
        await asyncio.gather(
            *(
                self._talk(*connection, requests[number::CONNECTIONS])
                for number, connection in enumerate(connections)
            )
        )

    async def _talk(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, requests: list[bytes]
    ) -> None:
        for request in requests:
            writer.write(request)
            status, answer = await read_answer(reader)
            self.statuses[status] += 1
            if status == 202:
                assert {each["status"] for each in answer["results"]} == {"accepted"}
                sent = json.loads(request.partition(b"\r\n\r\n")[2])
                self.acknowledged += [event["id"] for event in sent["events"]]
        writer.close()


async def stall(path: Path, crowd: Flood) -> None:
    """Keep the log from being written until something is refused: whether a disk is slower than a
    processor is not to decide what is tried here."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        while not crowd.statuses[503]:  # noqa: ASYNC110  what is awaited is in the other process
            await asyncio.sleep(0.01)
        other.execute("ROLLBACK")


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, Any]:
    """Status and body of the next answer."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    lines = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if line)
    body = await reader.readexactly(int(lines["content-length"]))
    return int(head.split(" ")[1]), json.loads(body)


class Watch:
    """What somebody who asks for its health all the time gets to see."""

    def __init__(self, http: httpx2.AsyncClient, url: str) -> None:
        self._http, self._url = http, url
        self.seen: Counter[tuple[str, int]] = Counter()

    async def run(self) -> None:
        while True:
            for path in ("/livez", "/readyz"):
                answer = await self._http.get(self._url + path)
                self.seen[path, answer.status_code] += 1


def test_overload(tmp_path: Path, report: Report) -> None:
    """Of three times what may wait for the disk, what is too much is refused with 503; what was
    acknowledged is stored, health does not flap, and the next request is taken."""
    figures: dict[str, Any] = {"test": "overload", "connections": CONNECTIONS, "batch": BATCH}
    try:
        asyncio.run(asyncio.wait_for(flood(tmp_path, figures), PATIENCE))
    finally:
        report(figures)


async def flood(folder: Path, figures: dict[str, Any]) -> None:
    async with (
        httpx2.AsyncClient(trust_env=False, timeout=PATIENCE) as http,
        Server(folder, "http://127.0.0.1:9", http) as server,
    ):
        await server.start()
        url = await server.url()
        host, _, port = url.removeprefix("http://").partition(":")
        tokens = Tokens("support", Keys.derive([(folder / "site.key").read_text()]))
        crowd, watch = Flood(host, int(port)), Watch(http, url)
        watching = asyncio.create_task(watch.run())
        stalling = asyncio.create_task(stall(server.log, crowd))
        began = time.monotonic()
        wave = write_requests(tokens, CONNECTIONS * ROUNDS, BATCH, 0)
        while wave:
            more = time.monotonic() < began + LASTING
            count = CONNECTIONS * ROUNDS if more else 0
            _, wave = await asyncio.gather(
                crowd.run(wave), asyncio.to_thread(write_requests, tokens, count, BATCH, 0)
            )
        await stalling
        lasted, began = time.monotonic() - began, time.monotonic()
        (after,) = write_requests(tokens, 1, 1, 0)
        headers = {"Origin": "https://chat.example.com"}
        body = after.partition(b"\r\n\r\n")[2]
        answer = await http.post(f"{url}/v1/events", content=body, headers=headers)
        figures |= {
            "lasted": round(lasted, 1),
            "statuses": dict(crowd.statuses),
            "acknowledged": len(crowd.acknowledged),
            "back_after": round(time.monotonic() - began, 2),
            "health": {f"{path} {status}": n for (path, status), n in watch.seen.items()},
        }
        watching.cancel()
        assert answer.status_code == 202
        assert set(crowd.statuses) == {202, 503}, "the flood was too small, or refused otherwise"
        assert {status for _, status in watch.seen} == {200}
        stored = [event for events in server.stored().values() for event in events]
        assert len(stored) == len(set(stored)) == len(crowd.acknowledged) + 1
        assert set(crowd.acknowledged) <= set(stored)
        await server.stop()
