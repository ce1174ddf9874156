"""The log against a model of it: whatever happens in whatever order, both say the same.

``THUMBSEAL_MODEL_RUNS`` sets how many histories of fifty steps are tried.
"""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Final, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec import structs

from tests.log_model import UPSTREAMS, Model, Thread, votes
from thumbseal.events import AnyEntry, Custom, Feedback, Message, Opinion
from thumbseal.ids import ActorId, MessageId, ThreadId, actor_of, new_id
from thumbseal.log import Claim, Draft, Due, Erasure, Retention, Settled, Verdict
from thumbseal.log.sqlite import SqliteLog

RUNS: Final = int(os.environ.get("THUMBSEAL_MODEL_RUNS") or 150)
STEPS: Final = 50
MEMORY: Final = "/dev/shm"  # noqa: S108  what the disk does is for other tests
START: Final = 1_790_000_000_000
DAY: Final = 24 * 3600 * 1000
THREADS: Final = [ThreadId(f"019a0000-0000-0000-0000-00000000000{n}") for n in range(5)]
USERS: Final = {THREADS[0]: "ann", THREADS[1]: "ann", THREADS[2]: "bob"}
STRANGER: Final = ActorId("019a0000-0000-0000-0000-0000000000ff")

threads = st.sampled_from(THREADS)
upstreams = st.sampled_from(UPSTREAMS)
fates = st.lists(
    st.sampled_from(["delivered", "held", "partly", "dead", "waiting"]), min_size=5, max_size=5
)
T = TypeVar("T")


class LogMachine(RuleBasedStateMachine):
    """Deeds done to the log and to the model alike."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(dir=MEMORY if Path(MEMORY).exists() else None))
        self.runner = asyncio.Runner()
        self.model = Model()
        self.now = START
        self.lives = 0
        self.claims: dict[str, Claim] = {}

    @initialize()
    def start(self) -> None:
        self.log = self.do(SqliteLog.open(self.folder / "log.db"))

    def teardown(self) -> None:
        self.do(self.log.close())
        self.runner.close()
        shutil.rmtree(self.folder)

    def do(self, deed: Coroutine[Any, Any, T]) -> T:
        return self.runner.get_loop().run_until_complete(deed)

    @rule(name=threads, kinds=st.text("mvc", min_size=1, max_size=4))
    def append(self, name: ThreadId, kinds: str) -> None:
        entries = [self.entry(name, kind) for kind in kinds]
        verdicts = self.append_real(name, entries)
        if name in self.model.gone:
            assert verdicts == [Verdict("rejected", "gone")] * len(entries)
            return
        assert verdicts == [Verdict("accepted")] * len(entries)
        stored = self.do(self.log.read("support", name))
        assert stored is not None
        new = stored.events[-len(entries) :]
        numbered = zip((each.seq for each in new), entries, strict=True)
        self.model.append(name, USERS.get(name), list(numbered), self.now)

    @rule(name=threads, number=st.integers(0, 20))
    def repeat(self, name: ThreadId, number: int) -> None:
        """Sent again it is a duplicate; something else under its id is refused."""
        known = self.model.threads.get(name)
        if known is None:
            return
        _, entry = known.events[number % len(known.events)]
        other = Custom(id=entry.id, at=1, name="other")
        assert self.append_real(name, [entry, other]) == [
            Verdict("duplicate"),
            Verdict("rejected", "id_reused", "id"),
        ]

    @rule(upstream=upstreams, limit=st.integers(1, 8))
    def claim(self, upstream: str, limit: int) -> None:
        if upstream in self.claims:
            return
        claim = self.do(self.log.claim(upstream, "support", self.now, limit, {}))
        for due in claim.due:
            self.check_due(upstream, claim, due)
        self.claims[upstream] = claim

    def check_due(self, upstream: str, claim: Claim, due: Due) -> None:
        """What is due is exactly what is missing, up to where the claim goes."""
        thread = self.model.threads[due.stored.thread]
        progress = thread.at[upstream]
        missing = [seq for seq, _ in thread.events[progress.done :] if seq <= claim.upto]
        assert [each.seq for each in due.stored.events if each.seq >= due.since_seq] == missing
        entries = {seq: entry for seq, entry in thread.events}
        assert all(each.entry == entries[each.seq] for each in due.stored.events)
        assert due.dead == progress.dead
        assert progress.next_at <= self.now

    @rule(upstream=upstreams, fates=fates)
    @precondition(lambda self: bool(self.claims))
    def settle(self, upstream: str, fates: list[str]) -> None:
        """Each due thread meets its fate, also those that were removed meanwhile."""
        claim = self.claims.pop(upstream, None)
        if claim is None:
            return
        outcomes = [
            self.settled(upstream, due, fates[number % len(fates)])
            for number, due in enumerate(claim.due)
        ]
        self.do(self.log.settle(claim, outcomes, self.now))

    def settled(self, upstream: str, due: Due, fate: str) -> Settled:
        events = [(each.seq, each.entry) for each in due.stored.events]
        new = [(seq, entry) for seq, entry in events if seq >= due.since_seq]
        arrived = tuple(MessageId(e.message) for _, e in new if isinstance(e, Message))
        outcome = Settled(due.stored.thread_no, arrived=arrived)
        match fate:
            case "held" | "partly":
                since = new[-1][0] if fate == "partly" and new else due.since_seq
                outcome = Settled(
                    due.stored.thread_no, due.attempts + 1, since, self.now + 1_000, "busy"
                )
            case "dead" if new:
                outcome = structs.replace(outcome, dead=((new[-1][0], "no"),))
            case "waiting":
                waiting = tuple((seq, MessageId(message)) for seq, message in votes(new))
                outcome = structs.replace(outcome, waiting=waiting[:1])
        thread = self.model.threads.get(due.stored.thread)
        if thread is not None and (not events or events[0] in thread.events):
            self.book(thread, upstream, new, outcome)
        return outcome

    def book(
        self, thread: Thread, upstream: str, new: list[tuple[int, AnyEntry]], outcome: Settled
    ) -> None:
        progress = thread.at[upstream]
        if outcome.hold_from is None:
            progress.done += len(new)
            progress.next_at = 0
        else:
            progress.done += sum(seq < outcome.hold_from for seq, _ in new)
            progress.next_at = outcome.next_at
        progress.dead |= {seq for seq, _ in outcome.dead}
        met = {seq for seq, message in votes(thread.events) if message in outcome.arrived}
        progress.waiting -= met
        progress.waiting |= {seq for seq, _ in outcome.waiting}

    @rule(seconds=st.sampled_from([1, 1_000]))
    def wait(self, seconds: int) -> None:
        self.now += seconds * 1_000

    @rule(days=st.integers(1, 40), strict=st.booleans())
    def expire(self, days: int, strict: bool) -> None:
        self.now += days * DAY
        rule = Retention(20 * DAY, 30 * DAY if strict else None, UPSTREAMS)
        self.do(self.log.expire({"support": rule}, self.now))
        self.model.expire(rule, self.now)

    @rule(name=threads)
    def erase(self, name: ThreadId) -> None:
        self.do(self.log.erase(self.erasure(thread=name)))
        self.model.erase(name)

    @rule(user=st.sampled_from(["ann", "bob", "nobody"]))
    def erase_user(self, user: str) -> None:
        self.do(self.log.erase(self.erasure(user=user)))
        for name in [name for name, each in self.model.threads.items() if each.user == user]:
            self.model.erase(name)

    @rule()
    def crash(self) -> None:
        """The process ends; what it had in its hands is gone, the files are as they are."""
        before = self.path().parent
        self.lives += 1
        folder = self.path().parent
        folder.mkdir()
        for file in before.glob("log.db*"):
            if file.suffix == ".ballast":  # room, and nothing in it
                os.link(file, folder / file.name)
            elif not file.name.endswith("-shm"):
                shutil.copyfile(file, folder / file.name)
        self.do(self.log.close())
        self.claims.clear()
        self.log = self.do(SqliteLog.open(folder / "log.db"))

    @rule()
    def reopen(self) -> None:
        self.do(self.log.close())
        self.claims.clear()
        self.log = self.do(SqliteLog.open(self.path()))

    @invariant()
    def nothing_disappears(self) -> None:
        if not hasattr(self, "log"):
            return
        for upstream in UPSTREAMS:
            told = self.do(self.log.counts(upstream, "support"))
            assert min(structs.astuple(told)) >= 0
            assert told.accepted == sum(structs.astuple(told)[1:])
            merged = structs.replace(told, pending=told.pending + told.held, held=0)
            assert merged == self.model.counts(upstream)

    @invariant()
    def the_same_is_stored(self) -> None:
        if not hasattr(self, "log"):
            return
        found = {
            each.thread: [(event.seq, event.entry) for event in each.events]
            for each in self.do(self.log.recent("support", len(THREADS) + 1))
        }
        assert found == {name: each.events for name, each in self.model.threads.items()}
        closed = {name for name in THREADS if self.log.barriers.closed("support", name)}
        assert closed == self.model.gone

    @invariant()
    def deletions_are_owed(self) -> None:
        if not hasattr(self, "log"):
            return
        due = self.do(self.log.deletions(UPSTREAMS[0], 2**62, 100))
        assert {each.thread for each in due} == self.model.deletions

    def path(self) -> Path:
        return (self.folder / str(self.lives) if self.lives else self.folder) / "log.db"

    def erasure(self, *, thread: ThreadId | None = None, user: str | None = None) -> Erasure:
        return Erasure(
            site="support",
            at=self.now,
            thread=thread,
            user=user,
            upstreams=UPSTREAMS,
            deletions=UPSTREAMS[:1],
        )

    def entry(self, name: ThreadId, kind: str) -> AnyEntry:
        """A new event; a vote is on the first message there is, or on one not recorded yet."""
        id_ = new_id(self.now)
        if kind == "m":
            return Message(id=id_, at=self.now, message=new_id(), role="user", content=id_)
        if kind == "c":
            return Custom(id=id_, at=self.now, name="opened")
        known = self.model.threads.get(name)
        messages = [e.message for _, e in known.events if isinstance(e, Message)] if known else []
        message = messages[0] if messages else new_id()
        return Feedback(id=id_, at=self.now, message=message, feedback=Opinion(thumb="up"))

    def append_real(self, name: ThreadId, entries: list[AnyEntry]) -> list[Verdict]:
        user = USERS.get(name)
        actor = STRANGER if user is None else actor_of("support", user)
        drafts = [Draft(name, user, "browser", actor, self.now, entry) for entry in entries]
        return self.do(self.log.append("support", drafts, self.now))


TestLogModel = LogMachine.TestCase
TestLogModel.settings = settings(
    max_examples=RUNS,
    stateful_step_count=STEPS,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
