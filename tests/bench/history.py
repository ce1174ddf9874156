"""A log that has had years of events, written straight into its tables."""

import asyncio
import random
import sqlite3
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Final
from zlib import crc32

from tests.bench.traffic import CONTENT, LENGTH
from thumbseal import events
from thumbseal.events import Message
from thumbseal.log.ledger import BUCKETS
from thumbseal.log.sqlite import SqliteLog

CHUNK: Final = 100_000
SITE: Final = "support"
DAY_MS: Final = 24 * 3600 * 1000
PLACE: Final = "MESSAGE"

Row = tuple[int, int, int, str, str, str, str, str, int, int, str]


def write_history(path: Path, rows: int) -> None:
    """A log at ``path`` with this many message events, in threads of 20, as if sent by pages."""
    asyncio.run(_make_empty(path))
    with closing(sqlite3.connect(path, isolation_level=None)) as log:
        log.execute("PRAGMA synchronous = OFF")
        waiting, threads = _events(rows), -(-rows // LENGTH)
        log.execute("BEGIN")
        log.executemany("INSERT INTO threads VALUES (?, ?, ?, NULL, ?)", _threads(threads))
        log.execute("COMMIT")
        while chunk := list(islice(waiting, CHUNK)):
            log.execute("BEGIN")
            log.executemany(f"INSERT INTO events VALUES ({','.join('?' * len(chunk[0]))})", chunk)  # noqa: S608
            log.execute("COMMIT")
        log.execute("PRAGMA wal_checkpoint(TRUNCATE)")


async def _make_empty(path: Path) -> None:
    log = await SqliteLog.open(path)
    await log.close()


def _threads(count: int) -> Iterator[tuple[int, str, str, int]]:
    for number in range(1, count + 1):
        yield number, SITE, _id(number), _ms(number)


def _events(count: int) -> Iterator[Row]:
    before, after = _body().split(PLACE)
    actor = str(uuid.UUID(int=1))
    for seq in range(1, count + 1):
        number, message, at = -(-seq // LENGTH), _id(seq), _ms(seq)
        bucket = crc32(number.to_bytes(8)) % BUCKETS
        id_ = message.replace("-", "")[:22]
        body = f"{before}{message}{after}"
        yield seq, bucket, number, message, id_, "message", "browser", actor, at, at, body


def _body() -> str:
    entry = Message(id="e" * 22, at=_ms(1), message=PLACE, role="user", content=CONTENT)
    return events.dump(entry).decode()


def _ms(number: int) -> int:
    """Times that grow with the number, all before now."""
    return int(time.time() * 1000) - 365 * DAY_MS + number


def _id(number: int) -> str:
    """An id as the product makes them: time first, then random."""
    return str(uuid.UUID(int=_ms(number) << 80 | random.getrandbits(80)))
