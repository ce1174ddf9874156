"""Callers of the Lunary API: what the key of a request may write, and what its events then say.

A thread token writes its own thread, as a page does. A backend token writes every thread of its
site, by the application's own ids.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Protocol
from uuid import UUID, uuid5

from msgspec import Struct

from thumbseal import events
from thumbseal.conversation import Conversation, fold
from thumbseal.errors import Unauthorized
from thumbseal.events import AnyEntry, BadEvent, Feedback, Opinion
from thumbseal.ids import ActorId, MessageId, ThreadId, actor_of, named_message
from thumbseal.log import Alias, Draft, Log, Verdict
from thumbseal.tokens import MAX_USER_BYTES, PassClaims, ThreadClaims
from thumbseal.web import runs
from thumbseal.web.judging import Authority, judge
from thumbseal.web.naming import Naming, checked, look_up, ref
from thumbseal.web.passes import read_pass
from thumbseal.web.runs import Run

Drafts = list[Draft | Verdict]


class Judged(Struct, frozen=True):
    """What is to be stored of each of a request's events, all of one or nothing and the reason, and
    the names that they bring."""

    drafts: list[Drafts]
    aliases: Sequence[Alias]


class Caller(Protocol):
    """Whoever sent a request."""

    authority: Authority

    async def judge(self, sent: Sequence[Run]) -> Judged:
        """What the events say, as far as the key allows it."""

    async def opinion(self, run_id: str) -> Opinion:
        """What the caller is told of a message's feedback; empty where there is none.

        Raises:
            BadEvent: it is no id.
        """


class PageCaller:
    """The holder of a thread token."""

    def __init__(self, authority: Authority, claims: ThreadClaims, key: str, log: Log) -> None:
        self.authority = authority
        self._claims = claims
        self._own = runs.spellings(claims.thread, key)
        self._log = log

    async def judge(self, sent: Sequence[Run]) -> Judged:
        names = {name for run in sent for name in runs.names_in(run)}
        naming = await look_up(self._log, self.authority.site, {}, names)
        drafts = [_tried(partial(self._drafts, run, naming)) for run in sent]
        return Judged(drafts, list(self._names(sent)))

    async def opinion(self, run_id: str) -> Opinion:
        claims = self._claims
        naming = await look_up(self._log, self.authority.site, {}, [run_id])
        message = self._item(naming, run_id) or named_message(claims.thread, _word(run_id))
        votes = await self._log.votes(self.authority.site.name, claims.thread, claims.actor)
        rating = fold(votes, Conversation(claims.thread)).ratings.get((message, claims.actor))
        return rating.opinion if rating else Opinion()

    def _drafts(self, run: Run, naming: Naming) -> Drafts:
        place = runs.thread_of(run)
        if place is not None and place[1] not in self._own:
            text = "The key is another thread's token; give openThread the id of the key's own."
            raise BadEvent("token_invalid", place[0], text)
        entries = runs.translate(run, partial(self._name, naming), vouched=False)
        return [judge(entry, self.authority) for entry in entries]

    def _name(self, naming: Naming, run_id: object) -> str:
        """The token of a message that a backend named, else a word of the page's own."""
        word, claims, authority = _word(run_id), self._claims, self.authority
        item = self._item(naming, str(run_id))
        if item is None:
            return word
        tokens = authority.site.tokens
        return tokens.blank(claims.thread, claims.actor, authority.now, item)[1]

    def _item(self, naming: Naming, name: str) -> MessageId | None:
        """The message of this name in the page's own thread, where a backend named it."""
        alias = naming.find(name)
        own = alias is not None and alias.thread == self._claims.thread
        return MessageId(alias.item) if own and alias and alias.item else None

    def _names(self, sent: Sequence[Run]) -> Iterator[Alias]:
        """The ids that a backend may be told by this page."""
        thread = self._claims.thread
        for run in sent:
            name = run.get("runId")
            if run.get("event") == "chat" and isinstance(name, str):
                with suppress(ValueError):
                    item = named_message(thread, ref(name))
                    yield Alias(str(UUID(name)), thread, item, page=True)


class BackendCaller:
    """The holder of a backend token."""

    def __init__(self, authority: Authority, claims: PassClaims, key: str, log: Log) -> None:
        self.authority = authority
        self._claims = claims
        self._key = key
        self._log = log

    async def judge(self, sent: Sequence[Run]) -> Judged:
        """A vote is looked at last: Lunary loses one that is stamped before its message."""
        keys = self._keys(sent)
        names = {name for run in sent for name in runs.names_in(run)}
        naming = await look_up(self._log, self.authority.site, keys, names)
        order = sorted(range(len(sent)), key=lambda number: sent[number].get("event") == "feedback")
        drafts = {
            number: _tried(partial(self._drafts, sent[number], naming, keys)) for number in order
        }
        return Judged([drafts[number] for number in range(len(sent))], naming.noted)

    async def opinion(self, run_id: str) -> Opinion:
        """Lunary's backend has one opinion of a message: what was said last, by whomever."""
        name, site = checked(run_id, "runId"), self.authority.site
        alias = (await look_up(self._log, site, {self._key: self._claims}, [name])).find(name)
        stored = None if alias is None else await self._log.read(site.name, alias.thread)
        if alias is None or alias.item is None or stored is None:
            return Opinion()
        told = fold(stored.events, Conversation(alias.thread))
        ratings = told.ratings_of(alias.item)
        return ratings[-1].opinion if ratings else Opinion()

    def _keys(self, sent: Sequence[Run]) -> dict[str, PassClaims]:
        """The keys that the request's ids may be hashed with: Python's SDK can use several."""
        keys = {self._key: self._claims}
        for app_id in {run.get("appId") for run in sent if isinstance(run.get("appId"), str)}:
            with suppress(Unauthorized):
                now = self.authority.now
                keys[str(app_id)] = read_pass(self.authority.site, str(app_id), self._log, now)
        return keys

    def _drafts(self, run: Run, naming: Naming, keys: Mapping[str, PassClaims]) -> Drafts:
        if run.get("appId") not in (None, *keys):
            text = "The appId is no backend token of the key's site."
            raise BadEvent("token_invalid", "appId", text)
        thread = _thread(run, naming)
        entries = runs.translate(run, partial(naming.item, thread), vouched=True)
        return [self._draft(run, thread, entry) for entry in entries]

    def _draft(self, run: Run, thread: ThreadId, entry: AnyEntry) -> Draft:
        authority, user = self.authority, _user(run)
        actor = ActorId(str(uuid5(UUID(thread), "backend")))
        if user is not None:
            actor = actor_of(authority.site.name, user)
        at = events.corrected(entry.at, authority.sent_at, authority.received_at)
        vouched = None if isinstance(entry, Feedback) else user
        return Draft(thread, vouched, "backend", actor, at, entry)


def _thread(run: Run, naming: Naming) -> ThreadId:
    place = runs.thread_of(run)
    if place is not None:
        return naming.thread(place[1], place[0])
    alias = naming.find(checked(run.get("runId"), "runId"))
    if alias is None or alias.item is None:
        text = "No message of this id is known; Lunary would lose what is said of it."
        raise BadEvent("message_unknown", "runId", text)
    return alias.thread


def _user(run: Run) -> str | None:
    """The user that a backend vouches for; Lunary takes texts alone."""
    user = run.get("userId")
    if not isinstance(user, str) or not user:
        return None
    if len(user.encode()) > MAX_USER_BYTES or "\0" in user:
        text = f"A user id takes at most {MAX_USER_BYTES} bytes of UTF-8 and no U+0000."
        raise BadEvent("bad_event", "userId", text)
    return user


def _word(run_id: object) -> str:
    return ref(checked(run_id, "runId"))


def _tried(make: Callable[[], Drafts]) -> Drafts:
    try:
        return make()
    except BadEvent as error:
        return [Verdict("rejected", error.code, error.field, error.retry)]
