"""Any history, in any steps: the index that was kept along is the one that is made anew."""

import asyncio
import random
import shutil
import tempfile
from pathlib import Path
from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.histories import histories
from tests.indexed import content, follow
from thumbseal.events import Event
from thumbseal.ids import ActorId, ThreadId, new_id
from thumbseal.index.file import discard, index_path, make
from thumbseal.index.keeping import Keeper
from thumbseal.log import Draft, Erasure, Retention
from thumbseal.log.sqlite import SqliteLog

THREADS: Final = [ThreadId(new_id(n)) for n in range(3)]
DEEDS: Final = st.lists(
    st.sampled_from(["append", "append", "append", "erase", "expire", "step", "step", "reset"]),
    min_size=20,
    max_size=30,
)


@settings(max_examples=60, deadline=None)
@given(st.lists(histories(), min_size=3, max_size=3), DEEDS, st.integers(1, 5), st.randoms())
def test_kept_along_or_made_anew(
    told: list[list[Event]], deeds: list[str], limit: int, chance: random.Random
) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        asyncio.run(_live(folder / "log.db", told, deeds, limit, chance))
    finally:
        shutil.rmtree(folder)


async def _live(
    path: Path, told: list[list[Event]], deeds: list[str], limit: int, chance: random.Random
) -> None:
    log = await SqliteLog.open(path)
    make(index_path(path))
    left = [list(events) for events in told]
    with Keeper(path) as keeper:
        for number, deed in enumerate(deeds):
            which = chance.randrange(3)
            match deed:
                case "append":
                    share = [left[which].pop(0) for _ in left[which][: chance.randint(1, 4)]]
                    await _append(log, THREADS[which], share, number)
                case "erase":
                    await log.erase(Erasure(site="support", at=number, thread=THREADS[which]))
                case "expire":
                    await log.expire({"support": Retention(idle=5)}, number)
                case "step":
                    keeper.step(limit, chance.choice([0, 60]))
                case "reset":
                    keeper.reset()
        while keeper.step(limit).more:
            pass
    await log.close()
    kept = content(path)
    discard(index_path(path))
    follow(path)
    assert kept == content(path)


async def _append(log: SqliteLog, thread: ThreadId, share: list[Event], now: int) -> None:
    drafts = [
        Draft(
            thread, "ann" if now % 2 else None, "browser", ActorId(each.actor), each.at, each.entry
        )
        for each in share
    ]
    await log.append("support", drafts, now)
