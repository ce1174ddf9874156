"""From what an upstream answered to what the log is told: pure, one due thread at a time."""

from collections.abc import Callable, Iterator
from typing import Final

from msgspec import Struct

from thumbseal import retry
from thumbseal.events import Event, Feedback, Message
from thumbseal.ids import MessageId
from thumbseal.log import Due, Remark, Settled
from thumbseal.upstreams import Change, Delivered, Later, Outcome

COALESCE: Final = 1_000  # ms that a vote waits for a newer one, where only the last counts


class Unsent(Struct, frozen=True):
    """A thread whose turn did not come: the upstream as a whole failed before (``reason``, wait of
    ``seconds``), or the time for one claim was over. Nothing is held against it."""

    reason: str = ""
    seconds: float = 0.0


def new_events(due: Due) -> list[Event]:
    """What the upstream does not have yet of a due thread."""
    return [
        each for each in due.stored.events if each.seq >= due.since_seq or each.seq in due.again
    ]


def is_young(due: Due, now: int) -> bool:
    """Whether there is nothing new but votes that a newer one may soon replace. What has waited
    once waits no more."""
    new = new_events(due)
    votes = bool(new) and all(isinstance(event.entry, Feedback) for event in new)
    return votes and not due.held and now - new[0].received_at < COALESCE


def postponed(due: Due, now: int) -> Settled:
    """A young thread waits out its second, and no longer after a clock jumped."""
    age = max(now - new_events(due)[0].received_at, 0)
    return Settled(due.stored.thread_no, hold_from=due.since_seq, next_at=now + COALESCE - age)


def settled(
    due: Due,
    change: Change,
    outcome: Outcome | Unsent,
    now: float,
    jitter: Callable[[], float],
    *,
    keeps_state: bool,
) -> Settled:
    """What the log is told of one thread; ``now`` in seconds."""
    match outcome:
        case Delivered(dead=dead, again=True):
            number, since = due.stored.thread_no, due.since_seq
            return Settled(number, due.attempts, since, int(now * 1000), dead=dead)
        case Delivered():
            older = _superseded(change) if keeps_state else set()
            return _delivered(due, change, outcome, older)
        case Later():
            return _held(due, outcome, now, jitter)
        case Unsent(reason, seconds):
            next_at = int((now + seconds) * 1000)
            return Settled(due.stored.thread_no, due.attempts, due.since_seq, next_at, reason)


def _delivered(due: Due, change: Change, outcome: Delivered, superseded: set[int]) -> Settled:
    messages = [each.entry.message for each in change.events if isinstance(each.entry, Message)]
    return Settled(
        due.stored.thread_no,
        dead=outcome.dead,
        waiting=outcome.waiting,
        arrived=tuple(map(MessageId, messages)),
        again=tuple(due.again),
        remarks=tuple(_remarks(outcome, superseded)),
    )


def _held(due: Due, outcome: Later, now: float, jitter: Callable[[], float]) -> Settled:
    """A hold; where the upstream said how long, that is no failure of the thread's. One that got
    further than the last time begins anew: it has not failed twice in a row."""
    since = due.since_seq if outcome.since is None else max(outcome.since, due.since_seq)
    failed = due.attempts if since == due.since_seq else 0
    if outcome.after is None:
        attempts = failed + 1
        plan = outcome.plan
        wait = retry.planned(plan, attempts, jitter()) if plan else retry.delay(attempts, jitter())
    else:
        attempts, wait = failed, retry.asked(outcome.after)
    return Settled(
        due.stored.thread_no,
        attempts,
        hold_from=since,
        next_at=int((now + wait) * 1000),
        reason=outcome.reason,
        dead=outcome.dead,
        again=()
        if outcome.since is None
        else tuple(each for each in due.again if each < outcome.since),
    )


def _remarks(outcome: Delivered, superseded: set[int]) -> Iterator[tuple[int, Remark]]:
    """Why the upstream does not show some of what it has."""
    elsewhere = dict(outcome.waiting).keys() | dict(outcome.dead).keys()
    for seq in superseded - elsewhere:
        yield seq, "superseded"
    for seq in set(outcome.lossy) - superseded - elsewhere:
        yield seq, "lossy"


def _superseded(change: Change) -> set[int]:
    """The new votes beside which there is a later one by the same actor on the same message."""
    last: dict[tuple[str, str], tuple[int, int]] = {}
    votes: list[tuple[int, int]] = []
    for event in change.events:
        if isinstance(event.entry, Feedback):
            key, order = (event.entry.message, event.actor), (event.at, event.seq)
            last[key] = max(order, last.get(key, order))
            votes.append(order)
    return {order[1] for order in votes if order not in last.values()}
