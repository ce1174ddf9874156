"""The fold: a thread's events in, one immutable conversation out. Pure; every reader uses it.

What models and tools did (`events.Run`) is beside the conversation, and not in it.

The rules of this file:

1. Messages fold in the order of the log (``seq``), never by a clock.
2. Where a message belongs, once said, never changes: whoever has seen an exchange's id may keep it.
3. One actor's opinion of one message folds in the order ``(at, seq)``: her last word wins, also
   when an older one arrives late from a browser that was offline.
"""

from bisect import insort
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final, TypeVar

import msgspec
from msgspec import UNSET, Struct

from thumbseal.events import (
    Custom,
    Event,
    Feedback,
    Json,
    Message,
    Opinion,
    Run,
    Source,
    ThreadChange,
)

USER_PROPS: Final = "user_props"
QUESTIONERS: Final = frozenset({"user", "system"})

T = TypeVar("T", bound="Turn | Event")


class Turn(Struct, frozen=True):
    """A message in its place. ``at`` is in ms."""

    seq: int
    at: int
    source: Source
    actor: str
    message: Message

    @property
    def asks(self) -> bool:
        return self.message.role in QUESTIONERS

    @property
    def after(self) -> str | None:
        """The message that it says anew, else the one that it replies to."""
        return self.message.retry_of or self.message.reply_to

    @property
    def answers(self) -> bool:
        """Whether it ends its exchange: an assistant's message that calls no tool."""
        return self.message.role == "assistant" and not self.message.tool_calls


class Exchange(Struct, frozen=True):
    """A question and its answer, with what was said between. ``turns`` are in the log's order.

    ``again`` is the message that this exchange answers or asks anew, for an answer beyond the
    first, a regenerated one and an edited question; else None.
    """

    id: str
    turns: tuple[Turn, ...] = ()
    again: str | None = None

    @property
    def script(self) -> list[Turn]:
        """The messages as one reads them."""
        return _read(self.turns)

    @property
    def answer(self) -> Turn | None:
        return next((turn for turn in self.turns if turn.answers), None)


class Mark(Struct, frozen=True):
    """One change of an opinion; ``(at, seq)`` is the order that counts."""

    at: int
    seq: int
    opinion: Opinion

    @property
    def order(self) -> tuple[int, int]:
        return self.at, self.seq


class Rating(Struct, frozen=True):
    """What one actor thinks of one message: the state now, and how it came to be."""

    message: str
    actor: str
    opinion: Opinion
    marks: tuple[Mark, ...]

    def marks_since(self, seq: int) -> tuple[int, ...]:
        """The changes (seqs) from this one on."""
        return tuple(mark.seq for mark in self.marks if mark.seq >= seq)


class Conversation(Struct, frozen=True):
    """A thread as its events tell it. ``places`` maps every message, also one only referred to
    so far, to its exchange; ``ratings`` is keyed by (message, actor). ``first`` is the first event
    that is no vote; ``user_props`` are what the application's backend said of its user."""

    thread: str
    user: str | None = None
    user_props: Mapping[str, object] = MappingProxyType({})
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, object] = MappingProxyType({})
    exchanges: Mapping[str, Exchange] = MappingProxyType({})
    places: Mapping[str, str] = MappingProxyType({})
    ratings: Mapping[tuple[str, str], Rating] = MappingProxyType({})
    customs: tuple[Event, ...] = ()
    first: Event | None = None
    last_seq: int = 0

    @property
    def turns(self) -> list[Turn]:
        """All messages in the log's order."""
        turns = (turn for exchange in self.exchanges.values() for turn in exchange.turns)
        return sorted(turns, key=lambda turn: turn.seq)

    @property
    def script(self) -> list[Turn | Event]:
        """Messages and custom events as one reads them."""
        return _read([*self.turns, *self.customs])

    def ratings_of(self, message: str) -> list[Rating]:
        """Everybody's opinions of one message, the one given last at the end."""
        ratings = (rating for (of, _), rating in self.ratings.items() if of == message)
        return sorted(ratings, key=lambda rating: rating.marks[-1].order)


def fold(events: Iterable[Event], onto: Conversation) -> Conversation:
    """The conversation after these events (ascending ``seq``; those already folded are skipped).

    Folding a prefix and then the rest equals folding the whole.
    """
    draft = _Draft(onto)
    for event in events:
        if event.seq > draft.last_seq:
            draft.add(event)
    return draft.finished()


def merge(state: Opinion, change: Opinion) -> Opinion:
    """The opinion after a change; a state has no nulls, only keys that are set or not.

    Flipping or clearing the thumb drops reasons and comment unless the change gives new ones:
    what was said of a bad answer must not stand beside a thumb up.
    """
    turned = UNSET not in (state.thumb, change.thumb) and state.thumb != change.thumb
    kept = msgspec.structs.replace(state, reasons=UNSET, comment=UNSET) if turned else state
    given = {
        key: UNSET if value is None else value
        for key in Opinion.__struct_fields__
        if (value := getattr(change, key)) is not UNSET
    }
    return msgspec.structs.replace(kept, **given)


def _read(happened: Iterable[T]) -> list[T]:
    """In the log's order, but nothing before the message that it comes after: a quick backend's
    answer may be stored before its question."""
    by_seq = {each.seq: each for each in happened}
    turns = [each for each in by_seq.values() if isinstance(each, Turn)]
    seqs = {turn.message.message: turn.seq for turn in turns}
    earlier = {turn.seq: seqs.get(turn.after or "") for turn in turns}
    script: dict[int, T] = {}
    for seq in sorted(by_seq):
        untold: dict[int, T] = {}
        said: int | None = seq
        while said is not None and said not in script and said not in untold:
            untold[said] = by_seq[said]
            said = earlier.get(said)
        script |= reversed(untold.items())
    return list(script.values())


class _Draft:
    """A conversation while events are added: the only mutable thing here, and never handed out."""

    def __init__(self, onto: Conversation) -> None:
        self._onto = onto
        self._tags = onto.tags
        self._metadata: Json = dict(onto.metadata)
        self._user_props = onto.user_props
        self._exchanges = dict(onto.exchanges)
        self._places = dict(onto.places)
        self._ratings = dict(onto.ratings)
        self._customs = list(onto.customs)
        self._first = onto.first
        self.last_seq = onto.last_seq

    def add(self, event: Event) -> None:
        self.last_seq = event.seq
        if not isinstance(event.entry, Feedback | Run):
            self._first = self._first or event
        match event.entry:
            case Message() as message:
                self._place(Turn(event.seq, event.at, event.source, event.actor, message))
            case Feedback() as feedback:
                self._rate(event, feedback)
            case ThreadChange() as change:
                self._describe(change, event.source)
            case Custom():
                self._customs.append(event)

    def finished(self) -> Conversation:
        return msgspec.structs.replace(
            self._onto,
            tags=self._tags,
            metadata=MappingProxyType(self._metadata),
            user_props=self._user_props,
            exchanges=MappingProxyType(self._exchanges),
            places=MappingProxyType(self._places),
            ratings=MappingProxyType(self._ratings),
            customs=tuple(self._customs),
            first=self._first,
            last_seq=self.last_seq,
        )

    def _describe(self, change: ThreadChange, source: Source) -> None:
        metadata = change.metadata or {}
        self._tags = self._tags if change.tags is None else change.tags
        self._metadata |= metadata
        props = metadata.get(USER_PROPS)
        # What a page says of its user reaches no further than its own thread.
        if source == "backend" and isinstance(props, dict):
            self._user_props = MappingProxyType(props)

    def _place(self, turn: Turn) -> None:
        message = turn.message
        target = self._exchange_for(turn)
        self._places[message.message] = target
        again = turn.after if target == message.message else None
        exchange = self._exchanges.get(target) or Exchange(target, again=again)
        self._exchanges[target] = msgspec.structs.replace(exchange, turns=(*exchange.turns, turn))

    def _exchange_for(self, turn: Turn) -> str:
        """The exchange a message belongs to; its own id means that it opens one."""
        message = turn.message
        if message.message in self._places:  # somebody replied to it before it came
            return self._places[message.message]
        if message.retry_of:
            return message.message
        if message.reply_to:
            # Unknown so far: it will be the first message of the exchange that bears its name.
            target = self._places.setdefault(message.reply_to, message.reply_to)
        else:
            target = self._open_exchange() or message.message
        exchange = self._exchanges.get(target)
        answered = exchange is not None and exchange.answer is not None
        return message.message if answered and not turn.asks else target

    def _open_exchange(self) -> str | None:
        """The newest exchange, while it has no answer. An older one without is left behind: its
        question was asked anew, or never answered before the talk went on."""
        newest = next(reversed(self._exchanges.values()), None)
        return newest.id if newest and newest.answer is None else None

    def _rate(self, event: Event, feedback: Feedback) -> None:
        key = (feedback.message, event.actor)
        rating = self._ratings.get(key) or Rating(*key, Opinion(), ())
        mark = Mark(event.at, event.seq, feedback.feedback)
        marks = list(rating.marks)
        insort(marks, mark, key=lambda mark: mark.order)
        opinion = rating.opinion
        if marks[-1] is mark:
            opinion = merge(opinion, mark.opinion)
        else:
            opinion = Opinion()
            for each in marks:
                opinion = merge(opinion, each.opinion)
        self._ratings[key] = Rating(*key, opinion, tuple(marks))
