"""Runs: what Lunary's SDKs send, said in events of this proxy. Pure translation.

Facts about the wire are those of Lunary's open-source backend and its SDKs (npm 1.0.18, PyPI
1.4.41). What cannot be kept is refused with a reason: Lunary itself would say success and lose it.
"""

import hashlib
import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from thumbseal import events
from thumbseal.events import AnyEntry, BadEvent, parse_entry
from thumbseal.ids import ThreadId

MAX_RUNS: Final = 500  # events in a request; the SDKs send all that waits at once
MAX_RUN_ID: Final = 128  # characters; ids are UUIDs, or words of the application's own

Run = Mapping[str, Any]
_ROLES: Final = {role: role for role in ("user", "assistant", "tool", "system")} | {
    "bot": "assistant"
}
_ENCODER: Final = msgspec.json.Encoder(order="sorted")


def spellings(thread: ThreadId, key: str) -> frozenset[str]:
    """How SDKs name a thread: as it is, and as Python's hashes it with its key."""
    digest = hashlib.sha256(f"{thread}{key}".encode()).hexdigest()
    return frozenset((thread, str(uuid.UUID(digest[:32]))))


def in_order(runs: Sequence[Run]) -> list[Run]:
    """The order in which Lunary works and answers: by time, and equal ones as they were sent.
    What has no time that can be read comes last."""
    moments = [_moment(run.get("timestamp")) for run in runs]
    last = events.MAX_INTEGER
    ranks = [last if moment is None else moment for moment in moments]
    return [run for _, run in sorted(zip(ranks, runs, strict=True), key=lambda pair: pair[0])]


def translate(run: Run, own: frozenset[str]) -> list[AnyEntry]:
    """The events that one of Lunary's says; ``own`` are the spellings of the key's thread.

    Raises:
        BadEvent: it is of another thread, of a kind that is not recorded, or not within a limit.
    """
    return [parse_entry(_ENCODER.encode(fields)) for fields in _entries(run, own)]


def ref(run_id: object) -> str:
    """The name of a message inside its thread (see `events.is_ref`).

    Raises:
        BadEvent: it is no text, or too long.
    """
    if not isinstance(run_id, str) or not 0 < len(run_id) <= MAX_RUN_ID:
        text = f"Give a runId of 1 to {MAX_RUN_ID} characters."
        raise BadEvent("bad_event", "runId", text)
    return f"~{run_id.lower()}"


def _entries(run: Run, own: frozenset[str]) -> Iterator[dict[str, Any]]:
    match run.get("type"), run.get("event"):
        case _, "chat":
            _check_thread(run, own)
            yield from _thread(run)
            yield _message(run)
            if isinstance(run.get("feedback"), dict):
                yield _feedback(run)
        case _, "feedback":
            yield _feedback(run)
        case _, "custom-event":
            _check_thread(run, own)
            yield from _thread(run)
            yield _event(run, "custom", name=run.get("name"), metadata=run.get("metadata"))
        case kind, event:
            text = f"A run {str(kind)[:64]!r} with the event {str(event)[:64]!r} is not recorded."
            raise BadEvent("bad_event", "event", text)


def _check_thread(run: Run, own: frozenset[str]) -> None:
    if run.get("parentRunId") not in own:
        text = "The key is the token of another thread; give openThread the id of the key's own."
        raise BadEvent("token_invalid", "parentRunId", text)


def _message(run: Run) -> dict[str, Any]:
    message = run.get("message")
    if not isinstance(message, dict):
        raise BadEvent("bad_event", "message", "A chat event has a message.")
    role = message.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        text = f"The role is one of {', '.join(_ROLES)}."
        raise BadEvent("bad_event", "message.role", text)
    calls = message.get("tool_calls", message.get("toolCalls"))
    fields = {
        "message": ref(run.get("runId")),
        "role": _ROLES[role],
        "name": message.get("name"),
        "tool_calls": calls or None,
        "tool_call_id": message.get("tool_call_id", message.get("toolCallId")),
        "tags": message.get("tags") or None,
        "metadata": message.get("metadata") or message.get("extra"),
    }
    return {**_event(run, "message", **fields), "content": message.get("content")}


def _feedback(run: Run) -> dict[str, Any]:
    fields = {"message": ref(run.get("runId")), "feedback": run.get("feedback")}
    return _event(run, "feedback", **fields)


def _thread(run: Run) -> Iterator[dict[str, Any]]:
    """What the event says of its thread. Absent means unchanged: Lunary would wipe it. The user
    of a page is a claim; who it is, the thread's token says."""
    props = run.get("userProps") if isinstance(run.get("userProps"), dict) else {}
    user = run.get("userId")
    claim = {"claimed_user": {"id": user, **(props or {})}} if user else {}
    metadata = run.get("threadMetadata") or {}
    if not isinstance(metadata, dict):
        raise BadEvent("bad_event", "threadMetadata", "A thread's metadata are an object.")
    fields = {"tags": run.get("threadTags"), "metadata": {**metadata, **claim} or None}
    if any(value is not None for value in fields.values()):
        yield _event(run, "thread", **fields)


def _event(run: Run, kind: str, **fields: Any) -> dict[str, Any]:
    """An event whose id is the hash of all that was sent, so that a batch that an SDK sends again
    after a lost answer changes nothing."""
    moment = _moment(run.get("timestamp"))
    if moment is None:
        text = "Give a time: milliseconds since 1970, or ISO 8601."
        raise BadEvent("bad_event", "timestamp", text)
    sent = hashlib.sha256(_ENCODER.encode([kind, run])).hexdigest()
    given = {name: value for name, value in fields.items() if value is not None}
    return {"type": kind, "id": sent, "at": moment, **given}


def _moment(timestamp: object) -> int | None:
    """Milliseconds since 1970; None if it is no time."""
    match timestamp:
        case bool():
            return None
        case int() | float():
            return int(timestamp) if 0 <= timestamp <= events.MAX_INTEGER else None
        case str():
            return _parsed(timestamp)
        case _:
            return None


def _parsed(text: str) -> int | None:
    try:
        moment = datetime.fromisoformat(text)
        zoned = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return max(0, int(zoned.timestamp() * 1000))
    except (ValueError, OverflowError):
        return None
