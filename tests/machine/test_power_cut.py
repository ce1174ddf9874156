"""The power is cut, again and again: what was acknowledged is on the disk, and the disk is whole.

Needs a C compiler. What the server does to its files is journalled below it, and replayed up to
what it had synced at the moment of the cut.
"""

import asyncio
import os
import shutil
import sqlite3
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any, Final

import httpx2
import pytest

from tests.doubles.lunary import LunaryDouble, SystemClock
from tests.doubles.serving import serve
from tests.machine.replay import ACK, Disk, Image, Mode, Record, pack, read
from tests.reliability.conftest import Report
from tests.reliability.oracle import Issued, Oracle
from tests.reliability.page import Page
from tests.reliability.server import Server
from thumbseal.log import salvage
from thumbseal.log.sqlite import SqliteLog

CUTS: Final = 50
MODES: Final[tuple[Mode, ...]] = ("drop", "torn")
PAGES: Final = 8
TRAFFIC: Final = 10.0  # seconds
PATIENCE: Final = 60.0
ENOUGH: Final = 300  # acknowledged events, or the trial has shown nothing


class Witness(Oracle):
    """An oracle that writes down in the server's journal when an answer came."""

    def __init__(self, journal: Path) -> None:
        super().__init__()
        self._journal = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def acknowledge(self, events: Sequence[Issued], results: Sequence[Mapping[str, Any]]) -> None:
        super().acknowledge(events, results)
        told = " ".join(event.id for event in events) + " "
        os.write(self._journal, pack(Record(ACK, "", 0, told.encode())))

    def close(self) -> None:
        os.close(self._journal)


@pytest.mark.parametrize("synchronous", ["full", "normal"])
def test_power_cut(tmp_path: Path, shim: Path, seed: int, report: Report, synchronous: str) -> None:
    """Fifty cuts, each with the rest dropped and torn, lose nothing that was acknowledged, and the
    log is sound; a log that does not sync each commit loses events in the same cuts."""
    began, random = time.monotonic(), Random(seed)
    figures: dict[str, object] = {"test": "power cut", "synchronous": synchronous, "seed": seed}
    try:
        journal, oracle = asyncio.run(_record(tmp_path, shim, synchronous, random))
        records = list(read(journal.read_bytes()))
        figures |= {
            "records": len(records),
            "syncs": sum(each.kind == "s" for each in records),
            "megabytes": round(journal.stat().st_size / 1e6, 1),
            "acknowledged": len(oracle.obligations),
        }
        lost, broken = _cut_often(records, oracle, tmp_path, random)
        figures |= {"cuts": CUTS * len(MODES), "lost": lost, "broken": broken}
    finally:
        report({**figures, "seconds": round(time.monotonic() - began, 1)})
    assert len(oracle.obligations) >= ENOUGH
    assert broken == 0
    assert (lost > 0) is (synchronous == "normal")


async def _record(
    folder: Path, shim: Path, synchronous: str, random: Random
) -> tuple[Path, Oracle]:
    """Serve people for a while; what was done to the files, and who was told what."""
    journal, home = folder / "journal", folder / "home"
    home.mkdir()
    environment = {
        **os.environ,
        "LD_PRELOAD": str(shim),
        "DISK_ROOT": str(home / "log.db"),
        "DISK_JOURNAL": str(journal),
    }
    launcher = (sys.executable, "-m", "tests.machine.launcher", synchronous)
    oracle = Witness(journal)
    with serve(LunaryDouble(SystemClock(), requests_per_minute=10**9)) as upstream:
        async with (
            asyncio.timeout(PATIENCE),
            httpx2.AsyncClient(trust_env=False) as http,
            Server(home, upstream, http, launcher, environment) as server,
        ):
            await server.start()
            stop = asyncio.Event()
            asyncio.get_running_loop().call_later(TRAFFIC, stop.set)
            async with asyncio.TaskGroup() as group:
                for _ in range(PAGES):
                    page = Page(server, http, oracle, Random(random.random()))
                    group.create_task(page.run(stop))
            await server.kill()
    oracle.close()
    return journal, oracle


def _cut_often(
    records: Sequence[Record], oracle: Oracle, folder: Path, random: Random
) -> tuple[int, int]:
    """How many acknowledged events were lost, and how many logs were not sound."""
    disk, lost, broken = Disk(), 0, 0
    first = next(at for at, each in enumerate(records) if each.kind == ACK)
    moments = set(random.sample(range(first, len(records)), CUTS))
    for at, record in enumerate(records):
        disk.add(record)
        if at in moments:
            for mode in MODES:
                image = disk.cut(mode, random)
                stored, sound = _power_on(image, folder / f"{at}-{mode}")
                broken += not sound or not _in_order(stored, oracle)
                lost += len(set(disk.acknowledged).difference(*stored.values()))
    return lost, broken


def _power_on(image: Image, folder: Path) -> tuple[dict[str, list[str]], bool]:
    """The events of each thread in the log as it is opened now, and whether it is sound."""
    folder.mkdir()
    for path, data in image.items():
        (folder / Path(path).name).write_bytes(data)
    log = folder / "log.db"
    asyncio.run(_open_and_close(log))
    with closing(sqlite3.connect(log)) as connection:
        sound = connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        stored: dict[str, list[str]] = {}
        query = "SELECT thread, event_id FROM events JOIN threads USING (thread_no) ORDER BY seq"
        for thread, event in connection.execute(query):
            stored.setdefault(thread, []).append(event)
    sound = sound and not salvage.quarantined(log)
    shutil.rmtree(folder)
    return stored, sound


async def _open_and_close(log: Path) -> None:
    await (await SqliteLog.open(log)).close()


def _in_order(stored: Mapping[str, Sequence[str]], oracle: Oracle) -> bool:
    """Whether each thread holds the first of what was sent in it, in that order."""
    return all(
        list(events) == [each.id for each in oracle.threads[thread]][: len(events)]
        for thread, events in stored.items()
    )
