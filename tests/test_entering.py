"""Entering a thread while sending events: whatever became of a page's tokens, it can go on, and
nothing is recorded twice."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.inside import bar, rows
from tests.proxy import Clock, Proxy, make_settings, running, said, voted
from thumbseal.claims import LEEWAY, THREAD_LIFE, THREAD_RENEWABLE

CLOCK: Final = Clock()
START: Final = CLOCK.now
REF: Final = "~mf2k3l9z0123456789abcdef=chat"
OTHER: Final = "~mf2k3l9z0123456789abcde0=chat"


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    CLOCK.now = START
    with running(make_settings(tmp_path), CLOCK) as found:
        yield found


def named(ref: str) -> dict[str, str]:
    """A message as `said` and `voted` take it, named by the page's own word."""
    return {"token": ref}


def enter(proxy: Proxy, *events: dict[str, Any], **asked: Any) -> dict[str, Any]:
    """The answer to events sent with ``open``; ``refs``, ``read`` and ``want`` go beside it."""
    beside: dict[str, Any] = {
        name: asked.pop(name) for name in ("refs", "read", "want") if name in asked
    }
    body = {
        "open": {"site": "support", **asked},
        "sent_at": proxy.ms,
        "events": [proxy.event(event) for event in events],
        **beside,
    }
    answer = proxy.post("/v1/events", body)
    assert answer.status_code == 202, answer.text
    return dict(answer.json())


def statuses(answer: dict[str, Any]) -> list[str]:
    return [result["status"] for result in answer["results"]]


def threads(proxy: Proxy) -> int:
    return len(rows(proxy, "SELECT * FROM threads"))


def test_the_first_request_opens_and_the_second_records(proxy: Proxy) -> None:
    """A page without a token gets one, its tokens and its blanks, and keeps its event until then:
    were it recorded and the answer lost, it would be recorded again in another thread."""
    event = proxy.event(said(named(REF), "user", "Q"))
    opened = enter(proxy, event, id="chat", want=3)
    (result,) = opened["results"]
    expected = {"status": "rejected", "code": "thread_opened", "field": "open", "retry": True}
    assert result == expected
    assert len(opened["messages"]) == 3
    assert threads(proxy) == 0
    sent = enter(proxy, event, id="chat", thread=opened["thread"]["token"])
    assert statuses(sent) == ["accepted"]
    assert sent["bound"] == opened["bound"]
    (told,) = proxy.conversations()
    assert told.thread == opened["thread"]["id"]
    assert told.turns[0].message.message == opened["bound"][REF]["id"]


def test_a_live_token_is_not_made_anew_until_half_its_life(proxy: Proxy) -> None:
    """An answer brings another token of the same thread after twelve hours, not before."""
    first = enter(proxy)["thread"]
    CLOCK.now += THREAD_LIFE / 2
    assert "thread" not in enter(proxy, thread=first["token"])
    CLOCK.now += 1
    assert enter(proxy, thread=first["token"])["thread"]["id"] == first["id"]


@pytest.mark.parametrize("later", [THREAD_LIFE + LEEWAY + 1, THREAD_RENEWABLE])
def test_an_expired_token_is_renewed_and_records(proxy: Proxy, later: int) -> None:
    """One request renews the token and records in the same thread."""
    first = enter(proxy)["thread"]
    CLOCK.now += later
    answer = enter(proxy, said(named(REF), "user", "Q"), thread=first["token"])
    assert statuses(answer) == ["accepted"]
    assert answer["thread"]["id"] == first["id"]


def test_a_token_too_old_gives_way_to_a_new_thread(proxy: Proxy) -> None:
    """After thirty days, and with a token that nobody made, the page is somebody new; its event
    waits for the new token."""
    old, question = enter(proxy, id="chat")["thread"], said(named(REF), "user", "Q")
    CLOCK.now += THREAD_RENEWABLE + LEEWAY + 1
    for token in (old["token"], "forged"):
        answer = enter(proxy, question, id="chat", thread=token, **{"from": token})
        assert statuses(answer) == ["rejected"]
        assert answer["results"][0]["retry"] is True
        assert answer["thread"]["id"] != old["id"]
    assert threads(proxy) == 0


def test_the_same_actor_opens_the_next_thread(proxy: Proxy) -> None:
    """`from` carries the anonymous actor on, so that the same name finds the same thread."""
    first = enter(proxy, id="chat")["thread"]
    other = enter(proxy, id="other", **{"from": first["token"]})["thread"]
    again = enter(proxy, id="chat", **{"from": other["token"]})["thread"]
    assert again["id"] == first["id"] != other["id"]
    read = [proxy.tokens().read_thread(each["token"], START).actor for each in (first, other)]
    assert read[0] == read[1]


@pytest.mark.parametrize("scope", ["thread", "actor"])
def test_a_closed_thread_is_left(tmp_path: Path, scope: str) -> None:
    """Whose thread was closed, or who was revoked, goes on as somebody new in another thread."""
    configured = make_settings(tmp_path)
    with running(configured) as proxy:
        opened = enter(proxy, id="chat")["thread"]
        claims = proxy.tokens().read_thread(opened["token"], START)
        bar(proxy, scope, getattr(claims, scope))
    with running(configured, Clock(START + 1)) as proxy:
        token = opened["token"]
        event = said(named(REF), "user", "Q")
        answer = enter(proxy, event, id="chat", thread=token, **{"from": token})
        assert (statuses(answer), threads(proxy)) == (["rejected"], 0)
        after = proxy.tokens().read_thread(answer["thread"]["token"], START + 1)
        assert after.thread != claims.thread
        assert after.actor != claims.actor


def test_a_vote_by_token_is_recorded_at_once(proxy: Proxy) -> None:
    """A vote needs no thread, so it does not wait for one."""
    opened = proxy.open()
    blank = opened["messages"][0]
    proxy.record(opened["thread"]["token"], said(blank, "assistant", "A"))
    answer = enter(proxy, voted(blank, thumb="up"), voted(named(REF), thumb="up"))
    assert statuses(answer) == ["accepted", "rejected"]
    assert proxy.feedback(blank["token"])[0]["feedback"] == {"thumb": "up"}


def test_a_word_names_one_message_of_one_thread(proxy: Proxy) -> None:
    """The same word is the same message in its thread, another one in another's, and no two words
    are one; the token that it gets is good for a vote."""
    mine, yours = (enter(proxy, refs=[REF, OTHER]) for _ in range(2))
    again = enter(proxy, thread=mine["thread"]["token"], refs=[REF])
    assert again["bound"][REF]["id"] == mine["bound"][REF]["id"]
    ids = {each["bound"][ref]["id"] for each in (mine, yours) for ref in (REF, OTHER)}
    assert len(ids) == 4
    assert all(str(uuid.UUID(each)) == each for each in ids)
    question, answer = said(named(REF), "user", "Q"), said(named(OTHER), "assistant", "A")
    sent = enter(proxy, question, answer | {"reply_to": REF}, thread=mine["thread"]["token"])
    assert statuses(sent) == ["accepted", "accepted"]
    proxy.record(None, voted(mine["bound"][OTHER], thumb="down"))
    (told,) = proxy.conversations()
    (exchange,) = told.exchanges.values()
    assert [turn.message.content for turn in exchange.turns] == ["Q", "A"]
    (rating,) = told.ratings.values()
    assert rating.message == mine["bound"][OTHER]["id"]


def test_a_word_means_nothing_without_a_thread(proxy: Proxy) -> None:
    """Beside a vote by its token, a vote by a word alone is refused."""
    blank = proxy.open()["messages"][0]
    _, result = proxy.record(None, voted(blank, thumb="up"), voted(named(REF), thumb="up"))
    assert result == {"status": "rejected", "code": "token_invalid", "field": "message"}


def test_votes_are_read_in_the_same_request(proxy: Proxy) -> None:
    """What the tokens' actor thinks comes in the order asked, after what the request records, with
    a thread or without."""
    blank, other = proxy.open()["messages"][:2]
    tokens = [other["token"], "forged", blank["token"]]
    states = [
        {"id": other["id"], "feedback": None},
        {"code": "token_invalid"},
        {"id": blank["id"], "feedback": {"thumb": "up"}, "receipt": "recorded"},
    ]
    assert enter(proxy, voted(blank, thumb="up"), read=tokens)["read"] == states
    body = {"sent_at": proxy.ms, "events": [], "read": tokens}
    assert proxy.post("/v1/events", body).json()["read"] == states


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"open": {"site": "support"}, "token": "t"}, 400, "token"),
        ({"open": {"site": "nowhere"}}, 404, "site"),
        ({"open": {"site": "support", "user": "u"}}, 400, "open"),
        ({"open": {"site": "support"}, "refs": ["word"]}, 400, "refs[0]"),
        ({"open": {"site": "support"}, "refs": ["~a"] * 51}, 400, "refs"),
        ({"open": {"site": "support"}, "read": ["t"] * 201}, 400, "read"),
        ({"read": ["forged"]}, 401, None),
        ({}, 400, "token"),
    ],
)
def test_what_is_refused(proxy: Proxy, body: dict[str, Any], status: int, field: str) -> None:
    """A request that cannot be understood stores nothing and says where it is wrong."""
    answer = proxy.post("/v1/events", {"sent_at": 0, "events": [], **body})
    assert answer.status_code == status
    assert answer.json()["error"].get("field") == field


def test_another_origin_enters_nowhere(proxy: Proxy) -> None:
    """A page of another site opens nothing here."""
    body = {"open": {"site": "support"}, "sent_at": 0, "events": []}
    assert proxy.post("/v1/events", body, Origin="https://evil.example").status_code == 403


def test_what_was_meant_for_a_thread_that_is_gone_is_recorded_nowhere(tmp_path: Path) -> None:
    """Once a thread is erased or closed, its events and votes are refused for good, by name; the
    page gets a new thread for whatever comes after."""
    CLOCK.now, configured = START, make_settings(tmp_path)
    with running(configured, CLOCK) as proxy:
        opened = enter(proxy, id="chat")["thread"]
        bar(proxy, "thread", opened["id"])
    CLOCK.now += THREAD_LIFE * 2  # also a token that has run out says which thread it meant
    with running(configured, CLOCK) as proxy:
        event, vote = said(named(REF), "user", "Q"), voted(named(REF), thumb="up")
        answer = enter(proxy, event, vote, thread=opened["token"], id="chat")
        told = [(result["code"], result.get("retry")) for result in answer["results"]]
        assert told == [("gone", None), ("gone", None)]
        assert answer["thread"]["id"] != opened["id"]
        sent = enter(proxy, event, vote, thread=answer["thread"]["token"])
        assert statuses(sent) == ["accepted", "accepted"]
