"""Recording from a backend: delivered in order, once, and never at the application's expense."""

import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from starlette.types import Receive, Scope, Send

import thumbseal
from tests.doubles.serving import serve
from tests.proxy import Proxy, make_settings, running
from tests.test_site import site_of
from thumbseal.backend.delivery import FOR_GOOD, pause_of, rule
from thumbseal.backend.outbox import BATCH_BYTES, BATCH_EVENTS, OVERHEAD, Outbox, Waiting
from thumbseal.backend.wire import Reply
from thumbseal.ids import ActorId, ThreadId
from thumbseal.settings import Settings

SECONDS: Final = 30.0  # for what happens at once, unless the machine is very busy
NOTHING: Final = {"delivered": 0, "waiting": 0, "dropped": 0, "refused": 0}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return make_settings(tmp_path)


@pytest.fixture
def proxy(settings: Settings) -> Iterator[Proxy]:
    with running(settings, time.time) as opened:
        yield opened


def closed_port() -> int:
    """A port of this machine that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def counts(client: thumbseal.Client, **expected: int) -> bool:
    found = client.counts
    return {name: getattr(found, name) for name in NOTHING} == NOTHING | expected


def test_a_conversation_is_recorded_as_the_backends_word(proxy: Proxy) -> None:
    """A thread with its tags, question, answer, event and vote arrive in order, as the backend's,
    under the ids that were returned at once."""
    client = thumbseal.Client(proxy.url, site_of(proxy))
    thread = client.open_thread("order-7", user="u_42", tags=["beta"], metadata={"plan": "pro"})
    question = thread.track_message({"role": "user", "content": "Q", "metadata": {"n": 1}})
    answer = thread.track_message({"role": "assistant", "content": "A"}, reply_to=question)
    thread.track_event("opened-help", {"page": "faq"})
    client.track_feedback(answer, {"thumb": "down", "comment": "why?"})
    client.track_feedback(answer, {"thumb": "up"})
    assert client.flush(SECONDS)
    assert counts(client, delivered=6)
    (told,) = proxy.conversations()
    assert (told.thread, told.user, told.tags) == (thread.id, "u_42", ("beta",))
    assert [(turn.message.message, turn.source) for turn in told.turns] == [
        (question.id, "backend"),
        (answer.id, "backend"),
    ]
    assert list(told.exchanges) == [question.id]
    (rating,) = told.ratings.values()
    assert rating.opinion.thumb == "up"
    assert client.get_feedback(answer) == {"thumb": "up"}
    client.track_feedback(answer, {"thumb": None})
    assert client.flush(SECONDS)
    assert not (client.get_feedback(answer) or {}).get("thumb")
    assert client.get_feedback(question) is None


def test_a_page_goes_on_in_the_backends_thread_and_back(proxy: Proxy) -> None:
    """The page records its question with the thread's token; the backend answers that very message
    by its token, and the page votes with the answer's."""
    client = thumbseal.Client(proxy.url, site_of(proxy))
    opened = client.open_thread()
    assert opened.token is not None
    page = proxy.open(thread=opened.token)
    token = page["messages"][0]["token"]
    event = {"type": "message", "message": token, "role": "user", "content": "Q"}
    assert proxy.record(page["thread"]["token"], event) == [{"status": "accepted"}]
    question = client.site.verify(token)
    thread = client.thread_of(question)
    answer = thread.track_message({"role": "assistant", "content": "A"}, reply_to=question)
    assert client.flush(SECONDS)
    vote = {"type": "feedback", "message": answer.token, "feedback": {"thumb": "up"}}
    assert proxy.record(None, vote) == [{"status": "accepted"}]
    (told,) = proxy.conversations()
    assert [turn.source for turn in told.turns] == ["browser", "backend"]
    assert list(told.exchanges) == [question.id]
    assert client.get_feedback(answer) == {"thumb": "up"}


@pytest.mark.anyio
async def test_the_async_client_is_the_same_but_for_what_waits(proxy: Proxy) -> None:
    """Recording is called as it is; flushing and reading are awaited."""
    client = thumbseal.AsyncClient(proxy.url, site_of(proxy))
    thread = client.open_thread()
    answer = thread.track_message({"role": "assistant", "content": "A"})
    client.track_feedback(answer, {"thumb": "down"})
    assert await client.flush(SECONDS)
    assert await client.get_feedback(answer) == {"thumb": "down"}


BAD: Final[dict[str, dict[str, Any]]] = {
    "no role": {"content": "A"},
    "an unknown role": {"role": "robot", "content": "A"},
    "an unknown field": {"role": "user", "content": "A", "refusal": "x"},
    "a huge text": {"role": "user", "content": "x" * 40_000},
    "an object": {"role": "user", "content": "A", "metadata": {"x": object()}},
    "a lone surrogate": {"role": "user", "content": "\ud800"},
    "too many tags": {"role": "user", "content": "A", "tags": ["x"] * 17},
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_recorded_is_logged_and_the_application_goes_on(
    proxy: Proxy, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A bad message is a line in the log, or with ``strict`` an error at the call."""
    client = thumbseal.Client(proxy.url, site_of(proxy))
    message = client.open_thread().track_message(BAD[name])
    assert message.token
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("thumbseal", logging.ERROR)
    assert counts(client)
    strict = thumbseal.Client(proxy.url, site_of(proxy), strict=True)
    with pytest.raises(thumbseal.ThumbsealError):
        strict.open_thread().track_message(BAD[name])


# An audit hook stays for good: it is told whose calls it looks at.
_watched: set[int] = set()
_seen: list[str] = []


def _audit(event: str, _: tuple[Any, ...]) -> None:
    if event.startswith("socket.") and threading.get_ident() in _watched:
        _seen.append(event)


sys.addaudithook(_audit)


@contextmanager
def no_network_here() -> Iterator[None]:
    """Fails where this thread touches a socket. Python tells of each connection and look-up."""
    _seen.clear()
    _watched.add(threading.get_ident())
    try:
        yield
    finally:
        _watched.discard(threading.get_ident())
    assert _seen == []


def track_many(client: thumbseal.Client, count: int) -> None:
    thread = client.open_thread("order-7")
    with no_network_here():
        for number in range(count):
            thread.track_message({"role": "user", "content": f"{number}"})


def texts(proxy: Proxy) -> list[Any]:
    return [turn.message.content for told in proxy.conversations() for turn in told.turns]


class Gate:
    """An application in front of another one: while ``closed`` it answers with ``status``, or holds
    the request until it opens."""

    def __init__(self, app: str, status: int | None = None, headers: dict[str, str] | None = None):
        self.status = status
        self.headers = headers or {}
        self.arrived = threading.Event()
        self.opened = threading.Event()
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        self.arrived.set()
        import asyncio

        import httpx2

        if self.status is None:
            await asyncio.to_thread(self.opened.wait)
        elif not self.opened.is_set():
            raw = [(name.encode(), value.encode()) for name, value in self.headers.items()]
            await send({"type": "http.response.start", "status": self.status, "headers": raw})
            await send({"type": "http.response.body", "body": b"{}"})
            return
        message = await receive()
        async with httpx2.AsyncClient(trust_env=False) as http:
            answer = await http.post(self._app + scope["path"], content=message["body"])
        await send({"type": "http.response.start", "status": answer.status_code, "headers": []})
        await send({"type": "http.response.body", "body": answer.content})


def test_while_the_server_is_down_the_application_goes_on(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """With nobody at the port, recording does not touch the network; once the server is there
    everything arrives, in order and once. The log says so once."""
    port = closed_port()
    site = thumbseal.Site("support", settings.sites["support"].signing_keys().for_app())
    client = thumbseal.Client(f"http://127.0.0.1:{port}", site)
    track_many(client, 120)
    assert not client.flush(0.2)
    assert counts(client, waiting=120)
    with running(settings, time.time, port) as proxy:
        assert client.flush(SECONDS)
        assert texts(proxy) == [str(number) for number in range(120)]
    assert counts(client, delivered=120)
    lines = [record.getMessage() for record in caplog.records if record.name == "thumbseal"]
    assert len(lines) == 2
    assert "They wait" in lines[0]
    assert "again" in lines[1]


def test_while_the_server_is_slow_the_application_goes_on(proxy: Proxy) -> None:
    """A request that hangs holds up no call: the events wait beside it, and arrive after it."""
    gate = Gate(proxy.url)
    with serve(gate) as url:
        client = thumbseal.Client(url, site_of(proxy))
        track_many(client, 1)
        assert gate.arrived.wait(SECONDS)
        track_many(client, 60)
        assert counts(client, waiting=61)
        gate.opened.set()
        assert client.flush(SECONDS)
    assert texts(proxy) == ["0", *(str(number) for number in range(60))]


@pytest.mark.parametrize("status", [404, 429, 500, 503, 507, 302, 200])
def test_while_the_server_refuses_the_application_goes_on(proxy: Proxy, status: int) -> None:
    """Whatever else it answers, events wait until it takes them."""
    gate = Gate(proxy.url, status)
    with serve(gate) as url:
        client = thumbseal.Client(url, site_of(proxy))
        track_many(client, 3)
        assert gate.arrived.wait(SECONDS)
        assert not client.flush(0.05)
        assert counts(client, waiting=3)
        gate.opened.set()
        assert client.flush(SECONDS)
    assert texts(proxy) == ["0", "1", "2"]


def test_an_answer_that_is_lost_records_nothing_twice(proxy: Proxy) -> None:
    """The events of a request whose answer never came go again, and are duplicates."""
    lost: list[int] = []

    async def losing(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        import httpx2

        message = await receive()
        async with httpx2.AsyncClient(trust_env=False) as http:
            answer = await http.post(proxy.url + scope["path"], content=message["body"])
        status = 502 if not lost else answer.status_code
        lost.append(answer.status_code)
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": answer.content})

    with serve(losing) as url:
        client = thumbseal.Client(url, site_of(proxy))
        track_many(client, 5)
        assert client.flush(SECONDS)
    assert lost.count(202) == len(lost) >= 2
    assert texts(proxy) == [str(number) for number in range(5)]


def test_what_the_server_never_takes_is_counted_and_logged(
    proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    """Events of another key's site are refused for good: they do not wait, and do not hold up."""
    from thumbseal.keys import Keys, new_key

    stranger = thumbseal.Site("support", Keys.derive([new_key()]).for_app())
    client = thumbseal.Client(proxy.url, stranger)
    track_many(client, 3)
    assert client.flush(SECONDS)
    assert counts(client, refused=3)
    assert "401" in caplog.text
    with pytest.raises(thumbseal.ThumbsealError, match="token_invalid"):
        client.get_feedback(stranger.mint_message(stranger.open_thread()))


def test_memory_is_bounded_and_the_oldest_go_first(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """Of more than fits, the newest stay within ``max_bytes``; the rest is counted, and logged
    once."""
    port = closed_port()
    site = thumbseal.Site("support", settings.sites["support"].signing_keys().for_app())
    client = thumbseal.Client(f"http://127.0.0.1:{port}", site, max_bytes=100_000)
    thread = client.open_thread()
    for number in range(300):
        thread.track_message({"role": "user", "content": f"{number}".ljust(500, ".")})
    dropped, waiting = client.counts.dropped, client.counts.waiting
    assert dropped + waiting == 300
    assert 60 < waiting <= 100_000 / (500 + OVERHEAD)
    assert caplog.text.count("memory") == 1
    with running(settings, time.time, port) as proxy:
        assert client.flush(SECONDS)
        arrived = [int(text.rstrip(".")) for text in texts(proxy)]
    assert arrived == sorted(arrived)
    assert arrived[-waiting // 2 :] == list(range(300 - len(arrived[-waiting // 2 :]), 300))
    assert counts(client, delivered=len(arrived), dropped=300 - len(arrived))


CHILD: Final = """
import os, sys, thumbseal
client = thumbseal.Client.from_env()
thread = client.open_thread("order-7")
thread.track_message({"role": "user", "content": "before"})
%s
"""


def run_child(proxy: Proxy, code: str, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "THUMBSEAL_URL": proxy.url,
        "THUMBSEAL_SITE": "support",
        "THUMBSEAL_APP_KEY": proxy.settings.sites["support"].signing_keys().for_app(),
        **more,
    }
    command = [sys.executable, "-W", "error", "-c", CHILD % code]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=60
    )


def test_a_process_that_ends_sends_what_waits(proxy: Proxy) -> None:
    """Without a word about flushing, a script's events are there after its end."""
    ended = run_child(proxy, "")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert texts(proxy) == ["before"]


def test_a_process_that_ends_does_not_wait_for_long(proxy: Proxy) -> None:
    """Where the server is down, the end comes all the same."""
    url = f"http://127.0.0.1:{closed_port()}"
    ended = run_child(proxy, "", THUMBSEAL_URL=url)
    assert ended.returncode == 0
    assert "They wait" in ended.stderr


def test_a_forked_child_records_too_and_nothing_twice(proxy: Proxy) -> None:
    """A child has a delivery of its own: what waited is its parent's, what it says is its own."""
    forking = """
child = os.fork()
if child == 0:
    assert client.counts.waiting == 0
    thread.track_message({"role": "user", "content": "child"})
    os._exit(0 if client.flush(30) else 1)
assert os.waitpid(child, 0)[1] == 0
thread.track_message({"role": "user", "content": "parent"})
"""
    ended = run_child(proxy, forking)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert sorted(texts(proxy)) == ["before", "child", "parent"]


def waiting(number: int, thread: str = "t", user: str | None = None, size: int = 1) -> Waiting:
    raw = json.dumps(number).encode().ljust(size)
    return Waiting(ThreadId(thread), ActorId("a"), user, raw)


def test_a_batch_is_one_threads_in_order_within_the_servers_limits() -> None:
    """A batch holds what follows in the oldest event's thread, no more than the server takes, and
    nothing overtakes what another user said there."""
    box = Outbox(10**9, lambda count: None)
    events = [waiting(0), waiting(1, "u"), waiting(2), waiting(3, user="me"), waiting(4)]
    for event in events:
        box.put(event)
    taken = []
    while len(box):
        taken.append([json.loads(each.raw) for each in box.take()])
        box.settle([])
    assert taken == [[0, 2], [1], [3], [4]]
    for event in (waiting(number) for number in range(BATCH_EVENTS + 1)):
        box.put(event)
    assert len(box.take()) == BATCH_EVENTS
    box.settle([])
    box.take()
    box.settle([])
    for _ in range(3):
        box.put(waiting(0, size=BATCH_BYTES // 2))
    assert [len(box.take()), len(box)] == [1, 3]


def test_what_goes_again_goes_first() -> None:
    """A batch that came back stands before what came after it, and its bytes are counted still."""
    box = Outbox(10**9, lambda count: None)
    for number in range(3):
        box.put(waiting(number))
    box.settle(box.take()[1:])
    assert [json.loads(each.raw) for each in box.take()] == [1, 2]
    assert box.size == 2 * (1 + OVERHEAD)
    box.settle([])
    assert (box.size, len(box)) == (0, 0)


def test_an_answer_is_judged_event_by_event() -> None:
    """Accepted and duplicate are done, rejected is refused unless it may be sent again."""
    batch = [waiting(number) for number in range(4)]
    results = [
        {"status": "accepted"},
        {"status": "duplicate"},
        {"status": "rejected", "code": "gone"},
        {"status": "rejected", "code": "rate_limited", "retry": True},
    ]
    ruling = rule(batch, Reply(202, json.dumps({"results": results}).encode(), None))
    assert (ruling.again, ruling.refused, ruling.trouble) == (batch[3:], {"gone": 1}, "")
    for status in FOR_GOOD:
        assert rule(batch, Reply(status, b"", None)).again == []
    for odd in (b"", b"<html>", b"{}", b'{"results":[]}', b"[1]"):
        assert rule(batch, Reply(202, odd, None)).again == batch


def test_pauses_grow_and_obey() -> None:
    """Each failure doubles the pause up to a bound, chance halves it at most, and a server that
    names seconds is obeyed within reason."""
    assert [pause_of(failures, None, 1) for failures in (1, 2, 3, 50)] == [0.5, 1, 2, 30]
    assert pause_of(3, None, 0) == 1
    assert pause_of(1, 7, 0.5) == 7
    assert pause_of(1, 10**9, 0.5) == 300


@pytest.mark.parametrize("url", ["", "feedback.example.com", "ftp://x", "http://"])
def test_a_url_that_is_none_is_refused(proxy: Proxy, url: str) -> None:
    """The application does not start with a server that cannot be."""
    with pytest.raises(thumbseal.SettingsError, match="THUMBSEAL_URL"):
        thumbseal.Client(url, site_of(proxy))


def test_a_read_that_cannot_be_answered_says_so(proxy: Proxy) -> None:
    """Without a server, or with another one there, feedback is not None but an error."""
    site = site_of(proxy)
    message = site.mint_message(site.open_thread())
    with pytest.raises(thumbseal.Unreachable, match="No answer"):
        thumbseal.Client(f"http://127.0.0.1:{closed_port()}", site).get_feedback(message)
    with pytest.raises(thumbseal.Unreachable, match="status 404"):
        thumbseal.Client(proxy.url + "/elsewhere", site).get_feedback(message)
