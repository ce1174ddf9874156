"""The index: what people search and count, made from the log and thrown away at will.

It is a file of its own beside the log, kept up to date by a reader of the log (`keeping`) and
asked by pages and exports (`asking`). Nothing in it is the truth: `thumbseal reindex` makes it
anew. All times are milliseconds since 1970.
"""

from typing import Literal

from msgspec import Struct

from thumbseal.events import Source, Thumb
from thumbseal.ids import MessageId, Role, ThreadId

Order = Literal["newest", "oldest", "worst"]


class Summary(Struct, frozen=True):
    """A thread as a list shows it. ``seq`` is its last event; ``ups`` and ``downs`` count the
    opinions as they are now, ``score`` is the worst one given; ``snippet`` is where a searched
    text was found, as (text, found?) pieces, else the first question alone.
    """

    thread_no: int
    site: str
    thread: ThreadId
    user: str | None
    tags: tuple[str, ...]
    roles: tuple[Role, ...]
    sources: tuple[Source, ...]
    first_at: int
    last_at: int
    messages: int
    ups: int
    downs: int
    comments: int
    reasons: tuple[str, ...]
    score: float | None
    question: str
    seq: int
    snippet: tuple[tuple[str, bool], ...] = ()


class Page(Struct, frozen=True):
    """Some threads, and the ``after`` that asks for those behind them; None at the end."""

    threads: list[Summary]
    after: str | None


class Answer(Struct, frozen=True):
    """A message that somebody rated. ``at`` is when it was rated last, ``seq`` the message's event
    (0 while nobody has recorded it), ``source`` who recorded it; ``question`` and ``text`` are cut
    to a few lines."""

    site: str
    thread: ThreadId
    message: MessageId
    seq: int
    source: Source | None
    at: int
    ups: int
    downs: int
    score: float | None
    reasons: tuple[str, ...]
    comments: tuple[str, ...]
    corrected: bool
    question: str
    text: str


class Bucket(Struct, frozen=True):
    """The thumbs that were given between ``start`` and the next bucket's start (UTC)."""

    start: int
    ups: int
    downs: int


class Share(Struct, frozen=True):
    """Thumbs under one tag or reason; ``threads`` are those that bear it."""

    name: str
    threads: int
    ups: int
    downs: int


class Overview(Struct, frozen=True):
    """What the threads of a filter come to. ``step`` is a bucket's length in ms: a day or a week.
    ``tags`` and ``reasons`` are the most frequent ones; ``commented`` the answers with the most
    comments, ``worst`` those with the worst opinions."""

    threads: int
    messages: int
    ups: int
    downs: int
    comments: int
    step: int
    buckets: tuple[Bucket, ...]
    tags: tuple[Share, ...]
    reasons: tuple[Share, ...]
    commented: tuple[Answer, ...]
    worst: tuple[Answer, ...]


class Changes(Struct, frozen=True):
    """The threads of a filter that something was added to, in the order of their last event;
    ``cursor`` is what to ask with next."""

    threads: list[Summary]
    cursor: int


class Progress(Struct, frozen=True):
    """How far the index is: it has all events up to ``done`` of ``total`` (both are seqs)."""

    done: int
    total: int


__all__ = [
    "Answer",
    "Bucket",
    "Changes",
    "Order",
    "Overview",
    "Page",
    "Progress",
    "Share",
    "Summary",
    "Thumb",
]
