"""The fold: where messages belong, and what people think of them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from tests.histories import (
    ANN,
    BOB,
    OPINIONS,
    POOL,
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
    vote_with,
)
from thumbseal.conversation import Conversation, Turn, fold, merge
from thumbseal.events import AnyEntry, Event, Feedback, Message, Opinion
from thumbseal.ids import ActorId

NAMES: dict[str, str] = {uid(name): name for name in POOL}


def shape(*entries: AnyEntry) -> list[str]:
    """The exchanges in order, each with its messages: ``u1: u1 a1``."""
    return written(folded(told(*entries)))


def written(conversation: Conversation) -> list[str]:
    return [
        f"{NAMES[exchange.id]}: " + " ".join(NAMES[turn.message.message] for turn in exchange.turns)
        for exchange in conversation.exchanges.values()
    ]


def opinion(events: list[Event], actor: ActorId = ANN) -> Opinion:
    """What an actor thinks of a1 after these events."""
    return folded(events).ratings[uid("a1"), actor].opinion


def after(state: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """A change of an opinion, told once more with plain dictionaries."""
    if "thumb" in state and "thumb" in given and state["thumb"] != given["thumb"]:
        state = {key: state[key] for key in state if key not in ("reasons", "comment")}
    return {key: value for key, value in (state | given).items() if value is not None}


def plain(opinion: Opinion) -> dict[str, Any]:
    values = {key: getattr(opinion, key) for key in Opinion.__struct_fields__}
    return {key: value for key, value in values.items() if value is not UNSET}


# Where messages belong.


def test_question_and_answer_make_an_exchange() -> None:
    """Each question opens an exchange, and the answer after it closes it."""
    entries = map(message, ("u1", "a1", "u2", "a2"))
    assert shape(*entries) == ["u1: u1 a1", "u2: u2 a2"]


def test_several_questions_before_an_answer() -> None:
    """User and system messages join the exchange that still waits for its answer."""
    entries = map(message, ("s1", "u1", "u2", "a1", "u3"))
    assert shape(*entries) == ["s1: s1 u1 u2 a1", "u3: u3"]


def test_tool_rounds() -> None:
    """Tool calls and their results stay in the exchange up to its first answer without calls."""
    rounds = [calling("a1"), message("t1"), calling("a2"), message("t2"), message("a3")]
    assert shape(message("u1"), *rounds) == ["u1: u1 a1 t1 a2 t2 a3"]
    assert folded(told(message("u1"), *rounds[:4])).exchanges[uid("u1")].answer is None


def test_further_answers() -> None:
    """An answer beyond the first is an exchange of its own, named by its own id."""
    assert shape(*map(message, ("u1", "a1", "a2"))) == ["u1: u1 a1", "a2: a2"]
    replying = message("a2", reply_to="u1")
    assert shape(message("u1"), message("a1"), replying) == ["u1: u1 a1", "a2: a2"]


def test_regenerated_answer() -> None:
    """A regenerated answer is an exchange of its own that knows what it was to replace."""
    events = told(message("u1"), message("a1"), message("a2", retry_of="a1"))
    conversation = folded(events)
    assert written(conversation) == ["u1: u1 a1", "a2: a2"]
    assert conversation.exchanges[uid("a2")].again == uid("a1")
    assert conversation.exchanges[uid("u1")].again is None


def test_regenerated_answer_with_tools() -> None:
    """The tool rounds of a regenerated answer stay with it."""
    again = [calling("a2", retry_of="a1"), message("t1"), message("a3")]
    assert shape(message("u1"), message("a1"), *again) == ["u1: u1 a1", "a2: a2 t1 a3"]


def test_edited_question() -> None:
    """An edited question opens an exchange, and the next answer is its answer."""
    entries = [message("u1"), message("a1"), message("u2", retry_of="u1"), message("a2")]
    assert shape(*entries) == ["u1: u1 a1", "u2: u2 a2"]
    assert folded(told(*entries)).exchanges[uid("u2")].again == uid("u1")


def test_question_edited_before_its_answer() -> None:
    """Of several exchanges without an answer the latest gets it."""
    entries = [message("u1"), message("u2", retry_of="u1"), message("a1")]
    assert shape(*entries) == ["u1: u1", "u2: u2 a1"]


def test_a_question_left_behind_stays_alone() -> None:
    """A question that was edited before its answer does not swallow the next one."""
    edited = message("u2", retry_of="u1")
    entries = [message("u1"), edited, message("a2"), message("u3"), message("a3")]
    assert shape(*entries) == ["u1: u1", "u2: u2 a2", "u3: u3 a3"]


def test_reply_to_an_earlier_question() -> None:
    """With reply_to an answer finds its question, whatever was asked since."""
    first, second = message("a1", reply_to="u2"), message("a2", reply_to="u1")
    entries = [message("u1"), message("a4"), message("u2"), message("u3", retry_of="u2")]
    assert shape(*entries, first) == ["u1: u1 a4", "u2: u2 a1", "u3: u3"]
    assert shape(*entries, first, second) == ["u1: u1 a4", "u2: u2 a1", "u3: u3", "a2: a2"]


@pytest.mark.parametrize("name", ["u2", "s1"])
def test_reply_to_an_answer(name: str) -> None:
    """A user or system message that replies to an answer stands in that answer's exchange."""
    entries = [message("u1"), message("a1"), message(name, reply_to="a1")]
    assert shape(*entries) == [f"u1: u1 a1 {name}"]


def test_reply_before_its_question() -> None:
    """An answer that comes before the question it replies to already bears the question's name."""
    answer = message("a1", reply_to="u1")
    assert shape(answer) == ["u1: a1"]
    assert shape(answer, message("u2"), message("u1")) == ["u1: a1 u1", "u2: u2"]


def test_two_replies_before_their_question() -> None:
    """Of two answers that come before their question the first one takes its exchange."""
    answers = [message("a1", reply_to="u1"), message("a2", reply_to="u1")]
    assert shape(*answers, message("u1")) == ["u1: a1 u1", "a2: a2"]


def test_late_question_without_a_reply() -> None:
    """A question that comes after its answer, with nothing to join them, opens an exchange."""
    assert shape(message("a1"), message("u1"), message("a2")) == ["a1: a1", "u1: u1 a2"]


def script(*entries: AnyEntry) -> str:
    """What happened, by its names, in the order in which one reads it."""
    names = [
        NAMES[each.message.message] if isinstance(each, Turn) else getattr(each.entry, "name", "")
        for each in folded(told(*entries)).script
    ]
    return " ".join(names)


def test_a_late_question_is_read_before_its_answer() -> None:
    """Whoever reads a conversation meets no answer before what it answers, however it came; all
    else stays in the order of the log."""
    answer, copied = message("a1", reply_to="u1"), custom("copied")
    assert script(message("u2"), answer, copied, message("u1")) == "u2 u1 a1 copied"
    late: list[AnyEntry] = [message("a2", retry_of="a1"), answer, message("u3", reply_to="a2")]
    assert script(*late, copied, message("u1")) == "u1 a1 a2 u3 copied"


def test_messages_that_come_after_each_other_are_all_read() -> None:
    """A page can have written what makes no sense, and it is still shown, once."""
    question, answer = message("u1", reply_to="a1"), message("a1", reply_to="u1")
    assert script(question, answer, custom("copied")) == "a1 u1 copied"


def test_a_vote_comes_before_its_message() -> None:
    """A vote on a message that is not recorded yet is kept, and places nothing."""
    conversation = folded(told(vote("a1", thumb="up"), message("u1"), message("a1")))
    assert written(conversation) == ["u1: u1 a1"]
    assert [each.opinion.thumb for each in conversation.ratings_of(uid("a1"))] == ["up"]


# What people think.


@pytest.mark.parametrize(("turn", "thumb"), [("up", "up"), (None, UNSET)])
def test_a_turned_thumb_drops_what_was_said(turn: Any, thumb: Any) -> None:
    """Flipping or clearing the thumb drops reasons and comment, and nothing else."""
    said = vote("a1", thumb="down", reasons=("Wrong",), comment="No.", score=0.5, correction="Yes.")
    left = opinion(told(said, vote("a1", thumb=turn)))
    assert left == Opinion(thumb=thumb, score=0.5, correction="Yes.")


def test_a_turned_thumb_keeps_what_it_brings() -> None:
    """Reasons and comment that come with the new thumb stand, the others do not."""
    said = vote("a1", thumb="down", reasons=("Wrong",), comment="No.")
    assert opinion(told(said, vote("a1", thumb="up", comment="Yes."))) == Opinion(
        "up", UNSET, "Yes."
    )


def test_the_same_thumb_again_keeps_what_was_said() -> None:
    """A thumb repeated, or one given after the comment, drops nothing."""
    said = vote("a1", comment="Hm.")
    assert opinion(told(said, *[vote("a1", thumb="down")] * 2)) == Opinion("down", UNSET, "Hm.")


def test_null_removes_one_thing() -> None:
    """Null removes the key it is given for, and no other."""
    said = vote("a1", thumb="down", reasons=("Wrong",), comment="No.")
    assert opinion(told(said, vote("a1", comment=None))) == Opinion("down", ("Wrong",))


def test_a_late_vote_changes_nothing_newer() -> None:
    """The last word by time wins, also when an older one arrives after it."""
    newer = event(1, vote("a1", thumb="up"), at=9_000)
    older = event(2, vote("a1", thumb="down", comment="Hm."), at=5_000)
    assert opinion([newer, older]) == Opinion("up")


def test_equal_times_fold_in_the_order_of_the_log() -> None:
    """Of two votes at the same time the one stored later wins."""
    votes = [event(seq, vote("a1", thumb=thumb), at=0) for seq, thumb in [(1, "up"), (2, "down")]]
    assert opinion(votes) == Opinion("down")


def test_actors_do_not_mix() -> None:
    """Each actor's opinion is her own; the one given last stands last."""
    votes = [
        event(1, vote("a1", thumb="up", comment="Yes."), at=3_000, actor=BOB),
        event(2, vote("a1", thumb="down"), at=1_000),
        event(3, vote("a1", score=1.0), at=2_000),
    ]
    assert opinion(votes) == Opinion("down", score=1.0)
    assert opinion(votes, BOB) == Opinion("up", UNSET, "Yes.")
    assert [each.actor for each in folded(votes).ratings_of(uid("a1"))] == [ANN, BOB]


@given(st.lists(st.tuples(st.integers(0, 5), OPINIONS), min_size=1, max_size=8))
def test_opinions_follow_the_rule_in_order_of_time(marks: list[tuple[int, Opinion]]) -> None:
    """However votes arrive, the opinion is their merge in the order of time, then of the log."""
    events = [
        event(seq, vote_with("a1", change), at=at) for seq, (at, change) in enumerate(marks, 1)
    ]
    state: dict[str, Any] = {}
    for _, given_ in sorted(marks, key=lambda mark: mark[0]):
        state = after(state, plain(given_))
    assert plain(opinion(events)) == state


@given(OPINIONS, OPINIONS)
def test_a_change_made_twice_is_made_once(state: Opinion, given_: Opinion) -> None:
    """Merging the same change again changes nothing."""
    once = merge(merge(Opinion(), state), given_)
    assert merge(once, given_) == once


# The thread itself.


def test_tags_replace_and_metadata_merges() -> None:
    """Tags are replaced as a whole, metadata key by key, and neither touches the other."""
    changes = [change(tags=("a", "b")), change(metadata={"x": 1, "y": 1}), change(tags=("c",))]
    conversation = folded(told(*changes, change(metadata={"y": 2})))
    assert conversation.tags == ("c",)
    assert conversation.metadata == {"x": 1, "y": 2}
    assert folded(told(*changes, change(tags=()))).tags == ()


def test_custom_events_stand_apart() -> None:
    """A custom event is kept in its order and comes between no question and its answer."""
    conversation = folded(told(message("u1"), custom("opened"), message("a1"), custom("copied")))
    assert written(conversation) == ["u1: u1 a1"]
    assert [each.seq for each in conversation.customs] == [2, 4]


def test_a_conversation_cannot_be_changed() -> None:
    """What the fold hands out is frozen, its mappings included."""
    conversation = folded(told(message("u1")))
    with pytest.raises(TypeError):
        conversation.exchanges["x"] = conversation.exchanges[uid("u1")]  # type: ignore[index]
    with pytest.raises(AttributeError):
        conversation.tags = ()  # type: ignore[misc]


# Whatever happens.


@given(histories())
def test_exchange_ids_never_change(events: list[Event]) -> None:
    """The exchange of a message, once it can be seen, is its exchange for ever."""
    seen: dict[str, str] = {}
    order: list[str] = []
    for end in range(1, len(events) + 1):
        conversation = folded(events[:end])
        assert seen.items() <= conversation.places.items()
        assert list(conversation.exchanges)[: len(order)] == order
        seen, order = dict(conversation.places), list(conversation.exchanges)


@given(histories(), st.data())
def test_a_fold_may_be_continued(events: list[Event], data: st.DataObject) -> None:
    """Folding a prefix and then the rest equals folding the whole, in content and in order."""
    cut = data.draw(st.integers(0, len(events)))
    whole, continued = folded(events), fold(events[cut:], folded(events[:cut]))
    assert continued == whole
    assert list(continued.exchanges) == list(whole.exchanges)


@given(histories(), st.data())
def test_events_folded_already_change_nothing(events: list[Event], data: st.DataObject) -> None:
    """A reader that goes back and folds some events again gets the same conversation."""
    start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(events))] * 2)))
    again = fold([*events[start:end], *events[end:]], folded(events[:end]))
    assert again == folded(events)


@given(histories(), st.data())
def test_every_message_is_in_one_exchange(events: list[Event], data: st.DataObject) -> None:
    """Whatever events are missing, each message is in exactly one exchange, its place."""
    kept = [each for each in events if data.draw(st.integers(0, 4))]
    conversation = folded(kept)
    recorded = [each.entry.message for each in kept if isinstance(each.entry, Message)]
    placed = [
        (turn.message.message, exchange.id)
        for exchange in conversation.exchanges.values()
        for turn in exchange.turns
    ]
    assert sorted(name for name, _ in placed) == sorted(recorded)
    assert set(placed) <= set(conversation.places.items())
    assert [turn.message.message for turn in conversation.turns] == recorded


@given(histories())
def test_nothing_is_read_before_what_it_comes_after(events: list[Event]) -> None:
    """The script tells all that happened, once, and leaves the log's order only where it must."""
    conversation = folded(events)
    turns = {turn.message.message: turn for turn in conversation.turns}
    logged = sorted([turn.seq for turn in turns.values()] + [e.seq for e in conversation.customs])
    script = [each.seq for each in conversation.script]
    assert sorted(script) == logged
    pairs = [(turns[turn.after], turn) for turn in turns.values() if turn.after in turns]
    if all(before.seq < after.seq for before, after in pairs):
        assert script == logged
    for before, after in pairs:
        assert script.index(before.seq) < script.index(after.seq) or in_a_circle(after, turns)


def in_a_circle(turn: Turn, turns: dict[str, Turn]) -> bool:
    """Whether a message comes after itself, by way of others."""
    met, each = [turn.seq], turns.get(turn.after or "")
    while each and each.seq not in met:
        met.append(each.seq)
        each = turns.get(each.after or "")
    return each is turn


@given(histories())
def test_an_exchange_has_one_answer(events: list[Event]) -> None:
    """An exchange holds one answer at most, but for a late one that it was named after."""
    for exchange in folded(events).exchanges.values():
        assert exchange.turns
        answers = [turn.message.message for turn in exchange.turns if turn.answers]
        assert len([answer for answer in answers if answer != exchange.id]) <= 1


@given(histories())
def test_no_vote_is_lost(events: list[Event]) -> None:
    """Every vote is a mark in the rating of its message and actor, in the order of time."""
    ratings = folded(events).ratings
    votes = [each for each in events if isinstance(each.entry, Feedback)]
    assert sum(len(rating.marks) for rating in ratings.values()) == len(votes)
    for key, rating in ratings.items():
        assert (rating.message, rating.actor) == key
        assert [mark.order for mark in rating.marks] == sorted(mark.order for mark in rating.marks)


def test_an_empty_fold_is_what_it_was_given() -> None:
    """Folding nothing onto a conversation gives that conversation."""
    conversation = folded(told(message("u1"), vote("u1", thumb="up")), user="ann")
    assert fold([], conversation) == conversation
    assert fold([], Conversation(THREAD)) == Conversation(THREAD)
