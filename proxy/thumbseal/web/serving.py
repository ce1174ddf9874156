"""Running an application on a socket: uvicorn, with our own way to stop."""

import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp

from thumbseal.errors import SettingsError

# The writer's thread wants the interpreter a few times for each commit; the default of 5 ms would
# let a busy event loop keep it waiting longer than the disk does.
SWITCH_SECONDS: Final = 0.0005
DRAIN: Final = 10  # seconds for requests under way when the server stops
BACKLOG: Final = 1_024


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
    app: AbstractAsyncContextManager[ASGIApp],
    listening: socket.socket,
    started: Callable[[], None],
) -> None:
    """Serve until SIGTERM or SIGINT; then finish the requests under way, and close the app."""
    _leave_signals_to_uvicorn()
    async with app as asgi:
        config = uvicorn.Config(
            asgi,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=DRAIN,
        )
        server = uvicorn.Server(config)
        listening.setblocking(False)
        started()
        await server.serve(sockets=[listening])


def _leave_signals_to_uvicorn() -> None:
    """It raises a signal anew when it has stopped; by then the only thing left is to clean up."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
