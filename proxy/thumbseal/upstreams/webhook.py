"""A signed webhook, as Standard Webhooks has it: one request for each event, at least once.

The ``webhook-id`` is the same at every attempt, so a receiver can drop repeats. The events of a
thread come in order; threads do not wait for each other. An answer that is about the receiver as
a whole (it is away, busy, or does not know us) holds no thread.
"""

import hashlib
import hmac
from base64 import b64encode
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import httpx2
import msgspec

from thumbseal import settings
from thumbseal.conversation import Conversation
from thumbseal.events import Event, Feedback, Message
from thumbseal.upstreams import Change, Delivered, Later, Outcome, UpstreamDown
from thumbseal.upstreams.calls import call

CONCURRENCY: Final = 8


class WebhookUpstream:
    """See `thumbseal.upstreams.Upstream`; ``clock`` gives epoch seconds.

    Raises:
        SettingsError: the secret is not ``whsec_`` and base64 of 24 to 64 bytes.
    """

    pause = 0.0
    batch = 1
    concurrency = CONCURRENCY
    keeps_state = False
    lossy: tuple[str, ...] = ()

    def __init__(
        self,
        configured: settings.Webhook,
        client: httpx2.AsyncClient,
        clock: Callable[[], float],
    ) -> None:
        self._url = configured.url
        self._key = configured.signing_key()
        self._client = client
        self._clock = clock

    async def deliver(self, changes: Sequence[Change]) -> list[Outcome]:
        return [await self._deliver_thread(change) for change in changes]

    async def _deliver_thread(self, change: Change) -> Outcome:
        dead: list[tuple[int, str]] = []
        for event in change.events:
            try:
                refusal = await self._send(change, event)
            except UpstreamDown as error:
                if error.whole and event is change.events[0]:
                    raise
                return Later(str(error), error.after, event.seq, tuple(dead))
            if refusal:
                dead.append((event.seq, refusal))
        return Delivered(dead=tuple(dead))

    async def _send(self, change: Change, event: Event) -> str | None:
        """None once the receiver has the event, else why it never will."""
        body = msgspec.json.encode(payload(change, event))
        id_ = webhook_id(change, event)
        at = int(self._clock())
        headers = {
            "Content-Type": "application/json",
            "webhook-id": id_,
            "webhook-timestamp": str(at),
            "webhook-signature": sign(self._key, id_, at, body),
        }
        request = self._client.build_request("POST", self._url, content=body, headers=headers)
        answer = await call(self._client, request)
        return None if answer.ok else f"status {answer.status}"


def sign(key: bytes, id_: str, at: int, body: bytes) -> str:
    """The ``webhook-signature``: HMAC-SHA-256 over id, time and body."""
    signed = f"{id_}.{at}.".encode() + body
    return "v1," + b64encode(hmac.digest(key, signed, "sha256")).decode()


def webhook_id(change: Change, event: Event) -> str:
    """The same for the same event for ever; two events never share one."""
    name = f"{change.site}\n{change.conversation.thread}\n{event.source}\n{event.entry.id}"
    return "msg_" + hashlib.sha256(name.encode()).hexdigest()[:32]


def payload(change: Change, event: Event) -> dict[str, Any]:
    """The body: what happened, where it belongs, and for a vote the actor's opinion as it stands
    now: of two votes delivered together both tell the later state."""
    conversation, entry = change.conversation, event.entry
    kind = msgspec.to_builtins(entry)["type"]
    data = {
        "site": change.site,
        "thread": conversation.thread,
        "user": conversation.user,
        "actor": event.actor,
        "source": event.source,
        "at": event.at,
        "received_at": event.received_at,
        "event": entry,
    }
    if isinstance(entry, Message | Feedback):
        data["exchange"] = conversation.places.get(entry.message)
    if isinstance(entry, Feedback):
        data["state"] = _state(conversation, entry, event)
    moment = datetime.fromtimestamp(event.at / 1000, UTC)
    return {
        "type": f"{kind}.recorded",
        "timestamp": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "data": data,
    }


def _state(conversation: Conversation, entry: Feedback, event: Event) -> Any:
    return conversation.ratings[entry.message, event.actor].opinion
