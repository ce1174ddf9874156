"""Events: what can happen in a thread, and within which limits.

On the wire ``message``, ``reply_to`` and ``retry_of`` are message tokens; whoever verifies them
puts the ids in their place (`thumbseal.web.judging`), and only that form is stored.
"""

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from thumbseal.errors import ThumbsealError
from thumbseal.ids import Role

MAX_BODY: Final = 64 * 1024  # browsers refuse larger keepalive requests: more cannot come
MAX_CONTENT: Final = 32 * 1024  # bytes of UTF-8; half a body, so that one always fits
MAX_METADATA: Final = 4 * 1024  # bytes of JSON
MAX_TAGS: Final = 16
MAX_TAG: Final = 64
MAX_COMMENT: Final = 2_000  # characters: a page of text
MAX_REASONS: Final = 16
MAX_NAME: Final = 128
MAX_SCORE: Final = 1_000_000
MAX_DEPTH: Final = 8
MAX_RUN_DEPTH: Final = 64  # of what a model was told and said; nobody walks deeper
MAX_INTEGER: Final = 2**53 - 1  # past it JavaScript rounds
DAY_MS: Final = 24 * 3600 * 1000
CLOCK_STEP_MS: Final = 10 * 60 * 1000
OLDEST_MS: Final = 7 * DAY_MS  # an offline browser keeps its queue a week
MAX_THREAD_EVENTS: Final = 2_000
MAX_THREAD_BYTES: Final = 2 * 1024 * 1024
VOTE_RESERVE: Final = 0.1  # the share of a thread's room that only votes may use
RUN_SHARE: Final = 0.5  # the share that runs may use: each tells the talk so far once more


Time = Annotated[int, Meta(ge=0, le=MAX_INTEGER)]  # milliseconds since 1970
Token = Annotated[str, Meta(max_length=512)]
EventId = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9_-]{1,64}\Z")]
Name = Annotated[str, Meta(min_length=1, max_length=MAX_NAME)]
Tag = Annotated[str, Meta(min_length=1, max_length=MAX_TAG)]
Tags = Annotated[tuple[Tag, ...], Meta(max_length=MAX_TAGS)]
Json = dict[str, Any]
Thumb = Literal["up", "down"]
Source = Literal["browser", "backend"]
Reason = Literal[  # why one event is rejected, while the others of its request go on
    "bad_event",
    "gone",
    "id_reused",
    "message_unknown",
    "message_used",
    "rate_limited",
    "role_refused",
    "thread_full",
    "thread_opened",
    "token_invalid",
    "token_missing",
]


class BadEvent(ThumbsealError):
    """One event is refused; ``code`` and ``field`` say why, the others of its batch go on.
    ``retry``: the same event may pass another time."""

    def __init__(
        self, code: Reason, field: str | None = None, message: str = "", *, retry: bool = False
    ) -> None:
        super().__init__(message or code)
        self.code: Reason = code
        self.field = field
        self.retry = retry


class Entry(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    tag_field="type",
):
    """What every event carries: the sender's id for it, and the sender's time in ms."""

    id: EventId
    at: Time


class Message(Entry, frozen=True, kw_only=True, tag="message"):
    """One entry in a thread. ``content`` is text, a list of OpenAI-style parts, or null beside
    ``tool_calls``. ``reply_to`` joins an exchange, ``retry_of`` says what this one replaces."""

    message: Token
    role: Role
    content: str | tuple[Json, ...] | None
    name: Name | None = None
    tool_calls: tuple[Json, ...] | None = None
    tool_call_id: Name | None = None
    reply_to: Token | None = None
    retry_of: Token | None = None
    tags: Tags | None = None
    metadata: Json | None = None


class Opinion(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What an actor says of a message now: keys given replace, null removes, the rest stays."""

    thumb: Thumb | UnsetType | None = UNSET
    reasons: Annotated[tuple[Tag, ...], Meta(max_length=MAX_REASONS)] | UnsetType | None = UNSET
    comment: Annotated[str, Meta(max_length=MAX_COMMENT)] | UnsetType | None = UNSET
    score: Annotated[float, Meta(ge=-MAX_SCORE, le=MAX_SCORE)] | UnsetType | None = UNSET
    correction: str | UnsetType | None = UNSET


class Feedback(Entry, frozen=True, kw_only=True, tag="feedback"):
    """A change of one actor's opinion of one message."""

    message: Token
    feedback: Opinion


class ThreadChange(Entry, frozen=True, kw_only=True, tag="thread"):
    """A change of the thread itself: tags replace, metadata merges by key."""

    tags: Tags | None = None
    metadata: Json | None = None


class Custom(Entry, frozen=True, kw_only=True, tag="custom"):
    """Something the application wants to see in the thread."""

    name: Name
    metadata: Json | None = None


class Run(Entry, frozen=True, kw_only=True, tag="run"):
    """One event of a run of a model, an agent or a tool, from a backend with one of Lunary's SDKs.

    ``run`` is the run's id, ``parent`` the message or the run that it belongs to, ``kind`` and
    ``event`` are Lunary's words for what happened, ``sent`` is all else that was sent, as it was.
    """

    run: Token
    event: Name
    kind: Name | None = None
    parent: Token | None = None
    sent: Json


SentEntry = Message | Feedback | ThreadChange | Custom  # what `POST /v1/events` takes
AnyEntry = SentEntry | Run
KINDS: Final = {
    Message: "message",
    Feedback: "feedback",
    ThreadChange: "thread",
    Custom: "custom",
    Run: "run",
}


class Event(Struct, frozen=True):
    """An entry as the log has it: who said it, when, and its place in the order of all."""

    seq: int
    source: Source
    actor: str
    at: int
    received_at: int
    entry: AnyEntry


_ENTRY: Final[msgspec.json.Decoder[AnyEntry]] = msgspec.json.Decoder(AnyEntry)
_ENCODER: Final = msgspec.json.Encoder()


def dump(entry: AnyEntry) -> bytes:
    """The stored form of an entry: the same for the same entry, so that bodies compare."""
    return _ENCODER.encode(entry)


def load(body: bytes | str | msgspec.Raw) -> AnyEntry:
    """The entry of a stored form."""
    return _ENTRY.decode(body)


def is_ref(token: str) -> bool:
    """Whether a page names a message by a word of its own, because it had no token at hand. No
    token starts with this sign."""
    return token.startswith("~")


def named_in(entry: AnyEntry) -> list[tuple[str, str]]:
    """The messages that an entry names, by field, the one that it is about first."""
    if isinstance(entry, Feedback):
        return [("message", entry.message)]
    if not isinstance(entry, Message):
        return []
    named = [("message", entry.message)]
    if entry.reply_to is not None:
        named.append(("reply_to", entry.reply_to))
    if entry.retry_of is not None:
        named.append(("retry_of", entry.retry_of))
    return named


def clock_offset(sent_at: int, received_at: int) -> int:
    """What a sender's clock is behind ours, in ms.

    A browser's clock may be off by years, but it is off by the same amount when it stamps the
    event and when it sends it. The time on the way counts into that difference, so it is taken in
    steps of ten minutes: a request that took long must not make its vote later than the next one.
    """
    return round((received_at - sent_at) / CLOCK_STEP_MS) * CLOCK_STEP_MS


def corrected(at: int, offset: int, received_at: int) -> int:
    """The time of an event by our clock, in ms: never in the future, nor over a week old."""
    return min(max(at + offset, received_at - OLDEST_MS), received_at)
