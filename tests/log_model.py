"""A log as it should be: the same promises as the real one, in dictionaries. Pure."""

from dataclasses import dataclass, field
from typing import Final

from thumbseal.events import AnyEntry, Feedback
from thumbseal.ids import ThreadId
from thumbseal.log import Counts, Retention

UPSTREAMS: Final = ("support/one", "support/two")


@dataclass
class Progress:
    """How far an upstream is with a thread: its first ``done`` events are off the hands, of those
    ``dead`` and ``waiting`` (seqs) never arrived. A hold ends at ``next_at``."""

    done: int = 0
    dead: set[int] = field(default_factory=set)
    waiting: set[int] = field(default_factory=set)
    next_at: int = 0
    attempts: int = 0


@dataclass
class Thread:
    """A thread that is here; ``events`` are (seq, entry)."""

    user: str | None
    last: int = 0
    events: list[tuple[int, AnyEntry]] = field(default_factory=list)
    at: dict[str, Progress] = field(
        default_factory=lambda: {name: Progress() for name in UPSTREAMS}
    )

    def wanted(self, upstream: str) -> bool:
        """Whether something is pending, held or waiting there."""
        progress = self.at[upstream]
        return progress.done < len(self.events) or bool(progress.waiting)


@dataclass
class Model:
    """All threads, and what is known of those that went."""

    threads: dict[ThreadId, Thread] = field(default_factory=dict)
    gone: set[ThreadId] = field(default_factory=set)
    deletions: set[ThreadId] = field(default_factory=set)
    accepted: int = 0
    last_seq: int = 0
    removed: dict[str, Counts] = field(
        default_factory=lambda: {name: Counts(0, 0, 0, 0, 0) for name in UPSTREAMS}
    )

    def append(
        self, name: ThreadId, user: str | None, stored: list[tuple[int, AnyEntry]], now: int
    ) -> None:
        """Store events under the numbers that the log gave them; none is given twice."""
        thread = self.threads.setdefault(name, Thread(user))
        thread.user = thread.user or user
        for seq, _ in stored:
            assert seq > self.last_seq
            self.last_seq = seq
        thread.events += stored
        thread.last = now
        self.accepted += len(stored)

    def erase(self, name: ThreadId) -> None:
        """Remove a thread for good, known or not."""
        self.gone.add(name)
        self.deletions.add(name)
        self._remove(name, "erased")

    def expire(self, rule: Retention, now: int) -> None:
        """Remove the threads that have had their time."""
        for name, thread in list(self.threads.items()):
            idle = now - thread.last
            overdue = rule.longest is not None and idle > rule.longest
            if idle > rule.idle and (overdue or not any(map(thread.wanted, UPSTREAMS))):
                self._remove(name, "expired")

    def counts(self, upstream: str) -> Counts:
        """What the log should say; ``pending`` has the held ones, too."""
        left = self.removed[upstream]
        here = [(len(each.events), each.at[upstream]) for each in self.threads.values()]
        dead = sum(len(progress.dead) for _, progress in here)
        waiting = sum(len(progress.waiting) for _, progress in here)
        done = sum(progress.done for _, progress in here)
        pending = sum(count for count, _ in here) - done + waiting
        delivered = done - dead - waiting + left.delivered
        return Counts(self.accepted, delivered, pending, 0, dead, left.erased, left.expired)

    def _remove(self, name: ThreadId, why: str) -> None:
        thread = self.threads.pop(name, None)
        if thread is None:
            return
        for upstream, progress in thread.at.items():
            got = progress.done - len(progress.dead) - len(progress.waiting)
            lost, left = len(thread.events) - got, self.removed[upstream]
            erased, expired = (lost, 0) if why == "erased" else (0, lost)
            self.removed[upstream] = Counts(
                0, left.delivered + got, 0, 0, 0, left.erased + erased, left.expired + expired
            )


def votes(events: list[tuple[int, AnyEntry]]) -> list[tuple[int, str]]:
    """The votes among events, each with its message."""
    return [(seq, each.message) for seq, each in events if isinstance(each, Feedback)]
