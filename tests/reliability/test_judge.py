"""The judge finds what it is there to find: a trial that cannot fail shows nothing."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.doubles.lunary import Effect, Run
from tests.reliability.judge import judge_log, judge_upstream
from tests.reliability.oracle import Oracle

THREAD = "thread"
Rows = list[Run]


@pytest.fixture
def oracle() -> Oracle:
    """One thread of two exchanges, with two votes on the first answer, all acknowledged."""
    oracle = Oracle()
    blanks = [{"id": name, "token": name} for name in ("q1", "a1", "q2", "a2")]
    events = [
        oracle.say(THREAD, blanks[0], "user"),
        oracle.say(THREAD, blanks[1], "assistant"),
        oracle.vote(THREAD, blanks[1], "up"),
        oracle.vote(THREAD, blanks[1], "down"),
        oracle.say(THREAD, blanks[2], "user"),
        oracle.say(THREAD, blanks[3], "assistant"),
    ]
    oracle.acknowledge(events, [{"status": "accepted"}] * len(events))
    return oracle


def row(number: int, id_: str, messages: tuple[tuple[str, str], ...]) -> Run:
    question, answer = ({"role": role, "content": content} for role, content in messages)
    chat = Run(id_, number, "project", created_at=number, type="chat", parent_run_id=THREAD)
    return replace(chat, input=[question], output=[answer])


@pytest.fixture
def rows(oracle: Oracle) -> Rows:
    """The rows of a Lunary that has all of it."""
    first, second = oracle.exchanges(THREAD)
    return [
        Run(THREAD, 0, "project", created_at=0, type="thread"),
        replace(row(1, first.id, first.messages), feedback=first.opinions[-1]),
        row(2, second.id, second.messages),
    ]


def kinds(oracle: Oracle, rows: Rows, effects: list[Effect] | None = None) -> set[str]:
    return {each.kind for each in judge_upstream(oracle, rows, effects or [])}


def test_a_faithful_upstream_has_no_breaks(oracle: Oracle, rows: Rows) -> None:
    """Rows that are what was acknowledged are found whole."""
    assert kinds(oracle, rows) == set()


def with_exchange(rows: Rows, **values: object) -> Rows:
    return [rows[0], replace(rows[1], **values), rows[2]]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "spoil"),
    [
        ("lost", lambda rows: rows[:2]),
        ("lost", lambda rows: with_exchange(rows, output=[])),
        ("lost", lambda rows: with_exchange(rows, feedback={"thumb": "up"})),
        ("lost", lambda rows: with_exchange(rows, feedback=None)),
        ("doubled", lambda rows: with_exchange(rows, output=rows[1].output * 2)),
        ("disordered", lambda rows: with_exchange(rows, created_at=3)),
        ("disordered", lambda rows: with_exchange(rows, created_at=2)),
        ("foreign", lambda rows: [*rows, replace(rows[2], id="stranger", created_at=3)]),
        ("foreign", lambda rows: [*rows, replace(rows[0], id="stranger")]),
        ("foreign", lambda rows: with_exchange(rows, input=rows[2].input)),
    ],
)
def test_a_spoilt_upstream_is_found(
    oracle: Oracle, rows: Rows, kind: str, spoil: Callable[[Rows], Rows]
) -> None:
    """Whatever is missing, there twice, moved or made up has its name among the breaks."""
    assert kind in kinds(oracle, spoil(rows))


@pytest.mark.parametrize(("event", "times"), [("start", 2), ("feedback", 3)])
def test_an_effect_too_many_is_found(oracle: Oracle, rows: Rows, event: str, times: int) -> None:
    """An exchange that started twice, or changed its vote more often than it was voted on."""
    effect = Effect({"runId": "q1", "event": event}, True, None, ("q1",))
    assert kinds(oracle, rows, [effect] * times) == {"doubled"}
    assert kinds(oracle, rows, [effect] * (times - 1)) == set()


@pytest.mark.parametrize(
    ("kind", "spoil"),
    [
        ("lost", lambda ids: ids[1:]),
        ("doubled", lambda ids: [*ids, ids[0]]),
        ("disordered", lambda ids: ids[::-1]),
        ("foreign", lambda ids: [*ids, "stranger"]),
    ],
)
def test_a_spoilt_log_is_found(
    oracle: Oracle, kind: str, spoil: Callable[[list[str]], list[str]]
) -> None:
    """The same for the log."""
    ids = [event.id for event in oracle.owed(THREAD)]
    assert judge_log(oracle, {THREAD: ids}) == []
    assert {each.kind for each in judge_log(oracle, {THREAD: spoil(ids)})} == {kind}


def test_only_what_was_acknowledged_is_owed(oracle: Oracle, rows: Rows) -> None:
    """An event without an answer is no obligation."""
    oracle.say(THREAD, {"id": "q3", "token": "q3"}, "user")
    assert kinds(oracle, rows) == set()
    assert len(oracle.unanswered) == 1
