"""The Lunary API, for Lunary's own SDKs: their URL is this proxy's, their key a thread token.

A thread token writes its own thread and nothing else. A browser asks first (preflight) because the
SDK sends its key in a header; on no other route does it need to.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import UNSET, Struct, UnsetType
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from thumbseal import bodies
from thumbseal.conversation import Conversation, fold
from thumbseal.errors import StorageFull, TooLarge
from thumbseal.events import BadEvent, Opinion
from thumbseal.ids import ActorId, named_message
from thumbseal.log import Draft, Verdict
from thumbseal.tokens import ThreadClaims
from thumbseal.web import opening, runs
from thumbseal.web.judging import Authority, judge
from thumbseal.web.opening import Entered
from thumbseal.web.operations import (
    OF_BODIES,
    OF_CALLERS,
    Answer,
    Described,
    Operation,
    Parameter,
)
from thumbseal.web.passes import bearer
from thumbseal.web.recording import NO_STORE, Recorder, read_body

PATH: Final = "/v1/runs/"
_ENCODER: Final = msgspec.json.Encoder()


class Batch(Struct, frozen=True):
    """The body of ``POST /v1/runs/ingest``: events of Lunary's, or a single one."""

    events: list[dict[str, Any]] | dict[str, Any]


class Result(Struct, frozen=True):
    """What became of one event, in Lunary's form; ``id`` is the runId as it was sent."""

    id: Any
    success: bool
    error: str | UnsetType = UNSET


class Results(Struct, frozen=True):
    """The answer, in the order of the events' times as Lunary gives it."""

    results: list[Result]


_BATCH: Final = msgspec.json.Decoder(Batch)
_INGEST: Final = Operation(
    "ingestRuns",
    (Answer("What became of each event.", body=Results),),
    (*OF_CALLERS, *OF_BODIES, StorageFull),
    Batch,
    ("thread",),
)
_FEEDBACK: Final = Operation(
    "readRunFeedback",
    (Answer("The feedback; empty where there is none.", body=Opinion),),
    OF_CALLERS,
    bearers=("thread",),
    parameters=(Parameter("run", "path", "The runId of a message of the thread."),),
)


class LunaryApi:
    """The routes of Lunary's SDKs, over what records for them."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._sites = recorder.sites
        self._log = recorder.log

    def routes(self) -> list[Described]:
        return [
            Described("/v1/runs/ingest", self.ingest, _INGEST, ["POST"]),
            Described("/v1/runs/{run}/feedback", self.read_feedback, _FEEDBACK),
        ]

    async def ingest(self, request: Request) -> Response:
        """``POST /v1/runs/ingest``: each event is judged on its own, like those of a page."""
        key, claims, authority = self._authority(request)
        batch = bodies.parse_body(await read_body(request), _BATCH)
        sent = batch.events if isinstance(batch.events, list) else [batch.events]
        if len(sent) > runs.MAX_RUNS:
            raise TooLarge(f"At most {runs.MAX_RUNS} events in a request.", field="events")
        own = runs.spellings(claims.thread, key)
        judged = [(run, _judged(run, own, authority)) for run in runs.in_order(sent)]
        flat = [each for _, several in judged for each in several]
        verdicts = iter(await self._recorder.store(request, authority, flat))
        results = [_result(run, [next(verdicts) for _ in several]) for run, several in judged]
        return _json(Results(results))

    async def read_feedback(self, request: Request) -> Response:
        """``GET /v1/runs/{id}/feedback``: what the key's actor thinks of a message of its thread,
        ``{}`` where nothing was said: Lunary's empty answer makes its SDK fail."""
        _, claims, authority = self._authority(request)
        site = authority.site
        self._recorder.check(request, site, "reads")
        try:
            message = named_message(claims.thread, runs.ref(request.path_params["run"]))
        except BadEvent:
            return _json(Opinion())
        votes = await self._log.votes(site.name, claims.thread, ActorId(claims.actor))
        rating = fold(votes, Conversation(claims.thread)).ratings.get((message, claims.actor))
        return _json(rating.opinion if rating else Opinion())

    def _authority(self, request: Request) -> tuple[str, ThreadClaims, Authority]:
        """The key, what it says, and what may be done with it."""
        key = bearer(request.headers.get("authorization", ""))
        site, now = self._sites.of_token(key), self._recorder.clock()
        site.check_origin(request.headers.get("origin"))
        barriers = self._log.barriers
        claims = opening.read_live(site, key, barriers, now)
        entered = Entered(claims, None)
        return key, claims, Authority(site, entered, barriers, False, now, int(now * 1000))


class Preflights:
    """``app`` with CORS: ``public`` for all routes but the Lunary API, whose SDKs send headers that
    a browser asks about first."""

    def __init__(self, app: ASGIApp, origins: str, exposed: Sequence[str]) -> None:
        def cors(*headers: str) -> ASGIApp:
            return CORSMiddleware(
                app,
                allow_origin_regex=origins,
                allow_methods=("GET", "POST"),
                allow_headers=headers,
                expose_headers=exposed,
            )

        self._public = cors()
        self._lunary = cors("Authorization", "Content-Type")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = scope["type"] == "http" and scope["path"].startswith(PATH)
        await (self._lunary if asked else self._public)(scope, receive, send)


def _judged(run: runs.Run, own: frozenset[str], authority: Authority) -> list[Draft | Verdict]:
    """What is to be stored of one event of Lunary's: all of it, or nothing and the reason."""
    try:
        return [judge(entry, authority) for entry in runs.translate(run, own)]
    except BadEvent as error:
        return [Verdict("rejected", error.code, error.field, error.retry)]


def _result(run: runs.Run, verdicts: list[Verdict]) -> Result:
    for verdict in verdicts:
        if verdict.status == "rejected":
            place = f" ({verdict.field})" if verdict.field else ""
            text = f"{verdict.code}{place}: see Thumbseal's page on the protocol."
            return Result(run.get("runId"), False, text)
    return Result(run.get("runId"), True)


def _json(answer: Struct) -> Response:
    return Response(_ENCODER.encode(answer), 200, NO_STORE, "application/json")
