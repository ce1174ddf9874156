"""The overview and the live tail over HTTP, as a browser without a script has them."""

import json
import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.browser.replaying import DAY
from tests.indexed import wait_for
from tests.proxy import Clock, Proxy, make_settings, running
from tests.replay.visiting import Visitor, talk
from thumbseal.replay.tail import ROWS

DOCUMENT = Path(__file__).parents[2] / "docs/replay.md"
TAGS = re.compile(r"<svg.*?</svg>|<[^>]*>", re.DOTALL)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def proxy(tmp_path: Path, clock: Clock) -> Iterator[Proxy]:
    settings = make_settings(tmp_path, others=["other"])
    with running(settings, clock=clock) as proxy:
        yield proxy


@pytest.fixture
def visitor(proxy: Proxy) -> Iterator[Visitor]:
    with Visitor(proxy) as visitor:
        yield visitor.log_in()


def addresses() -> list[str]:
    """The addresses that docs/replay.md shows."""
    found = re.findall(r"^\| `/replay(.*?)` \|", DOCUMENT.read_text("utf-8"), re.MULTILINE)
    assert len(found) > 4
    return found


def html(visitor: Visitor, path: str = "") -> str:
    wait_for(visitor.proxy.settings.server.log_path, lambda: True)
    return visitor.see(f"/replay{path}")


def words(visitor: Visitor, path: str = "") -> str:
    """A page's text in one line."""
    return " ".join(unescape(TAGS.sub(" ", html(visitor, path))).split())


def ask(visitor: Visitor, after: object) -> dict[str, Any]:
    return dict(json.loads(html(visitor, f"/live.json?after={after}")))


def test_an_overview_is_of_the_last_seven_days(
    proxy: Proxy, visitor: Visitor, clock: Clock
) -> None:
    """Unless the address says another time, and `since=` means all of it."""
    talk(proxy, "Old?", "Old answer.", thumb="down")
    clock.now += 8 * DAY
    talk(proxy, "New?", "New answer.", thumb="down", comment="Too new")
    page = words(visitor.log_in())
    assert "New answer." in page
    assert "“Too new”" in page
    assert "Old answer." not in page
    assert "1 of 1 thumb is down" in page
    both = words(visitor, "?since=")
    assert "Old answer." in both
    assert "New answer." in both
    assert "Old answer." in words(visitor, "?until=2026-09-22&since=2026-09-01")
    assert 'href="replay?since=30d"' in html(visitor)


def test_an_overview_leads_on(proxy: Proxy, visitor: Visitor) -> None:
    """A worst answer to its place in its conversation, a tag and a reason to their threads."""
    thread = talk(proxy, "Why?", "No.", tags=["a&b"], thumb="down", reasons=["<Wrong>"])
    page = unescape(html(visitor))
    answer = thread["messages"][1]["id"]
    link = f"./replay/threads/support/{thread['thread']['id']}#m-{answer}"
    assert f'href="{link}"' in page
    assert f'id="m-{answer}"' in html(visitor, link.removeprefix("./replay").partition("#")[0])
    assert 'href="replay/threads?tag=a%26b&since=7d"' in page
    assert 'href="replay/threads?reason=%3CWrong%3E&since=7d"' in page
    assert "a&b falls short most: 1 of 1 thumb is down" in words(visitor)
    assert "<Wrong> is the reason given most: once" in words(visitor)


def test_what_is_not_there_says_what_to_do(proxy: Proxy, visitor: Visitor) -> None:
    assert "Look at all there is" in words(visitor)
    assert "Put the script's tag" in words(visitor, "?since=")
    assert "Nothing happened lately" in words(visitor, "/live")
    talk(proxy, "Hello?", "Hello.", thumb="up")
    page = words(visitor)
    assert "No answer was rated badly in this time All that was voted is good." in page
    assert "The only thumb is up" in page
    assert "Nobody gave a reason" in page
    assert "No conversation is like that" in words(visitor, "?tag=none")


def test_a_tail_tells_what_happened(proxy: Proxy, visitor: Visitor) -> None:
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
    rows = ask(visitor, 0)["rows"]
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


def test_a_tail_catches_up_in_pieces(proxy: Proxy, visitor: Visitor) -> None:
    """Each piece ends where the next begins, also with threads that go on and on."""
    opened = [proxy.open()["thread"]["token"] for _ in range(60)]
    for _ in range(5):
        for token in opened:
            proxy.record(token, {"type": "custom", "name": "tick"})
    seqs: list[int] = []
    cursor: object = 0
    while len(seqs) < 300:
        tail = ask(visitor, cursor)
        cursor = tail["cursor"]
        assert 0 < len(tail["rows"]) <= ROWS
        assert not tail["skipped"]
        seqs += [row["seq"] for row in tail["rows"]]
    assert seqs == list(range(1, 301))


@pytest.mark.parametrize("after", ["", "-1", "x", "1e3", "²", "9" * 40])
def test_a_place_that_is_none_is_refused(visitor: Visitor, after: str) -> None:
    assert "as a number" in visitor.see(f"/replay/live.json?{urlencode({'after': after})}", 400)


def test_a_session_shows_its_own_sites_alone(proxy: Proxy, visitor: Visitor) -> None:
    talk(proxy, "Secret?", "Secret.", thumb="down", tags=["secret"])
    assert "Secret." in words(visitor)
    visitor.http.cookies.clear()
    visitor.log_in("other")
    for query in ("", "?site=support", "?tag=secret&since="):
        assert "Secret" not in words(visitor, query)
        assert "Secret" not in words(visitor, f"/live{query}")
    assert ask(visitor, 0)["rows"] == []


def test_the_documented_addresses_work(proxy: Proxy, visitor: Visitor) -> None:
    talk(proxy, "Two words?", "These two words.", tags=["billing"], thumb="down")
    for address in addresses():
        assert "words" in words(visitor, address), address
