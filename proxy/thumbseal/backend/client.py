"""Recording from a chatbot's own backend: what it says counts as the backend's word.

Nothing here waits for the server but `get_feedback` and `flush`; those two are what `Client` and
`AsyncClient` differ in.
"""

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final, Self

import msgspec
from msgspec import Struct

from thumbseal import events, parsing
from thumbseal.backend.delivery import Counts, Delivery
from thumbseal.backend.outbox import Waiting
from thumbseal.backend.site import PAGE_ROLES, Message, Site, required
from thumbseal.environment import ENVIRONMENT
from thumbseal.errors import ThumbsealError, Unreachable
from thumbseal.events import AnyEntry, BadEvent
from thumbseal.ids import ActorId, Role, ThreadId, new_id

URL: Final = "THUMBSEAL_URL"
MAX_BYTES: Final = 16 * 1024 * 1024  # of events that wait, with what they take beside
FLUSH: Final = 10.0  # seconds
_logger: Final = logging.getLogger("thumbseal")


class _State(Struct, frozen=True):
    feedback: dict[str, Any] | None = None
    code: str = ""


class _States(Struct, frozen=True):
    messages: tuple[_State]


class TrackedThread:
    """A thread that the backend records into. ``token`` is for the page, where the thread was
    opened here."""

    def __init__(
        self,
        recorder: "Recorder",
        thread: ThreadId,
        actor: ActorId,
        user: str | None = None,
        token: str | None = None,
    ) -> None:
        self.id = thread
        self.actor = actor
        self.user = user
        self.token = token
        self._recorder = recorder

    def track_message(
        self,
        said: Mapping[str, Any],
        *,
        message: Message | None = None,
        reply_to: Message | None = None,
        retry_of: Message | None = None,
    ) -> Message:
        """Record a message, and return it at once: its token is for the page.

        ``said`` has ``role`` and ``content`` as OpenAI's messages have, and may have ``name``,
        ``tool_calls``, ``tool_call_id``, ``tags`` and ``metadata``. ``message`` is one that was
        minted before, or came from the page. ``reply_to`` is the question that this answers,
        ``retry_of`` what it replaces.
        """
        message = message or self._recorder.site.blank(self.id, self.actor)
        named = {"message": message, "reply_to": reply_to, "retry_of": retry_of}
        tokens = {field: each.token for field, each in named.items() if each is not None}
        self._track({**said, "type": "message", **tokens})
        return message

    def track_event(self, name: str, metadata: Mapping[str, Any] | None = None) -> None:
        """Record something that happened in the thread."""
        self._track({"type": "custom", "name": name, "metadata": metadata})

    def update(
        self, *, tags: Sequence[str] | None = None, metadata: Mapping[str, Any] | None = None
    ) -> None:
        """Set the thread's tags, and its metadata by key."""
        self._track({"type": "thread", "tags": tags, "metadata": metadata})

    def _track(self, event: Mapping[str, Any]) -> None:
        self._recorder.track(self.id, self.actor, self.user, event)


class Recorder:
    """What both clients share: recording, which never waits.

    ``url`` is where the server is. At most ``max_bytes`` of events wait in memory; when more come
    while the server takes none, the oldest are dropped. What cannot be recorded is logged, so that
    your application goes on; with ``strict`` it raises a `ThumbsealError` at the call.

    Raises:
        SettingsError: the URL is none.
    """

    def __init__(
        self, url: str, site: Site, *, max_bytes: int = MAX_BYTES, strict: bool = False
    ) -> None:
        # HTTP is loaded by those who record; importing thumbseal does without it.
        from thumbseal.backend.wire import Wire

        self.site = site
        self._make_wire = partial(Wire, url)
        self._strict = strict
        self._delivery = Delivery(Wire(url), max_bytes, self._envelope)

    @classmethod
    def from_env(cls, environment: Mapping[str, str] = ENVIRONMENT) -> Self:
        """By THUMBSEAL_URL, THUMBSEAL_SITE and THUMBSEAL_APP_KEY.

        Raises:
            SettingsError: one of them is missing or no good.
        """
        return cls(required(environment, URL), Site.from_env(environment))

    @property
    def counts(self) -> Counts:
        """What became of everything that was recorded."""
        return self._delivery.counts

    def open_thread(
        self,
        id: str | None = None,
        *,
        user: str | None = None,
        tags: Sequence[str] | None = None,
        metadata: Mapping[str, Any] | None = None,
        roles: Sequence[Role] = PAGE_ROLES,
    ) -> TrackedThread:
        """A thread, new or by your own name for it; see `Site.open_thread`.

        Raises:
            TokenError: the user is longer than 64 bytes of UTF-8, or holds U+0000.
        """
        opened = self.site.open_thread(id, user=user, roles=roles)
        thread = TrackedThread(self, opened.id, opened.actor, opened.user, opened.token)
        if tags is not None or metadata is not None:
            thread.update(tags=tags, metadata=metadata)
        return thread

    def thread_of(self, message: Message) -> TrackedThread:
        """The thread that a message is in, such as the page's."""
        return TrackedThread(self, message.thread, message.actor)

    def track_feedback(self, message: Message, feedback: Mapping[str, Any]) -> None:
        """Record what the message's own actor thinks of it: ``thumb`` is "up", "down" or None;
        ``reasons``, ``comment``, ``score`` and ``correction`` may stand beside it. What is given
        replaces, None removes, the rest stays."""
        event = {"type": "feedback", "message": message.token, "feedback": feedback}
        self.track(message.thread, message.actor, None, event)

    def track(
        self, thread: ThreadId, actor: ActorId, user: str | None, event: Mapping[str, Any]
    ) -> None:
        """Put an event on its way."""
        try:
            entry = _entry({"id": new_id(), "at": self.site.now, **event})
        except BadEvent as error:
            if self._strict:
                raise
            place = f" ({error.field})" if error.field else ""
            _logger.error("Thumbseal did not record an event: %s%s", error, place)
        else:
            self._delivery.put(Waiting(thread, actor, user, events.dump(entry)))

    def _envelope(self, batch: Sequence[Waiting]) -> object:
        first = batch[0]
        return {
            "token": self.site.speak(first.thread, first.actor, first.user),
            "sent_at": self.site.now,
            "events": [msgspec.Raw(each.raw) for each in batch],
        }

    def _read(self, message: Message) -> dict[str, Any] | None:
        wire = self._make_wire()
        try:
            reply = wire.post("/v1/feedback", {"messages": [message.token]})
        finally:
            wire.close()
        try:
            (state,) = msgspec.json.decode(reply.body, type=_States).messages
        except msgspec.MsgspecError:
            text = f"Thumbseal answers with status {reply.status}, and not with feedback."
            raise Unreachable(text) from None
        if state.code:
            raise ThumbsealError(f"The message cannot be read: {state.code}.")
        return state.feedback


class Client(Recorder):
    """A recorder whose two waiting calls block."""

    def get_feedback(self, message: Message) -> dict[str, Any] | None:
        """What the message's actor thinks of it, as ``{"thumb": "up"}``; None where she never said.

        Raises:
            Unreachable: the server does not answer.
            ThumbsealError: the message's token is not good any more.
        """
        return self._read(message)

    def flush(self, seconds: float = FLUSH) -> bool:
        """Wait until the server has everything, and say whether it has in time."""
        return self._delivery.flush(seconds)


class AsyncClient(Recorder):
    """A recorder whose two waiting calls are awaited."""

    async def get_feedback(self, message: Message) -> dict[str, Any] | None:
        """See `Client.get_feedback`."""
        import asyncio  # loaded already where this is awaited

        return await asyncio.to_thread(self._read, message)

    async def flush(self, seconds: float = FLUSH) -> bool:
        """See `Client.flush`."""
        import asyncio

        return await asyncio.to_thread(self._delivery.flush, seconds)


def _entry(event: Mapping[str, Any]) -> AnyEntry:
    """The event, held to every rule of the server's.

    Raises:
        BadEvent: it breaks one, or cannot be written as JSON.
    """
    given = {name: value for name, value in event.items() if value is not None or name == "content"}
    try:
        raw = msgspec.json.encode(given)
    except (TypeError, ValueError) as error:
        raise BadEvent("bad_event", None, f"It cannot be written as JSON: {error}.") from error
    return parsing.parse_entry(raw)
