"""The routes: ingestion, reading back, feedback, tags and deletion."""

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from .gate import INGEST_PATH, Caller, refuse
from .ingest import Ingestion
from .reading import format_run, related, select, summarize_thread
from .rows import Database, Run
from .values import UUID, LunaryError, Value, get

MAX_BODY_BYTES = 20 * 1024 * 1024
JSON_TYPES = ("application/json", "application/vnd.api+json")


def read_json(headers: Mapping[str, str], body: bytes) -> Value:
    """The body as the backend reads it: an empty object under a content type that is not JSON.

    Raises `HTTPException`: 413 beyond 20 MiB, 400 for what is neither an object nor an array.
    """
    body = inflate(headers, body)
    if len(body) > MAX_BODY_BYTES:
        raise HTTPException(413, "request entity too large")
    content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type not in JSON_TYPES or not body:
        return {}
    try:
        value = json.loads(body, parse_constant=_refuse_constant)
    except ValueError as error:
        raise HTTPException(400, str(error)) from error
    if not isinstance(value, dict | list):
        raise HTTPException(400, "invalid JSON, only supports object and array")
    return value


def inflate(headers: Mapping[str, str], body: bytes) -> bytes:
    """The body without its content encoding; raises `OSError` for what is not gzip."""
    return gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def reply(data: Value, status: int = 200) -> Response:
    """JSON in ASCII, since an answer may echo a lone surrogate."""
    return Response(json.dumps(data), status, media_type="application/json")


async def answer_lunary_error(_request: Request, error: Exception) -> Response:
    return refuse(500, str(error))


async def answer_http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return refuse(error.status_code, error.detail)


@dataclass(frozen=True)
class Routes:
    """The handlers; a `LunaryError` that leaves one becomes a 500 with its text."""

    database: Database
    ingestion: Ingestion

    def table(self) -> list[Route]:
        return [
            Route(INGEST_PATH, self.ingest, methods=["POST"]),
            Route("/api/report", self.report, methods=["POST"]),
            Route("/v1/health", self.health),
            Route("/v1/runs", self.list_runs),
            Route("/v1/runs/count", self.count_runs),
            Route("/v1/runs/{id}", self.show_run, methods=["GET"]),
            Route("/v1/runs/{id}", self.delete_run, methods=["DELETE"]),
            Route("/v1/runs/{id}/related", self.list_related),
            Route("/v1/runs/{id}/feedback", self.show_feedback, methods=["GET"]),
            Route("/v1/runs/{id}/feedback", self.change_feedback, methods=["PATCH"]),
            Route("/v1/runs/{id}/tags", self.change_tags, methods=["PATCH"]),
        ]

    async def ingest(self, request: Request) -> Response:
        events = get(await _body(request), "events")
        if not (events or isinstance(events, dict | list)):
            raise LunaryError("Missing events payload.")
        return reply({"results": await self.ingestion.process(_caller(request).project_id, events)})

    async def report(self, request: Request) -> Response:
        """The legacy route: the first event names the project, no key does."""
        events = get(await _body(request), "events")
        if not (isinstance(events, list) and events):
            raise LunaryError("Missing events payload.")
        app_id = get(events[0], "appId")
        project = self.database.find_project(app_id) if isinstance(app_id, str) else None
        if project is None:
            raise HTTPException(402, "Incorrect project id format")
        return reply(await self.ingestion.process(project.id, events))

    async def health(self, _request: Request) -> Response:
        return PlainTextResponse("OK")

    async def list_runs(self, request: Request) -> Response:
        query = dict(request.query_params)
        page, limit = int(query.get("page", 0)), int(query.get("limit", 50))
        found = select(self.database.runs(), _caller(request).project_id, query)
        rows = found[page * limit : (page + 1) * limit]
        return reply(
            {"page": page, "limit": limit, "data": [self._list_entry(row) for row in rows]}
        )

    def _list_entry(self, run: Run) -> dict[str, Value]:
        extra = summarize_thread(run, self.database.runs()) if run.type == "thread" else {}
        return {**format_run(run, self.database.users()), **extra}

    async def count_runs(self, request: Request) -> Response:
        query = dict(request.query_params)
        found = select(self.database.runs(), _caller(request).project_id, query)
        return PlainTextResponse(str(len(found)))

    async def show_run(self, request: Request) -> Response:
        run = self._named(request)
        if run is None or run.project_id != _caller(request).project_id:
            raise HTTPException(404, "Run not found")
        return reply(format_run(run, self.database.users()))

    async def list_related(self, request: Request) -> Response:
        rows = related(self.database.runs(), request.path_params["id"].lower())
        return reply([format_run(row, self.database.users()) for row in rows])

    async def delete_run(self, request: Request) -> Response:
        if not UUID.fullmatch(request.path_params["id"]):
            raise HTTPException(422, "Invalid uuid")
        run = self._named(request)
        if run is None or run.project_id != _caller(request).project_id:
            raise HTTPException(404, "Not Found")
        self.database.delete(run.id)
        return PlainTextResponse("OK")

    async def show_feedback(self, request: Request) -> Response:
        run = self._named(request)
        if run is None:
            raise HTTPException(404, "Run not found")
        return Response(status_code=204) if run.feedback is None else reply(run.feedback)

    async def change_feedback(self, request: Request) -> Response:
        given = parse_feedback(await _body(request))
        run = self._named(request)
        if run is None:
            raise LunaryError("Cannot destructure property 'feedback' of 'undefined'.")
        self._update_own(run, request, feedback={**(run.feedback or {}), **given})
        return reply({})

    async def change_tags(self, request: Request) -> Response:
        tags = get(await _body(request), "tags")
        listed = isinstance(tags, list) and all(isinstance(tag, str) for tag in tags)
        if not (listed or tags is None):
            raise HTTPException(422, "Validation error")
        self._update_own(self._named(request), request, tags=tags)
        return reply({})

    def _named(self, request: Request) -> Run | None:
        return self.database.find(request.path_params["id"])

    def _update_own(self, run: Run | None, request: Request, **values: Value) -> None:
        if run is not None and run.project_id == _caller(request).project_id:
            self.database.update(run.id, values)


def parse_feedback(body: Value) -> dict[str, Value]:
    """The thumb and the comment of a PATCH; raises `HTTPException` 422 for other values."""
    known = {key: get(body, key) for key in ("thumb", "comment") if key in body}
    thumb, comment = known.get("thumb"), known.get("comment")
    if thumb not in ("up", "down", None) or not isinstance(comment, str | None):
        raise HTTPException(422, "Validation error")
    return known


def _caller(request: Request) -> Caller:
    caller: Caller = request.scope["caller"]
    return caller


async def _body(request: Request) -> Value:
    return read_json(request.headers, await request.body())
