"""What Lunary is told of a conversation: pure, from the fold to the events on the wire.

Lunary's own chat events append and rename; its generic run events do not. So each exchange goes
as a run that starts with its question and ends with its answer, under an id that never changes,
and a vote as the whole feedback object. All of this was observed on Lunary's open-source backend
(commit a86d6986); the rules that follow from it:

1. Messages are arrays of objects: strings break Lunary's list of threads.
2. Times strictly increase within a thread, since rows are ordered by time alone.
3. Fields are picked, never passed through: ``appId`` in an event would move it to another project.
4. Lunary holds one vote for each exchange: the answer's, of the actor who voted last. Votes on
   questions, and other actors' votes, are not sent (`LOSSY`).
5. The user's properties go along wherever her id does: Lunary reads their absence as "none".
6. A thread starts with the first event that is no vote: a start cannot be mended, and a bare vote
   does not know the user yet.
7. A start that is there already changes nothing. So of what is older than the upstream, threads and
   exchanges are started with every change that touches them.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import reduce
from typing import Any, Final
from uuid import UUID, uuid5

from msgspec import UNSET, Struct

from thumbseal.conversation import Conversation, Exchange, Rating, Turn, merge
from thumbseal.events import Custom, Event, Feedback, Opinion, Run, ThreadChange
from thumbseal.upstreams import Change

LOSSY: Final[tuple[str, ...]] = (
    "votes on questions",
    "votes on messages that call tools",
    "all but the last actor's vote on an answer",
    "thread metadata changed after the start",
    "on the thread itself, a user vouched for after the start",
)


# What is passed on of a run.
RUN_FIELDS: Final = (
    "name",
    "input",
    "output",
    "error",
    "message",
    "tags",
    "metadata",
    "params",
    "extra",
    "tokensUsage",
    "templateId",
    "runtime",
    "feedback",
)
USER_FIELDS: Final = ("userId", "userProps")


class Wire(Struct, frozen=True):
    """One event as Lunary takes it. ``seqs`` are the log's events that go into the dead if this
    is refused."""

    at: int
    body: dict[str, Any]
    seqs: tuple[int, ...]

    @property
    def opens(self) -> bool:
        """Whether it makes the thread that all others need."""
        return bool(self.body["type"] == "thread")

    @property
    def starts(self) -> bool:
        """Whether it makes a row."""
        return bool(self.body["event"] == "start")


def project(change: Change) -> list[Wire]:
    """The events that bring Lunary's state of a thread to that of the fold."""
    times = _times(change.conversation)
    wires = list(_thread_start(change))
    for exchange in change.conversation.exchanges.values():
        whole = _is_due_whole(change, exchange)
        if whole or any(turn.seq >= change.since for turn in exchange.turns):
            wires += _exchange(change, exchange, times)
        wires += _vote(change, exchange, times, whole=whole)
    for event in change.events:
        if isinstance(event.entry, Custom):
            wires += _custom(change, event, event.entry, times[event.seq])
    return [*wires, *_runs(change, times)]


def project_votes(change: Change) -> list[Wire]:
    """The votes and the runs alone, each for the run of its message's id: somebody else records the
    messages."""
    voted = dict.fromkeys(
        event.entry.message for event in change.events if isinstance(event.entry, Feedback)
    )
    votes = [
        wire
        for message in voted
        for wire in _feedback(change, change.conversation.ratings_of(message)[-1], message, 0)
    ]
    return [*votes, *_runs(change, {})]


def lost(change: Change) -> tuple[int, ...]:
    """The new events of which Lunary cannot hold all (`LOSSY`), by seq."""
    conversation = change.conversation
    kept = {
        (rating.message, rating.actor)
        for exchange in conversation.exchanges.values()
        if (rating := _rating(conversation, exchange)) is not None
    }
    recorded = {turn.message.message for turn in conversation.turns}
    first = conversation.first.seq if conversation.first else 0
    return tuple(
        event.seq
        for event in change.events
        if _is_lost(event, kept, recorded, started=first < change.since)
    )


def _is_lost(
    event: Event, kept: set[tuple[str, str]], recorded: set[str], *, started: bool
) -> bool:
    match event.entry:
        case Feedback(message=message):
            return message in recorded and (message, event.actor) not in kept
        case ThreadChange(metadata=metadata):
            return started and metadata is not None
        case _:
            return False


def _times(conversation: Conversation) -> dict[int, int]:
    """The time of each row at Lunary, by seq: the sender's, but strictly increasing."""
    rows = [(turn.seq, turn.at) for turn in conversation.turns]
    rows += [(event.seq, event.at) for event in conversation.customs]
    times: dict[int, int] = {}
    last = conversation.first.at if conversation.first else 0
    for seq, at in sorted(rows):
        last = times[seq] = max(at, last + 1)
    return times


def _thread_start(change: Change) -> Iterator[Wire]:
    first = change.conversation.first
    refused = first is not None and first.seq in change.dead
    if first is None or change.has(first.seq):
        return
    opening = next((turn for turn in change.conversation.turns if turn.seq == first.seq), None)
    yield _wire(
        change,
        first.at,
        (first.seq,),
        type="thread",
        event="start",
        runId=change.conversation.thread,
        tags=list(change.conversation.tags) or None,
        metadata=None if refused else dict(change.conversation.metadata) or None,
        input=_message(opening, change) if opening else None,
    )


def _is_due_whole(change: Change, exchange: Exchange) -> bool:
    """Whether an exchange that is older than the upstream has something new, and so goes there with
    all that it has."""
    if all(turn.seq > change.start for turn in exchange.turns):
        return False
    rating = _rating(change.conversation, exchange)
    if rating is not None and rating.marks_since(change.since):
        return True
    runs = (event.entry for event in change.events if isinstance(event.entry, Run))
    return any(turn.seq >= change.since for turn in exchange.turns) or any(
        change.conversation.places.get(run.parent or "") == exchange.id for run in runs
    )


def _exchange(change: Change, exchange: Exchange, times: dict[int, int]) -> Iterator[Wire]:
    turns = exchange.turns
    asked = [_message(turn, change) for turn in turns if turn.asks]
    said = [_message(turn, change) for turn in turns if not turn.asks]
    new = [turn for turn in turns if not (change.has(turn.seq) or turn.seq in change.dead)]
    questions = tuple(turn.seq for turn in new if turn.asks)
    answers = tuple(turn.seq for turn in new if not turn.asks)
    if not change.has(turns[0].seq):
        yield _wire(
            change,
            times[turns[0].seq],
            questions or answers,
            type="chat",
            event="start",
            runId=exchange.id,
            parentRunId=change.conversation.thread,
            input=asked,
        )
    # A start that is already there changes nothing, so whatever is more than the one question
    # comes as an end, which replaces both sides.
    if len(turns) > 1 or said:
        yield _wire(
            change,
            times[turns[-1].seq],
            # The start has shown that the questions are good; if not, they are blamed next time.
            answers or questions,
            type="chat",
            event="end",
            runId=exchange.id,
            input=asked,
            output=said,
        )


def _vote(
    change: Change, exchange: Exchange, times: dict[int, int], *, whole: bool
) -> Iterator[Wire]:
    rating = _rating(change.conversation, exchange)
    if rating is None or exchange.answer is None:
        return
    # A vote that came before its answer goes out with it.
    if whole or exchange.answer.seq >= change.since or rating.marks_since(change.since):
        yield from _feedback(change, rating, exchange.id, times[exchange.turns[-1].seq] + 1)


def _feedback(change: Change, rating: Rating, run: str, earliest: int) -> Iterator[Wire]:
    """A vote as the whole feedback object, since Lunary keeps what a vote does not name."""
    # What is dead says nothing, what else was said still stands.
    alive = (mark.opinion for mark in rating.marks if mark.seq not in change.dead)
    opinion = reduce(merge, alive, Opinion())
    feedback = {key: getattr(opinion, key) for key in Opinion.__struct_fields__}
    yield _wire(
        change,
        max(rating.marks[-1].at, earliest),
        rating.marks_since(change.since) or (rating.marks[-1].seq,),
        type=None,
        event="feedback",
        runId=run,
        feedback={key: None if value is UNSET else value for key, value in feedback.items()},
    )


def _custom(change: Change, event: Event, custom: Custom, at: int) -> Iterator[Wire]:
    run = str(uuid5(UUID(change.conversation.thread), f"{event.source}\n{custom.id}"))
    common = {"type": "custom-event", "runId": run}
    yield _wire(
        change,
        at,
        (event.seq,),
        **common,
        event="start",
        name=custom.name,
        parentRunId=change.conversation.thread,
        metadata=custom.metadata,
    )
    yield _wire(change, at, (event.seq,), **common, event="end")


def _runs(change: Change, times: dict[int, int]) -> Iterator[Wire]:
    """What happened to runs, each under its exchange if that is recorded here. Lunary forgets the
    parent of what comes before it, and the end that comes before its start."""
    latest = 0
    for event in change.events:
        if isinstance(event.entry, Run):
            exchange = _exchange_of(change.conversation, event.entry)
            earliest = times[exchange.turns[0].seq] + 1 if exchange else 0
            latest = max(event.at, earliest, latest)
            yield _run(change, event.entry, event.seq, latest, exchange)


def _run(change: Change, run: Run, seq: int, at: int, exchange: Exchange | None) -> Wire:
    said = {key: run.sent.get(key) for key in RUN_FIELDS}
    if run.event == "start":
        said |= {key: run.sent.get(key) for key in USER_FIELDS}
    told = {"type": run.kind, "event": run.event, "runId": run.run}
    parent = exchange.id if exchange else run.parent
    return _wire(change, at, (seq,), **{**said, **told, "parentRunId": parent})


def _exchange_of(conversation: Conversation, run: Run) -> Exchange | None:
    """The exchange of the message that a run belongs to."""
    return conversation.exchanges.get(conversation.places.get(run.parent or "", ""))


def _wire(change: Change, at: int, seqs: tuple[int, ...], **fields: Any) -> Wire:
    """A wire event: what a start says of its user belongs to every start; nothing is null but
    the type of a vote."""
    if fields["event"] == "start" and change.conversation.user is not None:
        fields["userId"] = change.conversation.user
        fields["userProps"] = dict(change.conversation.user_props) or None
    given = {key: value for key, value in fields.items() if value is not None or key == "type"}
    return Wire(at, {**given, "timestamp": _iso(at)}, seqs)


def _message(turn: Turn, change: Change) -> dict[str, Any]:
    """A message as Lunary shows it; the content of a dead one is left out, its place is not."""
    message = turn.message
    shown = {
        "role": message.role,
        "content": "" if turn.seq in change.dead else message.content,
        "name": message.name,
        "tool_calls": None if turn.seq in change.dead else message.tool_calls,
        "tool_call_id": message.tool_call_id,
        "tags": message.tags,
    }
    metadata = {**(message.metadata or {}), "messageId": message.message, "source": turn.source}
    kept = {key: value for key, value in shown.items() if value is not None or key == "content"}
    return {**kept, "metadata": metadata}


def _rating(conversation: Conversation, exchange: Exchange) -> Rating | None:
    """The one vote that Lunary can hold for an exchange."""
    if exchange.answer is None:
        return None
    ratings = conversation.ratings_of(exchange.answer.message.message)
    return ratings[-1] if ratings else None


def _iso(ms: int) -> str:
    moment = datetime.fromtimestamp(ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
