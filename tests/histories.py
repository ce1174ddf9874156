"""Histories of one thread: events as the log holds them, told in a few words.

A message is called by a letter for its role and a number: u1, s1, a1, t1. Its text is its name.
"""

from typing import Any, Final
from uuid import UUID, uuid5

from hypothesis import strategies as st
from msgspec import UNSET, structs

from thumbseal.conversation import Conversation, fold
from thumbseal.events import AnyEntry, Custom, Event, Feedback, Message, Opinion, ThreadChange
from thumbseal.ids import ActorId, MessageId, Role, ThreadId

THREAD: Final = ThreadId("019a0000-0000-0000-0000-00000000000a")
ANN: Final = ActorId("019a0000-0000-0000-0000-0000000000a1")
BOB: Final = ActorId("019a0000-0000-0000-0000-0000000000b0")
START_MS: Final = 1_790_000_000_000
ROLES: Final[dict[str, Role]] = {"u": "user", "s": "system", "a": "assistant", "t": "tool"}
TOOL_CALLS: Final = ({"id": "call_1", "type": "function", "function": {"name": "look_up"}},)


def uid(name: str) -> MessageId:
    """The id of the message of this name."""
    return MessageId(str(uuid5(UUID(THREAD), name)))


def message(name: str, /, **fields: Any) -> Message:
    """A message; ``reply_to`` and ``retry_of`` are names."""
    for reference in ("reply_to", "retry_of"):
        if fields.get(reference) is not None:
            fields[reference] = uid(fields[reference])
    fields = {"id": "_", "at": 0, "content": name, **fields}
    return Message(message=uid(name), role=ROLES[name[0]], **fields)


def calling(name: str, /, **fields: Any) -> Message:
    """An assistant's message that calls a tool, and so answers nothing yet."""
    return message(name, tool_calls=TOOL_CALLS, **fields)


def vote(name: str, /, **opinion: Any) -> Feedback:
    return vote_with(name, Opinion(**opinion))


def change(**fields: Any) -> ThreadChange:
    return ThreadChange(id="_", at=0, **fields)


def custom(name: str, /, **metadata: Any) -> Custom:
    return Custom(id="_", at=0, name=name, metadata=metadata or None)


def event(seq: int, entry: AnyEntry, *, at: int | None = None, actor: ActorId = ANN) -> Event:
    """An entry in the log; ``at`` counts ms from the start, by default a second for each seq."""
    moment = START_MS + (seq * 1000 if at is None else at)
    received = START_MS + seq * 1000
    stored = structs.replace(entry, id=f"e{seq}", at=moment)
    return Event(seq, "browser", actor, moment, received, stored)


def told(*entries: AnyEntry, first: int = 1) -> list[Event]:
    """Entries as the log would number them."""
    return [event(seq, entry) for seq, entry in enumerate(entries, first)]


def folded(events: list[Event], user: str | None = None) -> Conversation:
    return fold(events, Conversation(THREAD, user=user))


def vote_with(name: str, opinion: Opinion) -> Feedback:
    return Feedback(id="_", at=0, message=uid(name), feedback=opinion)


POOL: Final = ("u1", "u2", "u3", "a1", "a2", "a3", "a4", "s1", "t1", "t2")
OPINIONS: Final = st.builds(
    Opinion,
    thumb=st.sampled_from([UNSET, UNSET, None, "up", "down"]),
    reasons=st.sampled_from([UNSET, UNSET, None, (), ("Wrong",), ("Wrong", "Unsafe")]),
    comment=st.sampled_from([UNSET, UNSET, None, "", "so so"]),
    score=st.sampled_from([UNSET, UNSET, None, 0.5]),
    correction=st.sampled_from([UNSET, UNSET, None, "better"]),
).filter(lambda opinion: opinion != Opinion())


_CHANGES: Final = [
    change(tags=()),
    change(tags=("a", "b")),
    change(metadata={"x": 1}),
    change(metadata={"x": 2, "y": 2}),
]
# A message as what it refers to; its name comes from the order in which messages arrive.
_MESSAGES: Final = st.tuples(
    st.booleans(), st.sampled_from([*[None] * 10, *POOL]), st.sampled_from([*[None] * 30, *POOL])
)
_OTHERS: Final[st.SearchStrategy[AnyEntry]] = st.one_of(
    st.builds(vote_with, st.sampled_from(POOL), OPINIONS),
    st.sampled_from(_CHANGES),
    st.sampled_from([custom("opened"), custom("copied", n=2)]),
)
_STEPS: Final = st.lists(
    st.tuples(
        st.one_of(_MESSAGES, _MESSAGES, _OTHERS), st.integers(0, 6), st.sampled_from([ANN, BOB])
    ),
    min_size=1,
    max_size=14,
)


def histories() -> st.SearchStrategy[list[Event]]:
    """Any events that the log can hold of a thread.

    Messages come in any order, or never, also when others refer to them; times come as clocks
    like, and equal ones too.
    """
    return st.builds(_history, st.permutations(POOL), _STEPS)


def _history(arriving: list[str], steps: list[tuple[Any, int, ActorId]]) -> list[Event]:
    names = iter(arriving)
    entries = [
        (_message(next(names, None), *step) if isinstance(step, tuple) else step, at, actor)
        for step, at, actor in steps
    ]
    known = [(entry, at, actor) for entry, at, actor in entries if entry is not None]
    return [
        event(seq, entry, at=at * 1000, actor=actor)
        for seq, (entry, at, actor) in enumerate(known, 1)
    ]


def _message(
    name: str | None, calls: bool, reply_to: str | None, retry_of: str | None
) -> Message | None:
    if name is None:
        return None
    make = calling if calls and name[0] == "a" else message
    return make(
        name,
        reply_to=None if reply_to == name else reply_to,
        retry_of=None if retry_of == name else retry_of,
    )
