"""The three routes of a chat page: open a thread, record events, read feedback back.

Every body is JSON as ``text/plain``, every token lies inside it, so a browser never asks first
(no preflight). A 202 is sent when the events are on disk.
"""

from collections.abc import Callable
from itertools import groupby
from typing import Final

import msgspec
from msgspec import UNSET, Struct, UnsetType
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from thumbseal import events
from thumbseal.conversation import Conversation, fold
from thumbseal.errors import BadRequest, TokenError, TooLarge, Unauthorized, UnsupportedBody
from thumbseal.events import BadEvent, Envelope, Feedback, Opening, Opinion
from thumbseal.ids import ActorId, MessageId, Role, ThreadId
from thumbseal.keys import Kind
from thumbseal.log import Draft, Log, Verdict
from thumbseal.tokens import MessageClaims, ThreadClaims
from thumbseal.web import opening
from thumbseal.web.judging import Authority, barred, judge
from thumbseal.web.sites import ServedSite, Sites

NO_STORE: Final = {"Cache-Control": "no-store"}
BEARER: Final = "bearer "
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


class RecordedAnswer(Struct, frozen=True):
    """The answer of ``POST /v1/events``: a verdict for each event, in order."""

    results: list[Verdict]
    messages: list[opening.Blank]
    thread: opening.Opened | UnsetType = UNSET


class StateOf(Struct, frozen=True):
    """The state of one message's feedback; None where the actor never gave any."""

    id: MessageId
    feedback: Opinion | None


class Unreadable(Struct, frozen=True):
    """In the place of a state, where the message's token is not good."""

    code: str = "token_invalid"


class StatesAnswer(Struct, frozen=True):
    """The answer of ``POST /v1/feedback``, in the order asked."""

    messages: list[StateOf | Unreadable]


class Ingest:
    """The routes over one log and its sites; ``clock`` gives epoch seconds."""

    def __init__(self, sites: Sites, log: Log, clock: Callable[[], float]) -> None:
        self._sites = sites
        self._log = log
        self._clock = clock

    def routes(self) -> list[Route]:
        return [
            Route("/v1/threads", self.open_thread, methods=["POST"]),
            Route("/v1/events", self.record, methods=["POST"]),
            Route("/v1/feedback", self.read_back, methods=["POST"]),
        ]

    async def open_thread(self, request: Request) -> Response:
        """``POST /v1/threads``: a thread token, blank message tokens, the site's policy."""
        asked: Opening = events.parse_body(await _body(request), events.OPENING)
        site, now = self._sites.named(asked.site), self._clock()
        backend = self._admit(request, site, now)
        claims = opening.open_thread(site, asked, self._log.barriers, now, backend=backend)
        answer = OpenedAnswer(
            opening.opened(site, claims),
            opening.blanks(site, claims, asked.want, now),
            Policy(site.policy.browser_roles, site.policy.reasons),
        )
        return _json(answer)

    async def record(self, request: Request) -> Response:
        """``POST /v1/events``: store up to 50 events, each judged on its own."""
        envelope = events.parse_envelope(await _body(request))
        if len(envelope.events) > events.MAX_BATCH:
            raise TooLarge(f"At most {events.MAX_BATCH} events in a request.", field="events")
        entries = [_parsed(raw) for raw in envelope.events]
        authority = self._authority(request, envelope, entries)
        judged = [_judged(entry, authority) for entry in entries]
        drafts = [draft for draft in judged if isinstance(draft, Draft)]
        site, now = authority.site, authority.now
        stored = iter(await self._log.append(site.name, drafts, authority.received_at))
        results = [next(stored) if isinstance(each, Draft) else each for each in judged]
        claims = authority.thread
        return _json(
            RecordedAnswer(
                results,
                opening.blanks(site, claims, envelope.want, now) if claims else [],
                _renewal(site, claims, now),
            ),
            202,
        )

    async def read_back(self, request: Request) -> Response:
        """``POST /v1/feedback``: what the tokens' actors think of their messages now."""
        asked = events.parse_body(await _body(request), events.QUESTION)
        read = [self._message(request, token) for token in asked.messages]
        known = [pair for pair in read if pair is not None]
        states: dict[tuple[str, str], Opinion] = {}
        for (site, thread, actor), _ in groupby(sorted(known, key=_whose), key=_whose):
            votes = await self._log.votes(site, thread, actor)
            ratings = fold(votes, Conversation(thread)).ratings
            states |= {key: rating.opinion for key, rating in ratings.items()}
        answer = [
            Unreadable()
            if pair is None
            else StateOf(pair[1].message, states.get((pair[1].message, pair[1].actor)))
            for pair in read
        ]
        return _json(StatesAnswer(answer))

    def _admit(self, request: Request, site: ServedSite, now: float) -> bool:
        """Whether the caller is the site's backend; a page must come from the right origin."""
        scheme_and_token = request.headers.get("authorization")
        if scheme_and_token is None:
            site.check_origin(request.headers.get("origin"))
            return False
        token = scheme_and_token[len(BEARER) :]
        if scheme_and_token[: len(BEARER)].lower() != BEARER:
            raise Unauthorized
        try:
            claims = site.tokens.read_pass(Kind.BACKEND, token, now)
        except TokenError:
            raise Unauthorized from None
        if self._log.barriers.refuse(site.name, claims.issued, token=claims.id):
            raise Unauthorized
        return True

    def _authority(
        self, request: Request, envelope: Envelope, entries: list[events.AnyEntry | Verdict]
    ) -> Authority:
        votes = [entry.message for entry in entries if isinstance(entry, Feedback)]
        tokens = votes if envelope.token is None else [envelope.token]
        if not tokens:
            raise BadRequest("Send the thread's token beside the events.", field="token")
        site, now = self._sites.of_tokens(tokens), self._clock()
        backend = self._admit(request, site, now)
        claims = None if envelope.token is None else self._thread(site, envelope.token, now)
        return Authority(site, claims, self._log.barriers, backend, now, envelope.sent_at)

    def _thread(self, site: ServedSite, token: str, now: float) -> ThreadClaims:
        try:
            claims = site.tokens.read_thread(token, now)
        except TokenError:
            raise Unauthorized from None
        opening.check_barriers(site, claims, self._log.barriers)
        return claims

    def _message(self, request: Request, token: str) -> tuple[str, MessageClaims] | None:
        try:
            site = self._sites.of_token(token)
            claims = site.tokens.read_message(token, self._clock())
        except (TokenError, Unauthorized):
            return None
        site.check_origin(request.headers.get("origin"))
        return None if barred(site, claims, self._log.barriers) else (site.name, claims)


async def _body(request: Request) -> bytes:
    """The body, read no further than its limit: a declared length may lie."""
    if request.headers.get("content-encoding", "identity") != "identity":
        raise UnsupportedBody("Send the body as it is, not compressed.")
    backend = "authorization" in request.headers
    limit = events.MAX_BACKEND_BODY if backend else events.MAX_BODY
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit:
                raise TooLarge(f"The body is over {limit} bytes.")
    except ClientDisconnect:  # a page that closes; nobody reads the answer
        raise BadRequest("The body ended early.") from None
    return bytes(body)


def _parsed(raw: msgspec.Raw) -> events.AnyEntry | Verdict:
    try:
        return events.parse_entry(raw)
    except BadEvent as error:
        return Verdict("rejected", error.code, error.field)


def _judged(entry: events.AnyEntry | Verdict, authority: Authority) -> Draft | Verdict:
    if isinstance(entry, Verdict):
        return entry
    try:
        return judge(entry, authority)
    except BadEvent as error:
        return Verdict("rejected", error.code, error.field)


def _renewal(
    site: ServedSite, claims: ThreadClaims | None, now: float
) -> opening.Opened | UnsetType:
    if claims is None or not opening.wants_renewal(claims, now):
        return UNSET
    return opening.opened(site, opening.renewed(claims, now))


def _whose(pair: tuple[str, MessageClaims]) -> tuple[str, ThreadId, ActorId]:
    site, claims = pair
    return site, claims.thread, claims.actor


def _json(answer: Struct, status: int = 200) -> Response:
    return Response(_ENCODER.encode(answer), status, NO_STORE, "application/json")
