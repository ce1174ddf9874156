"""A conversation as a line of JSON, and back. A line holds all that the log has of its thread."""

from typing import Any, Final

import msgspec
from msgspec import UNSET, MsgspecError, Struct, UnsetType

from thumbseal import events, parsing
from thumbseal.conversation import Conversation
from thumbseal.errors import ThumbsealError
from thumbseal.events import BadEvent, Event, Json, Opinion, Source
from thumbseal.ids import ThreadId
from thumbseal.log import StoredThread
from thumbseal.log.restoring import Restored

MAX_LINE: Final = 16 * 1024 * 1024  # bytes; a thread holds 2 MiB of events, JSON may spell longer
_OF_EVENT: Final = ("source", "actor", "received_at")


class BadLine(ThumbsealError):
    """A line is not one that an export wrote."""


class Judged(Struct, frozen=True, omit_defaults=True):
    """What one actor thinks of one message now; ``at`` (ms) is her last word."""

    message: str
    actor: str
    at: int
    opinion: Opinion


class Line(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A conversation. ``events`` are all there is, each with who sent it and when; ``tags``,
    ``metadata`` and ``feedback`` are what they come to, for whoever does not want to count."""

    site: str
    thread: ThreadId
    user: str | UnsetType = UNSET
    created_at: int
    tags: tuple[str, ...] = ()
    metadata: Json = msgspec.field(default_factory=dict)
    feedback: tuple[Judged, ...] = ()
    events: list[Json]


_LINE: Final = msgspec.json.Decoder(Line)


def to_line(site: str, stored: StoredThread, conversation: Conversation) -> bytes:
    """A thread as a line, with its end."""
    line = Line(
        site=site,
        thread=stored.thread,
        user=UNSET if stored.user is None else stored.user,
        created_at=stored.created_at,
        tags=conversation.tags,
        metadata=dict(conversation.metadata),
        feedback=tuple(
            Judged(each.message, each.actor, each.marks[-1].at, each.opinion)
            for each in conversation.ratings.values()
        ),
        events=[_told(event) for event in stored.events],
    )
    return msgspec.json.encode(line) + b"\n"


def from_line(raw: bytes) -> Restored:
    """The thread of a line.

    Raises:
        BadLine: it is not one.
    """
    try:
        line = _LINE.decode(raw)
        told = [_event(seq, each) for seq, each in enumerate(line.events, 1)]
    except (MsgspecError, BadEvent, UnicodeDecodeError, RecursionError) as error:
        raise BadLine(f"not a conversation as `thumbseal export` writes it: {error}") from error
    user = None if isinstance(line.user, UnsetType) else line.user
    return Restored(line.site, line.thread, user, line.created_at, tuple(told))


class _Sent(Struct, frozen=True):
    """Who sent an event, and when it came (ms)."""

    source: Source
    actor: str
    received_at: events.Time


def _told(event: Event) -> dict[str, Any]:
    return {
        **{name: getattr(event, name) for name in _OF_EVENT},
        **msgspec.to_builtins(event.entry),
    }


def _event(seq: int, told: Json) -> Event:
    sent = msgspec.convert({name: told.pop(name, None) for name in _OF_EVENT}, _Sent)
    entry = parsing.parse_entry(msgspec.json.encode(told), runs=True)
    return Event(seq, sent.source, sent.actor, entry.at, sent.received_at, entry)
