"""Any ASGI app on a real loopback socket, in a thread with an event loop of its own."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

CUT = "connection.cut"
STARTUP_SECONDS = 10
LOOP_TURNS = 5


@contextmanager
def serve(app: ASGIApp, *, port: int = 0) -> Iterator[str]:
    """Serve an app and give its base URL, such as ``http://127.0.0.1:40000``.

    The app is up, its lifespan included, when the URL is given. At the end every connection is cut,
    unfinished requests are cancelled and the lifespan ends. A ``port`` given again after that
    brings the app back under the same URL. An app that fails to start raises `RuntimeError`.
    """
    with _listen(port) as listener:
        server = _Server(app)
        thread = threading.Thread(target=server.run_until_stopped, args=(listener,), daemon=True)
        thread.start()
        try:
            server.ready.result(STARTUP_SECONDS)
            yield "http://127.0.0.1:{1}".format(*listener.getsockname())
        finally:
            server.stop()
            thread.join()


def _listen(port: int) -> socket.socket:
    # Named as TCP, or asyncio leaves Nagle's algorithm on and each answer takes 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen()
    return listener


async def cut(scope: Scope, receive: Receive) -> None:
    """Break the connection that a request came over, without another byte.

    Works under `serve`; a client that calls the app in process gets a `ConnectionResetError`.
    """
    extension = (scope.get("extensions") or {}).get(CUT)
    if extension is None:
        raise ConnectionResetError("the connection was cut")
    extension["abort"]()
    # Uvicorn answers 500 for an app that returns before it has noticed the end of the connection.
    await wait_for_disconnect(receive)


async def wait_for_disconnect(receive: Receive) -> None:
    """Return once the client has gone, or the connection was cut."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _turn() -> None:
    for _ in range(LOOP_TURNS):
        await asyncio.sleep(0)


class _Server(uvicorn.Server):
    """Uvicorn that tells when it is ready and stops at a word: its own loops poll for both."""

    def __init__(self, app: ASGIApp) -> None:
        self.ready: Future[None] = Future()
        self._app = app
        self._stop: asyncio.Event
        self._loop: asyncio.AbstractEventLoop | None = None
        # Without proxy headers the client's address stays that of its connection: `cut` needs it.
        super().__init__(
            uvicorn.Config(
                self._answer,
                interface="asgi3",
                http=H11Protocol,
                ws="none",
                log_config=None,
                access_log=False,
                proxy_headers=False,
            )
        )

    def run_until_stopped(self, listener: socket.socket) -> None:
        try:
            asyncio.run(self.serve(sockets=[listener]))
        except SystemExit:
            self.ready.set_exception(RuntimeError("the app did not start"))

    def stop(self) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stop.set)

    async def main_loop(self) -> None:
        await self.on_tick(0)
        self._stop = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self.ready.set_result(None)
        await self._stop.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Asyncio forgets to close a socket that it has accepted but not yet attached to its server
        # when that is closed: first no more are accepted, then those are let in.
        for listener in sockets or ():
            asyncio.get_running_loop().remove_reader(listener)
        await _turn()
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await _turn()
        tasks = list(self.server_state.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.lifespan.shutdown()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            extensions = {
                **(scope.get("extensions") or {}),
                CUT: {"abort": partial(self._abort, scope)},
            }
            scope = {**scope, "extensions": extensions}
        await self._app(scope, receive, send)

    def _abort(self, scope: Scope) -> None:
        for connection in list(self.server_state.connections):
            if isinstance(connection, H11Protocol) and connection.client == scope["client"]:
                connection.transport.abort()
