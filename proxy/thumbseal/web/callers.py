"""Callers of the Lunary API: what the key of a request may write, and what its events then say.

A thread token writes its own thread, as a page does. A backend token writes every thread of its
site, by the application's own ids.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Final, Protocol
from uuid import UUID, uuid5

from msgspec import Struct

from thumbseal import events
from thumbseal.claims import MAX_USER_BYTES, PassClaims, ThreadClaims
from thumbseal.conversation import Conversation, fold
from thumbseal.errors import Unauthorized
from thumbseal.events import AnyEntry, BadEvent, Feedback, Json, Opinion
from thumbseal.ids import ActorId, MessageId, ThreadId, actor_of, named_message
from thumbseal.log import Alias, Draft, Log, StoredThread, Verdict
from thumbseal.web import runs
from thumbseal.web.judging import Authority, judge
from thumbseal.web.naming import Naming, checked, look_up, ref
from thumbseal.web.passes import read_pass
from thumbseal.web.runs import Run

PATIENCE: Final = 5.0  # seconds
GLANCE: Final = 0.2  # seconds between looks

Drafts = list[Draft | Verdict]


class Judged(Struct, frozen=True):
    """What is to be stored of each of a request's events, all of one or nothing and the reason, and
    the names that they bring."""

    drafts: list[Drafts]
    aliases: Sequence[Alias]


class Caller(Protocol):
    """Whoever sent a request."""

    authority: Authority

    async def await_parents(self, sent: Sequence[Run]) -> None:
        """Wait a while for messages that the events hang on and that are not recorded yet."""

    async def judge(self, sent: Sequence[Run]) -> Judged:
        """What the events say, as far as the key allows it."""

    async def opinion(self, run_id: str) -> Opinion | Json:
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

    async def await_parents(self, sent: Sequence[Run]) -> None:
        """A page's events hang on its thread alone."""

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
        if runs.kind_of(run) in ("run", "log"):
            raise BadEvent("bad_event", "type", "Only a backend token records runs.")
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

    async def await_parents(self, sent: Sequence[Run]) -> None:
        """A page may still be about to record the question whose answer a model gave. Lunary waits
        as long, for each."""
        brought = {run.get("runId") for run in sent}
        parents = {parent for run in sent if (parent := runs.parent_of(run)) is not None}
        wanted = {parent for parent in parents if parent not in brought}
        names = [name for parent in wanted for name in (parent, runs.question_name(parent))]
        over = time.monotonic() + PATIENCE
        while wanted and time.monotonic() < over:
            naming = await look_up(self._log, self.authority.site, self._keys(sent), names)
            wanted = {parent for parent in wanted if _found(parent, naming) is None}
            if wanted:
                await asyncio.sleep(GLANCE)

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

    async def opinion(self, run_id: str) -> Opinion | Json:
        """Lunary's backend has one opinion of a message: what was said last, by whomever."""
        name, site = checked(run_id, "runId"), self.authority.site
        alias = (await look_up(self._log, site, {self._key: self._claims}, [name])).find(name)
        stored = None if alias is None else await self._log.read(site.name, alias.thread)
        if alias is None or alias.item is None or stored is None:
            return Opinion()
        if alias.run:
            return _votes_on(alias.item, stored)
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
        thread, entry = _run(run, naming)
        if entry is not None:
            return [self._draft(run, thread, entry)]
        entries = runs.translate(run, partial(naming.item, thread), vouched=True)
        return [self._draft(run, thread, entry) for entry in entries]

    def _draft(self, run: Run, thread: ThreadId, entry: AnyEntry) -> Draft:
        authority, user = self.authority, _user(run)
        actor = ActorId(str(uuid5(UUID(thread), "backend")))
        if user is not None:
            actor = actor_of(authority.site.name, user)
        vouched = None if isinstance(entry, Feedback) else user
        return Draft(thread, vouched, "backend", actor, authority.time(entry), entry)


def _run(run: Run, naming: Naming) -> tuple[ThreadId, AnyEntry | None]:
    """The thread of an event, and what is stored if it is about a run."""
    kind, place = runs.kind_of(run), runs.thread_of(run)
    if place is not None:
        return naming.thread(place[1], place[0]), None
    if kind == "log":
        hung = _parent(run.get("parentRunId"), naming)
        if hung is None:
            raise _unknown("parentRunId")
        return hung.thread, runs.translate_run(run, runs.log_id(run, hung.thread), hung.item)
    if kind == "run" and run["event"] == "start":
        hung = _parent(run.get("parentRunId"), naming)
        thread, parent = (hung.thread, hung.item) if hung else (None, None)
        begun = naming.run(thread, run.get("runId"))
        return begun.thread, runs.translate_run(run, str(begun.item), parent)
    alias = naming.find(checked(run.get("runId"), "runId"))
    if alias is None or alias.item is None or (kind == "run" and not alias.run):
        raise _unknown("runId")
    return alias.thread, runs.translate_run(run, alias.item, None) if alias.run else None


def _unknown(field: str) -> BadEvent:
    text = "Nothing of this id is recorded; Lunary would lose what is said of it."
    return BadEvent("message_unknown", field, text)


def _parent(name: object, naming: Naming) -> Alias | None:
    """What a run hangs on: a message or another run; None if that is not known.

    Raises:
        BadEvent: it is a thread, whose exchanges Lunary then writes into the run.
    """
    alias = _found(name, naming) if isinstance(name, str) and name else None
    if alias is not None and alias.item is None:
        text = "A run hangs on a message or on another run, not on a thread."
        raise BadEvent("bad_event", "parentRunId", text)
    return alias


def _found(parent: str, naming: Naming) -> Alias | None:
    return naming.find(runs.question_name(parent)) or naming.find(parent)


def _votes_on(run: str, stored: StoredThread) -> Json:
    """The feedback on a run as Lunary merges it: key by key, null being a value."""
    told: Json = {}
    for event in stored.events:
        if isinstance(event.entry, events.Run) and event.entry.run == run:
            told |= event.entry.sent.get("feedback") or {}
    return told


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
    except RecursionError:  # nested as deep as can be read, too deep to be written
        return [Verdict("rejected", "bad_event")]
