"""What a claim costs: it must not grow with what the log holds."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.forwarding import NAME, open_bench
from tests.histories import custom
from thumbseal.ids import ThreadId
from thumbseal.log.claims import claim

pytestmark = pytest.mark.anyio
STEPS = 50  # of SQLite's machine, for each count


def work(path: Path, since: int) -> int:
    """How much SQLite does for a claim of ten events past ``since``."""
    counted: list[None] = []
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("INSERT OR REPLACE INTO cursor VALUES (?, ?)", (NAME, since))
        connection.set_progress_handler(lambda: counted.append(None), STEPS)
        found = claim(connection, NAME, "support", 0, 10, {}, 5)
    assert sum(len(due.stored.events) for due in found.due) == 10
    return len(counted)


@pytest.mark.parametrize("place", ["start", "end"])
async def test_a_claim_costs_the_same_in_a_long_log(tmp_path: Path, place: str) -> None:
    """Twenty times as many events, delivered or not, do not make a claim dearer."""
    costs: list[int] = []
    async with open_bench(tmp_path) as bench:
        for last in (200, 4_000):
            while (stored := (await bench.counts()).accepted) < last:
                for number in range(stored, stored + 200, 10):
                    await bench.say(ThreadId(f"{number:036}"), *[custom("x")] * 10)
            costs.append(work(tmp_path / "log.db", last - 10 if place == "end" else 0))
    assert costs[1] <= 2 * costs[0]
