"""The requests that Lunary may get from us, field by field, as observed on its open-source backend
a86d6986 to be idempotent. Anything else in a request is an error.
"""

from collections.abc import Iterable
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from tests.doubles.lunary import PROJECT, Received

Uuid = Annotated[str, Meta(pattern=r"\A[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")]
Stamp = Annotated[str, Meta(pattern=r"\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\Z")]
Json = dict[str, Any]


class Form(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A JSON object with these fields and no other; one that may be left out is never null."""


class Said(Form, frozen=True, kw_only=True):
    role: Literal["user", "assistant", "tool", "system"]
    content: str | list[Json] | None
    metadata: Json
    name: str | UnsetType = UNSET
    tool_calls: list[Json] | UnsetType = UNSET
    tool_call_id: str | UnsetType = UNSET
    tags: list[str] | UnsetType = UNSET


class Opinion(Form, frozen=True, kw_only=True):
    thumb: Literal["up", "down"] | None
    reasons: list[str] | None
    comment: str | None
    score: float | None
    correction: str | None


class ThreadStart(Form, frozen=True, kw_only=True):
    type: Literal["thread"]
    event: Literal["start"]
    runId: Uuid
    timestamp: Stamp
    tags: list[str] | UnsetType = UNSET
    metadata: Json | UnsetType = UNSET
    userId: str | UnsetType = UNSET
    userProps: Json | UnsetType = UNSET
    input: Said | UnsetType = UNSET


class ChatStart(Form, frozen=True, kw_only=True):
    type: Literal["chat"]
    event: Literal["start"]
    runId: Uuid
    parentRunId: Uuid
    timestamp: Stamp
    input: list[Said]
    userId: str | UnsetType = UNSET
    userProps: Json | UnsetType = UNSET


class ChatEnd(Form, frozen=True, kw_only=True):
    type: Literal["chat"]
    event: Literal["end"]
    runId: Uuid
    timestamp: Stamp
    input: list[Said]
    output: list[Said]


class Vote(Form, frozen=True, kw_only=True):
    type: None
    event: Literal["feedback"]
    runId: Uuid
    timestamp: Stamp
    feedback: Opinion


class CustomStart(Form, frozen=True, kw_only=True):
    type: Literal["custom-event"]
    event: Literal["start"]
    runId: Uuid
    parentRunId: Uuid
    timestamp: Stamp
    name: str
    metadata: Json | UnsetType = UNSET
    userId: str | UnsetType = UNSET
    userProps: Json | UnsetType = UNSET


class CustomEnd(Form, frozen=True, kw_only=True):
    type: Literal["custom-event"]
    event: Literal["end"]
    runId: Uuid
    timestamp: Stamp


FORMS: dict[tuple[str | None, str], type[Form]] = {
    ("thread", "start"): ThreadStart,
    ("chat", "start"): ChatStart,
    ("chat", "end"): ChatEnd,
    (None, "feedback"): Vote,
    ("custom-event", "start"): CustomStart,
    ("custom-event", "end"): CustomEnd,
}


class Batch(Form, frozen=True, kw_only=True):
    events: Annotated[list[Json], Meta(min_length=1)]


class Tags(Form, frozen=True, kw_only=True):
    tags: list[str]


def check_journal(journal: Iterable[Received]) -> None:
    """Fail unless each request is one that Lunary takes again and again to the same effect."""
    started: dict[str, str] = {}
    for received in journal:
        assert received.headers["content-type"] == "application/json"
        assert received.headers["authorization"] == f"Bearer {PROJECT.private_key}"
        assert received.query == ""
        if received.method == "PATCH":
            _check_tags(received)
        else:
            assert (received.method, received.path) == ("POST", "/v1/runs/ingest")
            _check_batch(msgspec.convert(received.json, Batch), started)


def _check_tags(received: Received) -> None:
    first, runs, thread, last = received.path.removeprefix("/").split("/")[0:4]
    assert (first, runs, last) == ("v1", "runs", "tags")
    msgspec.convert(thread, Uuid)
    msgspec.convert(received.json, Tags)


def _check_batch(batch: Batch, started: dict[str, str]) -> None:
    """``started`` maps each run to the time of its start, over all batches."""
    for event in batch.events:
        assert {"type", "event"} <= event.keys()
        msgspec.convert(event, FORMS[event["type"], event["event"]])
        _check_run(event, started)
    times = [event["timestamp"] for event in batch.events]
    assert times == sorted(times), "results come in the order of times"


def _check_run(event: Json, started: dict[str, str]) -> None:
    run, at = event["runId"], event["timestamp"]
    if event["event"] != "start":
        assert run in started, "nothing happens to a run that was never started"
        assert at >= started[run]
        return
    assert started.setdefault(run, at) == at, "a start is the same at every attempt"
    if event["type"] != "thread":
        parent = event["parentRunId"]
        assert parent in started, "an unknown parent costs five seconds"
        assert started[parent] < at
        assert list(started.values()).count(at) == 1, "equal times have no order"
