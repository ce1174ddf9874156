"""Lunary: a thread's state, sent so that sending it again changes nothing.

Lunary's own chat events append and rename; its generic run events do not. So each exchange goes
as a run that starts with its question and ends with its answer, under an id that never changes,
and a vote as the whole feedback object. All of this was observed on Lunary's open-source backend
(commit a86d6986); the rules that follow from it:

1. Messages are arrays of objects: strings break Lunary's list of threads.
2. Times strictly increase within a thread, since rows are ordered by time alone.
3. Results come in the order of the events' times, so events are sent in that order.
4. A 200 says nothing; each result does. "Already exists" means delivered.
5. Fields are picked, never passed through: ``appId`` in an event would move it to another project.
6. Lunary holds one vote for each exchange: the answer's, of the actor who voted last. Votes on
   questions, and other actors' votes, are not sent (`LOSSY`).
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import reduce
from typing import Any, Final
from uuid import UUID, uuid5

import httpx2
import msgspec
from msgspec import UNSET, Struct, structs

from thumbseal import settings
from thumbseal.conversation import Conversation, Exchange, Rating, Turn, merge
from thumbseal.events import Custom, Event, Feedback, Opinion, ThreadChange
from thumbseal.ids import MessageId
from thumbseal.upstreams import Change, Delivered, Later, Outcome, UpstreamDown
from thumbseal.upstreams.calls import Answer, call

LOSSY: Final[tuple[str, ...]] = (
    "votes on questions",
    "all but the last actor's vote on an answer",
    "thread metadata changed after the start",
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
PAUSE: Final = 0.5  # seconds; 150 requests a minute is Lunary's default limit for one address


class Wire(Struct, frozen=True):
    """One event as Lunary takes it. ``seqs`` are the log's events that go into the dead if this
    is refused."""

    at: int
    body: dict[str, Any]
    seqs: tuple[int, ...]


class Result(Struct, frozen=True):
    """What Lunary says of one event."""

    id: Any = None
    success: bool = False
    error: Any = None


class Results(Struct, frozen=True):
    """The answer to an ingest request."""

    results: list[Result]


_RESULTS: Final = msgspec.json.Decoder(Results)


class LunaryUpstream:
    """See `thumbseal.upstreams.Upstream`."""

    pause = PAUSE
    lossy = LOSSY

    def __init__(self, configured: settings.Lunary, client: httpx2.AsyncClient) -> None:
        self._url = configured.url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {configured.key.reveal()}"}
        self._client = client

    async def deliver(self, changes: Sequence[Change]) -> list[Outcome]:
        """All changes in one request, or a few large ones; tags that changed later in one more for
        each thread."""
        wires = [project(change) for change in changes]
        owned = [(number, wire) for number, own in enumerate(wires) for wire in own]
        owned.sort(key=lambda pair: pair[1].at)
        results = await self._ingest([wire.body for _, wire in owned]) if owned else []
        outcomes = [
            _outcome(
                change,
                [
                    (wire, result)
                    for (owner, wire), result in zip(owned, results, strict=True)
                    if owner == number
                ],
            )
            for number, change in enumerate(changes)
        ]
        return [
            await self._retag(change, outcome)
            for change, outcome in zip(changes, outcomes, strict=True)
        ]

    async def _ingest(self, events: list[dict[str, Any]]) -> list[Result]:
        results = [result for batch in _batches(events) for result in await self._send(batch)]
        if [result.id for result in results] != [event["runId"] for event in events]:
            raise UpstreamDown("results that are not those of the events sent")
        return results

    async def _send(self, batch: list[msgspec.Raw]) -> list[Result]:
        answer = await self._call("POST", "/v1/runs/ingest", {"events": batch})
        if not answer.ok:
            raise UpstreamDown(f"status {answer.status} for a whole batch")
        try:
            return _RESULTS.decode(answer.body).results
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise UpstreamDown("an answer that is not Lunary's") from error

    async def _retag(self, change: Change, outcome: Outcome) -> Outcome:
        """The outcome, with changed tags sent by their own route: a start that is already there
        ignores them."""
        seqs = [
            event.seq
            for event in change.events
            if isinstance(event.entry, ThreadChange) and event.entry.tags is not None
        ]
        if isinstance(outcome, Later) or not seqs:
            return outcome
        conversation = change.conversation
        path = f"/v1/runs/{conversation.thread}/tags"
        answer = await self._call("PATCH", path, {"tags": list(conversation.tags)})
        if answer.ok:
            return outcome
        refused = ((seq, f"status {answer.status}") for seq in seqs)
        return structs.replace(outcome, dead=(*outcome.dead, *refused))

    async def _call(self, method: str, path: str, body: dict[str, Any]) -> Answer:
        request = self._client.build_request(
            method,
            self._url + path,
            content=msgspec.json.encode(body),
            headers={**self._headers, "Content-Type": "application/json"},
        )
        return await call(self._client, request)


def project(change: Change) -> list[Wire]:
    """The events that bring Lunary's state of a thread to that of the fold."""
    times = _times(change.conversation)
    wires = list(_thread_start(change))
    for exchange in change.conversation.exchanges.values():
        if any(turn.seq >= change.since for turn in exchange.turns):
            wires += _exchange(change, exchange, times)
        wires += _vote(change, exchange, times)
    for event in change.events:
        if isinstance(event.entry, Custom):
            wires += _custom(change, event, event.entry, times[event.seq])
    return wires


def _times(conversation: Conversation) -> dict[int, int]:
    """The time of each row at Lunary, by seq: the sender's, but strictly increasing."""
    rows = [(turn.seq, turn.at) for turn in conversation.turns]
    rows += [(event.seq, event.at) for event in conversation.customs]
    times: dict[int, int] = {}
    last = conversation.first.at if conversation.first else 0
    for seq, at in sorted(rows):
        last = times[seq] = max(at, last + 1)
    return times


def _thread_start(change: Change) -> Iterator[Wire]:
    first = change.conversation.first
    refused = first is not None and first.seq in change.dead
    if first is None or (first.seq < change.since and not refused):
        return
    opening = next((turn for turn in change.conversation.turns if turn.seq == first.seq), None)
    yield _wire(
        change,
        first.at,
        (first.seq,),
        type="thread",
        event="start",
        runId=change.conversation.thread,
        tags=list(change.conversation.tags) or None,
        metadata=None if refused else dict(change.conversation.metadata) or None,
        input=_message(opening, change) if opening else None,
    )


def _exchange(change: Change, exchange: Exchange, times: dict[int, int]) -> Iterator[Wire]:
    turns = exchange.turns
    asked = [_message(turn, change) for turn in turns if turn.asks]
    said = [_message(turn, change) for turn in turns if not turn.asks]
    new = tuple(turn.seq for turn in turns if turn.seq >= change.since)
    questions = tuple(turn.seq for turn in turns if turn.seq in new and turn.asks)
    known = turns[0].seq < change.since and turns[0].seq not in change.dead
    if not known:
        yield _wire(
            change,
            times[turns[0].seq],
            questions or new,
            type="chat",
            event="start",
            runId=exchange.id,
            parentRunId=change.conversation.thread,
            input=asked,
        )
    # A start that is already there changes nothing, so whatever is more than the one question
    # comes as an end, which replaces both sides.
    if len(turns) > 1 or said:
        yield _wire(
            change,
            times[turns[-1].seq],
            # With questions that Lunary has just taken it is the answers that it refuses.
            new if known else tuple(seq for seq in new if seq not in questions) or new,
            type="chat",
            event="end",
            runId=exchange.id,
            input=asked,
            output=said,
        )


def _vote(change: Change, exchange: Exchange, times: dict[int, int]) -> Iterator[Wire]:
    rating = _rating(change.conversation, exchange)
    if rating is None or exchange.answer is None:
        return
    new = tuple(mark.seq for mark in rating.marks if mark.seq >= change.since)
    if not new and exchange.answer.seq < change.since:
        return
    # What is dead says nothing, what else was said still stands.
    alive = (mark.opinion for mark in rating.marks if mark.seq not in change.dead)
    opinion = reduce(merge, alive, Opinion())
    feedback = {key: getattr(opinion, key) for key in Opinion.__struct_fields__}
    yield _wire(
        change,
        max(rating.marks[-1].at, times[exchange.turns[-1].seq] + 1),
        new or (rating.marks[-1].seq,),
        type=None,
        event="feedback",
        runId=exchange.id,
        feedback={key: None if value is UNSET else value for key, value in feedback.items()},
    )


def _custom(change: Change, event: Event, custom: Custom, at: int) -> Iterator[Wire]:
    run = str(uuid5(UUID(change.conversation.thread), f"{event.source}\n{custom.id}"))
    common = {"type": "custom-event", "runId": run}
    yield _wire(
        change,
        at,
        (event.seq,),
        **common,
        event="start",
        name=custom.name,
        parentRunId=change.conversation.thread,
        metadata=custom.metadata,
    )
    yield _wire(change, at, (event.seq,), **common, event="end")


def _wire(change: Change, at: int, seqs: tuple[int, ...], **fields: Any) -> Wire:
    """A wire event: what a start says of its user belongs to every start; nothing is null but
    the type of a vote."""
    if fields["event"] == "start":
        fields["userId"] = change.conversation.user
    given = {key: value for key, value in fields.items() if value is not None or key == "type"}
    return Wire(at, {**given, "timestamp": _iso(at)}, seqs)


def _message(turn: Turn, change: Change) -> dict[str, Any]:
    """A message as Lunary shows it; the content of a dead one is left out, its place is not."""
    message = turn.message
    shown = {
        "role": message.role,
        "content": "" if turn.seq in change.dead else message.content,
        "name": message.name,
        "tool_calls": None if turn.seq in change.dead else message.tool_calls,
        "tool_call_id": message.tool_call_id,
        "tags": message.tags,
    }
    metadata = {**(message.metadata or {}), "messageId": message.message, "source": turn.source}
    kept = {key: value for key, value in shown.items() if value is not None or key == "content"}
    return {**kept, "metadata": metadata}


def _rating(conversation: Conversation, exchange: Exchange) -> Rating | None:
    """The one vote that Lunary can hold for an exchange."""
    if exchange.answer is None:
        return None
    ratings = conversation.ratings_of(exchange.answer.message.message)
    return ratings[-1] if ratings else None


def _waiting(change: Change) -> tuple[tuple[int, MessageId], ...]:
    """The new votes on messages that nobody has recorded yet."""
    recorded = {turn.message.message for turn in change.conversation.turns}
    return tuple(
        (event.seq, MessageId(event.entry.message))
        for event in change.events
        if isinstance(event.entry, Feedback) and event.entry.message not in recorded
    )


def _outcome(change: Change, results: Sequence[tuple[Wire, Result]]) -> Outcome:
    dead: dict[int, str] = {}
    for wire, result in results:
        text = str(result.error).lower()
        if result.success or any(done in text for done in DONE):
            continue
        if any(sign in text for sign in TRANSIENT):
            return Later(f"Lunary: {text[:200]}")
        dead |= dict.fromkeys(wire.seqs, f"Lunary: {text[:200]}")
    return Delivered(_waiting(change), tuple(dead.items()))


def _batches(events: Sequence[dict[str, Any]]) -> Iterator[list[msgspec.Raw]]:
    """The events in their order, in as few requests as Lunary's limit allows."""
    batch: list[msgspec.Raw] = []
    size = 0
    for event in events:
        body = msgspec.json.encode(event)
        if batch and size + len(body) > MAX_REQUEST:
            yield batch
            batch, size = [], 0
        batch.append(msgspec.Raw(body))
        size += len(body)
    if batch:
        yield batch


def _iso(ms: int) -> str:
    moment = datetime.fromtimestamp(ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
