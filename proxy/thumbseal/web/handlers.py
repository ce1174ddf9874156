"""Handlers: what is answered when a request ends with an error."""

from typing import Any, Final

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ExceptionHandler

from thumbseal.errors import (
    BadRequest,
    Internal,
    LogError,
    LogFull,
    LogOverloaded,
    MethodNotAllowed,
    NotFound,
    RequestError,
    StorageFull,
    TooMany,
    Unavailable,
)
from thumbseal.web.access import CODE
from thumbseal.web.problems import encode
from thumbseal.web.recording import Told

RETRY_AFTER: Final = "5"  # seconds; a log that cannot be written is not well within one
_logger: Final = structlog.get_logger()


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)  # noqa: S101  the handler table says so
    request.scope[CODE] = error.code
    response = Told(encode(error), error.status)
    if isinstance(error, TooMany):
        response.headers["Retry-After"] = str(error.wait)
    return response


async def _unavailable(request: Request, error: Exception) -> Response:
    if not isinstance(error, LogOverloaded):  # the metrics tell of that, a flood of lines would not
        remedy = "Look at the disk of server.log, and at its permissions."
        _logger.error("log_failed", error=str(error), remedy=remedy)
    text = "The server cannot store events at the moment. Send them again later."
    refusal = StorageFull(text) if isinstance(error, LogFull) else Unavailable(text)
    response = await _refuse(request, refusal)
    response.headers["Retry-After"] = RETRY_AFTER
    return response


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  the handler table says so
    kinds: dict[int, type[RequestError]] = {404: NotFound, 405: MethodNotAllowed}
    response = await _refuse(request, kinds.get(error.status_code, BadRequest)(error.detail))
    response.headers.update(error.headers or {})
    return response


async def _failed(request: Request, error: Exception) -> Response:
    return await _refuse(request, Internal())


HANDLERS: Final[dict[Any, ExceptionHandler]] = {
    RequestError: _refuse,
    LogError: _unavailable,
    HTTPException: _http_error,
    Exception: _failed,
}
