"""The oracle: what was sent in which order, and what the server has answered for."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, pairwise
from typing import Any, Final

from tests.proxy import said, voted

Blank = Mapping[str, str]
Opinion = Mapping[str, str | None]
STORED: Final = ("accepted", "duplicate")


@dataclass(frozen=True)
class Issued:
    """One event as it was first sent; ``content`` is a message's, ``opinion`` a vote's."""

    id: str
    message: str
    role: str | None
    content: str | None
    opinion: Opinion | None
    wire: Mapping[str, Any]


@dataclass(frozen=True)
class Exchange:
    """What a thread must come to: a question with its answer and the votes on that, in order."""

    id: str
    messages: tuple[tuple[str, str], ...]
    opinions: tuple[Opinion, ...]


class Oracle:
    """Issues events with ids and contents of its own, and takes down what became of them.

    ``threads`` has the events of each thread in the order of their first sending, ``obligations``
    the ids that the server has acknowledged.
    """

    def __init__(self) -> None:
        self.threads: dict[str, list[Issued]] = {}
        self.obligations: set[str] = set()
        self.duplicates = 0
        self._numbers = count(1)

    @property
    def unanswered(self) -> list[str]:
        return [event.id for event in self._all() if event.id not in self.obligations]

    def say(self, thread: str, blank: Blank, role: str) -> Issued:
        """The next message of a thread."""
        content = f"{role} {next(self._numbers)}: grüß dich \N{SEAL}"
        return self._issue(thread, blank, said(dict(blank), role, content))

    def vote(self, thread: str, blank: Blank, thumb: str | None) -> Issued:
        """A vote on a message; each differs from the one before."""
        comment = f"vote {next(self._numbers)}"
        return self._issue(thread, blank, voted(dict(blank), thumb=thumb, comment=comment))

    def acknowledge(self, events: Sequence[Issued], results: Sequence[Mapping[str, Any]]) -> None:
        """Turn events into obligations; a server that refuses one fails the test."""
        for event, result in zip(events, results, strict=True):
            assert result["status"] in STORED, (event, result)
            self.duplicates += result["status"] == "duplicate"
            self.obligations.add(event.id)

    def owed(self, thread: str) -> list[Issued]:
        """What was acknowledged of a thread, in the order sent."""
        return [event for event in self.threads[thread] if event.id in self.obligations]

    def exchanges(self, thread: str) -> list[Exchange]:
        """What was acknowledged of a thread, as an upstream must show it."""
        return list(_exchanges(self.owed(thread)))

    def _issue(self, thread: str, blank: Blank, fields: dict[str, Any]) -> Issued:
        id_ = f"e{next(self._numbers)}"
        event = Issued(
            id_,
            blank["id"],
            fields.get("role"),
            fields.get("content"),
            fields.get("feedback"),
            {**fields, "id": id_, "at": int(time.time() * 1000)},
        )
        self.threads.setdefault(thread, []).append(event)
        return event

    def _all(self) -> Iterator[Issued]:
        return (event for events in self.threads.values() for event in events)


def _exchanges(events: Sequence[Issued]) -> Iterator[Exchange]:
    """Each question opens an exchange; what follows until the next one belongs to it."""
    starts = [at for at, event in enumerate(events) if event.role == "user"]
    for start, end in pairwise([*starts, len(events)]):
        own = events[start:end]
        messages = tuple((each.role, each.content) for each in own if each.role and each.content)
        opinions = tuple(each.opinion for each in own if each.opinion is not None)
        yield Exchange(own[0].message, messages, opinions)
