"""A Lunary that loses answers, refuses and restarts ends up with the state that the log tells."""

import asyncio
import json
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest

from tests.doubles.lunary import (
    PROJECT,
    Answer,
    Cut,
    Fault,
    Instead,
    LunaryDouble,
    Received,
    Run,
)
from tests.doubles.serving import serve
from tests.lunary_desk import Impatient
from tests.reliability.conftest import Report
from tests.reliability.field import Field, Said, numbered, open_field
from thumbseal import forwarder
from thumbseal.conversation import Conversation, fold
from thumbseal.events import AnyEntry, Custom, Feedback, Message, Opinion
from thumbseal.forwarder import Forwarder
from thumbseal.ids import MessageId, ThreadId
from thumbseal.settings import Lunary, Secret
from thumbseal.upstreams import Change, Delivered
from thumbseal.upstreams.lunary import LunaryUpstream

THREADS: Final = 1_000
EVENTS: Final = 20  # in each
LOST: Final = 0.10  # of the answers, after the request was applied
REFUSED: Final = 0.05  # of the requests
POISONED: Final = 0.05  # of the events: Lunary can never hold them
RATIO: Final = 1.3  # requests, to those of a run without faults
DECK: Final = 20  # requests in which the shares are kept
CLAIM: Final = 200  # events; small enough for a number of requests of which 10 % mean something
BATCH: Final = 100
DAY: Final = 86_400.0
LIVES: Final = (30, 40)  # steps of a forwarder before it is killed, between two restarts of Lunary


class Story:
    """What people say and vote in one thread; some of it with a character Lunary chokes on."""

    def __init__(self, thread: ThreadId, random: Random) -> None:
        self.thread = thread
        self._random = random
        self._ids = (MessageId(each) for each in numbered(random, EVENTS))
        self._answers: list[MessageId] = []
        self._asked = False

    def tell(self) -> Iterator[Said]:
        # A thread whose own start is refused is another story (tests/test_lunary_troubles.py).
        self._asked = True
        first = Message(id="_", at=0, message=next(self._ids), role="user", content="Hello.")
        yield self.thread, first
        for _ in range(EVENTS - 1):
            yield self.thread, self._event()

    def _event(self) -> AnyEntry:
        kind = self._random.random()
        if self._answers and kind < 0.35:
            thumb: Any = self._random.choice(["up", "down", None])
            opinion = Opinion(thumb=thumb, comment=self._text())
            message = self._random.choice(self._answers)
            return Feedback(id="_", at=0, message=message, feedback=opinion)
        if kind < 0.4:
            return Custom(id="_", at=0, name="copied", metadata={"text": self._text()})
        self._asked = not self._asked
        message = next(self._ids)
        if not self._asked:
            self._answers.append(message)
        role: Any = "user" if self._asked else "assistant"
        return Message(id="_", at=0, message=message, role=role, content=self._text())

    def _text(self) -> str:
        poison = "\0" if self._random.random() < POISONED else ""
        return f"{self._random.getrandbits(64):x} grüß dich \N{SEAL}{poison}"


class Moods:
    """The faults of a Lunary: as many of twenty requests as the shares say, in any order."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._deck: list[str] = []
        self.lost = self.refused = 0

    def __call__(self, received: Received) -> Fault | None:
        if not self._deck:
            lost, refused = round(LOST * DECK), round(REFUSED * DECK)
            self._deck = ["lost"] * lost + ["refused"] * refused
            self._deck += [""] * (DECK - len(self._deck))
            self._random.shuffle(self._deck)
        match self._deck.pop():
            case "lost":
                self.lost += 1
                return Cut(applied=True, half=self._random.random() < 0.5)
            case "refused":
                self.refused += 1
                return Instead(Answer(self._random.choice([500, 502, 503, 504])))
            case _:
                return None


def make_double() -> LunaryDouble:
    return LunaryDouble(Impatient(), requests_per_minute=10**9)


def adapter(field: Field, url: str) -> LunaryUpstream:
    return LunaryUpstream(Lunary("x", Secret(PROJECT.private_key), url), field.client, field.pace())


def test_faults(tmp_path: Path, seed: int, report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand threads through lost answers, refusals and restarts: the rows of each are byte
    for byte those of a Lunary that was told the fold at once, and few requests were in vain."""
    monkeypatch.setattr(forwarder, "CLAIM", CLAIM)
    figures: dict[str, Any] = {"test": "upstream_faults", "seed": seed}
    began = time.monotonic()
    try:
        asyncio.run(run(tmp_path, Random(seed), figures))
    finally:
        report({**figures, "seconds": round(time.monotonic() - began, 1)})
    assert figures["different_threads"] == 0
    assert figures["requests"] <= RATIO * figures["requests_without_faults"]
    assert min(figures["lost"], figures["refused"], figures["dead"]) > 0


async def run(folder: Path, random: Random, figures: dict[str, Any]) -> None:
    stories = [Story(thread, random) for thread in numbered(random, THREADS)]
    said = mixed([list(story.tell()) for story in stories], random)
    calm, moody = folder / "calm", folder / "moody"
    calm.mkdir()
    moody.mkdir()
    double = make_double()
    async with open_field(calm, random) as field:
        await field.store(said)
        with serve(double) as url:
            await field.pass_time(field.forwarder(adapter(field, url)), DAY)
        figures["requests_without_faults"] = len(double.journal)
        assert (await field.check_conservation()).pending == 0
    double, moods = make_double(), Moods(random)
    double.faults.hook = moods
    async with open_field(moody, random) as field:
        await field.store(said)
        await deliver_with_restarts(field, double)
        figures |= {"requests": len(double.journal), "lost": moods.lost, "refused": moods.refused}
        counts = await field.check_conservation()
        figures |= {"accepted": counts.accepted, "delivered": counts.delivered, "dead": counts.dead}
        assert (counts.pending, counts.held) == (0, 0)
        expected = await tell_at_once(field)
        found, told = rows(double), rows(expected)
        assert found.keys() == told.keys()
        different = [thread for thread in told if found[thread] != told[thread]]
        figures |= {"threads": len(told), "different_threads": len(different)}


def mixed(stories: list[list[Said]], random: Random) -> list[Said]:
    """All stories at once, each in its order."""
    turns = [number for number, story in enumerate(stories) for _ in story]
    random.shuffle(turns)
    telling = [iter(story) for story in stories]
    return [next(telling[number]) for number in turns]


async def deliver_with_restarts(field: Field, double: LunaryDouble) -> None:
    """Lunary restarts twice, and forwarders end in the middle of their work, too."""
    port = 0
    for steps in (*LIVES, None):
        with serve(double, port=port) as url:
            port = int(url.rpartition(":")[2])
            upstream = adapter(field, url)
            if steps is None:
                await field.pass_time(field.forwarder(upstream), DAY)
                return
            await field.pass_time(field.forwarder(upstream), DAY, steps)
            await kill(field.forwarder(upstream), double)
        await field.pass_time(field.forwarder(upstream), 10.0)  # nobody is there
        assert (await field.check_conservation()).pending > 0


async def kill(victim: Forwarder, double: LunaryDouble) -> None:
    """End a forwarder while Lunary is at work for it."""
    seen = len(double.journal)
    arrived = double.until(lambda: len(double.journal) > seen)
    task = asyncio.create_task(victim.step())
    waiting: list[asyncio.Future[Any]] = [asyncio.wrap_future(arrived), task]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def rows(double: LunaryDouble) -> dict[str, bytes]:
    """All that Lunary stores of each thread, as bytes."""
    threads: dict[str, list[Run]] = {}
    for run in double.database.runs():
        threads.setdefault(run.parent_run_id or run.id, []).append(run)
    return {thread: b"\n".join(map(row, sorted(own, key=order))) for thread, own in threads.items()}


def row(run: Run) -> bytes:
    """A row without what says only when it came in: its own number and its user's."""
    kept = {**asdict(run), "number": None, "user": run.user is not None}
    return json.dumps(kept, sort_keys=True, ensure_ascii=False).encode()


def order(run: Run) -> tuple[int, str]:
    return run.created_at, run.id


async def tell_at_once(field: Field) -> LunaryDouble:
    """A Lunary that was told each thread's fold whole, without what is dead."""
    double, receipts = make_double(), field.receipts()
    changes: list[Change] = []
    for stored in field.threads():
        dead = frozenset(q for q, each in receipts[stored.thread].items() if each.state == "dead")
        conversation = fold(stored.events, Conversation(stored.thread, stored.user))
        changes.append(Change("support", conversation, stored.events, dead))
    with serve(double) as url:
        upstream = adapter(field, url)
        outcomes = [
            outcome
            for start in range(0, len(changes), BATCH)
            for outcome in await upstream.deliver(changes[start : start + BATCH])
        ]
    for change, outcome in zip(changes, outcomes, strict=True):
        assert isinstance(outcome, Delivered)
        assert dict(outcome.dead).keys() <= change.dead
    return double
