"""A desk between histories and a Lunary double: what a forwarder does, in the test's hand."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import httpx2
from msgspec import UNSET, Struct, structs
from starlette.types import Receive, Scope, Send

from tests.doubles.lunary import PROJECT, LunaryDouble
from tests.doubles.serving import serve
from tests.histories import THREAD, folded
from thumbseal.conversation import Conversation
from thumbseal.events import Custom, Event, Opinion
from thumbseal.settings import Lunary, Secret
from thumbseal.upstreams import Change, Delivered, Outcome, UpstreamDown
from thumbseal.upstreams.calls import DEADLINE
from thumbseal.upstreams.guard import ANYWHERE
from thumbseal.upstreams.lunary import LunaryUpstream
from thumbseal.upstreams.network import make_client
from thumbseal.upstreams.pace import Pace

USER: Final = "ann@example.com"


class Impatient:
    """A clock that notes who would wait, and lets nobody."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def now(self) -> float:
        return 1_790_000_000.0

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


class Exchange(Struct, frozen=True):
    """An exchange as a person sees it at Lunary: its texts, and the vote on its answer."""

    id: str
    asked: list[Any]
    said: list[Any]
    vote: dict[str, Any] | None


class State(Struct, frozen=True):
    """A thread as a person sees it at Lunary."""

    user: str | None
    tags: list[str]
    exchanges: list[Exchange]
    customs: list[str]


class Desk:
    """The adapter at work on a double of its own; `renew` gives it an empty one."""

    def __init__(self) -> None:
        self.runner = asyncio.Runner()
        self.client = self.runner.run(_make_client())
        self.url = ""
        self.renew()

    def renew(self) -> LunaryDouble:
        self.clock = Impatient()
        self.double = LunaryDouble(self.clock, requests_per_minute=10**9)
        return self.double

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.double(scope, receive, send)

    def use(self, url: str) -> None:
        self.url = url

    def deliver(self, *changes: Change, pace: Pace | None = None, **more: Any) -> list[Outcome]:
        """What becomes of the changes, with an adapter that knows nothing of those before; what has
        to be sent once more without its dead is, as a forwarder does."""
        configured = Lunary("lunary", Secret(PROJECT.private_key), self.url, **more)
        upstream = LunaryUpstream(configured, self.client, pace)
        outcomes = self.runner.run(upstream.deliver(changes))
        return [
            self._without_dead(change, outcome, **more)
            if isinstance(outcome, Delivered) and outcome.again
            else outcome
            for change, outcome in zip(changes, outcomes, strict=True)
        ]

    def _without_dead(self, change: Change, outcome: Delivered, **more: Any) -> Outcome:
        dead = dict(outcome.dead)
        (rest,) = self.deliver(structs.replace(change, dead=change.dead | dead.keys()), **more)
        if isinstance(rest, Delivered):
            return structs.replace(rest, dead=tuple({**dead, **dict(rest.dead)}.items()))
        return rest

    def insist(self, change: Change) -> Outcome:
        """Deliver until there is an answer."""
        while True:
            try:
                return self.deliver(change)[0]
            except UpstreamDown:
                continue

    def state(self) -> State | None:
        """What is stored of the one thread there is; None without one."""
        if not self.double.threads():
            return None
        return self.shown()

    def shown(self) -> State:
        """What is stored of the one thread there is."""
        (thread,) = self.double.threads()
        assert thread.id == THREAD
        return State(
            self.double.user_of(thread),
            thread.tags or [],
            [
                Exchange(run.id, _texts(run.input), _texts(run.output), run.feedback)
                for run in self.double.exchanges(THREAD)
            ],
            [run.name or "" for run in self.double.custom_events(THREAD)],
        )


async def _make_client() -> httpx2.AsyncClient:
    return make_client(DEADLINE, ANYWHERE)


def _texts(messages: Any) -> list[Any]:
    return [each["content"] for each in messages or []]


def expected(conversation: Conversation) -> State | None:
    """What the fold says should be stored: nothing, where there are only votes."""
    if conversation.first is None:
        return None
    return State(
        conversation.user,
        list(conversation.tags),
        [
            Exchange(
                each.id,
                [turn.message.content for turn in each.turns if turn.asks],
                [turn.message.content for turn in each.turns if not turn.asks],
                _vote(conversation, each.answer.message.message) if each.answer else None,
            )
            for each in conversation.exchanges.values()
        ],
        [each.entry.name for each in conversation.customs if isinstance(each.entry, Custom)],
    )


def _vote(conversation: Conversation, answer: str) -> dict[str, Any] | None:
    """The last actor's whole opinion, with null for what she does not say."""
    ratings = conversation.ratings_of(answer)
    if not ratings:
        return None
    values = {key: getattr(ratings[-1].opinion, key) for key in Opinion.__struct_fields__}
    plain = {key: list(v) if isinstance(v, tuple) else v for key, v in values.items()}
    return {key: None if value is UNSET else value for key, value in plain.items()}


def change_of(events: list[Event], since: int = 1, dead: frozenset[int] = frozenset()) -> Change:
    """All these events told, those from ``since`` on to be delivered."""
    new = [each for each in events if each.seq >= since]
    return Change("support", folded(events, USER), new, dead)


def changes(events: list[Event], cuts: set[int]) -> Iterator[Change]:
    """A history in pieces that end at the cuts."""
    ends = sorted({cut for cut in cuts if cut < len(events)} | {len(events)})
    for start, end in zip([0, *ends], ends, strict=False):
        yield change_of(events[:end], start + 1)


@contextmanager
def open_desk() -> Iterator[Desk]:
    """A desk with its double behind a real socket."""
    desk = Desk()
    with desk.runner, serve(desk) as url:
        desk.use(url)
        yield desk
        desk.runner.run(desk.client.aclose())
