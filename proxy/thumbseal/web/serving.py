"""Running an application on a socket: uvicorn, with our own way to stop."""

import asyncio
import contextlib
import gc
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from types import FrameType
from typing import Any, Final, TypeVar, cast

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from thumbseal.errors import SettingsError
from thumbseal.web.connection import Connection
from thumbseal.web.door import USUAL, Bounds, Door
from thumbseal.web.health import Leaving

# The writer's thread wants the interpreter a few times for each commit; the default of 5 ms would
# let a busy event loop keep it waiting longer than the disk does.
SWITCH_SECONDS: Final = 0.0005
GRACE: Final = 1.0  # seconds in which requests are still taken after the first signal
LAST: Final = 0.2  # seconds for the first bytes of requests on connections just made
DRAIN: Final = 10  # seconds for requests under way when the server stops
BACKLOG: Final = 1_024

A = TypeVar("A", bound=ASGIApp)


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one.

    Raises:
        SettingsError: the address is taken, or not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named as TCP: event loops switch off Nagle's algorithm only where they can tell, and with it
    # an answer on a kept connection waits 40 ms for the client's acknowledgement.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise SettingsError(
            f"Cannot listen on {host}:{port}: {error.strerror}. Choose another address or port."
        ) from error
    return listening


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run to the end on the fastest event loop there is."""
    sys.setswitchinterval(SWITCH_SECONDS)
    factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    with contextlib.suppress(ImportError):  # there is none for Windows
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main)


async def serve(
    app: AbstractAsyncContextManager[A],
    listening: Sequence[socket.socket],
    started: Callable[[], None],
    reread: Callable[[A], Awaitable[None]] | None = None,
    bounds: Bounds = USUAL,
    refused: Callable[[A, str], None] = lambda app, code: None,
    leave: Callable[[A], None] = lambda app: None,
) -> None:
    """Serve until SIGTERM or SIGINT; then finish the requests under way, and close the app.

    ``reread`` is what SIGHUP asks for; ``refused`` gets the code of what no application sees, and
    ``leave`` has the app answer whom it keeps waiting.
    """
    door = Door(bounds)
    server = _Server(door)
    _hear_signals(server)
    async with app as service:
        door.refused = partial(refused, service)
        server.leave = partial(leave, service)
        server.config.app = Leaving(service, lambda: server.leaving)
        for each in listening:
            each.setblocking(False)
        async with asyncio.TaskGroup() as group:
            hangup = getattr(signal, "SIGHUP", None)  # Windows has none
            if reread and hangup:
                turn = asyncio.Lock()

                async def reload() -> None:
                    async with turn:
                        await reread(service)

                loop = asyncio.get_running_loop()
                loop.add_signal_handler(hangup, lambda: group.create_task(reload()))
            # What is here now stays: the collector need not look at it again, each time for longer
            # than a request takes.
            gc.collect()
            gc.freeze()
            started()
            await server.serve(sockets=list(listening))


class _Server(uvicorn.Server):
    """Uvicorn that goes on for a moment after SIGTERM, unready, and stops at a second one or at
    Ctrl-C without that moment."""

    leave: Callable[[], None] = staticmethod(lambda: None)

    def __init__(self, door: Door) -> None:
        self.leaving = False
        self._loop = asyncio.get_running_loop()
        super().__init__(
            uvicorn.Config(
                _nothing,
                lifespan="off",
                http=cast(type[asyncio.Protocol], partial(Connection, door)),
                ws="none",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=DRAIN,
            )
        )

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.leaving or sig == signal.SIGINT:  # somebody in a hurry, or at a terminal
            super().handle_exit(sig, frame)
        self.leaving = True
        self._loop.call_soon_threadsafe(self._loop.call_later, GRACE, self._stop)

    def _stop(self) -> None:
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the door first: who stood in it is let in, and has a request on its way."""
        doors = [each.dup() for each in sockets or ()]
        for server in self.servers:
            server.close()
        for connection in [each for door in doors for each in _last_in(door)]:
            await self._loop.connect_accepted_socket(self._protocol, connection)
        await asyncio.sleep(LAST)
        # In one go with what closes each connection after its answer: whoever is told that there
        # is no news asks again at once.
        self.leave()
        await super().shutdown(sockets)

    def _protocol(self) -> asyncio.Protocol:
        kind: Any = self.config.http_protocol_class
        protocol: asyncio.Protocol = kind(self.config, self.server_state, self.lifespan.state)
        return protocol


def _last_in(door: socket.socket) -> Iterator[socket.socket]:
    """The connections that the system has taken and nobody has accepted; then the door is shut."""
    door.setblocking(False)
    with door, contextlib.suppress(BlockingIOError):
        while True:
            connection, _ = door.accept()
            connection.setblocking(False)
            yield connection


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """Stands in until there is an application."""


def _hear_signals(server: _Server) -> None:
    """From the beginning: uvicorn hears them once it serves, and one before that would be lost. It
    raises them anew when it has stopped; by then the only thing left is to clean up."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, server.handle_exit)
