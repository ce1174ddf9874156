"""Runs: what Lunary's SDKs send, said in events of this proxy. Pure translation.

Facts about the wire are those of Lunary's open-source backend and its SDKs (npm 1.0.18, PyPI
1.4.41). What cannot be kept is refused with a reason: Lunary itself would say success and lose it.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Literal

import msgspec

from thumbseal import events
from thumbseal.conversation import USER_PROPS
from thumbseal.events import AnyEntry, BadEvent
from thumbseal.ids import ThreadId, named_message, python_id
from thumbseal.parsing import parse_entry

MAX_RUNS: Final = 500  # events in a request; the SDKs send all that waits at once

Run = Mapping[str, Any]
Name = Callable[[object], str]  # from a runId to the message that it stands for
_ROLES: Final = {role: role for role in ("user", "assistant", "tool", "system")} | {
    "bot": "assistant"
}
Kind = Literal["chat", "feedback", "custom-event", "thread", "question", "answer", "run", "log"]
# Of what happens to a run: `update` brings metadata.
RUN_EVENTS: Final = frozenset({"start", "end", "error", "update"})
# What a run says in fields of an event of ours, or must not say: an appId would name a project.
_TOLD: Final = frozenset({"type", "event", "runId", "parentRunId", "timestamp", "appId"})
_ENCODER: Final = msgspec.json.Encoder(order="sorted")


def spellings(thread: ThreadId, key: str) -> frozenset[str]:
    """How SDKs name a thread: as it is, and as Python's hashes it with its key."""
    return frozenset((thread, python_id(thread, key)))


def in_order(runs: Sequence[Run]) -> list[Run]:
    """The order in which Lunary works and answers: by time, and equal ones as they were sent.
    What has no time that can be read comes last."""
    moments = [_moment(run.get("timestamp")) for run in runs]
    last = events.MAX_INTEGER
    ranks = [last if moment is None else moment for moment in moments]
    return [run for _, run in sorted(zip(ranks, runs, strict=True), key=lambda pair: pair[0])]


def kind_of(run: Run) -> Kind:
    """What an event of Lunary's says.

    Raises:
        BadEvent: nothing that is recorded.
    """
    match run.get("type"), run.get("event"):
        case _, "chat":
            return "chat"
        case _, "feedback":
            return "feedback"
        case _, "custom-event":
            return "custom-event"
        case "thread", "start":
            return "thread"
        case "chat", "start":
            return "question"
        case "chat", "end":
            return "answer"
        case "log", str():
            return "log"
        case str() as type_, str() as event if (
            type_ not in ("thread", "chat") and event in RUN_EVENTS
        ):
            return "run"
        case kind, event:
            text = f"A run {str(kind)[:64]!r} with the event {str(event)[:64]!r} is not recorded."
            raise BadEvent("bad_event", "event", text)


def thread_of(run: Run) -> tuple[str, object] | None:
    """The field that names an event's thread, and the name; None where the message does."""
    match kind_of(run):
        case "feedback" | "answer" | "run" | "log":
            return None
        case "thread":
            return "runId", run.get("runId")
        case _:
            return "parentRunId", run.get("parentRunId")


def names_in(run: Run) -> list[str]:
    """The names that an event of Lunary's may have to do with."""
    names = [run.get("runId"), run.get("parentRunId")]
    names += [question_name(name) for name in names if isinstance(name, str)]  # see `_question`
    return [name for name in names if isinstance(name, str)]


def parent_of(run: Run) -> str | None:
    """The name of what an event of a run hangs on, if it says so."""
    is_run = run.get("type") == "log" or run.get("event") == "start"
    parent = run.get("parentRunId")
    if not is_run or run.get("type") in ("thread", "chat") or not isinstance(parent, str):
        return None
    return parent or None


def translate(run: Run, name: Name, *, vouched: bool) -> list[AnyEntry]:
    """The events that one of Lunary's says in its thread; ``vouched``: a backend sent it, whose
    word for the user counts.

    Raises:
        BadEvent: it is of a kind that is not recorded, or not within a limit.
    """
    fields = [*_thread(run, vouched=vouched), *_ENTRIES[kind_of(run)](run, name)]
    return [parse_entry(_ENCODER.encode(each)) for each in fields]


def translate_run(run: Run, item: str, parent: str | None) -> AnyEntry:
    """What happened to a run, or a vote on it, as the event that is passed on.

    Raises:
        BadEvent: it is not within a limit, or a vote that says nothing.
    """
    if run.get("event") == "feedback" and not (
        isinstance(run.get("feedback"), dict) and run["feedback"]
    ):
        raise BadEvent("bad_event", "feedback", "Say at least one thing of the run.")
    sent = {key: value for key, value in run.items() if key not in _TOLD and value is not None}
    event = _event(run, "run", event=run.get("event"), parent=parent, sent=sent)
    told = {**event, "run": item, "kind": run.get("type")}
    return parse_entry(_ENCODER.encode(told), runs=True)


def log_id(run: Run, thread: ThreadId) -> str:
    """The id of a log, which Lunary gives none."""
    return named_message(thread, hashlib.sha256(_ENCODER.encode(run)).hexdigest())


def _chat(run: Run, name: Name) -> Iterator[dict[str, Any]]:
    yield _message(run, name)
    if isinstance(run.get("feedback"), dict):
        yield from _feedback(run, name)


def _feedback(run: Run, name: Name) -> Iterator[dict[str, Any]]:
    message, feedback = name(run.get("runId")), run.get("feedback")
    yield _event(run, "feedback", message=message, feedback=feedback)


def _custom(run: Run, name: Name) -> Iterator[dict[str, Any]]:
    yield _event(run, "custom", name=run.get("name"), metadata=run.get("metadata"))


def _question(run: Run, name: Name) -> Iterator[dict[str, Any]]:
    """A user's message by the deprecated call. Its answer has the same runId, and a vote on that
    is meant for the answer: so this is the one that is named otherwise."""
    name(run.get("runId"))
    yield _legacy(run, name(_asked(run)), "user", "input")


def _answer(run: Run, name: Name) -> Iterator[dict[str, Any]]:
    reply = name(_asked(run))
    yield {**_legacy(run, name(run.get("runId")), "assistant", "output"), "reply_to": reply}


def _nothing(run: Run, name: Name) -> Iterator[dict[str, Any]]:
    """The deprecated start of a thread says nothing that its first message does not."""
    yield from ()


_ENTRIES: Final[Mapping[str, Callable[[Run, Name], Iterator[dict[str, Any]]]]] = {
    "chat": _chat,
    "feedback": _feedback,
    "custom-event": _custom,
    "thread": _nothing,
    "question": _question,
    "answer": _answer,
}


def _asked(run: Run) -> object:
    run_id = run.get("runId")
    return question_name(run_id) if isinstance(run_id, str) and run_id else run_id


def question_name(name: str) -> str:
    """The name of a question whose answer has this one (see `_question`)."""
    return f"{name}?"


def _legacy(run: Run, message: str, role: str, field: str) -> dict[str, Any]:
    if not isinstance(run.get(field), str):
        raise BadEvent("bad_event", field, "The deprecated calls send a text.")
    fields = _event(run, "message", message=message, role=role, metadata=run.get("extra") or None)
    return {**fields, "content": run[field]}


def _message(run: Run, name: Name) -> dict[str, Any]:
    message = run.get("message")
    if not isinstance(message, dict):
        raise BadEvent("bad_event", "message", "A chat event has a message.")
    role = message.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        text = f"The role is one of {', '.join(_ROLES)}."
        raise BadEvent("bad_event", "message.role", text)
    calls = message.get("tool_calls", message.get("toolCalls"))
    fields = {
        "message": name(run.get("runId")),
        "role": _ROLES[role],
        "name": message.get("name"),
        "tool_calls": calls or None,
        "tool_call_id": message.get("tool_call_id", message.get("toolCallId")),
        "tags": message.get("tags") or None,
        "metadata": message.get("metadata") or message.get("extra"),
    }
    return {**_event(run, "message", **fields), "content": message.get("content")}


def _thread(run: Run, *, vouched: bool) -> Iterator[dict[str, Any]]:
    """What the event says of its thread. Absent means unchanged: Lunary would wipe it. The user
    of a page is a claim; who it is, the thread's token says."""
    if run.get("event") == "feedback":
        return
    props = run.get("userProps") if isinstance(run.get("userProps"), dict) else {}
    user = run.get("userId")
    claim: dict[str, Any] = {}
    if user and vouched:
        claim = {USER_PROPS: props} if props else {}
    elif user:
        claim = {"claimed_user": {"id": user, **(props or {})}}
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
