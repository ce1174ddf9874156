"""The index of a running proxy: it follows the log, forgets what the log forgets, and finds."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.indexed import SITES, ask, wait_for
from tests.proxy import Proxy, said, voted
from thumbseal.erasure import order
from thumbseal.ids import ThreadId
from thumbseal.index import Page
from thumbseal.index.file import index_path
from thumbseal.index.filter import Filter
from thumbseal.log import census

QUESTION = "How do I return the teapot?"


def talk(proxy: Proxy, question: str, answer: str, **opinion: Any) -> str:
    """A thread with a question and an answer, and what is thought of it; the thread's id."""
    thread = proxy.open()
    asked, answered = thread["messages"][:2]
    events = [said(asked, "user", question), said(answered, "assistant", answer)]
    if opinion:
        events.append(voted(answered, **opinion))
    results = proxy.record(thread["thread"]["token"], *events)
    assert {each["status"] for each in results} == {"accepted"}
    return str(thread["thread"]["id"])


def find(proxy: Proxy, after: str = "", limit: int = 50, **wanted: Any) -> Page:
    path = proxy.settings.server.log_path
    wait_for(path, lambda: True)
    asked = Filter(**wanted)
    return ask(path, lambda index: index.find(SITES, asked, proxy.ms, after, limit))


def found(proxy: Proxy, **wanted: Any) -> list[str]:
    return [each.thread for each in find(proxy, **wanted).threads]


def test_a_thread_is_found_by_all_that_is_said_of_it(proxy: Proxy) -> None:
    good = talk(proxy, QUESTION, "Within 30 days.", thumb="up")
    bad = talk(
        proxy, "And the cup?", "No idea.", thumb="down", reasons=["Wrong"], comment="So lazy"
    )
    mute = talk(proxy, "Hello", "Hello!")
    assert found(proxy) == [mute, bad, good]
    assert found(proxy, order="oldest") == [good, bad, mute]
    assert found(proxy, order="worst") == [bad, mute, good]
    assert found(proxy, thumb="up") == [good]
    assert found(proxy, thumb="down") == [bad]
    assert found(proxy, thumb="none") == [mute]
    assert found(proxy, comment="yes") == [bad]
    assert found(proxy, reason="Wrong") == [bad]
    assert found(proxy, reason="Unsafe") == []
    assert found(proxy, role="tool") == []
    assert found(proxy, source="backend") == []
    assert found(proxy, text="teapot") == [good]
    assert found(proxy, text="lazy") == [bad]
    assert found(proxy, thumb="up", text="lazy") == []


def test_a_vote_that_is_taken_back_counts_no_more(proxy: Proxy) -> None:
    thread = proxy.open()
    token, answer = thread["thread"]["token"], thread["messages"][0]
    proxy.record(token, said(answer, "assistant", "No."), voted(answer, thumb="down", comment="x9"))
    assert find(proxy, thumb="down", text="x9").threads
    proxy.record(token, voted(answer, thumb=None))
    assert not find(proxy, thumb="down").threads
    assert not find(proxy, text="x9").threads
    assert find(proxy, thumb="none").threads


def test_pages_show_every_thread_once(proxy: Proxy) -> None:
    opinions: list[dict[str, Any]] = [{"thumb": "up"}, {"thumb": "down"}, {}]
    threads = [talk(proxy, f"q{n}", "a", **opinions[n % 3]) for n in range(7)]
    for way in ("newest", "oldest", "worst"):
        seen, after = [], ""
        while True:
            page = find(proxy, after, 2, order=way)
            seen += [each.thread for each in page.threads]
            if page.after is None:
                break
            after = page.after
        assert sorted(seen) == sorted(threads)
        assert seen == found(proxy, order=way)
    assert len(find(proxy, "no-place", 50).threads) == 7


def test_time_is_when_a_thread_was_alive(proxy: Proxy) -> None:
    talk(proxy, "early", "a")
    proxy.clock.now += 3 * 86_400  # type: ignore[attr-defined]
    late = talk(proxy, "late", "a")
    assert found(proxy, since="1d") == [late]
    assert len(found(proxy, since="4d")) == 2
    assert found(proxy, until="2020-01-01") == []


@pytest.mark.parametrize(
    "text",
    ['"', '"" ""', "a AND", "NEAR(", "text:x", "*", "-x", "^a", "( OR )", "{a}", "a'b", "\0", "💥"],
)
def test_what_people_type_is_never_an_operator(proxy: Proxy, text: str) -> None:
    here = talk(proxy, f"exactly {text.replace(chr(0), '')} here", "a")
    assert find(proxy, text=text).after is None
    assert found(proxy, text=f"exactly {text} here") == [here]


def test_a_snippet_shows_what_was_found(proxy: Proxy) -> None:
    talk(proxy, f"{'So many words. ' * 30}{QUESTION}", "a")
    (thread,) = find(proxy, text="TEAPOT").threads
    assert ("teapot", True) in thread.snippet
    assert len("".join(text for text, _ in thread.snippet)) < 400


def test_only_the_sites_that_a_person_may_see(proxy: Proxy) -> None:
    talk(proxy, QUESTION, "a")
    wait_for(proxy.settings.server.log_path, lambda: True)
    asked, path = Filter(site="support"), proxy.settings.server.log_path
    assert ask(path, lambda index: index.find((), asked, proxy.ms)).threads == []
    assert ask(path, lambda index: index.find(("other",), asked, proxy.ms)).threads == []


def test_the_overview_adds_up(proxy: Proxy) -> None:
    talk(proxy, QUESTION, "x", thumb="down", reasons=["Wrong"], comment="no")
    worst = talk(proxy, "Again?", "y", thumb="down", reasons=["Wrong"], score=-1.0)
    proxy.clock.now += 86_400  # type: ignore[attr-defined]
    talk(proxy, "Hello", "z", thumb="up")
    path = proxy.settings.server.log_path
    wait_for(path, lambda: True)
    told = ask(path, lambda index: index.overview(SITES, Filter(since="7d"), proxy.ms))
    assert (told.threads, told.messages, told.ups, told.downs, told.comments) == (3, 6, 1, 2, 1)
    assert [(each.ups, each.downs) for each in told.buckets[-2:]] == [(0, 2), (1, 0)]
    assert len(told.buckets) == 8
    assert [(each.name, each.threads, each.downs) for each in told.reasons] == [("Wrong", 2, 2)]
    assert told.worst[0].thread == worst
    assert told.worst[0].question == "Again?"
    assert told.worst[0].text == "y"
    assert [each.comments for each in told.commented] == [("no",)]
    empty = ask(path, lambda index: index.overview(SITES, Filter(tag="none"), proxy.ms))
    assert (empty.threads, empty.ups, empty.worst) == (0, 0, ())


def test_changes_go_on_where_they_stopped(proxy: Proxy) -> None:
    path = proxy.settings.server.log_path
    first = talk(proxy, "one", "a")
    wait_for(path, lambda: True)
    changes = ask(path, lambda index: index.changes(SITES, Filter(), proxy.ms, 0))
    assert [each.thread for each in changes.threads] == [first]
    cursor = changes.cursor
    second = talk(proxy, "two", "a")
    wait_for(path, lambda: True)
    changes = ask(path, lambda index: index.changes(SITES, Filter(), proxy.ms, cursor))
    assert [each.thread for each in changes.threads] == [second]
    cursor = changes.cursor
    changes = ask(path, lambda index: index.changes(SITES, Filter(), proxy.ms, cursor))
    assert (changes.threads, changes.cursor) == ([], cursor)


def test_what_is_erased_leaves_no_byte_in_the_index(proxy: Proxy, tmp_path: Path) -> None:
    kept = talk(proxy, "an ordinary question", "a")
    thread = talk(proxy, "my word is quetzalcoatl", "a", thumb="down", comment="xylophonist")
    path = proxy.settings.server.log_path
    assert found(proxy, text="quetzalcoatl") == [thread]
    _erase(proxy, thread)
    wait_for(path, lambda: _purged(path))
    assert found(proxy) == [kept]
    files = [each for each in path.parent.iterdir() if each.name.startswith("log.db")]
    assert index_path(path) in files
    for file in files:
        for word in (b"quetzalcoatl", b"xylophonist", thread.encode()):
            if file.name in ("log.db", "log.db-wal") and word == thread.encode():
                continue  # its barrier bears the name
            assert word not in file.read_bytes(), file


def _erase(proxy: Proxy, thread: str) -> None:
    site = proxy.settings.sites["support"]
    census.erase(
        proxy.settings.server.log_path, order("support", site, thread=ThreadId(thread), at=proxy.ms)
    )


def _purged(path: Path) -> bool:
    with closing(sqlite3.connect(index_path(path))) as connection:
        (threads,) = connection.execute("SELECT count(*) FROM thread").fetchone()
        (purging,) = connection.execute("SELECT purging FROM state").fetchone()
    return threads == 1 and not purging


def test_a_comment_that_is_changed_is_found_as_it_is_now(proxy: Proxy) -> None:
    thread = proxy.open()
    token, answer = thread["thread"]["token"], thread["messages"][0]
    proxy.record(token, said(answer, "assistant", "No."), voted(answer, comment="turquoise"))
    assert find(proxy, text="turquoise").threads
    proxy.record(token, voted(answer, comment="vermilion"))
    assert find(proxy, text="vermilion").threads
    assert not find(proxy, text="turquoise").threads
