"""The three routes of a chat page: open a thread, record events, read feedback back.

Every body is JSON as ``text/plain``, every token lies inside it, so a browser never asks first
(no preflight). A 202 is sent when the events are on disk.
"""

from collections import defaultdict
from collections.abc import Sequence
from itertools import groupby
from typing import Annotated, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from thumbseal import bodies, events
from thumbseal.bodies import Entrance, Envelope, Opening
from thumbseal.claims import MessageClaims
from thumbseal.conversation import Conversation, fold
from thumbseal.errors import (
    BadRequest,
    Forbidden,
    SiteUnknown,
    StorageFull,
    TokenError,
    TooLarge,
    TooMany,
    Unauthorized,
)
from thumbseal.events import BadEvent, Feedback, Opinion, is_ref, named_in
from thumbseal.ids import ActorId, MessageId, Role, ThreadId
from thumbseal.log import Draft, Verdict
from thumbseal.parsing import parse_entry
from thumbseal.web import opening
from thumbseal.web.headers import header
from thumbseal.web.judging import Authority, barred, judge
from thumbseal.web.operations import OF_BODIES, OF_CALLERS, Answer, Described, Operation
from thumbseal.web.passes import check_pass
from thumbseal.web.recording import Recorder, Told, read_body
from thumbseal.web.sites import ServedSite

_ENCODER: Final = msgspec.json.Encoder()


class Policy(Struct, frozen=True):
    """What a page may know of its site."""

    browser_roles: tuple[Role, ...]
    reasons: tuple[str, ...]


class OpenedAnswer(Struct, frozen=True):
    """The answer of ``POST /v1/threads``."""

    thread: opening.Opened
    messages: list[opening.Blank]
    policy: Policy


class StateOf(Struct, frozen=True):
    """The state of one message's feedback; null where the actor never gave any. ``receipt`` says
    whether all of it has reached every upstream of the site; what is recorded is on disk. Where
    the message's token is not good, there is a ``code`` and nothing else."""

    id: MessageId | UnsetType = UNSET
    feedback: Opinion | UnsetType | None = UNSET
    receipt: Literal["recorded", "delivered"] | UnsetType = UNSET
    code: Literal["token_invalid"] | UnsetType = UNSET


State = Annotated[
    StateOf,
    Meta(extra_json_schema={"oneOf": [{"required": ["id", "feedback"]}, {"required": ["code"]}]}),
]
UNREADABLE: Final = StateOf(code="token_invalid")


class StatesAnswer(Struct, frozen=True):
    """The answer of ``POST /v1/feedback``, in the order asked."""

    messages: list[State]


class RecordedAnswer(Struct, frozen=True):
    """The answer of ``POST /v1/events``: a verdict for each event, in order; fresh message tokens,
    those of the page's own names, a new thread token, and the feedback that was asked for."""

    results: list[Verdict]
    messages: list[opening.Blank]
    bound: dict[str, opening.Blank] | UnsetType = UNSET
    thread: opening.Opened | UnsetType = UNSET
    read: list[State] | UnsetType = UNSET


_OPEN: Final = Operation(
    "openThread",
    (Answer("The thread, and message tokens for it.", body=OpenedAnswer),),
    (*OF_CALLERS, *OF_BODIES, SiteUnknown),
    Opening,
    (None, "backend"),
)
_RECORD: Final = Operation(
    "recordEvents",
    (
        Answer(
            "A result for each event; accepted is what is on disk.",
            202,
            body=RecordedAnswer,
        ),
    ),
    (*OF_CALLERS, *OF_BODIES, SiteUnknown, StorageFull),
    Envelope,
    (None, "backend"),
)
_READ: Final = Operation(
    "readFeedback",
    (Answer("The state of each message's feedback, in order.", body=StatesAnswer),),
    (Forbidden, TooMany, *OF_BODIES),
    bodies.Question,
)


class Ingest:
    """The routes of a page, over what records for them."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._sites = recorder.sites
        self._log = recorder.log

    def routes(self) -> list[Described]:
        return [
            Described("/v1/events", self.record, _RECORD, ["POST"]),
            Described("/v1/threads", self.open_thread, _OPEN, ["POST"]),
            Described("/v1/feedback", self.read_back, _READ, ["POST"]),
        ]

    async def open_thread(self, request: Request) -> Response:
        """``POST /v1/threads``: a thread token, blank message tokens, the site's policy."""
        asked: Opening = bodies.parse_body(await read_body(request), bodies.OPENING)
        site, now = self._sites.named(asked.site), self._recorder.clock()
        backend = self._admit(request, site, now)
        if not backend:
            self._recorder.check(request, site, "openings")
        claims = opening.open_thread(site, asked, self._log.barriers, now, backend=backend)
        answer = OpenedAnswer(
            opening.opened(site, claims),
            opening.blanks(site, claims, asked.want, now),
            Policy(site.policy.browser_roles, site.policy.reasons),
        )
        return _json(answer)

    async def record(self, request: Request) -> Response:
        """``POST /v1/events``: store up to 50 events, each judged on its own."""
        envelope = bodies.parse_envelope(await read_body(request))
        if len(envelope.events) > bodies.MAX_BATCH:
            raise TooLarge(f"At most {bodies.MAX_BATCH} events in a request.", field="events")
        entries = [_parsed(raw) for raw in envelope.events]
        authority = self._authority(request, envelope, entries)
        judged = [_judged(entry, authority) for entry in entries]
        results = await self._recorder.store(request, authority, judged)
        read = await self._states(request, envelope.read) if envelope.read else UNSET
        return _json(_answer(envelope, entries, authority, results, read), 202)

    async def read_back(self, request: Request) -> Response:
        """``POST /v1/feedback``: what the tokens' actors think of their messages now."""
        asked = bodies.parse_body(await read_body(request), bodies.QUESTION)
        return _json(StatesAnswer(await self._states(request, asked.messages)))

    async def _states(self, request: Request, tokens: Sequence[str]) -> list[State]:
        read = [self._message(request, token) for token in tokens]
        known = [pair for pair in read if pair is not None]
        for name in {site for site, _ in known}:
            self._recorder.check(request, self._sites.named(name), "reads")
        states: dict[tuple[str, str], StateOf] = {}
        for (site, thread, actor), _ in groupby(sorted(known, key=_whose), key=_whose):
            states |= await self._actors_states(site, thread, actor)
        answer: list[State] = []
        for pair in read:
            if pair is None:
                answer.append(UNREADABLE)
            else:
                message = pair[1].message
                answer.append(states.get((message, pair[1].actor)) or StateOf(message, None))
        return answer

    async def _actors_states(
        self, site: str, thread: ThreadId, actor: ActorId
    ) -> dict[tuple[str, str], StateOf]:
        """What one actor thinks of the messages of a thread, by (message, actor)."""
        votes = await self._log.votes(site, thread, actor)
        ratings = fold(votes, Conversation(thread)).ratings
        upstreams = [f"{site}/{each.name}" for each in self._sites.named(site).policy.upstreams]
        states: defaultdict[int, set[str]] = defaultdict(set)
        for upstream in upstreams if votes else ():
            for seq, receipt in (await self._log.receipts(upstream, site, thread)).items():
                states[seq].add(receipt.state)
        # At one upstream at least, and at each that wants it.
        delivered = {seq for seq, each in states.items() if each == {"delivered"}}
        return {
            key: StateOf(
                MessageId(rating.message),
                rating.opinion,
                "delivered" if {mark.seq for mark in rating.marks} <= delivered else "recorded",
            )
            for key, rating in ratings.items()
        }

    def _admit(self, request: Request, site: ServedSite, now: float) -> bool:
        """Whether the caller is the site's backend; a page must come from the right origin."""
        authorization = header(request.scope, b"authorization")
        if authorization is None:
            site.check_origin(header(request.scope, b"origin"))
            return False
        check_pass(site, authorization, self._log, now)
        return True

    def _authority(
        self, request: Request, envelope: Envelope, entries: list[events.AnyEntry | Verdict]
    ) -> Authority:
        now = self._recorder.clock()
        if envelope.open:
            return self._entered(request, envelope, envelope.open, now)
        votes = [entry.message for entry in entries if isinstance(entry, Feedback)]
        tokens = [*votes, *envelope.read] if envelope.token is None else [envelope.token]
        if not tokens:
            raise BadRequest("Send the thread's token beside the events.", field="token")
        site = self._sites.of_tokens(tokens)
        backend = self._admit(request, site, now)
        barriers = self._log.barriers
        token = envelope.token
        entered = None if token is None else opening.speak(site, token, barriers, now)
        return Authority(
            site, entered, barriers, backend=backend, now=now, sent_at=envelope.sent_at
        )

    def _entered(
        self, request: Request, envelope: Envelope, entrance: Entrance, now: float
    ) -> Authority:
        """Whatever the page's tokens are good for, it gets a thread that it can go on with."""
        if envelope.token is not None:
            raise BadRequest("Send `token` or `open`, not both.", field="token")
        site, barriers = self._sites.named(entrance.site), self._log.barriers
        backend = self._admit(request, site, now)
        entered = opening.enter(site, entrance, barriers, now)
        if entered.moved and not backend:
            self._recorder.check(request, site, "openings")
        return Authority(
            site, entered, barriers, backend=backend, now=now, sent_at=envelope.sent_at
        )

    def _message(self, request: Request, token: str) -> tuple[str, MessageClaims] | None:
        try:
            site = self._sites.of_token(token)
            claims = site.tokens.read_message(token, self._recorder.clock())
        except (TokenError, Unauthorized):
            return None
        site.check_origin(header(request.scope, b"origin"))
        return None if barred(site, claims, self._log.barriers) else (site.name, claims)


def _parsed(raw: msgspec.Raw) -> events.AnyEntry | Verdict:
    try:
        return parse_entry(raw)
    except BadEvent as error:
        return Verdict("rejected", error.code, error.field)


def _judged(entry: events.AnyEntry | Verdict, authority: Authority) -> Draft | Verdict:
    if isinstance(entry, Verdict):
        return entry
    try:
        return judge(entry, authority)
    except BadEvent as error:
        return Verdict("rejected", error.code, error.field, error.retry)


def _answer(
    envelope: Envelope,
    entries: Sequence[events.AnyEntry | Verdict],
    authority: Authority,
    results: list[Verdict],
    read: list[State] | UnsetType,
) -> RecordedAnswer:
    site, entered, now = authority.site, authority.entered, authority.now
    if entered is None or entered.ended:
        return RecordedAnswer(results, [], read=read)
    sent = [entry for entry in entries if not isinstance(entry, Verdict)]
    named = [token for entry in sent for _, token in named_in(entry) if is_ref(token)]
    refs = dict.fromkeys([*envelope.refs, *named])
    return RecordedAnswer(
        results,
        opening.blanks(site, entered.claims, envelope.want, now),
        opening.bound(site, entered.claims, refs, now) if refs else UNSET,
        opening.opened(site, entered.fresh) if entered.fresh else UNSET,
        read,
    )


def _whose(pair: tuple[str, MessageClaims]) -> tuple[str, ThreadId, ActorId]:
    site, claims = pair
    return site, claims.thread, claims.actor


def _json(answer: Struct, status: int = 200) -> Response:
    return Told(_ENCODER.encode(answer), status)
