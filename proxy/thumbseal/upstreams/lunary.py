"""Lunary: a thread's state, sent so that sending it again changes nothing.

What is sent, and why, stands in `projection`; here is how it goes out and what the answers mean:
results come in the order of the events' times, so events are sent in that order, and a 200 says
nothing: each result does. "Already exists" means delivered.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

import httpx2
import msgspec
from msgspec import Struct, structs

from thumbseal import settings
from thumbseal.events import Feedback, ThreadChange
from thumbseal.ids import MessageId, ThreadId, python_id
from thumbseal.upstreams import Change, Delivered, Later, Outcome, UpstreamDown, lunary_erasure
from thumbseal.upstreams.calls import Answer, call
from thumbseal.upstreams.pace import Pace
from thumbseal.upstreams.projection import (
    LOSSY,
    Wire,
    lost,
    project,
    project_votes,
)

DONE: Final = ("already exists", "duplicate key")
# Texts of a database that is ill, not of an event that is wrong.
TRANSIENT: Final = (
    "connection",
    "timeout",
    "timed out",
    "terminat",
    "too many clients",
    "shutting down",
    "starting up",
    "recovery",
    "deadlock",
    "serialize",
    "econn",
    "etimedout",
    "epipe",
    "getaddrinfo",
    "read-only",
    "no space left",
    "out of memory",
)
MAX_REQUEST: Final = 8 * 1024 * 1024  # bytes; Lunary takes 20 MiB, and one event can be 8
BATCH: Final = 1_000  # threads in a delivery, which `_batches` cuts by size
TOO_LARGE: Final = 413
JSON: Final = {"Content-Type": "application/json"}
IDS: Final = ("runId", "parentRunId")
_QUOTED: Final = re.compile("[\"'`\u2018\u201c]")


class Result(Struct, frozen=True):
    """What Lunary says of one event."""

    id: Any = None
    success: bool = False
    error: Any = None


Told = tuple[Wire, Result]


class Results(Struct, frozen=True):
    """The answer to an ingest request."""

    results: list[Result]


class Shown(Struct, frozen=True):
    """What Lunary tells of a run, as far as we need it."""

    parentRunId: str | None = "unknown"


_RUN: Final = msgspec.json.Decoder(Shown)
_RESULTS: Final = msgspec.json.Decoder(Results)


class LunaryUpstream:
    """See `thumbseal.upstreams.Upstream`."""

    batch = BATCH
    concurrency = 1  # its limit counts requests, and batches hold as much as there is
    keeps_state = True
    lossy = LOSSY

    def __init__(
        self, configured: settings.Lunary, client: httpx2.AsyncClient, pace: Pace | None = None
    ) -> None:
        self._url = configured.url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {configured.key.reveal()}"}
        self._hashed_with = configured.ids == "python" and (configured.sdk_key or configured.key)
        self._record = configured.record
        self._client = client
        self._pace = pace or Pace(configured.requests_per_minute)
        self._max_request = MAX_REQUEST
        self._calls = 0
        self.pause = self._pace.spacing

    async def deliver(self, changes: Sequence[Change]) -> list[Outcome]:
        """All changes in one request, or a few large ones; tags that changed later in one more for
        each thread.

        What follows a refused start Lunary drops without a word, so a change of which something
        was refused has to go out once more without it.
        """
        self._calls = 0
        try:
            told = await self._tell([self._project(change) for change in changes])
            outcomes = [
                _outcome(change, own, records=self._record)
                for change, own in zip(changes, told, strict=True)
            ]
            return [
                await self._finish(change, own, outcome)
                for change, own, outcome in zip(changes, told, outcomes, strict=True)
            ]
        finally:
            self.pause = self._pace.spacing * max(self._calls, 1)

    async def _finish(self, change: Change, told: Sequence[Told], outcome: Outcome) -> Outcome:
        """The outcome, after what an ingest request cannot say."""
        if await self._remove_orphans(told) and isinstance(outcome, Delivered):
            return structs.replace(outcome, again=True)
        # A start that made its thread has set the tags.
        made = any(wire.opens and result.success for wire, result in told)
        return outcome if made else await self._retag(change, outcome)

    async def _remove_orphans(self, told: Sequence[Told]) -> bool:
        """Whether there were any. When a thread's start fails and its exchanges do not, Lunary
        stores those as nobody's for ever: they have to go, and to be sent anew."""
        opening = next((result for wire, result in told if wire.opens), None)
        if opening is None:
            return False
        rest = [(wire, result) for wire, result in told if not wire.opens and wire.starts]
        found = False
        for wire, result in rest:
            run = f"/v1/runs/{wire.body['runId']}"
            orphan = result.success
            if opening.success:
                # The thread was made just now: whatever of it was there before had none.
                orphan = not orphan and _done(result) and await self._is_orphan(run)
            if orphan and (opening.success or not _done(opening)):
                found = True
                await self._call("DELETE", run)
        return found

    async def _is_orphan(self, run: str) -> bool:
        answer = await self._call("GET", run)
        try:
            return answer.ok and _RUN.decode(answer.body).parentRunId is None
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise UpstreamDown("an answer that is not Lunary's") from error

    def _project(self, change: Change) -> list[Wire]:
        wires = project(change) if self._record else project_votes(change)
        return [
            structs.replace(
                wire,
                body={
                    key: self._name(value) if key in IDS else value
                    for key, value in wire.body.items()
                },
            )
            for wire in wires
        ]

    def _name(self, id_: str) -> str:
        return python_id(id_, self._hashed_with.reveal()) if self._hashed_with else id_

    async def _tell(self, wires: Sequence[Sequence[Wire]]) -> list[list[Told]]:
        """What Lunary says of each change's events, all of them in the order of their times."""
        owned = [(number, wire) for number, own in enumerate(wires) for wire in own]
        owned.sort(key=lambda pair: pair[1].at)
        results = await self._ingest([wire.body for _, wire in owned]) if owned else []
        told: list[list[Told]] = [[] for _ in wires]
        for (number, wire), result in zip(owned, results, strict=True):
            told[number].append((wire, result))
        return told

    async def erase(self, thread: ThreadId) -> None:
        await self._pace.take_turn()
        run = ThreadId(self._name(thread))
        await lunary_erasure.erase(self._client, self._url, self._headers, run)

    async def _ingest(self, events: list[dict[str, Any]]) -> list[Result]:
        bodies = [msgspec.Raw(msgspec.json.encode(event)) for event in events]
        results = [
            result
            for batch in _batches(bodies, self._max_request)
            for result in await self._send(batch)
        ]
        if [result.id for result in results] != [event["runId"] for event in events]:
            raise UpstreamDown("results that are not those of the events sent")
        return results

    async def _send(self, batch: list[msgspec.Raw]) -> list[Result]:
        answer = await self._call("POST", "/v1/runs/ingest", {"events": batch})
        if answer.status == TOO_LARGE:
            return await self._send_less(batch)
        if not answer.ok:
            raise UpstreamDown(f"status {answer.status} for a whole batch")
        try:
            return _RESULTS.decode(answer.body).results
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise UpstreamDown("an answer that is not Lunary's") from error

    async def _send_less(self, batch: list[msgspec.Raw]) -> list[Result]:
        """A proxy before Lunary may take less than Lunary: halves from now on, and an event that
        does not pass alone is refused."""
        if len(batch) == 1:
            run = msgspec.json.decode(batch[0])["runId"]
            return [Result(run, error="larger than its server takes")]
        self._max_request = max(sum(map(_size, batch)) // 2, 1)
        half = len(batch) // 2
        return [*await self._send(batch[:half]), *await self._send(batch[half:])]

    async def _retag(self, change: Change, outcome: Outcome) -> Outcome:
        """The outcome, with changed tags sent by their own route: a start that is already there
        ignores them."""
        seqs = [
            event.seq
            for event in change.events
            if isinstance(event.entry, ThreadChange) and event.entry.tags is not None
        ]
        if isinstance(outcome, Later) or not (seqs and self._record):
            return outcome
        conversation = change.conversation
        path = f"/v1/runs/{self._name(conversation.thread)}/tags"
        answer = await self._call("PATCH", path, {"tags": list(conversation.tags)})
        if answer.ok:
            return outcome
        refused = ((seq, f"status {answer.status}") for seq in seqs)
        return structs.replace(outcome, dead=(*outcome.dead, *refused))

    async def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Answer:
        await self._pace.take_turn()
        self._calls += 1
        request = self._client.build_request(
            method,
            self._url + path,
            content=b"" if body is None else msgspec.json.encode(body),
            headers={**self._headers, **({} if body is None else JSON)},
        )
        return await call(self._client, request)


def _waiting(change: Change) -> tuple[tuple[int, MessageId], ...]:
    """The new votes on messages that nobody has recorded yet."""
    recorded = {turn.message.message for turn in change.conversation.turns}
    return tuple(
        (event.seq, MessageId(event.entry.message))
        for event in change.events
        if isinstance(event.entry, Feedback) and event.entry.message not in recorded
    )


def _done(result: Result) -> bool:
    text = str(result.error).lower()
    return result.success or any(done in text for done in DONE)


def _outcome(change: Change, told: Sequence[Told], *, records: bool) -> Outcome:
    dead: dict[int, str] = {}
    for wire, result in told:
        if _done(result):
            continue
        text = str(result.error).lower()
        # Behind a quotation mark stands what somebody wrote, and reasons end up in logs.
        reason = f"Lunary: {_QUOTED.split(text, 1)[0][:200].strip()}"
        if any(sign in text for sign in TRANSIENT):
            return Later(reason)
        dead |= dict.fromkeys(wire.seqs, reason)
    again = bool(dead.keys() - change.dead)
    # Where somebody else records, votes wait for nothing.
    waiting = _waiting(change) if records else ()
    return Delivered(waiting, tuple(dead.items()), lost(change), again)


def _batches(events: Sequence[msgspec.Raw], limit: int) -> Iterator[list[msgspec.Raw]]:
    """The events in their order, in as few requests of up to ``limit`` bytes as they fit into."""
    batch: list[msgspec.Raw] = []
    size = 0
    for event in events:
        if batch and size + _size(event) > limit:
            yield batch
            batch, size = [], 0
        batch.append(event)
        size += _size(event)
    if batch:
        yield batch


def _size(event: msgspec.Raw) -> int:
    return len(memoryview(event))
