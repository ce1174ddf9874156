"""What a conversation's page says of receipts: the worst, else the newest."""

import pytest

from thumbseal.conversation import Conversation, fold
from thumbseal.events import Event, Feedback, Message, Opinion
from thumbseal.log import Receipt
from thumbseal.replay.scene import set_scene

ANSWER = "01890000-0000-0000-0000-000000000001"
DELIVERED = Receipt("delivered")
LOSSY = Receipt("delivered", remark="lossy")
SUPERSEDED = Receipt("delivered", remark="superseded")
HELD = Receipt("held", "refused for now", 5)


def event(seq: int, entry: Message | Feedback) -> Event:
    return Event(seq, "backend" if seq == 3 else "browser", "actor", seq, seq, entry)


EVENTS = [
    event(1, Message(id="a", at=1, message=ANSWER, role="assistant", content="Yes.")),
    event(2, Feedback(id="b", at=2, message=ANSWER, feedback=Opinion(thumb="up"))),
    event(3, Feedback(id="c", at=3, message=ANSWER, feedback=Opinion(thumb="down"))),
    event(4, Feedback(id="d", at=4, message="unknown", feedback=Opinion(thumb="up"))),
]


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        (SUPERSEDED, DELIVERED, DELIVERED),
        (DELIVERED, LOSSY, LOSSY),
        (HELD, DELIVERED, HELD),
        (DELIVERED, Receipt("dead", "no"), Receipt("dead", "no")),
        (Receipt("pending"), HELD, HELD),
    ],
)
def test_a_vote_says_what_became_of_it(first: Receipt, second: Receipt, told: Receipt) -> None:
    receipts = {"lunary": {1: DELIVERED, 2: first, 3: second}}
    scene = set_scene(EVENTS, fold(EVENTS, Conversation("thread")), receipts)
    (entry,) = scene.beats[0].entries
    (vote,) = entry.votes
    assert [fate.receipt for fate in entry.fates] == [DELIVERED]
    assert [fate.receipt for fate in vote.fates] == [told]
    assert (vote.source, vote.thumb) == ("backend", "down")
    assert entry.states == list(dict.fromkeys(["delivered", told.state]))


def test_a_vote_on_what_nobody_recorded_says_why_it_waits() -> None:
    waiting = Receipt("held", "message_unknown")
    scene = set_scene(EVENTS, fold(EVENTS, Conversation("thread")), {"lunary": {4: waiting}})
    (stray,) = scene.strays
    assert [fate.receipt for fate in stray.fates] == [waiting]


def test_a_question_stands_before_its_answer_also_when_it_came_later() -> None:
    """A backend that is quicker than the page: the pause is that of the clocks, in the order in
    which one reads."""
    question = ANSWER.replace("1", "2")
    answer = Message(
        id="a", at=500, message=ANSWER, role="assistant", content="Yes.", reply_to=question
    )
    asked = Message(id="b", at=100, message=question, role="user", content="Is it?")
    events = [
        Event(1, "backend", "actor", 500, 501, answer),
        Event(2, "browser", "actor", 100, 502, asked),
    ]
    scene = set_scene(events, fold(events, Conversation("thread")), {})
    assert [(each.role, each.pause) for beat in scene.beats for each in beat.entries] == [
        ("user", 0),
        ("assistant", 400),
    ]
