"""Commands to a browser as JSON over a web socket: Chromium's DevTools Protocol and Firefox's
WebDriver BiDi frame them alike."""

import itertools
import json
import re
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from websockets.sync.client import ClientConnection, connect

from tests.engines.page import PageError

Message = dict[str, Any]
# A browser may take its time to start on a busy machine, and then for its first command.
START_SECONDS: Final = 60.0


class Connection:
    """One client of one browser. What it says of itself is kept for `wait`, the newest only."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._events: deque[Message] = deque(maxlen=1000)

    def call(self, method: str, *, session: str | None = None, **params: Any) -> Message:
        """The result of a command. Raises `PageError` with the browser's words."""
        number = self.tell(method, session=session, **params)
        answer = self._next(lambda message: message.get("id") == number)
        if "error" in answer:
            raise PageError(f"{method}: {answer.get('message') or answer['error']}")
        return dict(answer["result"])

    def tell(self, method: str, *, session: str | None = None, **params: Any) -> int:
        """Send a command whose answer nobody waits for; gives its number."""
        number = next(self._numbers)
        command = {"id": number, "method": method, "params": params}
        self._socket.send(json.dumps({**command, **({"sessionId": session} if session else {})}))
        return number

    def wait(self, matches: Callable[[Message], bool]) -> Message:
        """The first event, of those that came already or will, that matches."""
        while self._events:
            if matches(event := self._events.popleft()):
                return event
        return self._next(matches)

    def _next(self, matches: Callable[[Message], bool]) -> Message:
        while True:
            message: Message = json.loads(self._socket.recv(START_SECONDS))
            if matches(message):
                return message
            self._events.append(message)


@contextmanager
def launched(command: Sequence[str], path: str = "") -> Iterator[Connection]:
    """A browser started and connected to, by the address that it prints."""
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, encoding="utf-8"
    ) as process:
        try:
            address = _read_address(process)
            with connect(address + path, max_size=None, proxy=None, compression=None) as socket:
                yield Connection(socket)
        finally:
            process.kill()


def _read_address(process: "subprocess.Popen[str]") -> str:
    assert process.stderr is not None
    watchdog = threading.Timer(START_SECONDS, process.kill)
    watchdog.start()
    for line in process.stderr:
        if found := re.search(r"ws://\S+", line):
            watchdog.cancel()
            # What it goes on to say must be read, or it stops when the pipe is full.
            threading.Thread(target=process.stderr.read, daemon=True).start()
            return found.group()
    raise PageError("the browser ended before it could be connected to")
