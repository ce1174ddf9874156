"""The form of every error: ``{"error": {"code", "message", "field"?, "retry"}}``."""

import msgspec
from msgspec import UNSET, Struct, UnsetType


class Problem(Struct, frozen=True, omit_defaults=True):
    """The error of an answer. ``retry`` is always there: a client must not guess."""

    code: str
    message: str
    retry: bool
    field: str | UnsetType = UNSET

    def encode(self) -> bytes:
        """The body of the answer."""
        return msgspec.json.encode({"error": self})
