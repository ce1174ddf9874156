"""Claims: what a token says. Only `thumbseal.tokens` makes a token of them, or them of a token.

They are named tuples, and no structs of msgspec: a backend that mints and verifies does not load
it, which halves what importing thumbseal takes.
"""

from collections.abc import Mapping
from enum import IntFlag
from typing import Final, Literal, NamedTuple

from thumbseal.ids import ActorId, MessageId, Role, ThreadId

LEEWAY: Final = 60  # seconds; the clocks of two honest servers differ by less
THREAD_LIFE: Final = 24 * 3600
THREAD_RENEWABLE: Final = 30 * 24 * 3600  # after this a page starts over: no eternal credential
MESSAGE_LIFE: Final = 90 * 24 * 3600  # people come back to an old answer and vote
BACKEND_LIFE: Final = 365 * 24 * 3600
MAX_USER_BYTES: Final = 64  # of UTF-8


class Grant(IntFlag):
    """What a thread token may write: the roles, and whether it speaks for the backend."""

    USER = 1
    ASSISTANT = 2
    TOOL = 4
    SYSTEM = 8
    BACKEND = 128


ROLES: Final[Mapping[Role, Grant]] = {
    "user": Grant.USER,
    "assistant": Grant.ASSISTANT,
    "tool": Grant.TOOL,
    "system": Grant.SYSTEM,
}
EVERY_ROLE: Final = Grant.USER | Grant.ASSISTANT | Grant.TOOL | Grant.SYSTEM | Grant.BACKEND


class ThreadClaims(NamedTuple):
    """A thread token's claims: who may write what into which thread. Times in epoch seconds."""

    thread: ThreadId
    actor: ActorId
    user: str | None
    grant: Grant
    issued: int
    first_issued: int
    expires: int

    def may_write(self, role: Role) -> bool:
        return _holds(self.grant, ROLES[role])

    @property
    def source(self) -> Literal["browser", "backend"]:
        return "backend" if _holds(self.grant, Grant.BACKEND) else "browser"


class MessageClaims(NamedTuple):
    """A message token's claims: one message of one thread, and the actor it was given to."""

    thread: ThreadId
    message: MessageId
    actor: ActorId
    issued: int
    expires: int


class PassClaims(NamedTuple):
    """The claims of a backend token or a replay session: an id that can be revoked."""

    id: str
    issued: int
    expires: int


def is_live(claims: ThreadClaims | MessageClaims | PassClaims, now: float) -> bool:
    """Whether a token that says this is good at a time, in epoch seconds."""
    return claims.issued - LEEWAY <= now <= claims.expires + LEEWAY


def _holds(grant: int, flag: int) -> bool:
    """Asked for every event, and the flags' own arithmetic takes ten times as long."""
    return int.__and__(grant, flag) != 0
