"""The Lunary adapter when Lunary is ill, refuses, or is not Lunary at all."""

import logging
import traceback
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx2
import pytest
from msgspec import structs

from tests.doubles.lunary import (
    HTML_PAGE,
    PROJECT,
    Alter,
    Answer,
    Cut,
    Endless,
    Fault,
    Instead,
    LunaryDouble,
    Outage,
    Received,
)
from tests.doubles.lunary.rows import Run
from tests.doubles.lunary.values import PostgresError
from tests.histories import THREAD, change, custom, message, told, uid, vote
from tests.lunary_desk import Desk, change_of, expected, open_desk
from thumbseal.conversation import Conversation, fold
from thumbseal.events import AnyEntry, Event, Message
from thumbseal.ids import ThreadId
from thumbseal.upstreams import Change, Delivered, Later, Outcome, UpstreamDown
from thumbseal.upstreams.calls import MAX_ANSWER
from thumbseal.upstreams.pace import Pace

REFUSAL = 'invalid byte sequence for encoding "UTF8": 0x00'
Results = list[dict[str, Any]]


@pytest.fixture(scope="module")
def shared() -> Iterator[Desk]:
    with open_desk() as desk:
        yield desk


@pytest.fixture
def desk(shared: Desk) -> Desk:
    shared.renew()
    return shared


def refusing(run: str, error: str) -> Alter:
    """An honest answer, but for the events of one run, which are said to have failed."""

    def change(results: Results) -> Results:
        refusal = {"id": run, "success": False, "error": error}
        return [refusal if each["id"] == run else each for each in results]

    return Alter(change)


def other(events: list[Event], digits: str) -> Change:
    """Events of another thread, with message ids of its own."""
    name = ThreadId(THREAD[:-12] + digits)
    own = [structs.replace(each, entry=_renamed(each.entry, digits)) for each in events]
    return Change("support", fold(own, Conversation(name)), own)


def _renamed(entry: AnyEntry, digits: str) -> AnyEntry:
    assert isinstance(entry, Message)
    return structs.replace(entry, message=entry.message[:-12] + digits)


def dead(outcomes: list[Outcome]) -> list[int]:
    """The events that are dead in a delivered change."""
    (outcome,) = outcomes
    assert isinstance(outcome, Delivered)
    return sorted(seq for seq, _ in outcome.dead)


# One event is refused.


def test_a_refused_event_is_dead_and_its_thread_goes_on(desk: Desk) -> None:
    """What Lunary can never hold is dead by itself and leaves its place; the rest arrives."""
    events = told(message("u1"), message("a1", content="\0"), message("u2"), message("a2"))
    assert desk.deliver(change_of(events[:1])) == [Delivered()]
    assert dead(desk.deliver(change_of(events[:2], 2))) == [2]
    assert desk.deliver(change_of(events, 3, dead=frozenset([2]))) == [Delivered()]
    shown = [each.asked + each.said for each in desk.shown().exchanges]
    assert shown == [["u1", ""], ["u2", "a2"]]


def test_a_dead_answer_keeps_its_place(desk: Desk) -> None:
    """A dead answer costs its question nothing: the exchange is there, without its content."""
    events = told(message("u1"), message("a1", content="\0"), message("u2", reply_to="u1"))
    assert dead(desk.deliver(change_of(events[:2]))) == [2]
    assert desk.deliver(change_of(events, 3, dead=frozenset([2]))) == [Delivered()]
    (exchange,) = desk.shown().exchanges
    assert (exchange.id, exchange.asked, exchange.said) == (uid("u1"), ["u1", "u2"], [""])


def test_a_dead_vote_says_nothing(desk: Desk) -> None:
    """A dead part of an opinion is left out, what was said before and after it stands."""
    votes = vote("a1", thumb="down"), vote("a1", comment="\0"), vote("a1", score=1.0)
    events = told(message("u1"), message("a1"), *votes)
    desk.deliver(change_of(events[:3]))
    assert dead(desk.deliver(change_of(events[:4], 4))) == [4]
    assert desk.deliver(change_of(events, 5, dead=frozenset([4]))) == [Delivered()]
    (exchange,) = desk.shown().exchanges
    assert exchange.vote is not None
    assert {key for key, value in exchange.vote.items() if value is not None} == {"thumb", "score"}


def test_a_dead_question_costs_its_answer_nothing(desk: Desk) -> None:
    """What comes with a refused question, its answer and the vote on it, is there all the same."""
    events = told(message("u1", content="\0"), message("a1"), vote("a1", thumb="down"))
    assert dead(desk.deliver(change_of(events))) == [1]
    (exchange,) = desk.shown().exchanges
    assert exchange.vote is not None
    assert (exchange.asked, exchange.said, exchange.vote["thumb"]) == ([""], ["a1"], "down")


def test_a_dead_event_beside_a_transient_failure(desk: Desk) -> None:
    """A thread of which one event is refused and the rest must wait is held as a whole."""
    whole = change_of(told(message("u1", content="\0"), message("a1")))
    desk.double.faults.plan(None, refusing(uid("u1"), "timeout exceeded"))
    assert desk.deliver(whole) == [Later("Lunary: timeout exceeded")]
    assert 1 in dead(desk.deliver(whole))


def test_a_dead_first_message_does_not_kill_its_thread(desk: Desk) -> None:
    """A thread that begins with a message that Lunary refuses is there once the next one comes."""
    events = told(message("u1", content="\0"), message("a1"), message("u2"))
    assert dead(desk.deliver(change_of(events[:1]))) == [1]
    waits = len(desk.clock.slept)
    assert desk.deliver(change_of(events, 2, dead=frozenset([1]))) == [Delivered()]
    shown = [(each.asked, each.said) for each in desk.shown().exchanges]
    assert shown == [([""], ["a1"]), (["u2"], [])]
    assert len(desk.clock.slept) == waits


def test_a_refused_vote_that_had_waited_is_dead(desk: Desk) -> None:
    """A vote refused when it goes out with its message is dead, and holds nothing up."""
    events = told(vote("a1", comment="\0"), message("u1"), message("a1"))
    desk.deliver(change_of(events[:1]))
    assert dead(desk.deliver(change_of(events, 2))) == [1]


def test_a_refusal_beside_changed_tags_is_not_forgotten(desk: Desk) -> None:
    """Tags that go by their own route do not hide that something else was refused."""
    events = told(message("u1"), message("a1", content="\0"), change(tags=("a",)))
    desk.deliver(change_of(events[:1]))
    assert dead(desk.deliver(change_of(events, 2))) == [2]
    assert desk.shown().tags == ["a"]


def test_refused_tags_are_dead(desk: Desk) -> None:
    """Tags that their route refuses are dead, beside what else was refused."""
    events = told(message("u1"), change(tags=("a",)), message("a1", content="\0"))
    desk.double.faults.hook = lambda received: (
        Instead(Answer(422)) if received.method == "PATCH" else None
    )
    assert dead(desk.deliver(change_of(events))) == [2, 3]


@pytest.mark.parametrize(
    "text",
    [
        "Run with this ID already exists in the database.",
        'duplicate key value violates unique constraint "run_pkey"',
    ],
)
def test_already_there_is_delivered(desk: Desk, text: str) -> None:
    """Lunary's words for "I have it" mean that it is delivered."""
    desk.double.faults.plan(refusing(THREAD, text))
    assert desk.deliver(change_of(told(message("u1"), message("a1")))) == [Delivered()]


# Lunary's database is ill.


@pytest.mark.parametrize(
    "text",
    [
        "write CONNECTION_CLOSED 127.0.0.1:5432",
        "Connection terminated unexpectedly",
        "connect ECONNREFUSED 127.0.0.1:5432",
        "read ECONNRESET",
        "connect ETIMEDOUT 10.0.0.5:5432",
        "write EPIPE",
        "getaddrinfo EAI_AGAIN db",
        "getaddrinfo ENOTFOUND db",
        "timeout exceeded when trying to connect",
        "canceling statement due to statement timeout",
        "canceling statement due to lock timeout",
        "terminating connection due to administrator command",
        "sorry, too many clients already",
        "remaining connection slots are reserved for roles with the SUPERUSER attribute",
        "the database system is shutting down",
        "the database system is starting up",
        "the database system is in recovery mode",
        "deadlock detected",
        "could not serialize access due to concurrent update",
        "cannot execute INSERT in a read-only transaction",
        'could not extend file "base/16384/16397": No space left on device',
        "out of memory",
    ],
)
def test_an_ill_database_is_waited_for(desk: Desk, text: str) -> None:
    """An error that speaks of the database, not of the event, holds the thread for later."""
    desk.double.faults.plan(refusing(uid("u1"), text))
    reason = text.lower().partition('"')[0].strip()
    assert desk.deliver(change_of(told(message("u1")))) == [Later(f"Lunary: {reason}")]


@pytest.mark.parametrize("answers", range(4))
def test_a_database_that_dies_within_a_request(desk: Desk, answers: int) -> None:
    """However far Lunary got before its database died, sending again completes the state."""
    whole = change_of(told(message("u1"), message("a1"), vote("a1", thumb="up")))
    desk.double.faults.plan(Outage(after=answers))
    with suppress(UpstreamDown):
        desk.deliver(whole)
    assert desk.deliver(whole) == [Delivered()]
    assert desk.state() == expected(whole.conversation)


@pytest.mark.parametrize("lost", [False, True])
def test_a_thread_that_could_not_start_has_no_orphans(desk: Desk, lost: bool) -> None:
    """When a thread's start alone must wait, Lunary stores its exchanges without a thread, for
    ever: they are removed and sent anew, also if the answer that says so was lost."""
    whole = change_of(told(message("u1"), message("a1"), vote("a1", thumb="up"), custom("copied")))
    insert = desk.double.database.insert

    def hiccup(values: dict[str, Any]) -> Run:
        if values["id"] != THREAD:
            return insert(values)
        desk.double.database.insert = insert  # type: ignore[method-assign]
        raise PostgresError("write CONNECTION_CLOSED 127.0.0.1:5432")

    desk.double.database.insert = hiccup  # type: ignore[method-assign]
    if lost:
        desk.double.faults.plan(Cut())
        with pytest.raises(UpstreamDown):
            desk.deliver(whole)
    else:
        assert desk.deliver(whole) == [Later("Lunary: write connection_closed 127.0.0.1:5432")]
    assert desk.deliver(whole) == [Delivered()]
    assert desk.state() == expected(whole.conversation)
    assert {run.id: run.parent_run_id for run in desk.double.database.runs()}[THREAD] is None
    assert [run.parent_run_id for run in desk.double.database.runs()].count(THREAD) == 2


def test_somebody_elses_run_is_no_orphan(desk: Desk) -> None:
    """A run of the same id under another thread is left alone."""
    theirs = {"type": "thread", "event": "start", "runId": THREAD[:-1] + "f", "timestamp": 1}
    chat = {**theirs, "type": "chat", "runId": uid("u1"), "parentRunId": theirs["runId"]}
    httpx2.post(
        f"{desk.url}/v1/runs/ingest",
        json={"events": [theirs, {**chat, "timestamp": 2}]},
        headers={"Authorization": f"Bearer {PROJECT.private_key}"},
        trust_env=False,
    )
    assert desk.deliver(change_of(told(message("u1")))) == [Delivered()]
    run = desk.double.run(uid("u1"))
    assert run is not None
    assert run.parent_run_id == theirs["runId"]


def test_a_reason_quotes_nobody(desk: Desk) -> None:
    """What a database's error quotes is somebody's text, and reasons end up in logs."""
    text = 'malformed array literal: "my name is Ann"'
    desk.double.faults.plan(refusing(uid("u1"), text))
    (outcome,) = desk.deliver(change_of(told(message("u1"))))
    assert isinstance(outcome, Delivered)
    assert outcome.dead == ((1, "Lunary: malformed array literal:"),)


def test_threads_share_a_request_but_not_their_troubles(desk: Desk) -> None:
    """Many threads go in one request, and only the one in trouble is held."""
    good, bad = change_of(told(message("u1"), message("a1"))), other(told(message("u2")), "b" * 12)
    desk.double.faults.plan(refusing(bad.conversation.thread, "timeout exceeded"))
    assert desk.deliver(good, bad) == [Delivered(), Later("Lunary: timeout exceeded")]
    assert [each.method for each in desk.double.journal].count("POST") == 1


def test_a_large_backlog_goes_in_several_requests(desk: Desk) -> None:
    """However much there is to send, no request is larger than Lunary takes."""
    long = told(*(message(f"u{number}", content="x" * 32_000) for number in range(60)))
    backlog = [other(long, f"{number:012x}") for number in range(6)]
    assert desk.deliver(*backlog) == [Delivered()] * len(backlog)
    sizes = [len(received.body) for received in desk.double.journal]
    assert sum(sizes) > 20 * 1024 * 1024
    assert max(sizes) < 10 * 1024 * 1024
    assert [len(desk.double.exchanges(thread.id)) for thread in desk.double.threads()] == [1] * 6


def small_server(received: Received) -> Fault | None:
    """A proxy before Lunary that takes no body over 100 kB."""
    return Instead(Answer(413)) if len(received.body) > 100_000 else None


def test_a_server_that_takes_less_gets_less(desk: Desk) -> None:
    """413 is no dead end: what is refused as a whole goes in halves."""
    desk.double.faults.hook = small_server
    events = told(*(message(f"u{number}", content="x" * 1_000) for number in range(20)))
    backlog = [other(events, f"{number:012x}") for number in range(20)]
    assert desk.deliver(*backlog) == [Delivered()] * 20
    assert [len(desk.double.exchanges(thread.id)) for thread in desk.double.threads()] == [1] * 20


def test_an_event_that_no_request_can_hold_is_dead(desk: Desk) -> None:
    """What is too large by itself is refused for good, and nothing else with it."""
    desk.double.faults.hook = small_server
    huge = "x" * 30_000
    events = told(message("u1"), message("a1"), message("u2"))
    big = other(told(*(message(f"u{number}", content=huge) for number in range(4))), "b" * 12)
    good, bad = desk.deliver(change_of(events), big)
    assert good == Delivered()
    assert isinstance(bad, Delivered)
    assert {reason for _, reason in bad.dead} == {"Lunary: larger than its server takes"}


class Wait:
    """A clock for the double and the pace alike: to sleep is to move it."""

    def __init__(self) -> None:
        self.time = 1_790_000_000.0

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds


def test_the_rate_limit_is_kept(desk: Desk) -> None:
    """However much there is to do, Lunary never has to refuse a request for their number."""
    clock = Wait()
    desk.double = LunaryDouble(clock, requests_per_minute=32)
    pace = Pace(30, clock.now, clock.sleep)
    for number in range(80):
        assert desk.deliver(other(told(message("u1")), f"{number:012x}"), pace=pace) == [
            Delivered()
        ]
    minutes = (clock.time - 1_790_000_000.0) / 60
    assert 2 <= minutes <= 3


# Nothing of the answer can be believed.


def swapped(results: Results) -> Results:
    return results[::-1]


def strange(results: Results) -> Results:
    return [*results[:-1], {**results[-1], "id": THREAD[:-1] + "c"}]


DOWN: dict[str, Fault] = {
    "cut before": Cut(applied=False),
    "cut after": Cut(),
    "cut within": Cut(half=True),
    "endless": Endless(),
    "long": Instead(Answer(200, {}, b" " * (MAX_ANSWER + 1))),
    "a page": HTML_PAGE,
    "nothing": Instead(Answer(204)),
    "no results": Instead(Answer(200, {}, b"{}")),
    "null": Instead(Answer(200, {}, b"null")),
    "not text": Instead(Answer(200, {}, b'{"results":[{"id":"\xff"}]}')),
    "deep": Instead(Answer(200, {}, b'{"results":' + b"[" * 100_000)),
    "strange results": Instead(Answer(200, {}, b'{"results":[1,2,3]}')),
    "swapped": Alter(swapped),
    "another id": Alter(strange),
    "too few": Alter(lambda results: results[:-1]),
    "too many": Alter(lambda results: [*results, results[0]]),
    "none": Alter(lambda results: []),
    "400": Instead(Answer(400)),
    "500": Instead(Answer(500, {}, b'{"message":"x"}')),
    "redirect": Instead(Answer(302, {"location": "/v1/runs/ingest"})),
}
REFUSED = {status: Instead(Answer(status)) for status in (401, 402, 403, 404)}


@pytest.mark.parametrize("name", DOWN)
def test_an_answer_that_says_nothing(desk: Desk, name: str) -> None:
    """An answer that is no word on each event, in order, counts for nothing, and nobody is
    blamed: the whole upstream waits, and sending again completes the state."""
    events = told(message("u1"), message("a1"), vote("a1", thumb="up"), message("u2"))
    whole = change_of(events)
    desk.double.faults.plan(DOWN[name])
    with pytest.raises(UpstreamDown) as caught:
        desk.deliver(whole)
    assert not caught.value.refused
    assert len(desk.double.journal) == 1
    assert desk.deliver(whole) == [Delivered()]
    assert desk.state() == expected(whole.conversation)


@pytest.mark.parametrize("name", ["endless", "long"])
def test_an_answer_is_read_no_further_than_a_limit(desk: Desk, name: str) -> None:
    """An answer without end is dropped at a megabyte, not when time is up."""
    desk.double.faults.plan(DOWN[name])
    with pytest.raises(UpstreamDown, match="no end"):
        desk.deliver(change_of(told(message("u1"))))


@pytest.mark.parametrize("status", REFUSED)
def test_a_status_that_does_not_know_us(desk: Desk, status: int) -> None:
    """401, 402, 403 and 404 say that a person must look."""
    desk.double.faults.plan(REFUSED[status])
    with pytest.raises(UpstreamDown) as caught:
        desk.deliver(change_of(told(message("u1"))))
    assert caught.value.refused


def test_the_rate_limit_says_how_long(desk: Desk) -> None:
    """Over its limit Lunary says when it takes the next request, and that is passed on."""
    desk.double.faults.plan(Instead(Answer(429, {"retry-after": "41"})))
    with pytest.raises(UpstreamDown) as caught:
        desk.deliver(change_of(told(message("u1"))))
    assert caught.value.after == 41.0


# What must not be seen.


def test_the_key_is_in_no_error(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever goes wrong, neither the error nor any library's log tells the key."""
    caplog.set_level(logging.DEBUG)
    for fault in [*DOWN.values(), *REFUSED.values()]:
        desk.double.faults.plan(fault)
        with pytest.raises(UpstreamDown) as caught:
            desk.deliver(change_of(told(message("u1"), message("a1"), message("u2"))))
        assert PROJECT.private_key not in "".join(traceback.format_exception(caught.value))
    assert caplog.text
    assert PROJECT.private_key not in caplog.text
    assert all(PROJECT.private_key in each.headers["authorization"] for each in desk.double.journal)


def test_nothing_goes_to_another_project(desk: Desk) -> None:
    """A message cannot smuggle a field into its event: `appId` stays inside its metadata."""
    smuggled = {"appId": "x", "projectId": "y", "runId": "z"}
    desk.deliver(change_of(told(message("u1", metadata=smuggled), change(metadata=smuggled))))
    assert not any(smuggled.keys() - {"runId"} & each.keys() for each in desk.double.events())
    assert {run.project_id for run in desk.double.database.runs()} == {PROJECT.id}
