"""What a webhook says: the bodies as classes, so that one definition writes them and their schema.

Both forms tell only what the log holds. Message tokens never leave it: ``message``, ``reply_to``
and ``retry_of`` are ids here.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import reduce
from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType, structs

from thumbseal.conversation import Conversation, Rating, Turn, merge
from thumbseal.events import KINDS, AnyEntry, Custom, Event, Feedback, Message, Opinion, Run, Source
from thumbseal.upstreams import Change

SCHEMA_ID: Final = "https://json-schema.org/draft/2020-12/schema"


class EventData(Struct, frozen=True):
    """One event and where it belongs. Times are milliseconds since 1970. ``user`` is the id that
    the application vouched for; ``exchange`` is null for a vote on a message not recorded yet;
    ``state`` is what the actor of a vote thinks of the message now."""

    site: str
    thread: str
    user: str | None
    actor: str
    source: Source
    at: int
    received_at: int
    event: AnyEntry
    exchange: str | UnsetType | None = UNSET
    state: Opinion | UnsetType = UNSET


class EventPayload(Struct, frozen=True):
    """The body of a request where ``payload`` is "event"."""

    type: Literal[
        "message.recorded",
        "feedback.recorded",
        "thread.recorded",
        "custom.recorded",
        "run.recorded",
    ]
    timestamp: str
    data: EventData


class Said(Struct, frozen=True):
    """A message or a custom event in its place: who said it, and when (ms)."""

    at: int
    source: Source
    actor: str
    event: Message | Custom


class ToldExchange(Struct, frozen=True):
    """A question and its answer. ``again`` is the message that a further answer answers anew."""

    id: str
    again: str | None
    messages: list[Said]


class ToldOpinion(Struct, frozen=True):
    """What one actor thinks of one message now."""

    message: str
    actor: str
    state: Opinion


class ConversationData(Struct, frozen=True):
    """A conversation as it stands. Of two deliveries of a thread, the one with the higher
    ``version`` is the newer."""

    site: str
    thread: str
    version: int
    user: str | None
    tags: tuple[str, ...]
    metadata: dict[str, Any]
    exchanges: list[ToldExchange]
    feedback: list[ToldOpinion]
    customs: list[Said]


class ConversationPayload(Struct, frozen=True):
    """The body of a request where ``payload`` is "conversation"."""

    type: Literal["conversation.updated"]
    timestamp: str
    data: ConversationData


def tell_event(change: Change, event: Event) -> EventPayload:
    """One event, and for a vote the actor's opinion as it stands now: of two votes delivered
    together both tell the later state."""
    conversation, entry = change.conversation, event.entry
    data = EventData(
        change.site,
        conversation.thread,
        conversation.user,
        event.actor,
        event.source,
        event.at,
        event.received_at,
        entry,
    )
    if isinstance(entry, Message | Feedback):
        data = structs.replace(data, exchange=conversation.places.get(entry.message))
    if isinstance(entry, Run):
        data = structs.replace(data, exchange=conversation.places.get(entry.parent or ""))
    if isinstance(entry, Feedback):
        state = conversation.ratings[entry.message, event.actor].opinion
        data = structs.replace(data, state=state)
    kind: Any = f"{KINDS[type(entry)]}.recorded"
    return EventPayload(kind, _iso(event.at), data)


def tell_conversation(change: Change) -> ConversationPayload:
    """The whole conversation, without the content of what the receiver refused for good."""
    conversation, dead = change.conversation, change.dead
    data = ConversationData(
        change.site,
        conversation.thread,
        conversation.last_seq,
        conversation.user,
        conversation.tags,
        dict(conversation.metadata),
        [
            ToldExchange(each.id, each.again, [_said(turn, dead) for turn in each.script])
            for each in conversation.exchanges.values()
        ],
        _opinions(conversation.ratings, dead),
        _customs(conversation, dead),
    )
    return ConversationPayload("conversation.updated", _iso(change.events[-1].received_at), data)


def describe() -> dict[str, Any]:
    """The JSON Schema (2020-12) of both bodies."""
    (event, conversation), definitions = msgspec.json.schema_components(
        [EventPayload, ConversationPayload], ref_template="#/$defs/{name}"
    )
    return {
        "$schema": SCHEMA_ID,
        "title": "What a Thumbseal webhook receives",
        "anyOf": [event, conversation],
        "$defs": _portable(definitions),
    }


def _portable(schema: Any) -> Any:
    """Regular expressions as JavaScript has them, which knows no \\A and \\Z; descriptions in one
    line, whichever Python indents them."""
    if isinstance(schema, list):
        return [_portable(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    tidy = {key: _portable(value) for key, value in schema.items()}
    if isinstance(tidy.get("pattern"), str):
        tidy["pattern"] = tidy["pattern"].replace(r"\A", "^").replace(r"\Z", "$")
    if isinstance(tidy.get("description"), str):
        tidy["description"] = " ".join(tidy["description"].replace("``", "`").split())
    return tidy


def _said(turn: Turn, dead: frozenset[int]) -> Said:
    message = turn.message
    if turn.seq in dead:
        message = structs.replace(message, content="", tool_calls=None, metadata=None)
    return Said(turn.at, turn.source, turn.actor, message)


def _opinions(ratings: Mapping[tuple[str, str], Rating], dead: frozenset[int]) -> list[ToldOpinion]:
    return [
        ToldOpinion(
            each.message,
            each.actor,
            reduce(merge, (mark.opinion for mark in each.marks if mark.seq not in dead), Opinion()),
        )
        for each in ratings.values()
    ]


def _customs(conversation: Conversation, dead: frozenset[int]) -> list[Said]:
    return [
        Said(event.at, event.source, event.actor, event.entry)
        for event in conversation.customs
        if isinstance(event.entry, Custom) and event.seq not in dead
    ]


def _iso(ms: int) -> str:
    moment = datetime.fromtimestamp(ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
