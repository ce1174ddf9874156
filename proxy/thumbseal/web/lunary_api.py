"""The Lunary API, for Lunary's own SDKs: their URL is this proxy's, their key one of its tokens.

A thread token writes its own thread and nothing else, a backend token all threads of its site. A
browser asks first (preflight) because the SDK sends its key in a header; on no other route does it
need to.
"""

import asyncio
from collections import defaultdict
from typing import Any, Final

import msgspec
from msgspec import UNSET, Struct, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from thumbseal import bodies
from thumbseal.errors import NotFound, StorageFull, TooLarge
from thumbseal.events import BadEvent, Json, Opinion
from thumbseal.keys import Kind
from thumbseal.log import Verdict
from thumbseal.tokens import kind_of
from thumbseal.web import opening, runs
from thumbseal.web.callers import BackendCaller, Caller, PageCaller
from thumbseal.web.judging import Authority
from thumbseal.web.opening import Entered
from thumbseal.web.operations import (
    OF_BODIES,
    OF_CALLERS,
    Answer,
    Described,
    Operation,
    Parameter,
)
from thumbseal.web.passes import bearer, read_pass
from thumbseal.web.recording import Recorder, Told, read_body

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
    ("thread", "backend"),
)
_FEEDBACK: Final = Operation(
    "readRunFeedback",
    (Answer("The feedback; empty where there is none.", body=Opinion),),
    (*OF_CALLERS, NotFound),  # an id with a line break in it is no path
    bearers=("thread", "backend"),
    parameters=(Parameter("run", "path", "The runId of a message."),),
)


class LunaryApi:
    """The routes of Lunary's SDKs, over what records for them."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._sites = recorder.sites
        self._log = recorder.log
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def routes(self) -> list[Described]:
        return [
            Described("/v1/runs/ingest", self.ingest, _INGEST, ["POST"]),
            Described("/v1/runs/{run:path}/feedback", self.read_feedback, _FEEDBACK),
        ]

    async def ingest(self, request: Request) -> Response:
        """``POST /v1/runs/ingest``: each event is judged on its own, like those of a page."""
        caller = self._caller(request)
        batch = bodies.parse_body(await read_body(request), _BATCH)
        sent = batch.events if isinstance(batch.events, list) else [batch.events]
        if len(sent) > runs.MAX_RUNS:
            raise TooLarge(f"At most {runs.MAX_RUNS} events in a request.", field="events")
        ordered = runs.in_order(sent)
        await caller.await_parents(ordered)
        async with self._turns[caller.authority.site.name]:  # a name gets its meaning but once
            judged = await caller.judge(ordered)
            flat = [each for several in judged.drafts for each in several]
            stored = await self._recorder.store(request, caller.authority, flat, judged.aliases)
        verdicts = iter(stored)
        told = [[next(verdicts) for _ in several] for several in judged.drafts]
        return _json(Results([_result(*pair) for pair in zip(ordered, told, strict=True)]))

    async def read_feedback(self, request: Request) -> Response:
        """``GET /v1/runs/{id}/feedback``: what is thought of a message, ``{}`` where nothing was
        said: Lunary's empty answer makes its SDK fail."""
        caller = self._caller(request)
        if caller.authority.entered is not None:
            self._recorder.check(request, caller.authority.site, "reads")
        try:
            return _json(await caller.opinion(request.path_params["run"]))
        except BadEvent:
            return _json(Opinion())

    def _caller(self, request: Request) -> Caller:
        """Whose key it is.

        Raises:
            Unauthorized: it is no good token.
            Forbidden: a page of another origin sends it.
        """
        key = bearer(request.headers.get("authorization", ""))
        site, now = self._sites.of_token(key), self._recorder.clock()
        barriers = self._log.barriers
        if kind_of(key) == Kind.BACKEND:
            claims = read_pass(site, key, self._log, now)
            authority = Authority(site, None, barriers, backend=True, now=now)
            return BackendCaller(authority, claims, key, self._log)
        site.check_origin(request.headers.get("origin"))
        live = opening.read_live(site, key, barriers, now)
        authority = Authority(site, Entered(live, None), barriers, backend=False, now=now)
        return PageCaller(authority, live, key, self._log)


def _result(run: runs.Run, verdicts: list[Verdict]) -> Result:
    for verdict in verdicts:
        if verdict.status == "rejected":
            place = f" ({verdict.field})" if verdict.field else ""
            text = f"{verdict.code}{place}: see Thumbseal's page on the protocol."
            return Result(run.get("runId"), False, text)
    return Result(run.get("runId"), True)


def _json(answer: Struct | Json) -> Response:
    return Told(_ENCODER.encode(answer))
