"""A conversation as a page tells it: what was said in its order, who rated it, and where it is.

Pure: a thread's events, their fold and their receipts in, frozen values out. Times are ms since
1970. Nothing here knows of HTML, and nothing is shown but as text.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET, Struct

from thumbseal.conversation import Conversation, Mark, Rating, Turn
from thumbseal.events import Custom, Event, Json, Message, Opinion, Source
from thumbseal.ids import Role
from thumbseal.log import Receipt

MAX_NAME: Final = 120  # characters of a file's name
_WORST: Final = ("dead", "held", "pending", "delivered")
MAX_ARGUMENTS: Final = 4_000  # characters of a call's arguments; the export has all of them
Receipts = Mapping[str, Mapping[int, Receipt]]  # by upstream, then by seq


class Piece(Struct, frozen=True):
    """A piece of a message: a text, or what stands for something that is not shown."""

    text: str
    placeholder: bool = False


class Call(Struct, frozen=True):
    """A tool's call: its name, and its arguments as they were sent."""

    name: str
    arguments: str
    id: str


class Step(Struct, frozen=True):
    """One change of an opinion, in words."""

    at: int
    text: str


class Vote(Struct, frozen=True):
    """What one person thinks of a message now, and how it came to be. ``person`` counts the people
    of the thread from 1 on; ``seq``, ``at`` and ``source`` are those of the last word."""

    person: int
    seq: int
    at: int
    source: Source
    thumb: Literal["up", "down"] | None
    reasons: tuple[str, ...]
    comment: str
    score: float | None
    correction: str
    steps: tuple[Step, ...]
    fates: tuple["Fate", ...]


class Fate(Struct, frozen=True):
    """Where a message or a vote is at one upstream."""

    upstream: str
    receipt: Receipt


class Entry(Struct, frozen=True):
    """A message, at its place in the log. ``pause`` is the time since the entry before;
    ``exchange`` names the run that it belongs to at upstreams; ``again`` is the message that it
    replaces."""

    id: str
    seq: int
    exchange: str
    again: str | None
    role: Role
    name: str
    source: Source
    at: int
    pause: int
    pieces: tuple[Piece, ...]
    calls: tuple[Call, ...]
    answers_call: str
    tags: tuple[str, ...]
    metadata: str
    votes: tuple[Vote, ...]
    fates: tuple[Fate, ...]

    @property
    def states(self) -> list[str]:
        """The states of the message and its votes at upstreams, each once."""
        fates = [*self.fates, *(fate for vote in self.votes for fate in vote.fates)]
        return list(dict.fromkeys(fate.receipt.state for fate in fates))

    @property
    def traceparent(self) -> str:
        """What joins the traces of this exchange, which is what a page names to its backend (W3C
        Trace Context); its span is made up."""
        digits = self.exchange.replace("-", "")
        return f"00-{digits}-{digits[16:]}-01"


class Note(Struct, frozen=True):
    """Something the application wanted to see in the thread."""

    seq: int
    name: str
    at: int
    pause: int
    metadata: str


class Beat(Struct, frozen=True):
    """What happened at one point: a note, or a message with those that replaced it beside it."""

    entries: tuple[Entry, ...] = ()
    note: Note | None = None


class Scene(Struct, frozen=True):
    """The whole conversation. ``strays`` are votes on messages that nobody recorded."""

    beats: tuple[Beat, ...]
    strays: tuple[Vote, ...]
    tags: tuple[str, ...]
    metadata: Mapping[str, str]
    first_at: int
    last_at: int


def set_scene(events: Sequence[Event], told: Conversation, receipts: Receipts) -> Scene:
    """The scene of a thread's events, which are folded into ``told``."""
    cast, times = _Cast(events, told, receipts), [event.at for event in events]
    known = {turn.message.message for turn in told.turns}
    strays = (rating for (message, _), rating in told.ratings.items() if message not in known)
    return Scene(
        tuple(_beats(told, cast)),
        tuple(map(cast.vote, strays)),
        told.tags,
        {name: _text(value) for name, value in told.metadata.items()},
        min(times, default=0),
        max(times, default=0),
    )


def _beats(told: Conversation, cast: "_Cast") -> Iterable[Beat]:
    """What happened, as one reads it; a version of a message stands beside the first one."""
    beats: list[list[Entry] | Note] = []
    groups: dict[str, list[Entry]] = {}
    before: int | None = None
    for each in told.script:
        pause = max(0, each.at - (each.at if before is None else before))
        before = max(each.at, before or 0)
        if isinstance(each, Event):
            beats.append(_note(each, pause))
            continue
        entry = _entry(each, told, cast, pause)
        group = groups.get(entry.again or "")
        if group is None:
            group = []
            beats.append(group)
        group.append(entry)
        groups[entry.id] = group
    return (Beat(note=b) if isinstance(b, Note) else Beat(tuple(b)) for b in beats)


def _entry(turn: Turn, told: Conversation, cast: "_Cast", pause: int) -> Entry:
    message = turn.message
    return Entry(
        message.message,
        turn.seq,
        told.places[message.message],
        message.retry_of,
        message.role,
        message.name or "",
        turn.source,
        turn.at,
        pause,
        tuple(_pieces(message)),
        tuple(_call(call) for call in message.tool_calls or ()),
        message.tool_call_id or "",
        message.tags or (),
        _text(message.metadata) if message.metadata else "",
        tuple(map(cast.vote, told.ratings_of(message.message))),
        cast.fates([turn.seq]),
    )


def _note(event: Event, pause: int) -> Note:
    assert isinstance(event.entry, Custom)  # noqa: S101  the fold keeps no others there
    metadata = _text(event.entry.metadata) if event.entry.metadata else ""
    return Note(event.seq, event.entry.name, event.at, pause, metadata)


def _pieces(message: Message) -> Iterable[Piece]:
    if isinstance(message.content, str):
        return [Piece(message.content)]
    return [_piece(part) for part in message.content or ()]


def _piece(part: Json) -> Piece:
    """A part in words. Nothing that a part points to is ever loaded."""
    if isinstance(part.get("text"), str):
        return Piece(str(part["text"]))
    kind = str(part.get("type", "part"))
    inner = part.get(kind) or part.get("file") or part
    about = inner if isinstance(inner, dict) else {"url": inner}
    told = about.get("filename") or about.get("name") or about.get("url") or about.get("file_id")
    return Piece(f"{kind}: {_short(str(told))}" if told else kind, placeholder=True)


def _short(text: str) -> str:
    """A name as it is; of an address where it leads, since the rest may be huge, or a secret."""
    if text.startswith("data:"):
        return text.partition(",")[0]
    scheme, mark, rest = text.partition("://")
    if mark:
        host = re.split("[/?#]", rest, maxsplit=1)[0].rpartition("@")[2]
        return f"{scheme}://{host}/…"
    return text if len(text) <= MAX_NAME else f"{text[: MAX_NAME - 1]}…"


def _call(call: Json) -> Call:
    inner = call.get("function")
    about = inner if isinstance(inner, dict) else call
    arguments = about.get("arguments", "")
    text = arguments if isinstance(arguments, str) else _text(arguments)
    return Call(str(about.get("name", "tool")), text[:MAX_ARGUMENTS], str(call.get("id", "")))


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def _say(mark: Mark) -> str:
    said = [_say_field(name, mark.opinion) for name in Opinion.__struct_fields__]
    return ", ".join(filter(None, said)) or "nothing"


def _say_field(name: str, opinion: Opinion) -> str:
    value = getattr(opinion, name)
    if value is UNSET:
        return ""
    if name == "thumb":
        return f"thumb {value}" if value else "thumb taken back"
    if value is None or value == ():
        return f"{name} removed"
    return f"{name}: {', '.join(value) if isinstance(value, tuple) else value}"


class _Cast:
    """Who took part in a thread, and what became of what they said."""

    def __init__(self, events: Iterable[Event], told: Conversation, receipts: Receipts) -> None:
        self._sources = {event.seq: event.source for event in events}
        self._receipts = receipts
        firsts: dict[str, int] = {}
        for rating in told.ratings.values():
            seq = min(mark.seq for mark in rating.marks)
            firsts[rating.actor] = min(seq, firsts.get(rating.actor, seq))
        voters = sorted(firsts, key=firsts.__getitem__)
        self._people = {actor: number for number, actor in enumerate(voters, 1)}

    def vote(self, rating: Rating) -> Vote:
        opinion, last = rating.opinion, rating.marks[-1]
        return Vote(
            self._people[rating.actor],
            last.seq,
            last.at,
            self._sources[last.seq],
            opinion.thumb or None,
            opinion.reasons or (),
            opinion.comment or "",
            None if opinion.score is UNSET else opinion.score,
            opinion.correction or "",
            tuple(Step(mark.at, _say(mark)) for mark in rating.marks),
            self.fates([mark.seq for mark in rating.marks]),
        )

    def fates(self, seqs: Sequence[int]) -> tuple[Fate, ...]:
        """What became of some events, upstream by upstream: the worst of it, else the newest."""
        found = []
        for upstream, by_seq in self._receipts.items():
            got = [(_WORST.index(by_seq[seq].state), -seq) for seq in seqs if seq in by_seq]
            if got:
                found.append(Fate(upstream, by_seq[-min(got)[1]]))
        return tuple(found)
