"""``python -m tests.bench.replay``: what the pages ask of a large log, beside plain SQL.

A measurement, not a test. A log is written with threads of realistic lengths, indexed, and asked.
Each figure is a median; its floor is plain SQL that reads the same rows without a filter.
"""

import argparse
import asyncio
import random
import resource
import sqlite3
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

from tests.bench.machine import describe
from thumbseal.conversation import Conversation, fold
from thumbseal.events import AnyEntry, Feedback, Message, Opinion, ThreadChange, Thumb
from thumbseal.export.streaming import stream
from thumbseal.ids import ActorId, MessageId, Role, ThreadId, new_id
from thumbseal.index.asking import Index
from thumbseal.index.file import index_path, make
from thumbseal.index.filter import Filter
from thumbseal.index.keeping import Keeper
from thumbseal.log import Draft
from thumbseal.log.ledger import Batch, Ledger
from thumbseal.log.opening import connect, make_ready
from thumbseal.log.reading import open_reader

ROOT: Final = Path(__file__).parents[2]
SITES: Final = ("support",)
DAY_MS: Final = 24 * 3600 * 1000
REASONS: Final = ("Wrong", "Unsafe", "Not helpful")
TAGS: Final = ("web", "app", "beta", "paid")
RARE: Final = "zanzibar"  # stands in one message of 10,000
GROUP: Final = 200  # threads in a transaction


@dataclass(frozen=True)
class Question:
    """Something that a page asks, with the SQL that reads the same rows of one of the files."""

    name: str
    target: str
    ask: Callable[[], Awaitable[object]]
    floor: tuple[str, str]  # log or index, SQL


def write_log(path: Path, count: int, threads: int, chance: random.Random) -> None:
    """A log of about this many events. Most threads are short, some are long."""
    make_ready(path, known=False)
    words = [f"{a}{b}{c}" for a in "bdfklmnprst" for b in "aeiou" for c in ("n", "la", "ris", "to")]
    lengths = [chance.lognormvariate(0, 0.9) for _ in range(threads)]
    scale = count / sum(lengths)
    ledger, start = Ledger(), int(time.time() * 1000) - 90 * DAY_MS
    with closing(connect(path)) as log:
        log.execute("PRAGMA synchronous = OFF")
        for first in range(0, threads, GROUP):
            log.execute("BEGIN")
            for number in range(first, min(first + GROUP, threads)):
                length = min(max(1, round(lengths[number] * scale)), 1_700)
                at = start + number * 90 * DAY_MS // threads
                drafts = list(_thread(number, length, at, words, chance))
                ledger.append(log, [Batch(SITES[0], drafts, at)])
            log.execute("COMMIT")
        log.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _thread(
    number: int, length: int, at: int, words: list[str], chance: random.Random
) -> Iterator[Draft]:
    thread, actor = ThreadId(new_id(at)), ActorId(new_id(at))
    entry: AnyEntry = ThreadChange(id="t", at=at, tags=(chance.choice(TAGS),))
    user, answer = f"u_{number % 5_000}", MessageId("")
    for place in range(length):
        if place:
            entry, answer = _entry(place, at + place * 9_000, answer, words, chance)
        yield Draft(thread, user, "browser", actor, entry.at, entry)


def _entry(
    place: int, at: int, answer: MessageId, words: list[str], chance: random.Random
) -> tuple[AnyEntry, MessageId]:
    """A question, an answer, or a vote on the last answer; and what the last answer is now."""
    if answer and chance.random() < 0.08:
        thumb: Thumb = chance.choice(("up", "up", "down"))
        comment = " ".join(chance.choices(words, k=9)) if chance.random() < 0.3 else None
        reasons = (chance.choice(REASONS),) if thumb == "down" else None
        opinion = Opinion(thumb=thumb, comment=comment, reasons=reasons)
        return Feedback(id=f"v{place}", at=at, message=answer, feedback=opinion), answer
    role: Role = "user" if place % 2 else "assistant"
    text = " ".join(["the", *chance.choices(words, k=12 if role == "user" else 60)])
    text += f" {RARE}" if chance.random() < 0.0001 else ""
    message = MessageId(new_id(at))
    entry = Message(id=f"m{place}", at=at, message=message, role=role, content=text)
    return entry, message if role == "assistant" else answer


def questions(index: Index, log_path: Path, threads: list[ThreadId]) -> list[Question]:
    """What the targets are about."""
    now = int(time.time() * 1000)
    rows = "SELECT summary FROM thread ORDER BY thread_no DESC LIMIT 50"

    def find(name: str, target: str, wanted: Filter) -> Question:
        ask = lambda: index.find(SITES, wanted, now)  # noqa: E731
        return Question(name, target, ask, ("index", rows))

    async def read() -> object:
        async with open_reader(log_path) as log:
            stored = await log.read(SITES[0], threads[len(threads) // 2])
            assert stored is not None
            return fold(stored.events, Conversation(stored.thread, stored.user))

    body = f"SELECT body FROM events WHERE thread_no = {len(threads) // 2 + 1}"  # noqa: S608
    return [
        find("list", "≤ 150 ms", Filter()),
        find("thumb down", "≤ 150 ms", Filter(thumb="down")),
        find("tag and week", "≤ 150 ms", Filter(tag="beta", since="7d")),
        find("user", "≤ 150 ms", Filter(user="u_42")),
        find("all at once", "≤ 150 ms", Filter(thumb="down", comment="yes", reason="Unsafe")),
        find("worst first", "≤ 150 ms", Filter(order="worst")),
        find("text, rare", "≤ 300 ms", Filter(text=RARE)),
        find("text, in all", "≤ 300 ms", Filter(text="the")),
        find("text, two", "≤ 300 ms", Filter(text="banla kato")),
        Question(
            "worst answers",
            "-",
            lambda: index.worst(SITES, Filter(since="7d"), now),
            ("index", "SELECT answer FROM answer LIMIT 10"),
        ),
        Question(
            "overview",
            "-",
            lambda: index.overview(SITES, Filter(), now),
            ("index", "SELECT sum(up) FROM vote"),
        ),
        Question("conversation", "≤ 50 ms", read, ("log", body)),
    ]


async def measure(log_path: Path, rounds: int) -> None:
    """Print a line for each question."""
    index = Index(log_path)
    with (
        closing(sqlite3.connect(log_path)) as log,
        closing(sqlite3.connect(index_path(log_path))) as plain,
    ):
        names = await index.names(SITES, Filter(), 0, 0, 10**6)
        print(f"\n{'':14} {'plain SQL ms':>13} {'value ms':>9} {'ratio':>7} {'target':>9}")
        for each in questions(index, log_path, [thread for _, _, thread in names]):
            file, sql = each.floor
            floors, values = [], []
            for _ in range(rounds):
                began = time.perf_counter()
                (log if file == "log" else plain).execute(sql).fetchall()
                floors.append(time.perf_counter() - began)
                began = time.perf_counter()
                await each.ask()
                values.append(time.perf_counter() - began)
            floor, value = median(floors) * 1000, median(values) * 1000
            ratio = value / floor
            print(f"{each.name:14} {floor:13.2f} {value:9.2f} {ratio:7.1f} {each.target:>9}")
    await index.close()


async def take_out(log_path: Path) -> None:
    """Print how long an export of everything takes, and how the memory grows with it."""
    index, size, marks = Index(log_path), 0, list[int]()
    began = time.perf_counter()
    async with open_reader(log_path) as log:
        now = int(time.time() * 1000)
        async for chunk in stream(log, index, SITES, Filter(), "jsonl", now):
            size += len(chunk)
            marks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
    await index.close()
    seconds = time.perf_counter() - began
    print(f"\nexport: {size / 2**20:,.0f} MiB in {seconds:.1f} s; peak memory of this process")
    tenths = [marks[len(marks) * tenth // 10] for tenth in range(10)]
    print(f"  {' '.join(map(str, [*tenths, marks[-1]]))} MiB, tenth by tenth")


def build_index(log_path: Path) -> None:
    began = time.perf_counter()
    make(index_path(log_path))
    with Keeper(log_path) as keeper:
        while (step := keeper.step(1_000)).more:
            pass
    seconds = time.perf_counter() - began
    sizes = [each.stat().st_size / 2**20 for each in (log_path, index_path(log_path))]
    print(f"indexed {step.progress.done:,} events in {seconds:.1f} s")
    print(f"log {sizes[0]:,.0f} MiB, index {sizes[1]:,.0f} MiB")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.replay", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--threads", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--data", type=Path, default=ROOT, help="a folder on the disk to measure")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=options.data) as name:
        log_path = Path(name) / "log.db"
        for key, value in describe(Path(name)).items():
            print(f"{key:18} {value}")
        print(f"{'seed':18} {options.seed}")
        write_log(log_path, options.events, options.threads, random.Random(options.seed))
        build_index(log_path)
        asyncio.run(take_out(log_path))
        asyncio.run(measure(log_path, options.rounds))


if __name__ == "__main__":
    main()
