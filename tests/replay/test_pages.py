"""What the pages show: the list of a filter, its exports, and a conversation as it happened."""

import csv
import json
import re
from collections.abc import Iterator
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin

import pytest

from tests.doubles.lunary import PROJECT, LunaryDouble
from tests.doubles.serving import serve
from tests.proxy import Clock, Proxy, make_settings, running, said, voted
from tests.replay.visiting import Visitor, talk
from thumbseal.settings import Lunary, Secret

STRANGE = '<b onclick="x">&amp;</b> \u202eabc'


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    with running(make_settings(tmp_path, reasons=("Wrong",))) as opened:
        yield opened


@pytest.fixture
def visitor(proxy: Proxy) -> Iterator[Visitor]:
    with Visitor(proxy) as arrived:
        yield arrived.log_in()


def questions(html: str) -> list[str]:
    return [unescape(each) for each in re.findall(r'class="question"[^>]*>(.*?)</a>', html)]


def test_the_list_shows_what_the_filter_asks_for(proxy: Proxy, visitor: Visitor) -> None:
    talk(proxy, "One?", "An answer.", thumb="up")
    talk(proxy, "Two?", "An answer.", thumb="down", reasons=["Wrong"], comment="Three is right.")
    talk(proxy, STRANGE, "An answer.")
    visitor.await_page("/replay/threads", lambda html: len(questions(html)) == 3)
    shown = {
        "": [STRANGE, "Two?", "One?"],
        "order=oldest": ["One?", "Two?", STRANGE],
        "thumb=down": ["Two?"],
        "thumb=none": [STRANGE],
        "comment=yes": ["Two?"],
        "reason=Wrong": ["Two?"],
        "text=three": ["Two?"],
        "text=nowhere": [],
        "since=2020-01-01&until=2020-01-02": [],
        "site=other": [],
        "thumb=sideways&nonsense=1": [STRANGE, "Two?", "One?"],
    }
    for query, expected in shown.items():
        assert questions(visitor.see(f"/replay/threads?{query}")) == expected, query
    assert "<mark>Three</mark>" in visitor.see("/replay/threads?text=three")
    assert "Clear the filter" in visitor.see("/replay/threads?text=nowhere")


def test_an_empty_log_says_what_to_do(visitor: Visitor) -> None:
    assert "Nothing was recorded yet" in visitor.see("/replay/threads")


def test_the_list_goes_on(proxy: Proxy, visitor: Visitor) -> None:
    """Page by page, each thread once."""
    for number in range(51):
        talk(proxy, f"Question {number}", "An answer.")
    first = visitor.await_page("/replay/threads", lambda html: "Question 50" in html)
    following = re.search(r'rel="next" href="(threads\?[^"]+)"', first)
    assert following
    rest = visitor.see(f"/replay/{unescape(following[1])}")
    assert questions(first) + questions(rest) == [f"Question {n}" for n in range(50, -1, -1)]
    assert 'rel="next"' not in rest


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["Three?", "Two?", "One?"]),
        ("order=oldest", ["One?", "Two?", "Three?"]),
        ("order=worst", ["One?", "Three?", "Two?"]),
        ("thumb=up", ["Two?"]),
        ("text=answer&order=oldest", ["One?", "Two?", "Three?"]),
    ],
)
def test_a_list_is_gone_through_thread_by_thread(
    proxy: Proxy, visitor: Visitor, query: str, expected: list[str]
) -> None:
    """Each conversation leads to the next of the list that it was opened from; the last to none."""
    talk(proxy, "One?", "An answer.", thumb="down")
    talk(proxy, "Two?", "An answer.", thumb="up")
    talk(proxy, "Three?", "An answer.")
    address = f"/replay/threads?{query}"
    page = visitor.await_page(address, lambda html: questions(html) == expected)
    seen = []
    following = re.search(r'class="question" href="([^"]+)"', page)
    while following:
        address = urljoin(address, unescape(following[1]))
        page = visitor.see(address)
        seen.append(Reading(page).within("content")[0])
        following = re.search(r'rel="next" href="([^"]+)"', page)
    assert seen == expected


def test_what_is_shown_can_be_taken_out(proxy: Proxy, visitor: Visitor) -> None:
    talk(proxy, "One?", "An answer.", thumb="up")
    talk(proxy, "Two?", "No.", thumb="down", correction="Yes.")
    visitor.await_page("/replay/threads?thumb=down", lambda html: questions(html) == ["Two?"])
    (line,) = visitor.see("/replay/export.jsonl?thumb=down").splitlines()
    assert "Two?" in json.dumps(json.loads(line))
    rows = list(csv.DictReader(visitor.see("/replay/export.csv").splitlines()))
    assert [row["thumb"] for row in rows] == ["up", "down"]
    assert visitor.see("/replay/export.pairs") == ""
    (pair,) = visitor.see("/replay/export.pairs?browser=yes").splitlines()
    assert "Yes." in json.dumps(json.loads(pair)["chosen"])
    answer = visitor.http.get("/replay/export.jsonl")
    assert answer.headers["content-disposition"] == 'attachment; filename="conversations.jsonl"'
    visitor.see("/replay/export.xlsx", 404)


class Reading(HTMLParser):
    """The texts of a page, each with the classes around it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.around: list[tuple[str, str]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("input", "meta", "link", "img", "br"):
            self.around.append((tag, dict(attrs).get("class") or ""))

    def handle_endtag(self, tag: str) -> None:
        while self.around and self.around.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append((" ".join(name for _, name in self.around if name), data.strip()))

    def within(self, name: str) -> list[str]:
        return [text for names, text in self.texts if name in names.split()]


def test_a_conversation_stands_as_it_happened(proxy: Proxy, visitor: Visitor) -> None:
    """Roles, tools, parts, versions, opinions with their history, and custom events."""
    clock = proxy.clock
    assert isinstance(clock, Clock)
    opened = proxy.open()
    token, blanks = opened["thread"]["token"], opened["messages"]
    call = {"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": '{"a":1}'}}
    parts = [
        {"type": "text", "text": "Like this:"},
        {"type": "image_url", "image_url": {"url": "https://u:p@example.com/private.png?key=1"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        {"type": "file", "file": {"filename": "notes.txt", "file_data": "SECRET"}},
    ]
    for event in (
        {"type": "thread", "tags": ["blue"], "metadata": {"plan": "team"}},
        said(blanks[0], "user", parts),
        said(blanks[1], "assistant", None, tool_calls=[call]),
        said(blanks[2], "tool", "found it", tool_call_id="c1"),
        said(blanks[3], "assistant", STRANGE),
        voted(blanks[3], thumb="up"),
        voted(blanks[3], thumb="down", reasons=["Wrong"], comment=STRANGE),
        voted(blanks[3], thumb=None),
        said(blanks[4], "assistant", "Better.", retry_of=blanks[3]["token"]),
        {"type": "custom", "name": "opened", "metadata": {"page": 7}},
    ):
        clock.now += 60
        (result,) = proxy.record(token, event)
        assert result["status"] == "accepted", result
    page = f"/replay/threads/support/{opened['thread']['id']}"
    html = visitor.see(page)
    told = Reading(html)
    assert told.within("content") == ["Like this:", "found it", STRANGE, "Better."]
    assert told.within("placeholder") == [
        "image_url: https://example.com/…",
        "image_url: data:image/png;base64",
        "file: notes.txt",
    ]
    assert "SECRET" not in html
    assert {"look_up", '{"a":1}', "c1", "blue"} <= {text for _, text in told.texts}
    assert told.within("pause").count("1 min later") >= 3
    assert told.within("steps")[1::2] == [
        "thumb up",
        f"thumb down, reasons: Wrong, comment: {STRANGE}",
        "thumb taken back",
    ]
    versions = [text for names, text in told.texts if "versions" in names and "content" in names]
    assert versions == [STRANGE, "Better."]
    assert "<b onclick" not in html
    digits = blanks[0]["id"].replace("-", "")  # what the page names to its backend
    assert f"00-{digits}-{digits[16:]}-01" in html
    assert f'id="m-{blanks[3]["id"]}"' in html
    assert 'href="../../../replay/threads?thumb=down"' in visitor.see(f"{page}?thumb=down")


def test_a_message_says_where_it_is_upstream(tmp_path: Path) -> None:
    """Delivered, or held with the reason and the next try; and a link that leads there."""
    with serve(LunaryDouble()) as url:
        key, link = Secret(PROJECT.private_key), "https://app.example.com/{exchange}"
        upstream = Lunary(name="lunary", key=key, url=url, link=link)
        configured = make_settings(tmp_path, upstreams=[upstream])
        with running(configured) as proxy, Visitor(proxy) as visitor:
            opened = talk(proxy, "Where?", "An answer.")
            page = f"/replay/threads/support/{opened['thread']['id']}"
            html = visitor.log_in().await_page(page, lambda html: html.count(">delivered<") == 2)
            assert f'href="https://app.example.com/{opened["messages"][0]["id"]}"' in html


def test_what_is_not_there_is_a_page_too(visitor: Visitor) -> None:
    for path in ("/replay/threads/support/no-such", "/replay/nowhere", "/replay/threads/x/y/z"):
        assert "</html>" in visitor.see(path, 404)
