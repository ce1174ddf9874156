"""Promise 2: accepted = delivered + pending + held + dead + erased + expired, at every moment."""

import asyncio
import sqlite3
from collections import Counter
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from thumbseal.log import Counts
from thumbseal.log.receipts import count, receipts

PERIOD: Final = 1.0  # seconds
_STATES: Final = ("delivered", "pending", "held", "dead")


def check_conservation(path: Path, upstream: str, site: str) -> Counts:
    """Every event of a site has one receipt at its upstream, ``site/name``, or was removed, and the
    figures are the sums of those: both of one moment, whatever a server does to the log meanwhile.
    """
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        connection.execute("BEGIN")
        counts = count(connection, upstream, site)
        numbers = connection.execute("SELECT thread_no FROM threads WHERE site = ?", (site,))
        found = Counter(
            receipt.state
            for (number,) in numbers.fetchall()
            for receipt in receipts(connection, upstream, number).values()
        )
        removed = connection.execute(
            "SELECT delivered FROM removed WHERE upstream = ?", (upstream,)
        )
        found["delivered"] += (removed.fetchone() or (0,))[0]
    told = {name: getattr(counts, name) for name in _STATES}
    assert {name: found[name] for name in told} == told  # type: ignore[index]
    assert counts.accepted == sum(told.values()) + counts.erased + counts.expired
    return counts


class Watch:
    """Checks once a second while it runs, except while somebody holds ``rest``; ``looks`` is how
    often it could."""

    def __init__(self, path: Path, upstream: str, site: str) -> None:
        self.looks = 0
        self.rest = asyncio.Lock()
        self._asked = (path, upstream, site)

    async def run(self) -> None:
        """Look until cancelled. On a broken disk nobody can read for a while."""
        while True:
            await asyncio.sleep(PERIOD)
            async with self.rest:
                await self._look()

    async def _look(self) -> None:
        with suppress(sqlite3.OperationalError):
            await asyncio.to_thread(check_conservation, *self._asked)
            self.looks += 1
