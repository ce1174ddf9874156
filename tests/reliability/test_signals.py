"""What signals do to a server at work: SIGTERM drains it, SIGHUP has it read its settings again."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest
from click.testing import CliRunner

from tests.doubles.lunary import Hang, LunaryDouble, SystemClock
from tests.doubles.serving import serve
from tests.proxy import ORIGIN, said
from tests.reliability.conftest import Report
from tests.reliability.server import Server, waited
from thumbseal.cli import main
from thumbseal.keys import new_key

PATIENCE: Final = 60.0  # seconds for a trial
NOWHERE: Final = "http://127.0.0.1:1"
LONGEST: Final = 20.0  # seconds that a server may take to leave
UNREADY: Final = 0.1  # seconds, but for those in which other processes had the processor
HEADERS: Final = {"Origin": ORIGIN, "Content-Type": "text/plain;charset=UTF-8"}


class Load:
    """Pages that talk, each request on a connection of its own: who was let in gets an answer."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.acknowledged: set[str] = set()
        self.refused: list[int] = []
        self.broken: list[str] = []
        self.stop = False
        self._numbers = count(1)

    async def run(self) -> None:
        async with httpx2.AsyncClient(
            base_url=self.url, headers={**HEADERS, "Connection": "close"}, trust_env=False
        ) as http:
            opened = await self._post(http, "/v1/threads", {"site": "support"})
            while opened and not self.stop:
                await self._talk(http, opened)

    async def _talk(self, http: httpx2.AsyncClient, opened: dict[str, Any]) -> None:
        now = int(time.time() * 1000)
        names = [f"e{next(self._numbers)}" for _ in opened["messages"][:4]]
        events = [
            {**said(blank, "user", name), "id": name, "at": now}
            for name, blank in zip(names, opened["messages"], strict=False)
        ]
        token = opened["thread"]["token"]
        asked = {"token": token, "sent_at": now, "want": 4, "events": events}
        answer = await self._post(http, "/v1/events", asked)
        if answer is None:
            self.stop = True
            return
        assert {each["status"] for each in answer["results"]} == {"accepted"}
        self.acknowledged |= set(names)
        opened["messages"] = answer["messages"]

    async def _post(
        self, http: httpx2.AsyncClient, path: str, body: dict[str, Any]
    ) -> dict[str, Any] | None:
        try:
            answer = await http.post(path, json=body)
        except httpx2.ConnectError:
            return None
        except httpx2.TransportError as error:
            self.broken.append(type(error).__name__)
            return None
        if answer.status_code >= 300:
            self.refused.append(answer.status_code)
            return None
        return dict(answer.json())


@asynccontextmanager
async def at_work(folder: Path, url: str) -> AsyncIterator[tuple[Server, Load, httpx2.AsyncClient]]:
    """A server with eight pages that talk to it."""
    async with (
        asyncio.timeout(PATIENCE),
        httpx2.AsyncClient(trust_env=False) as http,
        Server(folder, url, http) as server,
    ):
        await server.start()
        load = Load(await server.url())
        pages = [asyncio.create_task(load.run()) for _ in range(8)]
        try:
            yield server, load, http
        finally:
            load.stop = True
            await asyncio.gather(*pages)


@pytest.mark.parametrize("signals", [1, 2])
def test_a_server_leaves_in_order(tmp_path: Path, report: Report, signals: int) -> None:
    """Under load and with an upstream that hangs: unready at once, every request that was let in is
    answered, what was acknowledged is stored, and the end comes soon and by itself."""

    async def run() -> dict[str, Any]:
        double = LunaryDouble(SystemClock(), requests_per_minute=10**9)
        hang = Hang()
        double.faults.hook = lambda received: hang
        with serve(double) as url:
            async with at_work(tmp_path, url) as (server, load, http):
                await asyncio.wrap_future(hang.entered)
                await more(load)
                began, shared = time.monotonic(), server.waited() + waited(os.getpid())
                server.send(signal.SIGTERM)
                while (await http.get(f"{load.url}/readyz")).status_code == 200:
                    pass
                unready = time.monotonic() - began
                shared = server.waited() + waited(os.getpid()) - shared
                before = len(load.acknowledged)
                if signals == 2:
                    server.send(signal.SIGTERM)
                status = await server.ended()
                ended = time.monotonic() - began
                load.stop = True
            hang.release()
            stored = {event for own in server.stored().values() for event in own}
            return {
                "status": status,
                "unready_seconds": round(unready, 3),
                "unready_own_seconds": round(unready - shared, 3),
                "ended_seconds": round(ended, 1),
                "acknowledged": len(load.acknowledged),
                "acknowledged_after": len(load.acknowledged) - before,
                "lost": len(load.acknowledged - stored),
                "broken": load.broken,
                "refused": load.refused,
            }

    figures = asyncio.run(run())
    report({"test": "leaving", "signals": signals, **figures})
    assert (figures["status"], figures["lost"]) == (0, 0)
    assert (figures["broken"], figures["refused"]) == ([], [])
    assert figures["unready_own_seconds"] <= UNREADY
    assert figures["ended_seconds"] <= LONGEST
    assert signals == 2 or figures["acknowledged_after"] > 0


# A server whose live page waits for an hour, and which says when it does.
PATIENT: Final = """
import sys
from thumbseal.cli import main
from thumbseal.replay import live

live.HOLD, wait = 3600.0, live._wait

async def told(*arguments):
    print('{"event": "waiting"}', file=sys.stderr, flush=True)
    return await wait(*arguments)

live._wait = told
main()
"""


def test_a_server_with_somebody_looking_leaves_at_once(tmp_path: Path) -> None:
    """A live page that waits for news is told that there is none, and its connection is over: it
    is neither waited for nor cut off."""

    async def run() -> tuple[httpx2.Response, int]:
        async with (
            asyncio.timeout(PATIENCE),
            httpx2.AsyncClient(trust_env=False, timeout=PATIENCE) as http,
            Server(tmp_path, NOWHERE, http, (sys.executable, "-c", PATIENT)) as server,
        ):
            await server.start()
            url = await server.url()
            await log_in(http, url, server.settings)
            looking = asyncio.create_task(http.get(f"{url}/replay/live.json?after=0"))
            await server.said("waiting")
            server.send(signal.SIGTERM)
            return await looking, await server.ended()

    answer, status = asyncio.run(run())
    assert (answer.status_code, answer.json()["rows"], status) == (200, [], 0)
    assert answer.headers["connection"] == "close"


async def log_in(http: httpx2.AsyncClient, url: str, config: Path) -> None:
    """Have the client's cookie with a code of the command line."""
    made = await asyncio.to_thread(CliRunner().invoke, main, ["login", "--config", str(config)])
    form, own = {"code": made.stdout.strip()}, {"Sec-Fetch-Site": "same-origin"}
    answer = await http.post(f"{url}/replay/login", data=form, headers=own)
    assert answer.status_code == 303, answer.text


def test_settings_change_under_load(tmp_path: Path, report: Report) -> None:
    """Keys are rotated in three steps, with a mistake and half a file in between: no token that was
    good is refused, and a bad file changes nothing."""

    async def run() -> dict[str, Any]:
        double = LunaryDouble(SystemClock(), requests_per_minute=10**9)
        with serve(double) as url:
            async with at_work(tmp_path, url) as (server, load, http):
                good = server.settings.read_text("utf-8")
                (tmp_path / "next.key").write_text(new_key(), "utf-8")
                both = good.replace('["file:site.key"]', '["file:next.key", "file:site.key"]')
                turned = good.replace('["file:site.key"]', '["file:site.key", "file:next.key"]')
                for number, text in enumerate((both, turned), 1):
                    await change(server, text, "settings_read", number)
                    await more(load)
                for number, text in enumerate(
                    (turned.replace("keys =", "kees ="), turned[: len(turned) // 2]), 1
                ):
                    await change(server, text, "settings_refused", number)
                    await more(load)
                await change(server, turned + OPEN_SITE, "settings_read", 3)
                answer = await http.post(
                    f"{load.url}/v1/threads", json={"site": "second"}, headers=HEADERS
                )
                assert answer.status_code == 200
                await more(load)
                load.stop = True
                await asyncio.sleep(0)
                await server.drained()
                figures = {"acknowledged": len(load.acknowledged), "refused": load.refused}
                await server.stop()
        stored = {event for own in server.stored().values() for event in own}
        return {**figures, "broken": load.broken, "lost": len(load.acknowledged - stored)}

    figures = asyncio.run(run())
    report({"test": "reload", **figures})
    assert (figures["refused"], figures["broken"], figures["lost"]) == ([], [], 0)


OPEN_SITE: Final = f"""
[sites.second]
keys = ["file:next.key"]
origins = ["{ORIGIN}"]
"""


async def change(server: Server, text: str, event: str, number: int) -> None:
    """Write the file, have it read, and await what the server says of it."""
    server.settings.write_text(text, "utf-8")
    server.send(signal.SIGHUP)
    await server.said(event, number)


async def more(load: Load) -> None:
    """Until the pages have got on."""
    enough = len(load.acknowledged) + 100
    while len(load.acknowledged) < enough:
        assert not load.stop
        await asyncio.sleep(0.01)
