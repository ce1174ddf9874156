"""Parsing: the only way in for an event from somebody's bytes.

Parsing is validating: what comes out is within every limit, free of U+0000 and of numbers that
other JSON readers would change. Unknown fields are refused. Of a key given twice the last one
counts: this parser alone ever reads the sender's bytes, and what it understood is written anew, so
no later reader can understand them otherwise.
"""

from collections.abc import Iterator
from typing import Final

import msgspec
from msgspec import UnsetType

from thumbseal.events import (
    MAX_BODY,
    MAX_CONTENT,
    MAX_DEPTH,
    MAX_INTEGER,
    MAX_METADATA,
    MAX_RUN_DEPTH,
    AnyEntry,
    BadEvent,
    Custom,
    Feedback,
    Message,
    Opinion,
    Run,
    SentEntry,
    ThreadChange,
    load,
)

_SENT: Final[msgspec.json.Decoder[SentEntry]] = msgspec.json.Decoder(SentEntry)
_ENCODER: Final = msgspec.json.Encoder()


def parse_entry(raw: bytes | msgspec.Raw, *, runs: bool = False) -> AnyEntry:
    """One event from its JSON; ``runs`` where it may be a run, which no page can send.

    Raises:
        BadEvent: ``bad_event`` with the field, where it breaks a rule.
    """
    try:
        entry = load(raw) if runs else _SENT.decode(raw)
    except msgspec.ValidationError as error:
        text, field = explained(error)
        raise BadEvent("bad_event", field, text) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadEvent("bad_event", None, "The event is not JSON in UTF-8.") from error
    _check(entry)
    return entry


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
