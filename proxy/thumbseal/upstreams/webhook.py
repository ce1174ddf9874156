"""A signed webhook, as Standard Webhooks has it: at least once, in the order of a thread.

The ``webhook-id`` is the same at every attempt, so a receiver can drop repeats. Threads do not wait
for each other. A thread that is refused for now is tried again by the specification's schedule. An
answer that is about the receiver as a whole (it is away, busy, or does not know us) holds none.
"""

import hashlib
import hmac
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import httpx2
import msgspec
from msgspec import Struct

from thumbseal import settings
from thumbseal.events import Event
from thumbseal.upstreams import Change, Delivered, Later, Outcome, UpstreamDown
from thumbseal.upstreams.calls import call
from thumbseal.upstreams.payload import tell_conversation, tell_event

CONCURRENCY: Final = 8
MINUTE: Final = 60.0
HOUR: Final = 3600.0
# The specification's waits, in seconds. It gives up after the last; we keep the events, and so try
# once a day for as long as they are kept.
SCHEDULE: Final = (
    5.0,
    5 * MINUTE,
    30 * MINUTE,
    2 * HOUR,
    5 * HOUR,
    10 * HOUR,
    14 * HOUR,
    20 * HOUR,
    24 * HOUR,
)


class Parcel(Struct, frozen=True):
    """One request: its id, its body, and the events that are delivered with it."""

    id: str
    body: bytes
    seqs: tuple[int, ...]


class WebhookUpstream:
    """See `thumbseal.upstreams.Upstream`; ``clock`` gives epoch seconds.

    Raises:
        SettingsError: a secret is not ``whsec_`` and base64 of 24 to 64 bytes.
    """

    pause = 0.0
    batch = 1
    concurrency = CONCURRENCY
    lossy: tuple[str, ...] = ()

    def __init__(
        self,
        configured: settings.Webhook,
        client: httpx2.AsyncClient,
        clock: Callable[[], float],
    ) -> None:
        self._url = configured.url
        self._keys = configured.signing_keys()
        self.keeps_state = configured.payload == "conversation"
        self._parcels = _by_event if configured.payload == "event" else _by_conversation
        self._client = client
        self._clock = clock

    async def deliver(self, changes: Sequence[Change]) -> list[Outcome]:
        return [await self._deliver_thread(change) for change in changes]

    async def _deliver_thread(self, change: Change) -> Outcome:
        dead: list[tuple[int, str]] = []
        for number, parcel in enumerate(self._parcels(change)):
            try:
                refusal = await self._send(parcel)
            except UpstreamDown as error:
                if error.gone or (error.whole and number == 0):
                    raise
                return Later(str(error), error.after, parcel.seqs[0], tuple(dead), SCHEDULE)
            if refusal:
                dead += ((seq, refusal) for seq in parcel.seqs)
        return Delivered(dead=tuple(dead))

    async def _send(self, parcel: Parcel) -> str | None:
        """None once the receiver has it, else why it never will."""
        at = int(self._clock())
        headers = {
            "Content-Type": "application/json",
            "webhook-id": parcel.id,
            "webhook-timestamp": str(at),
            "webhook-signature": sign(self._keys, parcel.id, at, parcel.body),
        }
        request = self._client.build_request(
            "POST", self._url, content=parcel.body, headers=headers
        )
        answer = await call(self._client, request, wants_body=False)
        return None if answer.ok else f"status {answer.status}"


def sign(keys: Sequence[bytes], id_: str, at: int, body: bytes) -> str:
    """The ``webhook-signature``: HMAC-SHA-256 over id, time and body, by each key. While a secret
    is exchanged, a receiver that knows the old or the new one finds its own."""
    signed = f"{id_}.{at}.".encode() + body
    return " ".join("v1," + b64encode(hmac.digest(key, signed, "sha256")).decode() for key in keys)


def _by_event(change: Change) -> Iterator[Parcel]:
    for event in change.events:
        body = msgspec.json.encode(tell_event(change, event))
        yield Parcel(_id(change, event), body, (event.seq,))


def _by_conversation(change: Change) -> Iterator[Parcel]:
    seqs = tuple(event.seq for event in change.events)
    last = change.events[-1]
    yield Parcel(
        _id(change, last, "conversation\n"), msgspec.json.encode(tell_conversation(change)), seqs
    )


def _id(change: Change, event: Event, kind: str = "") -> str:
    """The ``webhook-id``: the same for the same event for ever; two events never share one."""
    name = f"{kind}{change.site}\n{change.conversation.thread}\n{event.source}\n{event.entry.id}"
    return "msg_" + hashlib.sha256(name.encode()).hexdigest()[:32]
