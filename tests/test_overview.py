"""The overview and the live tail over HTTP, as a browser without a script has them."""

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest

from tests.browser.replaying import DAY, code_for, talk
from tests.indexed import wait_for
from tests.proxy import Clock, Proxy, make_settings, running
from thumbseal.replay.tail import ROWS

TAGS = re.compile(r"<svg.*?</svg>|<[^>]*>", re.DOTALL)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def proxy(tmp_path: Path, clock: Clock) -> Iterator[Proxy]:
    settings = make_settings(tmp_path, others=["other"])
    with running(settings, clock=clock) as proxy:
        yield log_in(proxy)


def log_in(proxy: Proxy) -> Proxy:
    own = {"Origin": proxy.url, "Sec-Fetch-Site": "same-origin"}
    answer = proxy.http.post("/replay/login", data={"code": code_for(proxy)}, headers=own)
    assert answer.status_code == 303
    return proxy


def html(proxy: Proxy, path: str = "") -> str:
    wait_for(proxy.settings.server.log_path, lambda: True)
    answer = proxy.http.get(f"/replay{path}")
    assert answer.status_code == 200, answer.text
    return answer.text


def words(proxy: Proxy, path: str = "") -> str:
    """A page's text in one line."""
    return " ".join(unescape(TAGS.sub(" ", html(proxy, path))).split())


def ask(proxy: Proxy, after: object) -> dict[str, object]:
    wait_for(proxy.settings.server.log_path, lambda: True)
    answer = proxy.http.get("/replay/live.json", params={"after": str(after)})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_an_overview_is_of_the_last_seven_days(proxy: Proxy, clock: Clock) -> None:
    """Unless the address says another time, and `since=` means all of it."""
    talk(proxy, "Old?", "Old answer.", thumb="down")
    clock.now += 8 * DAY
    talk(proxy, "New?", "New answer.", thumb="down", comment="Too new")
    page = words(log_in(proxy))
    assert "New answer." in page
    assert "“Too new”" in page
    assert "Old answer." not in page
    assert "1 of 1 thumb is down" in page
    both = words(proxy, "?since=")
    assert "Old answer." in both
    assert "New answer." in both
    assert "Old answer." in words(proxy, "?until=2026-09-22&since=2026-09-01")
    assert 'href="replay?since=30d"' in html(proxy)


def test_an_overview_leads_on(proxy: Proxy) -> None:
    """A worst answer to its place in its conversation, a tag and a reason to their threads."""
    thread = talk(proxy, "Why?", "No.", tags=["a&b"], thumb="down", reasons=["<Wrong>"])
    page = unescape(html(proxy))
    answer = thread["messages"][1]["id"]
    link = f"./replay/threads/support/{thread['thread']['id']}#m-{answer}"
    assert f'href="{link}"' in page
    assert f'id="m-{answer}"' in html(proxy, link.removeprefix("./replay").partition("#")[0])
    assert 'href="replay/threads?tag=a%26b&since=7d"' in page
    assert 'href="replay/threads?reason=%3CWrong%3E&since=7d"' in page
    assert "a&b falls short most: 1 of 1 thumb is down" in words(proxy)
    assert "<Wrong> is the reason given most: once" in words(proxy)


def test_what_is_not_there_says_what_to_do(proxy: Proxy) -> None:
    assert "Look at all there is" in words(proxy)
    assert "Put the script's tag" in words(proxy, "?since=")
    assert "Nothing happened lately" in words(proxy, "/live")
    talk(proxy, "Hello?", "Hello.", thumb="up")
    page = words(proxy)
    assert "No answer was rated badly in this time All that was voted is good." in page
    assert "The only thumb is up" in page
    assert "Nobody gave a reason" in page
    assert "No conversation is like that" in words(proxy, "?tag=none")


def test_a_tail_tells_what_happened(proxy: Proxy) -> None:
    """Each kind of event in words; a vote without any says what it is about."""
    thread = talk(proxy, "Why?", "Because.", tags=["t1", "t2"], thumb="down", reasons=["Wrong"])
    token, answer = thread["thread"]["token"], thread["messages"][1]["token"]
    for opinion in (
        {"thumb": None},
        {"score": 0.5},
        {"comment": "Said so"},
        {"correction": "Since."},
    ):
        proxy.record(token, {"type": "feedback", "message": answer, "feedback": opinion})
    proxy.record(token, {"type": "custom", "name": "opened"})
    proxy.record(token, {"type": "thread", "metadata": {"plan": "free"}})
    rows = ask(proxy, 0)["rows"]
    assert isinstance(rows, list)
    assert [(row["label"], row["text"], row["notes"]) for row in rows] == [
        ("tags", "t1, t2", []),
        ("user", "Why?", []),
        ("assistant", "Because.", []),
        ("thumb down", "Because.", ["Wrong"]),
        ("thumb taken back", "Because.", []),
        ("score 0.5", "Because.", []),
        ("comment", "Said so", []),
        ("correction", "Since.", []),
        ("event", "opened", []),
        ("metadata", "changed", []),
    ]


def test_a_tail_catches_up_in_pieces(proxy: Proxy) -> None:
    """Each piece ends where the next begins, also with threads that go on and on."""
    opened = [proxy.open()["thread"]["token"] for _ in range(60)]
    for _ in range(5):
        for token in opened:
            proxy.record(token, {"type": "custom", "name": "tick"})
    seqs: list[int] = []
    cursor: object = 0
    while len(seqs) < 300:
        tail = ask(proxy, cursor)
        cursor = tail["cursor"]
        assert isinstance(tail["rows"], list)
        assert 0 < len(tail["rows"]) <= ROWS
        assert not tail["skipped"]
        seqs += [row["seq"] for row in tail["rows"]]
    assert seqs == list(range(1, 301))


@pytest.mark.parametrize("after", ["", "-1", "x", "1e3", "²", "9" * 40])
def test_a_place_that_is_none_is_refused(proxy: Proxy, after: str) -> None:
    answer = proxy.http.get("/replay/live.json", params={"after": after})
    assert answer.status_code == 400
    assert "as a number" in answer.text
