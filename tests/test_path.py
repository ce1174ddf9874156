"""The whole path: what a page records at a real proxy is what Lunary shows, exactly once."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest
from structlog.testing import capture_logs

from tests.doubles.lunary import PROJECT, Cut, Fault, LunaryDouble, Received
from tests.doubles.serving import serve
from tests.lunary_wire import check_journal
from tests.proxy import Proxy, make_settings, running, said, voted
from thumbseal import retry
from thumbseal.keys import new_key
from thumbseal.log.beside import open_beside
from thumbseal.settings import Lunary, Secret

PATIENCE: Final = 20  # seconds until a delivery counts as missing
ACCEPTED: Final = {"status": "accepted"}
KEY: Final = PROJECT.private_key
TALK: Final = ("What is a seal?", "A mark in wax.", "And a thumb?", "A short finger.")
Shown = list[tuple[list[str], list[str], str | None]]


@pytest.fixture(autouse=True)
def _haste(monkeypatch: pytest.MonkeyPatch) -> None:
    """Failures are tried again at once: what is tested is that, not when."""
    monkeypatch.setattr(retry, "FIRST", 0.01)


@pytest.fixture
def double() -> LunaryDouble:
    return LunaryDouble(requests_per_minute=10**9)


@contextmanager
def proxied(double: LunaryDouble, folder: Path) -> Iterator[Proxy]:
    """A proxy whose upstream is the double; entered again it is a restart."""
    with serve(double) as url:
        upstream = Lunary("lunary", Secret(KEY), url, requests_per_minute=100_000)
        with running(make_settings(folder, upstreams=[upstream])) as proxy:
            yield proxy


def shown(double: LunaryDouble) -> Shown:
    """The one thread's exchanges in order: questions, answers, thumb."""
    return [
        (_texts(run.input), _texts(run.output), (run.feedback or {}).get("thumb"))
        for thread in double.threads()
        for run in double.exchanges(thread.id)
    ]


def _texts(messages: Any) -> list[str]:
    return [each["content"] for each in messages or []]


def await_shown(double: LunaryDouble, wanted: Shown) -> None:
    """Return once the double shows this."""
    try:
        double.until(lambda: shown(double) == wanted).result(PATIENCE)
    except TimeoutError:
        assert shown(double) == wanted


def lose_every_second_answer(double: LunaryDouble) -> None:
    def lose(received: Received) -> Fault | None:
        return Cut() if len(double.journal) % 2 == 0 else None

    double.faults.hook = lose


def talk(proxy: Proxy, double: LunaryDouble) -> dict[str, Any]:
    """Two questions and answers, a thumb down on the second, undone, and up; each awaited."""
    opened = proxy.open()
    token, messages = opened["thread"]["token"], opened["messages"][:4]
    roles = ("user", "assistant", "user", "assistant")
    for blank, role, text in zip(messages, roles, TALK, strict=True):
        assert proxy.record(token, said(blank, role, text)) == [ACCEPTED]
    await_shown(double, thumbed(None))
    for thumb in ("down", None, "up"):
        assert proxy.record(None, voted(messages[3], thumb=thumb)) == [ACCEPTED]
        await_shown(double, thumbed(thumb))
    return opened


def thumbed(thumb: str | None) -> Shown:
    return [([TALK[0]], [TALK[1]], None), ([TALK[2]], [TALK[3]], thumb)]


@pytest.mark.parametrize("lossy", [False, True])
def test_a_conversation_arrives_exactly_once(
    double: LunaryDouble, tmp_path: Path, lossy: bool
) -> None:
    """One thread, its exchanges in order, the last word of a thumb on the right one, each effect
    once, also when every second answer is lost after its request took effect."""
    if lossy:
        lose_every_second_answer(double)
    with proxied(double, tmp_path) as proxy:
        opened = talk(proxy, double)
        second, answer = opened["messages"][2]["id"], opened["messages"][3]
        (state,) = proxy.feedback(answer["token"])
        assert (state["id"], state["feedback"]) == (answer["id"], {"thumb": "up"})
    (thread,) = double.threads()
    assert thread.id == opened["thread"]["id"]
    assert [run.id for run in double.exchanges(thread.id)] == [opened["messages"][0]["id"], second]
    assert double.effect_count(second, "start") == 1
    assert double.effect_count(second, "feedback") == 3
    check_journal(double.journal)


def test_a_restart_repeats_nothing(double: LunaryDouble, tmp_path: Path) -> None:
    """A proxy that is stopped and started goes on where it was, and what was there stays."""
    with proxied(double, tmp_path) as proxy:
        opened = talk(proxy, double)
        keys, token = proxy.settings.sites["support"].keys, opened["thread"]["token"]
    before, answers = double.database.runs(), len(double.effects)
    with serve(double) as url:
        upstream = Lunary("lunary", Secret(KEY), url, requests_per_minute=100_000)
        same = make_settings(tmp_path, keys=[key.reveal() for key in keys], upstreams=[upstream])
        with running(same) as proxy:
            more = said(opened["messages"][4], "user", "And now?", id="again")
            assert proxy.record(token, more) == [ACCEPTED]
            await_shown(double, [*shown(double)[:2], (["And now?"], [], None)])
    assert double.database.runs()[: len(before)] == before
    assert [effect.changed for effect in double.effects[answers:] if effect.changed] == [
        (opened["messages"][4]["id"],)
    ]


def test_an_upstream_that_is_away_costs_the_page_nothing(
    double: LunaryDouble, tmp_path: Path
) -> None:
    """What is recorded while Lunary answers nobody is accepted, and arrives once it does."""
    double.faults.plan(*[Cut(applied=False)] * 3)
    with proxied(double, tmp_path) as proxy:
        opened = proxy.open()
        token, (question, answer) = opened["thread"]["token"], opened["messages"][:2]
        both = said(question, "user", "Hi."), said(answer, "assistant", "Ho.")
        assert proxy.record(token, *both) == [ACCEPTED] * 2
        await_shown(double, [(["Hi."], ["Ho."], None)])
    assert len(double.journal) > 3
    assert double.effect_count(question["id"], "start") == 1


def test_a_page_learns_that_its_vote_has_arrived(double: LunaryDouble, tmp_path: Path) -> None:
    """The read-back tells a vote that is on disk from one that every upstream has."""
    double.faults.hook = lambda received: Cut(applied=False)
    with proxied(double, tmp_path) as proxy:
        opened = proxy.open()
        token, (question, answer, other) = opened["thread"]["token"], opened["messages"][:3]
        proxy.record(token, said(question, "user", "Hi."), said(answer, "assistant", "Ho."))
        proxy.record(None, voted(answer, thumb="up"))
        voted_on, silent = proxy.feedback(answer["token"], other["token"])
        assert voted_on["receipt"] == "recorded"
        assert "receipt" not in silent
        double.faults.clear()
        await_shown(double, [(["Hi."], ["Ho."], "up")])
        await_delivered(proxy, answer["token"])


def test_an_upstream_that_comes_later_may_begin_now(double: LunaryDouble, tmp_path: Path) -> None:
    """It gets what is said from then on, and an older exchange once there is a new vote on it. What
    the other upstream has of before stays delivered."""
    later, keys = LunaryDouble(requests_per_minute=10**9), [new_key()]
    with serve(double) as url, serve(later) as there:
        first = Lunary("first", Secret(KEY), url, requests_per_minute=100_000)
        second = Lunary("second", Secret(KEY), there, requests_per_minute=100_000, start="now")
        with running(make_settings(tmp_path, upstreams=[first], keys=keys)) as proxy:
            opened = proxy.open()
            token, blanks = opened["thread"]["token"], opened["messages"]
            proxy.record(token, said(blanks[0], "user", "Hi."), said(blanks[1], "assistant", "Ho."))
            proxy.record(None, voted(blanks[1], thumb="up"))
            await_delivered(proxy, blanks[1]["token"])
        with running(make_settings(tmp_path, upstreams=[first, second], keys=keys)) as proxy:
            assert proxy.feedback(blanks[1]["token"])[0]["receipt"] == "delivered"
            assert proxy.record(token, said(blanks[2], "user", "So?", id="new")) == [ACCEPTED]
            await_shown(later, [(["So?"], [], None)])
            later.faults.hook = lambda received: Cut(applied=False)
            changed = {**voted(blanks[1], thumb="down"), "id": "other"}
            assert proxy.record(None, changed) == [ACCEPTED]
            await_all_delivered(tmp_path, "support/first")
            assert proxy.feedback(blanks[1]["token"])[0]["receipt"] == "recorded"
            later.faults.clear()
            await_shown(later, [(["Hi."], ["Ho."], "down"), (["So?"], [], None)])
            await_delivered(proxy, blanks[1]["token"])


def await_all_delivered(folder: Path, upstream: str) -> None:
    began = time.monotonic()
    with open_beside(folder / "log.db") as log:
        while (counts := log.report(upstream, "support").counts).delivered < counts.accepted:
            assert time.monotonic() < began + PATIENCE
            time.sleep(0.01)


def await_delivered(proxy: Proxy, token: str) -> None:
    began = time.monotonic()
    while proxy.feedback(token)[0]["receipt"] != "delivered":
        assert time.monotonic() < began + PATIENCE


def test_the_key_is_nowhere_but_upstream(double: LunaryDouble, tmp_path: Path) -> None:
    """The upstream's key is in no answer a browser can get, in no log line and not on disk."""
    received: list[bytes] = []

    def keep(response: httpx2.Response) -> None:
        headers = [part for pair in response.headers.raw for part in pair]
        received.append(b"\n".join([*headers, response.read()]))

    lose_every_second_answer(double)
    with capture_logs() as logs, proxied(double, tmp_path) as proxy:
        proxy.http.event_hooks = {"response": [keep]}
        talk(proxy, double)
        for path in ("/", "/widget.js", "/embed.json", "/livez", "/readyz", "/no", "/v1/events"):
            proxy.http.get(path)
        bodies: list[Any] = [b"", b"{", b"[" * 9_000, b"x" * 70_000, {"site": "no"}, {"events": []}]
        for body in bodies:
            for path in ("/v1/threads", "/v1/events", "/v1/feedback"):
                proxy.post(path, body)
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert len(received) > 30
    assert "upstream_down" in [each["event"] for each in logs]
    assert KEY.encode() not in b"".join(received) + written + repr(logs).encode()
    assert any(KEY in each.headers["authorization"] for each in double.journal)
