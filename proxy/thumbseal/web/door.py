"""The door of a server: how long its connections may take, how many there may be, who is idle."""

import asyncio
from collections.abc import Callable
from itertools import takewhile
from typing import Final, Protocol

import structlog
from msgspec import Struct, structs

SPARE: Final = 256  # connections on top, that are told that there is no room
OWN_FILES: Final = 128  # the log, its readers, upstreams, and what a library opens for a moment
ROOMY: Final = 0.9  # below that share of all there is room again
_logger: Final = structlog.get_logger()


class Bounds(Struct, frozen=True):
    """Seconds from the first byte of a request to the end of its header, and to its end; seconds
    between two requests; and the most connections at a time."""

    header: float = 10
    request: float = 30
    idle: float = 75
    connections: int = 12_000


USUAL: Final = Bounds()


class Guest(Protocol):
    """A connection, as its door sees it."""

    def close(self) -> None: ...


class Door:
    """What all connections of a server share; ``refused`` gets the code of each refusal, as soon as
    somebody wants to know."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self.refused: Callable[[str], None] = lambda code: None
        self._idle: dict[Guest, float] = {}  # and since when, the longest first
        self._sweeping = False
        self._full = False

    def rest(self, guest: Guest, loop: asyncio.AbstractEventLoop) -> None:
        """Note that it waits for a request, and close it when it has for too long. One timer looks
        after all: one for each would cost a good part of a request."""
        self._idle[guest] = loop.time()
        if not self._sweeping:
            self._sweeping = True
            loop.call_later(self.bounds.idle, self._sweep, loop)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        """Close who was idle for too long, and look again when the next one will have been."""
        late = loop.time() - self.bounds.idle
        for guest, _ in list(takewhile(lambda item: item[1] <= late, self._idle.items())):
            guest.close()
        first = next(iter(self._idle.values()), None)
        self._sweeping = first is not None
        if first is not None:
            loop.call_later(first - late, self._sweep, loop)

    def rise(self, guest: Guest) -> None:
        """Note that it does not."""
        self._idle.pop(guest, None)

    def make_room(self) -> bool:
        """Close the connection that has been idle for longest; whether there was one."""
        for guest in self._idle:
            guest.close()
            return True
        if not self._full:
            self._full = True
            _logger.warning(
                "connections_full",
                connections=self.bounds.connections,
                remedy="Raise server.max_connections, or look at who opens so many.",
            )
        return False

    def left(self, connections: int) -> None:
        """A connection ended, and so many are there now."""
        if connections < self.bounds.connections * ROOMY:
            self._full = False


def fit(bounds: Bounds) -> Bounds:
    """The bounds that this process's limit of open files allows, raised as far as it may be."""
    wanted = bounds.connections + SPARE + OWN_FILES
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return bounds
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return bounds
    return structs.replace(bounds, connections=max(soft - SPARE - OWN_FILES, 1))
