"""What goes wrong, as plain data, and the order in which it does."""

import asyncio
import json
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Protocol

from .ingest import Result
from .values import Value


@dataclass(frozen=True)
class Received:
    """A request as it came in; header names in lower case, time in seconds since 1970.

    ``json`` is the parsed body, None where it is no JSON.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    json: Value
    at: float

    @property
    def events(self) -> list[Value]:
        """The events of a batch, in the order sent; none for other requests."""
        events = self.json.get("events") if isinstance(self.json, dict) else None
        return events if isinstance(events, list) else []


@dataclass(frozen=True)
class Answer:
    """An HTTP answer."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True)
class Instead:
    """Another answer than the honest one, by default without any effect."""

    answer: Answer
    applied: bool = False


@dataclass(frozen=True)
class Cut:
    """No answer: the request is applied (or not), then the connection breaks.

    With ``half`` it breaks in the middle of the honest answer's body.
    """

    applied: bool = True
    half: bool = False


@dataclass(frozen=True)
class Hang:
    """Silence until ``release()``, then the honest answer; with ``applied`` the effect is earlier.

    ``entered`` is done once a request hangs. A client that leaves does not undo its request.
    """

    applied: bool = False
    entered: Future[None] = field(default_factory=Future)
    released: Future[None] = field(default_factory=Future)

    def release(self) -> None:
        # A server that has stopped meanwhile took its hanging requests with it.
        if self.released.set_running_or_notify_cancel():
            self.released.set_result(None)


@dataclass(frozen=True)
class Endless:
    """A 200 whose JSON body never ends, until the client leaves."""

    applied: bool = True
    start: bytes = b'{"results":['
    chunk: bytes = b" " * 65_536


@dataclass(frozen=True)
class Alter:
    """The honest answer with other results: wrong ids, too few, none."""

    change: Callable[[list[Result]], list[Result]]


@dataclass(frozen=True)
class Outage:
    """The database takes this many events and goes down for the rest of the request."""

    after: int = 0


Fault = Instead | Cut | Hang | Endless | Alter | Outage
HTML_PAGE = Instead(
    Answer(200, {"content-type": "text/html"}, b"<!doctype html><title>Sign in</title>")
)


class Faults:
    """What happens to the next requests: first the plan, one entry each, then what the hook says.

    None, in the plan or from the hook, is an honest answer.
    """

    def __init__(self) -> None:
        self.hook: Callable[[Received], Fault | None] | None = None
        self._plan: deque[Fault | None] = deque()

    def plan(self, *faults: Fault | None) -> None:
        self._plan.extend(faults)

    def clear(self) -> None:
        self._plan.clear()
        self.hook = None

    def take(self, received: Received) -> Fault | None:
        if self._plan:
            return self._plan.popleft()
        return self.hook(received) if self.hook else None


class Wire(Protocol):
    """One request as a fault sees it."""

    async def apply(self, database_answers: int | None = None) -> Answer: ...
    async def send(self, answer: Answer, *, whole: bool = True) -> None: ...
    async def send_more(self, chunk: bytes) -> None: ...
    async def cut(self) -> None: ...
    async def gone(self) -> None: ...


async def perform(fault: Fault | None, wire: Wire) -> None:
    """Answer one request, honestly or not."""
    match fault:
        case None:
            await wire.send(await wire.apply())
        case Instead():
            await _apply_if(fault.applied, wire)
            await wire.send(fault.answer)
        case Cut():
            await _cut(fault, wire)
        case Hang():
            await _hang(fault, wire)
        case Endless():
            await _apply_if(fault.applied, wire)
            await _send_without_end(fault, wire)
        case Alter():
            await wire.send(_alter(await wire.apply(), fault.change))
        case Outage():
            await wire.send(await wire.apply(database_answers=fault.after))


async def _apply_if(applied: bool, wire: Wire) -> Answer:
    return await wire.apply() if applied else Answer()


async def _cut(fault: Cut, wire: Wire) -> None:
    answer = await _apply_if(fault.applied, wire)
    if fault.half:
        half = answer.body[: len(answer.body) // 2]
        headers = {**answer.headers, "content-length": str(len(answer.body))}
        await wire.send(Answer(answer.status, headers, half), whole=False)
    await wire.cut()


async def _hang(fault: Hang, wire: Wire) -> None:
    answer = await wire.apply() if fault.applied else None
    if not fault.entered.done():
        fault.entered.set_result(None)
    await asyncio.wrap_future(fault.released)
    await wire.send(answer or await wire.apply())


async def _send_without_end(fault: Endless, wire: Wire) -> None:
    headers = {"content-type": "application/json"}
    await wire.send(Answer(200, headers, fault.start), whole=False)
    gone: asyncio.Future[None] = asyncio.ensure_future(wire.gone())
    while not gone.done():
        await wire.send_more(fault.chunk)
        await asyncio.sleep(0)


def _alter(answer: Answer, change: Callable[[list[Result]], list[Result]]) -> Answer:
    body = json.dumps({"results": change(json.loads(answer.body)["results"])}).encode()
    headers = {key: value for key, value in answer.headers.items() if key != "content-length"}
    return Answer(answer.status, headers, body)
