"""Lunary: a thread's state, sent so that sending it again changes nothing.

What is sent, and why, stands in `projection`; here is how it goes out and what the answers mean:
results come in the order of the events' times, so events are sent in that order, and a 200 says
nothing: each result does. "Already exists" means delivered.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import httpx2
import msgspec
from msgspec import Struct, structs

from thumbseal import settings
from thumbseal.events import Feedback, ThreadChange
from thumbseal.ids import MessageId, ThreadId
from thumbseal.upstreams import Change, Delivered, Later, Outcome, UpstreamDown, lunary_erasure
from thumbseal.upstreams.calls import Answer, call
from thumbseal.upstreams.projection import LOSSY, Wire, lost, project

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
PAUSE: Final = 0.5  # seconds; 150 requests a minute is Lunary's default limit for one address


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
    batch = BATCH
    concurrency = 1  # its limit counts requests, and batches hold as much as there is
    keeps_state = True
    lossy = LOSSY

    def __init__(self, configured: settings.Lunary, client: httpx2.AsyncClient) -> None:
        self._url = configured.url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {configured.key.reveal()}"}
        self._client = client

    async def deliver(self, changes: Sequence[Change]) -> list[Outcome]:
        """All changes in one request, or a few large ones; tags that changed later in one more for
        each thread.

        What follows a refused start Lunary drops without a word, so a change of which something
        was refused has to go out once more without it.
        """
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

    async def erase(self, thread: ThreadId) -> None:
        await lunary_erasure.erase(self._client, self._url, self._headers, thread)

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
    again = bool(dead.keys() - change.dead)
    return Delivered(_waiting(change), tuple(dead.items()), lost(change), again)


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
