"""The webhook adapter against a receiver over HTTP: what is signed, in which order, how often."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_network
from typing import Any, Final, Self

import httpx2
import pytest
from msgspec import structs
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from tests.doubles.serving import serve
from tests.histories import (
    ANN,
    BOB,
    START_MS,
    THREAD,
    change,
    custom,
    event,
    message,
    told,
    uid,
    vote,
)
from thumbseal.conversation import Conversation, fold
from thumbseal.errors import SettingsError
from thumbseal.events import Event
from thumbseal.ids import ThreadId
from thumbseal.retry import planned
from thumbseal.settings import Secret, Secrets, Webhook
from thumbseal.upstreams import Change, Delivered, Later, Outcome, UpstreamDown
from thumbseal.upstreams.calls import DEADLINE
from thumbseal.upstreams.dispatch import dispatch
from thumbseal.upstreams.network import make_client
from thumbseal.upstreams.webhook import CONCURRENCY, HOUR, SCHEDULE, WebhookUpstream

KEY: Final = bytes(range(32))
SECRET: Final = "whsec_" + base64.b64encode(KEY).decode()
NOW: Final = 1_790_000_042.9
LOOPBACK: Final = ip_network("127.0.0.1")


class Received:
    """A request that came in."""

    def __init__(self, request: Request, body: bytes) -> None:
        self.path = request.url.path
        self.headers = request.headers
        self.body = body

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def data(self) -> dict[str, Any]:
        return dict(json.loads(self.body)["data"])

    @property
    def entry(self) -> str:
        """The event's id as its sender gave it."""
        return str(self.data["event"]["id"])


class Receiver:
    """Takes webhooks; ``answer`` says what it answers, 204 by default."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        self.received: list[Received] = []
        self.answer: Callable[[Received], Response | None] = lambda received: None
        self.meeting: asyncio.Barrier | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        received = Received(request, await request.body())
        self.received.append(received)
        if self.meeting:
            await self.meeting.wait()
        response = self.answer(received) or Response(status_code=204)
        await response(scope, receive, send)


class Post:
    """The adapter and its receiver."""

    def __init__(self) -> None:
        self.runner = asyncio.Runner()
        self.receiver = Receiver()
        self.url = ""
        self.client = self.runner.run(_make_client())

    @classmethod
    @contextmanager
    def running(cls) -> Iterator[Self]:
        """The adapter with its receiver behind a real socket."""
        post = cls()
        with post.runner, serve(post.receiver) as url:
            post.url = f"{url}/hook"
            yield post
            post.runner.run(post.client.aclose())

    def deliver(self, *changes: Change, **more: Any) -> list[Outcome]:
        configured = hook(self.url, **more)
        return self.runner.run(_upstream(configured, self.client).deliver(changes))

    def fail(self, *changes: Change, **more: Any) -> UpstreamDown:
        """Deliver to a receiver that is in trouble as a whole."""
        with pytest.raises(UpstreamDown) as caught:
            self.deliver(*changes, **more)
        return caught.value

    @property
    def entries(self) -> list[str]:
        """The events received, in order, as their senders call them."""
        return [each.entry for each in self.receiver.received]

    def refuse(self, entry: str, status: int, **headers: str) -> None:
        """Answer one event so, all others well."""

        def answer(received: Received) -> Response | None:
            return (
                Response(status_code=status, headers=headers) if received.entry == entry else None
            )

        self.receiver.answer = answer


async def _make_client() -> httpx2.AsyncClient:
    return make_client(DEADLINE, [LOOPBACK])


def hook(url: str, *secrets: str, **more: Any) -> Webhook:
    return Webhook("hook", url, Secrets(*map(Secret, secrets or (SECRET,))), **more)


def _upstream(configured: Webhook, client: httpx2.AsyncClient) -> WebhookUpstream:
    """The adapter with a clock that stands."""
    return WebhookUpstream(configured, client, lambda: NOW)


@pytest.fixture(scope="module")
def shared() -> Iterator[Post]:
    with Post.running() as post:
        yield post


@pytest.fixture
def post(shared: Post) -> Post:
    shared.receiver.renew()
    return shared


def change_of(events: list[Event], since: int = 1, thread: ThreadId = THREAD) -> Change:
    conversation = fold(events, Conversation(thread, user="ann"))
    return Change("support", conversation, [each for each in events if each.seq >= since])


def numbered(count: int) -> list[ThreadId]:
    return [ThreadId(f"{THREAD[:-12]}{number:012x}") for number in range(count)]


TALK: Final = told(message("u1"), message("a1"), vote("a1", thumb="up"))


# The signature.


def signed(received: Received, key: bytes = KEY) -> str:
    """What the specification says stands in the header, told once more."""
    content = b".".join(
        [received.id.encode(), received.headers["webhook-timestamp"].encode(), received.body]
    )
    return "v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()


def test_every_request_is_signed(post: Post) -> None:
    """A receiver that knows the secret can verify each request, and its time, by the
    specification."""
    post.deliver(change_of(TALK))
    assert len(post.receiver.received) == 3
    for received in post.receiver.received:
        assert received.headers["webhook-signature"] == signed(received)
        assert received.headers["webhook-signature"] != signed(received, KEY[::-1])
        assert received.headers["webhook-timestamp"] == "1790000042"
        assert received.headers["content-type"] == "application/json"
        assert received.path == "/hook"


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        base64.b64encode(KEY).decode(),
        "whsec_" + base64.b64encode(KEY[:23]).decode(),
        "whsec_" + base64.b64encode(bytes(65)).decode(),
        SECRET + "!",
        SECRET.rstrip("="),
        "whsec_ü",
    ],
)
def test_a_bad_secret_stops_the_start(post: Post, secret: str) -> None:
    """A secret that is not one is refused when the upstream is made, and is not in the error."""
    with pytest.raises(SettingsError) as caught:
        _upstream(hook("http://x", SECRET, secret), post.client)
    assert len(secret) < 7 or secret not in str(caught.value)


def test_every_secret_signs(post: Post) -> None:
    """While a secret is exchanged a receiver finds a signature by the old and by the new one."""
    old = KEY[::-1]
    rotated = hook(post.url, "whsec_" + base64.b64encode(old).decode(), SECRET)
    post.runner.run(_upstream(rotated, post.client).deliver([change_of(TALK[:1])]))
    (received,) = post.receiver.received
    assert received.headers["webhook-signature"].split() == [
        signed(received, old),
        signed(received, KEY),
    ]


# What is in it.


def test_what_a_webhook_says(post: Post) -> None:
    """The body names the site, thread, user, actor, exchange and event, and a vote's state."""
    said = [event(4, vote("a1", comment="Good."), actor=ANN), event(5, vote("a1", thumb="down"))]
    post.deliver(change_of([*TALK, *said]))
    question, answer, *_, last = post.receiver.received
    body = json.loads(question.body)
    assert (body["type"], body["timestamp"]) == ("message.recorded", "2026-09-21T14:13:21.000Z")
    assert body["data"] == {
        "site": "support",
        "thread": THREAD,
        "user": "ann",
        "actor": ANN,
        "source": "browser",
        "at": START_MS + 1000,
        "received_at": START_MS + 1000,
        "exchange": uid("u1"),
        "event": {
            "type": "message",
            "id": "e1",
            "at": START_MS + 1000,
            "message": uid("u1"),
            "role": "user",
            "content": "u1",
        },
    }
    assert answer.data["exchange"] == uid("u1")
    assert json.loads(last.body)["type"] == "feedback.recorded"
    assert last.data["event"]["feedback"] == {"thumb": "down"}
    assert last.data["state"] == {"thumb": "down"}


def test_a_vote_carries_its_own_actors_state(post: Post) -> None:
    """The state beside a vote is that of the actor who gave it."""
    post.deliver(change_of([*TALK, event(4, vote("a1", thumb="down"), actor=BOB)]))
    states = {each.data["actor"]: each.data["state"] for each in post.receiver.received[2:]}
    assert states == {ANN: {"thumb": "up"}, BOB: {"thumb": "down"}}


def test_a_conversation_as_it_stands(post: Post) -> None:
    """With payload = "conversation" one request tells all there is of the thread."""
    events = [*TALK, *told(change(tags=("x",)), custom("copied", n=1), first=4)]
    post.deliver(change_of(events, since=2), payload="conversation")
    (received,) = post.receiver.received
    assert json.loads(received.body)["type"] == "conversation.updated"
    data = received.data
    assert (data["version"], data["tags"], data["user"]) == (5, ["x"], "ann")
    (exchange,) = data["exchanges"]
    assert exchange["id"] == uid("u1")
    assert [each["event"]["content"] for each in exchange["messages"]] == ["u1", "a1"]
    assert data["feedback"] == [{"message": uid("a1"), "actor": ANN, "state": {"thumb": "up"}}]
    assert [each["event"]["name"] for each in data["customs"]] == ["copied"]


def test_an_exchange_is_told_as_one_reads_it(post: Post) -> None:
    """A question comes first, also where a quick backend's answer was stored before it."""
    events = told(message("a1", reply_to="u1"), message("u1"))
    post.deliver(change_of(events), payload="conversation")
    (exchange,) = post.receiver.received[0].data["exchanges"]
    assert [each["event"]["content"] for each in exchange["messages"]] == ["u1", "a1"]


def test_a_conversation_without_what_was_refused(post: Post) -> None:
    """What the receiver refused for good is left out of the next request; its place is not."""
    post.receiver.answer = lambda received: Response(status_code=422)
    dead = ((1, "status 422"), (2, "status 422"), (3, "status 422"))
    assert post.deliver(change_of(TALK), payload="conversation") == [Delivered(dead=dead)]
    post.receiver.renew()
    later = structs.replace(change_of(TALK, since=3), dead=frozenset({2, 3}))
    post.deliver(later, payload="conversation")
    (received,) = post.receiver.received
    (exchange,) = received.data["exchanges"]
    assert [each["event"]["content"] for each in exchange["messages"]] == ["u1", ""]
    assert [each["state"] for each in received.data["feedback"]] == [{}]


# Ids.


def test_ids_are_the_same_at_every_attempt(post: Post) -> None:
    """An event sent again bears the id it had, so that a receiver can drop it."""
    post.deliver(change_of(TALK))
    post.deliver(change_of([*TALK, event(4, message("u2"))], since=2))
    first, again = post.receiver.received[:3], post.receiver.received[3:]
    assert [each.id for each in again[:2]] == [each.id for each in first[1:]]
    assert len({each.id for each in post.receiver.received}) == 4


def test_no_two_events_share_an_id(post: Post) -> None:
    """Ids differ by site, thread, source and the sender's id of the event."""
    (own,) = TALK[:1]
    changes = [
        change_of([own]),
        change_of([own], thread=numbered(1)[0]),
        structs.replace(change_of([own]), site="other"),
        change_of([structs.replace(own, source="backend")]),
        change_of([event(2, message("u1"))]),
    ]
    post.deliver(*changes)
    assert len({each.id for each in post.receiver.received}) == len(changes)


# Order.


def test_a_thread_arrives_in_order(post: Post) -> None:
    """The events of a thread come one after the other, in the order of the log."""
    events = told(*(message(f"u{number}") for number in range(20)))
    assert post.deliver(change_of(events)) == [Delivered()]
    assert post.entries == [f"e{seq}" for seq in range(1, 21)]


def test_threads_do_not_wait_for_each_other(post: Post) -> None:
    """Eight threads are under way at once: the receiver answers none before it has seen all."""
    post.receiver.meeting = asyncio.Barrier(CONCURRENCY)
    changes = [change_of(TALK[:1], thread=thread) for thread in numbered(CONCURRENCY)]
    upstream = _upstream(hook(post.url), post.client)
    done = post.runner.run(dispatch(upstream, changes, CONCURRENCY, seconds=60.0))
    assert done.outcomes == [Delivered()] * CONCURRENCY


def test_one_thread_is_held_and_the_others_go_on(post: Post) -> None:
    """A thread in trouble is held from its failing event on; the others are delivered."""
    bad, *good = numbered(4)
    post.refuse("e2", 503)
    changes = [change_of(TALK[:1], thread=thread) for thread in good]
    assert post.deliver(change_of(TALK, thread=bad), *changes) == [
        Later("status 503", since=2, plan=SCHEDULE),
        *[Delivered()] * 3,
    ]
    assert sorted(post.entries) == ["e1"] * 4 + ["e2"]


# Answers.


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_any_2xx_is_delivered(post: Post, status: int) -> None:
    """A 2xx says that the receiver has it, whatever its body."""
    post.refuse("e2", status)
    assert post.deliver(change_of(TALK)) == [Delivered()]


@pytest.mark.parametrize("status", [400, 405, 413, 415, 422])
def test_a_4xx_is_dead(post: Post, status: int) -> None:
    """An event that the receiver refuses is dead by itself, and those after it are sent."""
    post.refuse("e2", status)
    assert post.deliver(change_of(TALK)) == [Delivered(dead=((2, f"status {status}"),))]
    assert post.entries == ["e1", "e2", "e3"]


@pytest.mark.parametrize("status", [301, 302, 307, 308, 401, 403, 404, 408, 425, 429, 500, 503])
def test_other_answers_hold_the_thread(post: Post, status: int) -> None:
    """An answer that is no word on the event holds its thread, and nothing after it is sent."""
    post.refuse("e2", status)
    (outcome,) = post.deliver(change_of(TALK))
    assert isinstance(outcome, Later)
    assert outcome.since == 2
    assert str(status) in outcome.reason
    assert post.entries == ["e1", "e2"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(post: Post, status: int) -> None:
    """A receiver cannot send a signed body on to another place."""
    post.refuse("e1", status, location="/elsewhere")
    post.deliver(change_of(TALK[:1]))
    assert [each.path for each in post.receiver.received] == ["/hook"]


def test_retry_after_is_passed_on(post: Post) -> None:
    """What the receiver asks to wait is passed on with the hold."""
    post.refuse("e2", 429, **{"retry-after": "41"})
    assert post.deliver(change_of(TALK)) == [Later("status 429", 41.0, 2, plan=SCHEDULE)]


def test_an_event_dead_before_a_hold_keeps_its_name(post: Post) -> None:
    """An event refused before the one that must wait is dead, not forgotten."""

    def answer(received: Received) -> Response | None:
        return Response(status_code={"e1": 422, "e2": 503}[received.entry])

    post.receiver.answer = answer
    (outcome,) = post.deliver(change_of(TALK))
    assert outcome == Later("status 503", since=2, dead=((1, "status 422"),), plan=SCHEDULE)


def test_an_answer_that_nobody_wants_is_not_read_to_its_end(post: Post) -> None:
    """The status says all: a body without end costs its connection, not the delivery."""

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 4096
            await asyncio.sleep(0)  # or the server never learns that its client has gone

    post.receiver.answer = lambda received: StreamingResponse(endless())
    assert post.deliver(change_of(TALK)) == [Delivered()]
    assert post.entries == ["e1", "e2", "e3"]


# When the receiver is in trouble.


def test_the_schedule_is_that_of_the_specification() -> None:
    """A thread waits 5 s, 5 min, 30 min, … and in the end once a day, each a fifth more or less."""
    waits = [planned(SCHEDULE, attempts, 0.5) for attempts in (1, 2, 3, 4, 9, 10, 99)]
    assert waits == [5, 300, 1800, 2 * HOUR, 24 * HOUR, 24 * HOUR, 24 * HOUR]
    assert [planned(SCHEDULE, 1, jitter) for jitter in (0.0, 1.0)] == pytest.approx([4, 6])


@pytest.mark.parametrize("status", [401, 402, 403, 404, 429])
def test_a_receiver_that_wants_nothing_holds_no_thread(post: Post, status: int) -> None:
    """Where the answer is about us and not about the event, the upstream as a whole waits."""
    post.refuse("e1", status, **{"retry-after": "41"})
    failure = post.fail(change_of(TALK))
    assert (failure.whole, failure.refused, failure.gone) == (True, status != 429, False)
    assert post.entries == ["e1"]


def test_a_receiver_that_is_away_holds_no_thread(post: Post) -> None:
    """Nobody at the address says nothing of any thread."""
    with serve(post.receiver) as url:
        gone = url
    with pytest.raises(UpstreamDown, match="ConnectError") as caught:
        post.runner.run(_upstream(hook(gone), post.client).deliver([change_of(TALK, since=2)]))
    assert (caught.value.whole, caught.value.refused) == (True, False)


def test_a_receiver_that_is_gone_says_so(post: Post) -> None:
    """410 from any event ends all: nothing is sent until a person says so."""
    post.refuse("e2", 410)
    failure = post.fail(change_of(TALK))
    assert failure.gone
    assert failure.refused
    assert "e3" not in post.entries
