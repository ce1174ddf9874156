"""Nothing disappears without a name: an upstream's accounts, whatever happens between the steps."""

import asyncio
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.forwarding import NAME, A, B, Bench, C, Scripted, open_bench
from tests.histories import custom, message, vote
from thumbseal import forwarder as module
from thumbseal import retry
from thumbseal.conversation import Conversation, fold
from thumbseal.events import Event, Feedback
from thumbseal.ids import MessageId, ThreadId
from thumbseal.log import Counts
from thumbseal.log.beside import open_beside
from thumbseal.upstreams import Change, Delivered, Later, Outcome, UpstreamDown

ENTRIES: Final = [
    *(message(name) for name in ("u1", "a1", "u2", "a2")),
    *(vote(name, thumb="up") for name in ("a1", "a2")),
    custom("x"),
]
THREADS: Final = st.sampled_from([A, B, C])
SAID: Final = st.tuples(THREADS, st.lists(st.sampled_from(ENTRIES), min_size=1, max_size=5))
FATES: Final = st.lists(
    st.sampled_from(["delivered", "delivered", "later", "partly", "dead"]), min_size=3, max_size=3
)
DEEDS: Final = st.lists(
    st.one_of(
        st.tuples(st.just("say"), SAID),
        st.tuples(st.just("say"), SAID),
        st.tuples(st.just("say elsewhere"), SAID),
        st.tuples(st.just("step"), FATES),
        st.tuples(st.just("step"), FATES),
        st.tuples(st.just("kill"), FATES),
        st.tuples(st.just("step while down"), FATES),
        st.tuples(st.just("retry"), st.sampled_from([None, A, B])),
        st.tuples(st.just("wait"), st.sampled_from([0.5, 1.0, 30.0])),
    ),
    min_size=8,
    max_size=25,
)


class Account:
    """What an upstream should have of one thread; ``done`` of its ``events`` are off the hands, but
    ``again`` are tried once more. The first ``older`` ones were there before it."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.older = 0
        self.done = 0
        self.dead: set[int] = set()
        self.again: set[int] = set()
        self.waiting: dict[int, MessageId] = {}
        self.attempts = 0
        self.next_at = 0


class Bank(Scripted):
    """An upstream with accounts of its own. Every change it is asked to deliver must be exactly
    what is missing there. One that keeps state lets votes wait for their messages; one that
    does not may take a part of a change."""

    def __init__(self, bench: Bench, keeps_state: bool) -> None:
        super().__init__()
        self.bench = bench
        self.keeps_state = keeps_state
        self.accounts: defaultdict[ThreadId, Account] = defaultdict(Account)
        self.fates: list[str] = []
        self.trouble: BaseException | None = None
        self.broken: AssertionError | None = None
        self.answered: list[tuple[Change, Outcome]] = []

    async def deliver(self, changes: Sequence[Change]) -> list[Outcome]:
        try:
            outcomes = [self._answer(change) for change in changes]
        except AssertionError as error:  # a forwarder survives those of its upstreams
            self.broken = error
            raise
        if self.trouble:
            raise self.trouble
        self.answered = list(zip(changes, outcomes, strict=True))
        return outcomes

    def _answer(self, change: Change) -> Outcome:
        thread = ThreadId(change.conversation.thread)
        account = self.accounts[thread]
        upto = sum(event.seq <= change.conversation.last_seq for event in account.events)
        again = [event for event in account.events[: account.done] if event.seq in account.again]
        assert change.events == [*again, *account.events[account.done : upto]] != []
        whole = fold(account.events[:upto], Conversation(thread, user="ann"))
        assert change.conversation == whole
        assert change.dead == account.dead
        assert account.next_at <= self.bench.ms
        return self._outcome(change, self.fates.pop(0) if self.fates else "delivered")

    def _outcome(self, change: Change, fate: str) -> Outcome:
        last = change.events[-1].seq
        if fate == "partly" and not self.keeps_state:
            refused = tuple((each.seq, "no") for each in change.events[:-1][:1])
            return Later("busy", since=last, dead=refused)
        if fate in ("later", "partly"):
            return Later("busy")
        waiting = self._waiting(change) if self.keeps_state else {}
        if fate == "dead":
            waiting.pop(last, None)
            return Delivered(tuple(waiting.items()), ((last, "no"),))
        return Delivered(tuple(waiting.items()))

    def _waiting(self, change: Change) -> dict[int, MessageId]:
        return {
            event.seq: MessageId(event.entry.message)
            for event in change.events
            if isinstance(event.entry, Feedback)
            and event.entry.message not in change.conversation.places
        }

    def book(self) -> None:
        """What was answered has been settled."""
        if self.broken:
            raise self.broken
        for change, outcome in self.answered:
            account = self.accounts[ThreadId(change.conversation.thread)]
            dead = {seq for seq, _ in outcome.dead}
            account.dead |= dead
            account.again -= dead
            if isinstance(outcome, Delivered):
                self._book_delivered(account, change, outcome)
            else:
                account.attempts += 1
                wait = retry.delay(account.attempts, 1.0)
                account.next_at = int((self.bench.clock.now + wait) * 1000)
                if outcome.since is not None:
                    account.done = max(
                        account.done, sum(each.seq < outcome.since for each in account.events)
                    )
                    account.again = {seq for seq in account.again if seq >= outcome.since}
        self.answered = []

    def _book_delivered(self, account: Account, change: Change, outcome: Delivered) -> None:
        account.done = sum(each.seq <= change.conversation.last_seq for each in account.events)
        account.again.clear()
        account.attempts = account.next_at = 0
        recorded = {turn.message.message for turn in change.conversation.turns}
        account.waiting |= dict(outcome.waiting)
        account.waiting = {
            seq: message for seq, message in account.waiting.items() if message not in recorded
        }

    def check(self, counts: Counts) -> None:
        """The log's counts are those of the accounts, and nothing is lost between them."""
        accounts = self.accounts.values()
        left = sum(len(each.events) - each.done + len(each.again) for each in accounts)
        waiting = sum(len(account.waiting) for account in accounts)
        dead = sum(len(account.dead) for account in accounts)
        total = sum(len(account.events) - account.older for account in accounts)
        assert counts.accepted == total
        assert (counts.dead, counts.pending + counts.held) == (dead, left + waiting)
        assert counts.delivered == total - dead - left - waiting
        assert min(counts.pending, counts.held) >= 0


class Run:
    """One history of deeds: what people say, what the upstream does, where the server dies."""

    def __init__(self, folder: Path, bench: Bench, keeps_state: bool) -> None:
        self.folder = folder
        self.bench = bench
        self.bank = bench.upstream = Bank(bench, keeps_state)
        bench.restart()

    async def do(self, deed: str, argument: Any) -> None:
        match deed:
            case "say":
                await self.say(*argument)
            case "say elsewhere":
                await self.bench.say(*argument[:1], *argument[1], site="other")
            case "wait":
                self.bench.clock.now += argument
            case "retry":
                self.retry(argument)
            case _:
                await self.step(deed, list(argument))
        self.bank.check(await self.bench.counts())

    async def begin(self, older: list[tuple[ThreadId, list[Any]]]) -> None:
        """Meet the upstream after this was said."""
        for thread, entries in older:
            await self.say(thread, entries)
        for account in self.bank.accounts.values():
            account.older = account.done = len(account.events)
        await self.bench.log.meet({NAME: "now"})
        self.bank.check(await self.bench.counts())

    async def say(self, thread: ThreadId, entries: list[Any]) -> None:
        await self.bench.say(thread, *entries)
        stored = await self.bench.log.read("support", thread)
        self.bank.accounts[thread].events = stored.events if stored else []

    def retry(self, thread: ThreadId | None) -> None:
        """What an operator does beside the server: all that is held or dead, or one thread's."""
        with open_beside(self.folder / "log.db") as log:
            for _ in log.retry(log.find(NAME, thread)):
                pass
        for name, account in self.bank.accounts.items():
            if thread in (None, name):
                account.again |= account.dead
                account.dead.clear()
                account.next_at = 0
                account.attempts = 0

    async def step(self, deed: str, fates: list[str]) -> None:
        self.bank.fates = fates
        troubles = {
            "kill": asyncio.CancelledError(),
            "step while down": UpstreamDown("away", whole=True),
        }
        self.bank.trouble = troubles.get(deed)
        try:
            await self.bench.forwarder.step()
        except asyncio.CancelledError:
            self.bench.restart()
        self.bank.book()

    async def finish(self) -> None:
        """The upstream is well from now on, and time passes."""
        self.bank.fates, self.bank.trouble = [], None
        for _ in range(2):
            self.bench.clock.now += retry.LONGEST
            while await self.bench.forwarder.step() is not None:
                self.bank.book()


async def run(
    older: list[tuple[ThreadId, list[Any]]], deeds: list[tuple[str, Any]], keeps_state: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with open_bench(Path(folder)) as bench:
            history = Run(Path(folder), bench, keeps_state)
            await history.begin(older)
            for deed, argument in deeds:
                await history.do(deed, argument)
            await history.finish()
            counts = await bench.counts()
            history.bank.check(counts)
            waiting = sum(len(account.waiting) for account in history.bank.accounts.values())
            assert (counts.pending, counts.held) == (0, waiting)


@given(st.lists(SAID, max_size=3), DEEDS, st.booleans())
@settings(max_examples=60, deadline=None)
def test_nothing_disappears(
    older: list[tuple[ThreadId, list[Any]]], deeds: list[tuple[str, Any]], keeps_state: bool
) -> None:
    """Through refusals, holds, outages and kills, accepted = delivered + pending + held + dead
    after every deed, of what came since the upstream began; each change is exactly what is missing,
    with the whole conversation; and once all is well everything is delivered, but what is dead or
    waits for a message."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "CLAIM", 4)
        patched.setattr(module, "MAX_FOLDS", 1)
        asyncio.run(run(older, deeds, keeps_state))
