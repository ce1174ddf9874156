"""The log: the append-only record of events. What a storage engine must do, and its values.

An event is *accepted* when it is on disk, not before. Everything else here is a reader with a
cursor: it takes a claim, works on it, and settles it; a crash between the two repeats the claim.
Nothing in this protocol lists all there is.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, Literal, Protocol

from msgspec import Struct

from thumbseal.events import AnyEntry, Event, Reason, Source
from thumbseal.ids import ActorId, MessageId, ThreadId
from thumbseal.log.barriers import Barrier, Barriers

if TYPE_CHECKING:
    import asyncio

    from thumbseal.claims import PassClaims
    from thumbseal.patterns import Rule

MAX_DUE_HOLDS: Final = 100  # a claim stays small also after a long outage

Status = Literal["accepted", "duplicate", "rejected"]
Remark = Literal["superseded", "lossy"]
Start = Literal["all", "now"]


class Draft(Struct, frozen=True):
    """An event about to be stored. ``at`` is in ms; ``user`` is vouched for, or None."""

    thread: ThreadId
    user: str | None
    source: Source
    actor: ActorId
    at: int
    entry: AnyEntry


class Alias(Struct, frozen=True):
    """Another name of a thread, or of an ``item`` in it: a message, or a ``run``. ``page``: a page
    chose it, so it says something inside its thread alone."""

    name: str
    thread: ThreadId
    item: str | None = None
    page: bool = False
    run: bool = False


class Verdict(Struct, frozen=True, omit_defaults=True):
    """What became of one event. ``code`` says why it was rejected, ``field`` where;
    ``retry`` whether sending it again can help."""

    status: Status
    code: Reason | None = None
    field: str | None = None
    retry: bool = False


class StoredThread(Struct, frozen=True):
    """A thread as far as a reader asked for it; events in ascending ``seq``."""

    thread_no: int
    thread: ThreadId
    user: str | None
    created_at: int
    events: list[Event]


class Due(Struct, frozen=True):
    """A thread with something to deliver: its events since ``since_seq``.

    ``stored.events`` also holds older ones where the claim asked for them; ``dead`` are the
    events whose content this upstream refused for good, ``again`` those that somebody wants tried
    once more. ``held`` tells a thread that waited from one whose events are new.
    """

    stored: StoredThread
    since_seq: int
    attempts: int
    dead: frozenset[int]
    again: frozenset[int] = frozenset()
    held: bool = False


class Claim(Struct, frozen=True):
    """What one upstream has to do next; settling it moves the cursor from ``since`` to ``upto``.
    Events up to ``start`` are not its own: it began after them. Before anything is sent, it has to
    ``erase`` (see `Log.deletions`). ``next_hold`` is when the next hold is due, in ms."""

    upstream: str
    since: int
    upto: int
    due: list[Due]
    start: int = 0
    erase: bool = False
    next_hold: int | None = None


class Settled(Struct, frozen=True):
    """What became of one due thread.

    ``hold_from`` is the first event that was not delivered, None if all were; then ``next_at``
    (ms) and ``reason`` say when and why again, no reason meaning that nothing is wrong. ``dead``
    are events refused for good with the reason, ``waiting`` votes with the message they wait for,
    ``again`` dead ones that were delivered after all, ``remarks`` say of delivered ones why the
    upstream does not show them.
    """

    thread_no: int
    attempts: int = 0
    hold_from: int | None = None
    next_at: int = 0
    reason: str = ""
    dead: tuple[tuple[int, str], ...] = ()
    waiting: tuple[tuple[int, MessageId], ...] = ()
    arrived: tuple[MessageId, ...] = ()
    again: tuple[int, ...] = ()
    remarks: tuple[tuple[int, Remark], ...] = ()


class Standing(Struct, frozen=True):
    """What is the matter with an upstream as a whole: it is ``down``, has ``refused`` us (somebody
    must look), is ``gone`` (nothing is sent until somebody says so), or has ``asked`` for time.
    Times in ms; ``next_at`` 0 asks to try at once."""

    state: Literal["down", "refused", "gone", "asked"]
    reason: str
    since: int
    next_at: int


class Receipt(Struct, frozen=True, omit_defaults=True):
    """What became of one event at one upstream. ``reason`` is why it is held or dead,
    ``next_at`` (ms) when a held one is tried again, ``remark`` why a delivered one is not shown."""

    state: Literal["pending", "delivered", "held", "dead"]
    reason: str | None = None
    next_at: int | None = None
    remark: Remark | None = None


class Counts(Struct, frozen=True):
    """Where a site's events are at one upstream; ``accepted`` is the sum of the others. ``erased``
    and ``expired`` were removed before they were delivered. What was stored before the upstream
    began is not counted."""

    accepted: int
    delivered: int
    pending: int
    held: int
    dead: int
    erased: int = 0
    expired: int = 0


class Erasure(Struct, frozen=True, kw_only=True):
    """Erase a ``thread``, or all that a ``user`` took part in. ``at`` in ms; ``upstreams`` are
    those of the site, ``deletions`` the ones that can delete."""

    site: str
    at: int
    thread: ThreadId | None = None
    user: str | None = None
    upstreams: tuple[str, ...] = ()
    deletions: tuple[str, ...] = ()


class Removed(Struct, frozen=True):
    """How much was removed."""

    threads: int
    events: int

    def __add__(self, other: "Removed") -> "Removed":
        return Removed(self.threads + other.threads, self.events + other.events)


class Retention(Struct, frozen=True):
    """How long a site keeps an idle thread, in ms: ``idle`` once every one of its ``upstreams``
    has it, ``longest`` regardless."""

    idle: int
    longest: int | None = None
    upstreams: tuple[str, ...] = ()


class Deletion(Struct, frozen=True):
    """A thread that an upstream still has to erase, not before ``next_at`` (ms)."""

    upstream: str
    thread: ThreadId
    next_at: int
    attempts: int = 0
    reason: str = ""


class Log(Protocol):
    """A storage engine. Every method raises `thumbseal.errors.LogError` when the disk fails."""

    @property
    def barriers(self) -> Barriers:
        """The barriers as of at most a second ago."""

    def redact(self, rules: Mapping[str, Sequence["Rule"]]) -> None:
        """Take this out of every event from now on before it is stored, by site."""

    async def append(
        self,
        site: str,
        drafts: Sequence[Draft],
        received_at: int,
        aliases: Sequence[Alias] = (),
    ) -> list[Verdict]:
        """Store events in this order and say what became of each, once they are on disk.
        ``aliases`` are noted with them, in one transaction."""

    async def aliases(self, site: str, names: Sequence[str]) -> dict[str, Alias]:
        """What is known of these names."""

    async def spell(self, site: str, claims: "PassClaims", key: str) -> None:
        """Have the ids that are recorded by now known as they are, and as Lunary's SDK for Python
        hashes them with this key, a backend token of these claims."""

    async def alias_keys(self, site: str) -> list["PassClaims"]:
        """The keys that were ever given to `spell`."""

    async def read(self, site: str, thread: ThreadId) -> StoredThread | None:
        """One thread, whole; None if it has no event."""

    async def recent(self, site: str, limit: int) -> list[StoredThread]:
        """The threads that were started last, newest first, each whole."""

    async def votes(self, site: str, thread: ThreadId, actor: ActorId) -> list[Event]:
        """An actor's feedback events in one thread."""

    async def bar(self, barrier: Barrier) -> None:
        """Refuse tokens from now on."""

    async def meet(self, starts: Mapping[str, Start]) -> None:
        """Serve these upstreams from now on, and no others. One that is not known yet begins with
        ``all`` events or with those from ``now`` on; where it began never changes."""

    async def claim(
        self,
        upstream: str,
        site: str,
        now: int,
        limit: int,
        known: Mapping[int, int],
        holds: int = MAX_DUE_HOLDS,
    ) -> Claim:
        """Up to ``holds`` holds that are due and new events past the cursor, ``limit`` together.

        ``known`` maps thread numbers to the last event the caller has folded: older ones are
        left out unless they are due.
        """

    async def settle(self, claim: Claim, outcomes: Sequence[Settled], now: int) -> None:
        """Record what became of a claim, all of it in one transaction."""

    async def counts(self, upstream: str, site: str) -> Counts:
        """Where the events of a site are."""

    async def erase(self, erasure: Erasure) -> Removed:
        """Remove whole threads and order their deletion at the upstreams, in one transaction.

        What comes later for one of them is rejected as ``gone``.
        """

    async def expire(self, rules: Mapping[str, Retention], now: int) -> Removed:
        """Remove the threads that have had their time, by site."""

    async def deletions(self, upstream: str, now: int, limit: int) -> list[Deletion]:
        """What an upstream has to erase by now."""

    async def settle_deletion(self, deletion: Deletion, *, done: bool) -> None:
        """Drop a deletion that was carried out, or keep it with its next try."""

    async def receipts(self, upstream: str, site: str, thread: ThreadId) -> dict[int, Receipt]:
        """What became of each event of a thread, by seq; not of those before the upstream began."""

    async def standing(self, upstream: str) -> Standing | None:
        """What is the matter with an upstream; None if nothing is."""

    async def stand(self, upstream: str, standing: Standing | None) -> None:
        """Note what is the matter with an upstream, for whoever asks."""

    async def oldest_undelivered(self, upstream: str, site: str) -> int | None:
        """When the oldest event that is pending or held was received, in ms; None without one."""

    def watch_commits(self, observe: Callable[[float], object]) -> None:
        """Call ``observe``, on any thread, with the seconds that each commit took."""

    async def check(self) -> None:
        """Return if an event could be written now, into a log that is not known to be damaged."""

    def watch(self, site: str | None = None) -> "asyncio.Event":
        """An event that is set whenever something of a site was stored, or of any."""

    async def close(self) -> None:
        """Finish what was handed in, and let go of the files."""
