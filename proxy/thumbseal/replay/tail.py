"""The live tail: the events of a filter's threads past a cursor, each once and in the log's order.

The cursor is a place in the log, so it outlives the connection, the server and the index.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final, Protocol

from msgspec import Struct

from thumbseal.events import (
    AnyEntry,
    Custom,
    Event,
    Feedback,
    Message,
    Opinion,
    Run,
    ThreadChange,
    Thumb,
)
from thumbseal.ids import ThreadId
from thumbseal.index import Summary
from thumbseal.index.asking import Index
from thumbseal.index.describing import said, text_of
from thumbseal.index.filter import Filter
from thumbseal.log import StoredThread
from thumbseal.replay.pages import place_of

ROWS: Final = 200  # in one answer; the cursor then stands at the last of them
BEHIND: Final = 5_000  # events to catch up with: more is no tail, and the list shows them better
AT_ONCE: Final = 50  # threads asked for at a time
TEXT: Final = 400  # characters of a text


class Row(Struct, frozen=True):
    """One event as the tail shows it. ``label`` says what happened, ``text`` in which words,
    ``notes`` are its reasons or tags; ``href`` leads on from ``/replay/``; ``at`` in ms."""

    seq: int
    at: int
    site: str
    source: str
    href: str
    label: str
    text: str
    thumb: Thumb | None
    notes: tuple[str, ...]


class Tail(Struct, frozen=True):
    """Some rows in ascending ``seq``, and the cursor to ask with next. ``skipped`` says that older
    ones were left out."""

    rows: Sequence[Row]
    cursor: int
    skipped: bool = False


class Readable(Protocol):
    """A log, as far as a tail needs one."""

    async def read(self, site: str, thread: ThreadId) -> StoredThread | None:
        """See `thumbseal.log.Log.read`."""


async def read_tail(
    log: Readable,
    index: Index,
    sites: Collection[str],
    wanted: Filter,
    now: int,
    after: int,
    limit: int = ROWS,
) -> Tail:
    """The events past ``after`` that the index knows of; ``now`` in ms.

    The index's place is taken first: what it learns while its threads are read is for the next
    call, so nothing is lost between two and nothing comes twice.

    Raises:
        LogError: the log or the index cannot be read.
    """
    upto = (await index.progress()).done
    since = max(after, upto - BEHIND)
    rows: list[Row] = []
    for thread in await _changed(index, sites, wanted, now, since) if since < upto else ():
        stored = await log.read(thread.site, thread.thread)
        events = stored.events if stored else ()  # it was erased meanwhile
        rows += _rows(thread, events, since, upto)
    rows.sort(key=lambda row: row.seq)
    cursor = rows[limit - 1].seq if len(rows) > limit else max(upto, after)
    return Tail(rows[:limit], cursor, since > after)


async def read_newest(
    log: Readable, index: Index, sites: Collection[str], wanted: Filter, now: int, limit: int
) -> Tail:
    """The last events of a filter's threads among the ``ROWS`` last of all."""
    done = (await index.progress()).done
    tail = await read_tail(log, index, sites, wanted, now, max(0, done - ROWS), 2 * ROWS)
    return Tail(tail.rows[-limit:], tail.cursor)


async def _changed(
    index: Index, sites: Collection[str], wanted: Filter, now: int, after: int
) -> list[Summary]:
    """All threads with an event past a place."""
    found: dict[int, Summary] = {}
    while True:
        page = await index.changes(sites, wanted, now, after, AT_ONCE)
        found |= {thread.thread_no: thread for thread in page.threads}
        if len(page.threads) < AT_ONCE:
            return list(found.values())
        after = page.cursor


def _rows(thread: Summary, events: Sequence[Event], since: int, upto: int) -> Iterator[Row]:
    """What happened in a thread past a place, up to another one."""
    spoken = {each.entry.message: each.entry for each in events if isinstance(each.entry, Message)}
    for event in events:
        if since < event.seq <= upto:
            yield _row(thread, event, spoken)


def _row(thread: Summary, event: Event, spoken: Mapping[str, Message]) -> Row:
    entry = event.entry
    thumb: Thumb | None = said(entry.feedback.thumb) if isinstance(entry, Feedback) else None
    return Row(
        event.seq,
        event.at,
        thread.site,
        event.source,
        place_of(thread.site, thread.thread, getattr(entry, "message", "")),
        _label(entry),
        _short(_words(entry, spoken)),
        thumb,
        _notes(entry),
    )


def _label(entry: AnyEntry) -> str:
    match entry:
        case Message():
            return entry.role
        case Feedback():
            return _opinion(entry.feedback)
        case ThreadChange():
            return "metadata" if entry.tags is None else "tags"
        case Custom():
            return "event"
        case Run():
            return f"{entry.kind or 'run'} {entry.event}"


def _opinion(opinion: Opinion) -> str:
    if opinion.thumb is None:
        return "thumb taken back"
    if thumb := said(opinion.thumb):
        return f"thumb {thumb}"
    score = said(opinion.score)
    if score is not None:
        return f"score {score:g}"
    return "correction" if said(opinion.correction) else "comment"


def _words(entry: AnyEntry, spoken: Mapping[str, Message]) -> str:
    """What was said; of a vote without a word what it is about."""
    match entry:
        case Message():
            return text_of(entry) or ("calls a tool" if entry.tool_calls else "no text")
        case Feedback(feedback=opinion):
            words = said(opinion.comment) or said(opinion.correction)
            about = spoken.get(entry.message)
            return words or (text_of(about) if about else "") or "a message without text"
        case ThreadChange():
            return ", ".join(entry.tags or ()) or "changed"
        case Custom():
            return entry.name
        case Run():
            return str(entry.sent.get("name") or "a run of the backend")


def _notes(entry: AnyEntry) -> tuple[str, ...]:
    match entry:
        case Message():
            return entry.tags or ()
        case Feedback(feedback=opinion):
            return said(opinion.reasons) or ()
        case _:
            return ()


def _short(text: str) -> str:
    """In one line, and not too long."""
    line = " ".join(text[: 2 * TEXT].split())
    return line if len(line) <= TEXT else f"{line[:TEXT]}…"
