"""The Lunary adapter against the double, over HTTP: what it sends, and what then is there."""

import hashlib
import uuid
from collections.abc import Iterator
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from tests.doubles.lunary import PROJECT, Cut, Fault, LunaryDouble, Received
from tests.histories import (
    ANN,
    BOB,
    THREAD,
    calling,
    change,
    custom,
    event,
    folded,
    histories,
    message,
    told,
    uid,
    vote,
)
from tests.lunary_desk import USER, Desk, change_of, changes, expected, open_desk
from tests.lunary_wire import check_journal
from thumbseal.events import Event, Opinion
from thumbseal.settings import Secret
from thumbseal.upstreams import Change, Delivered

CUTS: Final = st.sets(st.integers(1, 14))


@pytest.fixture(scope="module")
def shared() -> Iterator[Desk]:
    with open_desk() as desk:
        yield desk


@pytest.fixture
def desk(shared: Desk) -> Desk:
    shared.renew()
    return shared


# Whatever happens.


@given(histories(), CUTS)
@settings(max_examples=60, deadline=None)
def test_the_state_is_that_of_the_fold(shared: Desk, events: list[Event], cuts: set[int]) -> None:
    """After each prefix Lunary shows what the fold says, from requests of the known forms alone,
    none of which made it wait."""
    shared.renew()
    for part in changes(events, cuts):
        assert isinstance(shared.deliver(part)[0], Delivered)
        assert shared.state() == expected(part.conversation)
    check_journal(shared.double.journal)
    assert shared.clock.slept == []


@given(histories(), CUTS)
@settings(max_examples=30, deadline=None)
def test_sending_again_changes_nothing(shared: Desk, events: list[Event], cuts: set[int]) -> None:
    """The same change delivered twice has the same outcome and no effect."""
    shared.renew()
    for part in changes(events, cuts):
        first = shared.deliver(part)
        before, effects = shared.state(), len(shared.double.effects)
        assert shared.deliver(part) == first
        assert shared.state() == before
        assert not any(effect.changed for effect in shared.double.effects[effects:])


@given(histories(), CUTS)
@settings(max_examples=30, deadline=None)
def test_lost_answers_change_nothing(shared: Desk, events: list[Event], cuts: set[int]) -> None:
    """When the first answer to each request is lost, after the request took effect, the state is
    what it would have been."""
    lose_first_answers(shared.renew())
    for part in changes(events, cuts):
        assert isinstance(shared.insist(part), Delivered)
        assert shared.state() == expected(part.conversation)
    for exchange in shared.double.exchanges(THREAD):
        assert shared.double.effect_count(exchange.id, "start") == 1
    check_journal(shared.double.journal)


@given(histories(), CUTS, st.integers(1, 10))
@settings(max_examples=60, deadline=None)
def test_what_is_older_than_the_upstream_goes_along(
    shared: Desk, events: list[Event], cuts: set[int], start: int
) -> None:
    """An upstream that began in the middle of a thread has the thread's beginning, and each
    exchange that something new was said of, whole; the others not."""
    shared.renew()
    told_since = False
    for part in changes(events, {*cuts, start}):
        if part.since <= start:
            continue
        assert isinstance(shared.deliver(structs.replace(part, start=start))[0], Delivered)
        whole, told_since = expected(part.conversation), True
        shown = shared.state()
        assert (shown is None) == (whole is None)
        if shown is None or whole is None:
            continue
        assert (shown.user, shown.tags) == (whole.user, whole.tags)
        there = {each.id: each for each in whole.exchanges}
        assert all(there[each.id] == each for each in shown.exchanges)
        assert {each.id for each in shown.exchanges} >= {
            each.id
            for each in part.conversation.exchanges.values()
            if any(turn.seq > start for turn in each.turns)
        }
    assert told_since or shared.state() is None


def test_a_vote_on_what_is_older_than_the_upstream(desk: Desk) -> None:
    """It brings its exchange along, and leaves the others where they are."""
    events = told(message("u1"), message("a1"), message("u2"), message("a2"))
    events += told(vote("a2", thumb="down"), first=5)
    part = structs.replace(change_of(events, 5), start=4)
    assert desk.deliver(part) == [Delivered()]
    (exchange,) = desk.shown().exchanges
    assert (exchange.asked, exchange.said) == (["u2"], ["a2"])
    assert exchange.vote is not None
    assert exchange.vote["thumb"] == "down"
    before = len(desk.double.effects)
    assert desk.deliver(part) == [Delivered()]
    assert not any(effect.changed for effect in desk.double.effects[before:])


def test_an_older_vote_goes_along_with_its_exchange(desk: Desk) -> None:
    """What joins an exchange that is older than the upstream brings the vote on it along."""
    events = told(message("u1"), message("a1"), vote("a1", thumb="up"))
    events += told(message("u2", reply_to="u1"), first=4)
    part = structs.replace(change_of(events, 4), start=3)
    assert desk.deliver(part) == [Delivered()]
    assert desk.state() == expected(part.conversation)


def lose_first_answers(double: LunaryDouble) -> None:
    seen: set[bytes] = set()

    def lose(received: Received) -> Fault | None:
        if received.body in seen:
            return None
        seen.add(received.body)
        return Cut()

    double.faults.hook = lose


def test_only_what_changed_is_sent(desk: Desk) -> None:
    """A new message sends its own exchange again, not the thread, the others or their votes."""
    events = told(message("u1"), message("a1"), vote("a1", thumb="up"), message("u2"))
    events += told(message("a2"), vote("a2", thumb="up"), first=5)
    counts = []
    for since, upto in [(1, 3), (4, 4), (5, 5), (6, 6)]:
        before = len(desk.double.events())
        desk.deliver(change_of(events[:upto], since))
        counts.append([each["event"] for each in desk.double.events()[before:]])
    assert counts == [["start", "start", "end", "feedback"], ["start"], ["end"], ["feedback"]]


# Votes.


def votes_at(desk: Desk) -> list[Any]:
    return [exchange.vote and exchange.vote["thumb"] for exchange in desk.shown().exchanges]


def test_a_waiting_vote_goes_out_with_its_message(desk: Desk) -> None:
    """A vote on a message that is not recorded yet waits, and arrives together with it."""
    events = told(message("u1"), vote("a1", thumb="down"), message("a1"))
    outcome = desk.deliver(change_of(events[:2]))
    assert outcome == [Delivered(waiting=((2, uid("a1")),))]
    assert votes_at(desk) == [None]
    assert desk.deliver(change_of(events, 3)) == [Delivered()]
    assert votes_at(desk) == ["down"]


def test_only_the_last_vote_on_an_answer_is_sent(desk: Desk) -> None:
    """Lunary gets the answer's vote of the actor who voted last, and none on the question."""
    events = [
        *told(message("u1"), message("a1"), vote("u1", thumb="up")),
        event(4, vote("a1", thumb="down"), at=9_000, actor=BOB),
        event(5, vote("a1", thumb="up"), at=8_000, actor=ANN),
    ]
    desk.deliver(change_of(events))
    assert votes_at(desk) == ["down"]
    assert [each["feedback"]["thumb"] for each in sent(desk, "feedback")] == ["down"]


def test_an_undone_vote_is_undone_at_lunary(desk: Desk) -> None:
    """Undo sends null for all that was said, since Lunary keeps what a vote does not name."""
    events = told(message("u1"), message("a1"), vote("a1", thumb="down", comment="No."))
    events = [*events, event(4, vote("a1", thumb=None))]
    desk.deliver(change_of(events[:3]))
    desk.deliver(change_of(events, 4))
    assert desk.shown().exchanges[0].vote == dict.fromkeys(Opinion.__struct_fields__)


def test_each_rated_answer_keeps_its_own_vote(desk: Desk) -> None:
    """A second answer, a regenerated one and an edited question's are each an exchange with its
    vote, whoever voted where."""
    events = [
        *told(message("u1"), message("a1"), message("a2", reply_to="u1")),
        *told(message("a3", retry_of="a1"), message("u2", retry_of="u1"), first=4),
        *told(message("a4", reply_to="u2"), vote("a1", thumb="down", comment="No."), first=6),
        event(8, vote("a2", thumb="up"), actor=BOB),
        *told(vote("a3", score=0.5), vote("a4", thumb="up"), vote("a1", thumb="up"), first=9),
    ]
    for part in changes(events, {3, 5, 8}):
        desk.deliver(part)
    assert desk.state() == expected(folded(events, USER))
    votes = [(each.said, each.vote and each.vote["thumb"]) for each in desk.shown().exchanges]
    assert votes == [(["a1"], "up"), (["a2"], "up"), (["a3"], None), (["a4"], "up")]


def test_only_votes_where_somebody_else_records(desk: Desk) -> None:
    """With record = false a vote goes at once to the run of its message's id, also when nothing
    was recorded here, and nothing else goes."""
    recorded = told(message("u1"), message("a1"))
    desk.deliver(change_of(recorded))
    votes = told(vote("a1", thumb="down"), vote("a1", comment="No."), change(tags=("x",)))
    assert desk.deliver(change_of(votes[:2]), record=False) == [Delivered()]
    assert desk.deliver(change_of(votes, 3), record=False) == [Delivered()]
    (given,) = sent(desk, "feedback")
    assert (given["runId"], given["feedback"]["comment"]) == (uid("a1"), "No.")
    assert [each.method for each in desk.double.journal] == ["POST"] * 2


def test_ids_as_the_python_sdk_makes_them(desk: Desk) -> None:
    """With ids = "python" every run bears the id under which Lunary's Python SDK, with its key,
    records what its caller gives that name: a vote reaches what a backend recorded."""
    backend = "e0000000-0000-4000-8000-000000000001"
    spelled: Any = {"ids": "python", "sdk_key": Secret(backend)}
    events = told(change(tags=("a",)), message("u1"), message("a1"), vote("a1", thumb="up"))
    desk.deliver(change_of(events), **spelled)
    desk.deliver(change_of([*events, event(5, change(tags=("b",)))], 5), **spelled)
    (thread,) = desk.double.threads()
    assert (thread.id, thread.tags) == (sdk_id(THREAD, backend), ["b"])
    (exchange,) = desk.double.exchanges(thread.id)
    assert exchange.id == sdk_id(uid("u1"), backend)
    assert exchange.feedback is not None
    assert exchange.feedback["thumb"] == "up"


def test_ids_as_the_python_sdk_makes_them_with_our_key(desk: Desk) -> None:
    """Without a key of its own the SDK's is taken to be ours."""
    desk.deliver(change_of(told(message("u1"))), ids="python")
    assert [each.id for each in desk.double.threads()] == [sdk_id(THREAD, PROJECT.private_key)]


def sdk_id(name: str, key: str) -> str:
    """As `lunary` 1.4.41 from PyPI derives the id of a run."""
    digest = hashlib.sha256()
    digest.update((name + key).encode("utf-8"))
    return str(uuid.UUID(digest.hexdigest()[:32]))


def sent(desk: Desk, event: str) -> list[Any]:
    """The events of this name in all requests so far."""
    return [each for each in desk.double.events() if each["event"] == event]


# The thread, its tags and its user.


def test_tags_changed_later(desk: Desk) -> None:
    """Tags that change after the thread's start are set by the route that sets them."""
    events = told(change(tags=("a",)), message("u1"), change(tags=("b", "c")), change(tags=()))
    for end, tags in [(1, ["a"]), (2, ["a"]), (3, ["b", "c"]), (4, [])]:
        assert desk.deliver(change_of(events[:end], end)) == [Delivered()]
        assert desk.shown().tags == tags


def test_a_thread_that_began_with_a_bare_vote_has_its_user(desk: Desk) -> None:
    """A vote that comes before everything knows no user; the thread's row knows her all the same,
    once a message has told."""
    events = told(vote("a1", thumb="up"), message("u1"), message("a1"))
    nobody = Change("support", folded(events[:1]), events[:1])
    assert desk.deliver(nobody) == [Delivered(waiting=((1, uid("a1")),))]
    assert desk.double.threads() == []
    desk.deliver(change_of(events, 2))
    assert desk.state() == expected(folded(events, USER))
    assert desk.shown().user == USER


def test_props_of_the_user(desk: Desk) -> None:
    """What the backend says of its user arrives, and a later event does not wipe it. A page's
    word for it stays in its own thread."""
    told_by = [change(metadata={"user_props": {"plan": who}}) for who in ("pro", "page")]
    events = [
        structs.replace(event(1, told_by[0]), source="backend"),
        *told(told_by[1], message("u1"), message("a1"), custom("copied"), message("u2"), first=2),
    ]
    for part in changes(events, {1, 3, 4}):
        desk.deliver(part)
    (user,) = desk.double.users()
    assert (user.external_id, user.props) == (USER, {"plan": "pro"})
    assert desk.state() == expected(folded(events, USER))


def test_tags_that_came_first_cost_no_request(desk: Desk) -> None:
    """Tags that the thread's start carries are not sent by their own route too."""
    desk.deliver(change_of(told(change(tags=("a",)), message("u1"))))
    assert {each.method for each in desk.double.journal} == {"POST"}
    assert desk.shown().tags == ["a"]


def test_custom_events_leave_the_user(desk: Desk) -> None:
    """A custom event arrives with its metadata, and the thread keeps user and tags."""
    events = told(change(tags=("a",)), message("u1"), custom("copied", chars=12), message("a1"))
    desk.deliver(change_of(events))
    (row,) = desk.double.custom_events(THREAD)
    assert (row.name, row.metadata, row.status) == ("copied", {"chars": 12}, "success")
    assert desk.state() == expected(folded(events, USER))
    assert [each.asked + each.said for each in desk.shown().exchanges] == [["u1", "a1"]]


def test_a_message_is_shown_whole(desk: Desk) -> None:
    """Tool calls, names, parts, tags and metadata arrive, beside our id and the source."""
    parts = ({"type": "text", "text": "Look."},)
    asked = message("u1", content=parts, name="Ann", tags=("x",), metadata={"page": "/a"})
    answers = calling("a1", content=None), message("t1", tool_call_id="call_1"), message("a2")
    desk.deliver(change_of(told(asked, *answers)))
    (row,) = desk.double.exchanges(THREAD)
    ours = {"messageId": uid("u1"), "source": "browser"}
    shown: Any = {"role": "user", "content": list(parts), "name": "Ann", "tags": ["x"]}
    assert row.input == [{**shown, "metadata": {"page": "/a", **ours}}]
    assert [each.get("toolCalls", [])[:1] != [] for each in row.output] == [True, False, False]
    assert row.output[1]["toolCallId"] == "call_1"
