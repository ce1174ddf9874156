"""One connection: uvicorn's, with deadlines that no client can stretch, and bounds on what it may
make the server hold.

Uvicorn waits for ever for a header, a body and a reader. A deadline here runs from the first byte
of a request, and more bytes do not move it. What is no HTTP/1.1 as RFC 9112 has it, or may be read
in two ways, is answered once, after the answers that are still owed, and ends the connection.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final, NoReturn

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from thumbseal.web.door import SPARE, Door
from thumbseal.web.refusals import BAD, FULL, HUGE, LATE, MAX_HEAD, Refusal

FRAMING: Final = 10  # bytes of a request that one byte of its body pays for, in chunks of one byte
MAX_WAITING: Final = 16  # requests that wait on one connection for the answer before theirs
LINGER: Final = 2.0  # seconds that a client has to read a refusal
LINGER_BYTES: Final = 262_144  # of what it sends in the meantime


class Connection(HttpToolsProtocol):
    """A connection of a server with a door."""

    def __init__(
        self,
        door: Door,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._door = door
        self._outlet: _Outlet
        # The request being read.
        self._number = 0
        self._open = False  # between its first and its last byte
        self._headed = False  # and past its header
        self._keep = False  # whether the connection goes on after it
        self._spent = 0  # its bytes so far, but for the first piece, and what its body pays for
        self._piece = 0  # bytes of the piece that came last
        self._fault = BAD
        # The connection.
        self._running: RequestResponseCycle | None = None
        self._resting = False  # nobody waits, neither client nor server
        self._watched: tuple[int, bool] | None = None  # what the deadline is for: number, headed
        self._began = 0.0
        self._deadline: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None
        self._last: Refusal | None = None  # what is said after the answers that are owed
        self._deaf = False  # what still comes is thrown away
        self._ending = False
        self._patience = LINGER_BYTES

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._outlet = _Outlet(self, transport)
        over = len(self.connections) - self._door.bounds.connections
        if over > SPARE:
            transport.abort()
        elif over > 0 and not self._door.make_room():
            self._say(FULL)
        else:
            self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._ending = True
        self._cancel()
        self._stop_reproach()
        self._door.rise(self)
        self._door.left(len(self.connections))

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            self._patience -= len(data)
            if self._patience < 0:
                self.flow.pause_reading()
            return
        self._piece = len(data)
        self._spent += self._piece
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:  # answered as if nobody had asked for it, and the last
            self.cycle.keep_alive = False
            self.cycle.transport = self._outlet
            self._deaf = True
        except httptools.HttpParserError:
            self._fail(self._fault)
        else:
            if self._open and self._spent > MAX_HEAD:
                self._fail(HUGE)
        self._watch()

    # What the parser finds

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._number += 1
        self._open, self._headed, self._spent = True, False, 0

    def on_headers_complete(self) -> None:
        self._check_head()
        super().on_headers_complete()
        self._headed = True
        self.headers = []  # trailers go nowhere, least of all into the header of a running request
        cycle = self.cycle
        cycle.transport = self._outlet
        # Who is answered before his body has come gets no second request on this connection.
        self._keep, cycle.keep_alive = cycle.keep_alive, False

    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        self._spent = max(0, self._spent - FRAMING * len(body))

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._open = False
        if self._keep and not self.cycle.response_started:
            self.cycle.keep_alive = True
            self.cycle.transport = self.transport

    def _check_head(self) -> None:
        """Refuse what RFC 9112 has refused and the parser does not."""
        if self._spent + self._piece > MAX_HEAD and self._head_size() > MAX_HEAD:
            self._refuse(HUGE)
        version = self.parser.get_http_version()
        names = [name for name, _ in self.headers]
        hosts = names.count(b"host")
        if version not in ("1.0", "1.1") or (hosts != 1 and (hosts, version) != (0, "1.0")):
            self._refuse(BAD)
        if b"transfer-encoding" in names:
            coding = dict(self.headers)[b"transfer-encoding"]  # the parser takes no second one
            if version != "1.1" or coding.lower() != b"chunked":
                self._refuse(BAD)
        if len(self.pipeline) >= MAX_WAITING:
            self._refuse(BAD)

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _refuse(self, fault: Refusal) -> NoReturn:
        self._fault = fault
        raise ValueError("refused")

    # Answers

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        self._running = None
        if self._ending:
            return
        if self.transport.is_closing():
            return self.close()
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._last is not None:
            self._say(self._last)
        self._watch()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self.loop.call_later(self._door.bounds.request, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_reproach()

    def _stop_reproach(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    # Deadlines

    def _watch(self) -> None:
        """Set the deadline of what is waited for now; one that runs already stays as it is."""
        if self._ending:
            return
        if self._open:
            if self._watched != (self._number, self._headed):
                self._watch_request()
        elif self._deadline is not None:
            self._watched = None
            self._cancel()
        resting = not self._open and self._running is None
        if resting != self._resting:
            self._resting = resting
            if resting:
                self._door.rest(self, self.loop)
            else:
                self._door.rise(self)

    def _watch_request(self) -> None:
        now, bounds = self.loop.time(), self._door.bounds
        if self._watched != (self._number, False):  # what runs already began with the header
            self._began = now
        allowed = bounds.request if self._headed else bounds.header
        self._set(self._began + allowed - now, self._expire)
        self._watched = self._number, self._headed

    def _set(self, seconds: float, deed: Callable[[], None]) -> None:
        self._cancel()
        self._deadline = self.loop.call_later(seconds, deed)

    def _cancel(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _expire(self) -> None:
        if self.flow.read_paused:  # it is not the client who is late
            self._watched = None
            self._watch_request()
        else:
            self._fail(LATE)

    # The end

    def _fail(self, fault: Refusal) -> None:
        """Give up the request being read; its answer comes after those before it."""
        self._deaf = True
        if self._open and self._headed and self._drop(self.cycle):
            return self.close()
        self._open = False
        if self._running is None:
            self._say(fault)
        else:
            self._last = fault

    def _drop(self, cycle: RequestResponseCycle) -> bool:
        """Have the application stop reading it; whether it has begun to answer."""
        cycle.disconnected = True
        cycle.message_event.set()
        if cycle is self._running:
            self._running = None
        else:
            self.pipeline.popleft()
        return cycle.response_started

    def _say(self, refusal: Refusal) -> None:
        self._door.refused(refusal.code)
        self.transport.write(refusal.answer)
        self.linger()

    def linger(self) -> None:
        """Say that no more comes, and read on for a moment: a connection closed over something
        unread is reset, and the client loses the answer."""
        self._deaf = self._ending = True
        self._open = False
        self._door.rise(self)
        self.flow.resume_reading()
        self.transport.write_eof()
        self._set(LINGER, self.close)

    def close(self) -> None:
        """Close it now, and within a deadline if the client does not take what is written."""
        self._deaf = self._ending = True
        self._door.rise(self)
        self._cancel()
        if self.transport.get_write_buffer_size():
            self._set(self._door.bounds.request, self.transport.abort)
        self.transport.close()

    def shutdown(self) -> None:
        """Take no more requests, and close after the answers that are owed."""
        self._keep = False
        if self._running is None:
            self.close()
        else:
            self.cycle.keep_alive = False


class _Outlet(asyncio.Transport):
    """The transport of an answer, whose end may have to wait for the client."""

    def __init__(self, connection: Connection, transport: asyncio.Transport) -> None:
        super().__init__()
        self._connection = connection
        self._transport = transport

    def write(self, data: Any) -> None:
        self._transport.write(data)

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def close(self) -> None:
        self._connection.linger()
