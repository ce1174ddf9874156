"""Isolation: whoever holds a thread's tokens reaches that thread, whatever the requests say."""

import json
from collections.abc import Iterator
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.inside import opened_by_backend, rows
from tests.proxy import Proxy, make_settings, running, said, voted

SECRET: Final = "what only B may read"
REFERENCES: Final = ("message", "reply_to", "retry_of")


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """One proxy for all examples: each has threads of its own in it."""
    with running(make_settings(tmp_path_factory.mktemp("log"))) as running_proxy:
        yield running_proxy


class Victim:
    """Thread B with a message and a vote, and everything about it but its tokens."""

    def __init__(self, proxy: Proxy, opened: dict[str, Any]) -> None:
        self.token = opened["thread"]["token"]
        self.id = opened["thread"]["id"]
        self.messages = opened["messages"]
        self.spoken, self.next = self.messages[0], self.messages[1]
        first = said(self.spoken, "user", SECRET) | {"id": "b-said"}
        second = voted(self.spoken, thumb="up", comment=SECRET) | {"id": "b-voted"}
        results = proxy.record(self.token, first, second)
        assert [result["status"] for result in results] == ["accepted"] * 2
        self.rows = rows_of(proxy, self.id)
        self.votes = proxy.feedback(self.spoken["token"])

    def check_untouched(self, proxy: Proxy) -> None:
        """No row of B has changed or come, her votes read the same, and no id is taken."""
        assert rows_of(proxy, self.id) == self.rows
        assert proxy.feedback(self.spoken["token"]) == self.votes
        fresh = said(self.next, "assistant", "B answers") | {"id": "b-next"}
        assert proxy.record(self.token, fresh) == [{"status": "accepted"}]


def rows_of(proxy: Proxy, thread: str) -> list[dict[str, Any]]:
    found = "SELECT * FROM events JOIN threads USING (thread_no) WHERE thread = ?"
    return rows(proxy, found, thread)


OPENINGS: Final = ("a page", "a page with a name", "a backend", "a backend with a name", "a user")


def _opened(proxy: Proxy, how: str, earlier: dict[str, Any] | None = None) -> dict[str, Any]:
    asked = {"from": earlier["thread"]["token"]} if earlier else {}
    match how:
        case "a page":
            return proxy.open(**asked)
        case "a page with a name":
            return proxy.open(id="order-7")
        case "a backend":
            return opened_by_backend(proxy)
        case "a backend with a name":
            return opened_by_backend(proxy, id=f"order-{proxy.event({})['id']}")
        case _:
            return opened_by_backend(proxy, user="u_42")


def _texts(mine: dict[str, Any], victim: Victim) -> list[str]:
    """What may stand in a token's place: own tokens, B's ids, and cuts of both sides' tokens."""
    own, theirs = mine["messages"][0]["token"], victim.spoken["token"]
    payload, _, signature = own.partition(".")
    b_payload, _, b_signature = theirs.partition(".")
    return [
        own,
        mine["messages"][1]["token"],
        mine["thread"]["token"],
        victim.id,
        victim.spoken["id"],
        victim.next["id"],
        f"{b_payload}.{signature}",
        f"{payload}.{b_signature}",
        f"{victim.token.partition('.')[0]}.{mine['thread']['token'].partition('.')[2]}",
        payload[:35] + b_payload[35:] + "." + signature,
        "",
    ]


draws = st.integers(0, 99)
event_plans = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["message", "feedback", "thread", "custom"]),
        "id": st.sampled_from(["b-said", "b-voted", "b-next", "a-1", "a-2"]),
        "message": draws,
        "role": st.sampled_from(["user", "assistant", "tool", "system"]),
        "extra": st.dictionaries(
            st.sampled_from(["thread", "thread_id", "actor", "user", "site", "source", "run"]),
            draws,
            max_size=1,
        ),
        "references": st.dictionaries(st.sampled_from(["reply_to", "retry_of"]), draws, max_size=2),
        "theirs": st.booleans(),
    }
)


def _event(plan: dict[str, Any], texts: list[str], victim: Victim) -> dict[str, Any]:
    """An attack: a well-formed event of A's with B's names in it, wherever they fit."""

    def picked(texts: list[str], numbers: dict[str, int]) -> dict[str, str]:
        return {name: texts[number % len(texts)] for name, number in numbers.items()}

    event = {"type": plan["type"], "id": plan["id"], "at": 0, **picked(texts, plan["extra"])}
    named = {"message": plan["message"]}
    match plan["type"]:
        case "message":
            # B's genuine message tokens: holding one is leave to vote, but to nothing beyond that.
            held = [victim.spoken["token"], victim.next["token"]] if plan["theirs"] else []
            event |= picked([*texts, *held], named | plan["references"])
            return event | {"role": plan["role"], "content": victim.id}
        case "feedback":
            return event | picked(texts, named) | {"feedback": {"thumb": "down"}}
        case "thread":
            return event | {"metadata": {"thread": victim.id, "user": "u_42"}}
        case _:
            return event | {"name": victim.spoken["id"]}


@given(
    mine=st.sampled_from(OPENINGS),
    theirs=st.sampled_from(OPENINGS),
    same_actor=st.booleans(),
    plans=st.lists(event_plans, min_size=1, max_size=12),
    envelope=st.dictionaries(
        st.sampled_from(["site", "thread", "user", "actor"]), draws, max_size=1
    ),
)
@settings(deadline=None, derandomize=True, max_examples=120)
def test_no_body_writes_reads_or_votes_across_threads(
    proxy: Proxy,
    mine: str,
    theirs: str,
    same_actor: bool,
    plans: list[dict[str, Any]],
    envelope: dict[str, int],
) -> None:
    """With thread A's tokens, by any body, nothing of thread B is written, voted or taken."""
    opened = _opened(proxy, theirs)
    victim = Victim(proxy, opened)
    attacker = _opened(proxy, mine, opened if same_actor else None)
    texts = _texts(attacker, victim)
    body = {
        "token": attacker["thread"]["token"],
        "sent_at": proxy.ms,
        "events": [_event(plan, texts, victim) for plan in plans],
        **({name: texts[number % len(texts)] for name, number in envelope.items()}),
    }
    answer = proxy.post("/v1/events", body)
    assert answer.status_code == (400 if envelope else 202)
    assert SECRET not in answer.text
    theirs_ids = {blank["id"] for blank in victim.messages}
    for row in rows_of(proxy, attacker["thread"]["id"]):
        entry = json.loads(row["body"])
        assert not theirs_ids & {entry.get(name) for name in REFERENCES}
    victim.check_untouched(proxy)


@given(
    mine=st.sampled_from(OPENINGS),
    theirs=st.sampled_from(OPENINGS),
    thread=st.none() | draws,
    from_=st.none() | draws,
    id_=st.sampled_from(["thread", "upper", "hex", "message", "order-7", None]),
)
@settings(deadline=None, derandomize=True, max_examples=80)
def test_no_opening_gives_a_token_of_somebody_elses_thread(
    proxy: Proxy, mine: str, theirs: str, thread: int | None, from_: int | None, id_: str | None
) -> None:
    """With A's tokens and B's names a page gets A's thread or a new one, never B's or her name."""
    victim = Victim(proxy, _opened(proxy, theirs))
    attacker = _opened(proxy, mine)
    texts = _texts(attacker, victim)
    names = {
        "thread": victim.id,
        "upper": victim.id.upper(),
        "hex": victim.id.replace("-", ""),
        "message": victim.spoken["id"],
        "order-7": "order-7",
    }
    asked: dict[str, Any] = {"site": "support"}
    asked |= {"id": names[id_]} if id_ else {}
    asked |= {} if thread is None else {"thread": texts[thread % len(texts)]}
    asked |= {} if from_ is None else {"from": texts[from_ % len(texts)]}
    answer = proxy.post("/v1/threads", asked)
    assert answer.status_code in (200, 401)
    if answer.status_code == 200:
        claims = proxy.tokens().read_thread(answer.json()["thread"]["token"], proxy.clock())
        assert claims.thread != victim.id
        assert claims.actor != proxy.tokens().read_thread(victim.token, proxy.clock()).actor or (
            mine == theirs == "a user"
        )
    victim.check_untouched(proxy)


@given(
    mine=st.sampled_from(OPENINGS),
    theirs=st.sampled_from(OPENINGS),
    asked=st.lists(draws, min_size=1, max_size=12),
)
@settings(deadline=None, derandomize=True, max_examples=60)
def test_no_question_reads_somebody_elses_feedback(
    proxy: Proxy, mine: str, theirs: str, asked: list[int]
) -> None:
    """With A's tokens, B's ids and cuts of B's tokens nobody reads what B thinks."""
    victim = Victim(proxy, _opened(proxy, theirs))
    texts = _texts(_opened(proxy, mine), victim)
    tokens = [texts[number % len(texts)] for number in asked]
    for token, state in zip(tokens, proxy.feedback(*tokens), strict=True):
        assert state.get("feedback") is None
        assert ("id" in state) is (token in texts[:2])
    victim.check_untouched(proxy)
