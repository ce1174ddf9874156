"""Upstreams: where events go. One async method, three outcomes.

An upstream gets changes, each a conversation with the events in it that are new there, and says
for each what became of it. It may be asked to deliver the same change again at any time.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from msgspec import Struct

from thumbseal.conversation import Conversation
from thumbseal.errors import ThumbsealError
from thumbseal.events import Event
from thumbseal.ids import MessageId, ThreadId


class Change(Struct, frozen=True):
    """A conversation and the events in it that this upstream does not have yet.

    ``dead`` are events (seqs) whose content it refused for good: it is left out from then on.
    Events up to ``start`` are older than the upstream: they are in the conversation, but it was
    never told of them.
    """

    site: str
    conversation: Conversation
    events: list[Event]
    dead: frozenset[int] = frozenset()
    start: int = 0

    @property
    def since(self) -> int:
        return self.events[0].seq

    def has(self, seq: int) -> bool:
        """Whether the upstream took an event before this change."""
        return self.start < seq < self.since and seq not in self.dead


class Delivered(Struct, frozen=True):
    """The upstream has it. ``waiting`` are votes (seq, message) on messages not recorded yet;
    ``dead`` are single events refused for good, with the reason; ``lossy`` those of which it
    cannot hold all. With ``again`` the rest has to be sent once more without the dead ones, since
    they took their neighbours along."""

    waiting: tuple[tuple[int, MessageId], ...] = ()
    dead: tuple[tuple[int, str], ...] = ()
    lossy: tuple[int, ...] = ()
    again: bool = False


class Later(Struct, frozen=True):
    """Not now. ``since`` is the first event not delivered (default: all of them), ``after`` the
    seconds that the upstream asked to wait; ``dead`` are events before it, refused for good.
    ``plan`` are the seconds to wait after one failure, after two, …, if not the usual ones."""

    reason: str
    after: float | None = None
    since: int | None = None
    dead: tuple[tuple[int, str], ...] = ()
    plan: tuple[float, ...] = ()


Outcome = Delivered | Later


class UpstreamDown(ThumbsealError):
    """Nothing of the request may have arrived: the upstream as a whole is the trouble.

    ``refused`` says that it does not want us (401, 402, 403, 404): a person must look. ``gone``
    says that it never will (410): nothing is sent until a person says so. ``whole`` says that what
    was sent cannot be the cause, since no event was looked at.
    """

    def __init__(
        self,
        reason: str,
        after: float | None = None,
        *,
        refused: bool = False,
        gone: bool = False,
        whole: bool = False,
    ) -> None:
        super().__init__(reason)
        self.after = after
        self.gone = gone
        self.refused = refused or gone
        self.whole = whole or self.refused


class Upstream(Protocol):
    """A place where events go.

    ``pause`` is the time in seconds between two deliveries, ``batch`` how many changes one of them
    takes, ``concurrency`` how many may be under way at once. ``keeps_state`` says that only the
    last word counts there; ``lossy`` names what the place cannot hold.
    """

    pause: float
    batch: int
    concurrency: int
    keeps_state: bool
    lossy: tuple[str, ...]

    async def deliver(self, changes: Sequence[Change]) -> list[Outcome]:
        """One outcome for each change, in order.

        Raises:
            UpstreamDown: nothing can be said of any of them.
        """


@runtime_checkable
class Erasing(Protocol):
    """An upstream that can erase."""

    async def erase(self, thread: ThreadId) -> None:
        """Erase a thread with all that belongs to it; one that is not there is erased.

        Raises:
            UpstreamDown: it may still be there.
        """
