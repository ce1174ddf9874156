"""The form of every error: ``{"error": {"code", "message", "field"?, "retry"}}``."""

import msgspec
from msgspec import UNSET, Struct, UnsetType

from thumbseal.errors import RequestError


class Problem(Struct, frozen=True, omit_defaults=True):
    """What went wrong. `code` is stable, `message` says what to do, `field` names the place in
    the body. `retry` is always there: a client must not guess."""

    code: str
    message: str
    retry: bool
    field: str | UnsetType = UNSET


class Failure(Struct, frozen=True):
    """The body of every answer that is an error."""

    error: Problem


def encode(error: RequestError) -> bytes:
    """The body of the answer to a request that is refused."""
    field = UNSET if error.field is None else error.field
    return msgspec.json.encode(Failure(Problem(error.code, error.message, error.retry, field)))
