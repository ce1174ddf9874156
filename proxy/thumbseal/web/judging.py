"""Judging one event: do its tokens allow what it says? Pure, but for the keys it reads with."""

from typing import Final

from msgspec import structs

from thumbseal import events
from thumbseal.claims import MessageClaims, ThreadClaims
from thumbseal.errors import TokenError
from thumbseal.events import AnyEntry, BadEvent, Feedback, Message, Source
from thumbseal.ids import ThreadId, named_message
from thumbseal.log import Draft
from thumbseal.log.barriers import Barriers
from thumbseal.web.opening import Entered
from thumbseal.web.sites import ServedSite


class Authority:
    """On whose word the events of a request are taken: of a thread token (``entered``), of a
    backend token (``backend``), or of message tokens alone. Times in ms, ``now`` in seconds. What
    holds for all of the events is worked out here, once."""

    def __init__(
        self,
        site: ServedSite,
        entered: Entered | None,
        barriers: Barriers,
        *,
        backend: bool,
        now: float,
        sent_at: int | None = None,
    ) -> None:
        self.site: Final = site
        self.entered: Final = entered
        self.barriers: Final = barriers
        self.backend: Final = backend
        self.now: Final = now
        self.received_at: Final = int(now * 1000)
        self.thread: Final = entered.claims if entered else None
        self._offset = 0 if sent_at is None else events.clock_offset(sent_at, self.received_at)
        self._speaker: Source = "backend" if backend else _speaker(self.thread)

    def time(self, entry: AnyEntry) -> int:
        """When it was, by our clock."""
        return events.corrected(entry.at, self._offset, self.received_at)

    def source(self, thread: ThreadId) -> Source:
        """Who speaks in this thread. What an app signed for one thread counts in that one only."""
        own = self.backend or (self.thread is not None and self.thread.thread == thread)
        return self._speaker if own else "browser"


def _speaker(thread: ThreadClaims | None) -> Source:
    return thread.source if thread else "browser"


class Moved(BadEvent):
    """The event may be sent again once the page has kept the token in the same answer. Recorded
    at once, and the answer lost, it would come again in yet another thread."""

    def __init__(self) -> None:
        super().__init__("thread_opened", "open", retry=True)


def judge(entry: AnyEntry, authority: Authority) -> Draft:
    """The event with ids in the place of its tokens, ready to be stored.

    Raises:
        BadEvent: ``token_invalid``, ``token_missing``, ``role_refused`` or ``gone``.
        Moved: the page must have the new thread's token first.
    """
    entered = authority.entered
    if isinstance(entry, Feedback):
        if entered and events.is_ref(entry.message):
            _check_place(entered, "message")
        return _judge_feedback(entry, authority)
    if entered is None:
        raise BadEvent("token_missing", "token")
    _check_place(entered, "token")
    thread = entered.claims
    if isinstance(entry, Message):
        entry = _judge_message(entry, authority, thread)
    source = authority.source(thread.thread)
    return Draft(thread.thread, thread.user, source, thread.actor, authority.time(entry), entry)


def _check_place(entered: Entered, field: str) -> None:
    """Let pass what is said in a thread that is there, and that the page knows of."""
    if entered.gone:
        raise BadEvent("gone", field)
    if entered.moved:
        raise Moved


def _judge_feedback(entry: Feedback, authority: Authority) -> Draft:
    """A vote needs no thread token: the message's own says of what and by whom it is."""
    claims = _read(entry.message, "message", authority)
    thread = authority.thread
    user = thread.user if thread and thread.thread == claims.thread else None
    stored = structs.replace(entry, message=claims.message)
    source = authority.source(claims.thread)
    return Draft(claims.thread, user, source, claims.actor, authority.time(entry), stored)


def _judge_message(entry: Message, authority: Authority, thread: ThreadClaims) -> Message:
    if not (authority.backend or thread.may_write(entry.role)):
        raise BadEvent("role_refused", "role")

    ids: dict[str, str] = {}
    for field, token in events.named_in(entry):
        claims = _read(token, field, authority)
        if claims.thread != thread.thread:
            raise BadEvent("token_invalid", field)
        ids[field] = claims.message
    if ids["message"] in (ids.get("reply_to"), ids.get("retry_of")):
        raise BadEvent("bad_event", "reply_to", "A message cannot refer to itself.")
    return structs.replace(entry, **ids)


def _read(token: str, field: str, authority: Authority) -> MessageClaims:
    if events.is_ref(token):
        return _named(token, field, authority)
    site = authority.site
    try:
        claims = site.tokens.read_message(token, authority.now)
    except TokenError:
        raise BadEvent("token_invalid", field) from None
    if barred(site, claims, authority.barriers):
        gone = authority.barriers.closed(site.name, claims.thread)
        raise BadEvent("gone" if gone else "token_invalid", field)
    return claims


def _named(ref: str, field: str, authority: Authority) -> MessageClaims:
    """What a page's own word names in the thread of the request, and nowhere else."""
    thread = authority.thread
    if thread is None:
        raise BadEvent("token_invalid", field)
    message = named_message(thread.thread, ref)
    return MessageClaims(thread.thread, message, thread.actor, thread.issued, thread.expires)


def barred(site: ServedSite, claims: MessageClaims, barriers: Barriers) -> bool:
    """Whether somebody revoked what a message token stands on."""
    return barriers.refuse(site.name, claims.issued, thread=claims.thread, actor=claims.actor)
