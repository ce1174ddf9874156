"""Events: what can happen in a thread, and the only way in from bytes.

Parsing is validating: a value of these classes is within every limit, free of U+0000 and of
numbers that other JSON readers would change. Unknown fields are refused. Of a key given twice the
last one counts: this parser alone ever reads the sender's bytes, and what it understood is written
anew, so no later reader can understand them otherwise.

On the wire ``message``, ``reply_to`` and ``retry_of`` are message tokens; whoever verifies them
puts the ids in their place (`resolved`), and only that form is stored.
"""

from collections.abc import Iterator
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
_SENT: Final[msgspec.json.Decoder[SentEntry]] = msgspec.json.Decoder(SentEntry)
_ENCODER: Final = msgspec.json.Encoder()


def parse_entry(raw: bytes | msgspec.Raw, *, runs: bool = False) -> AnyEntry:
    """One event from its JSON; ``runs`` where it may be a run, which no page can send.

    Raises:
        BadEvent: ``bad_event`` with the field, where it breaks a rule of this file.
    """
    try:
        entry = (_ENTRY if runs else _SENT).decode(raw)
    except msgspec.ValidationError as error:
        text, field = explained(error)
        raise BadEvent("bad_event", field, text) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadEvent("bad_event", None, "The event is not JSON in UTF-8.") from error
    _check(entry)
    return entry


def dump(entry: AnyEntry) -> bytes:
    """The stored form of an entry: the same for the same entry, so that bodies compare."""
    return _ENCODER.encode(entry)


def load(body: bytes | str) -> AnyEntry:
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


def corrected(at: int, sent_at: int, received_at: int) -> int:
    """The time of an event by our clock, in ms: never in the future, nor over a week old.

    A browser's clock may be off by years, but it is off by the same amount when it stamps the
    event and when it sends it. The time on the way counts into that difference, so it is taken in
    steps of ten minutes: a request that took long must not make its vote later than the next one.
    """
    off = round((received_at - sent_at) / CLOCK_STEP_MS) * CLOCK_STEP_MS
    return min(max(at + off, received_at - OLDEST_MS), received_at)


def explained(error: msgspec.ValidationError) -> tuple[str, str | None]:
    """What is wrong, and the path of the field where it is."""
    text, _, path = str(error).partition(" - at `$")
    return text + ".", path.rstrip("`").lstrip(".") or None


def _check(entry: AnyEntry) -> None:
    """The rules that a type cannot say."""
    match entry:
        case Message():
            _check_message(entry)
        case Feedback(feedback=opinion):
            if opinion == Opinion():
                raise BadEvent("bad_event", "feedback", "Say at least one thing of the message.")
            _check_text("feedback.comment", opinion.comment)
            _check_text("feedback.correction", opinion.correction, MAX_CONTENT)
            for reason in opinion.reasons or ():
                _check_text("feedback.reasons", reason)
        case ThreadChange():
            if entry.tags is None and entry.metadata is None:
                raise BadEvent("bad_event", "tags", "Change the tags or the metadata.")
            _check_labels(entry)
        case Custom():
            _check_text("name", entry.name)
            _check_json("metadata", entry.metadata, MAX_METADATA)
        case Run():
            _check_run(entry)


def _check_run(entry: Run) -> None:
    """As large as a backend's body; but every upstream must be able to hold it."""
    for leaf, depth in _leaves(entry.sent, 2, MAX_RUN_DEPTH):
        if depth > MAX_RUN_DEPTH:
            raise BadEvent("bad_event", "sent", f"Nested deeper than {MAX_RUN_DEPTH}.")
        if isinstance(leaf, str) and "\0" in leaf:
            raise BadEvent("bad_event", "sent", "The text holds U+0000.")


def _check_message(entry: Message) -> None:
    if entry.content is None and not entry.tool_calls:
        raise BadEvent("bad_event", "content", "Null content goes with tool_calls only.")
    if entry.message in (entry.reply_to, entry.retry_of):
        raise BadEvent("bad_event", "reply_to", "A message cannot refer to itself.")
    if isinstance(entry.content, str):
        _check_text("content", entry.content, MAX_CONTENT)
    else:
        _check_json("content", entry.content, MAX_CONTENT)
        if not all(isinstance(part.get("type"), str) for part in entry.content or ()):
            raise BadEvent("bad_event", "content", "Each part of a content has a `type`.")
    _check_json("tool_calls", entry.tool_calls, MAX_CONTENT)
    _check_text("name", entry.name)
    _check_text("tool_call_id", entry.tool_call_id)
    _check_labels(entry)


def _check_labels(entry: Message | ThreadChange) -> None:
    for tag in entry.tags or ():
        _check_text("tags", tag)
    _check_json("metadata", entry.metadata, MAX_METADATA)


def _check_text(field: str, text: str | UnsetType | None, limit: int = MAX_BODY) -> None:
    if not text:
        return
    if "\0" in text:  # Postgres and half of all upstreams cannot hold it
        raise BadEvent("bad_event", field, "The text holds U+0000.")
    # The length in characters is a cheap lower bound of the one in bytes.
    if len(text) > limit or (len(text) * 4 > limit and len(text.encode()) > limit):
        raise BadEvent("bad_event", field, f"The text is over {limit} bytes of UTF-8.")


def _check_json(field: str, value: object, limit: int) -> None:
    if not value:
        return
    for leaf, depth in _leaves(value, 2):
        if depth > MAX_DEPTH:
            raise BadEvent("bad_event", field, f"Nested deeper than {MAX_DEPTH}.")
        if isinstance(leaf, str):
            _check_text(field, leaf)
        elif isinstance(leaf, int) and abs(leaf) > MAX_INTEGER:
            raise BadEvent("bad_event", field, "A whole number over 2^53 - 1 is not portable.")
    if len(_ENCODER.encode(value)) > limit:
        raise BadEvent("bad_event", field, f"Over {limit} bytes of JSON.")


def _leaves(value: object, depth: int, deepest: int = MAX_DEPTH) -> Iterator[tuple[object, int]]:
    """Every key and value inside, with the depth it stands at; an event itself is at depth 1."""
    yield value if isinstance(value, str | int) else None, depth
    if depth > deepest:
        return
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key, depth
            yield from _leaves(inner, depth + 1, deepest)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _leaves(inner, depth + 1, deepest)
