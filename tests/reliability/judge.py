"""The judge: what was acknowledged against what is in the log and at the upstream. Pure."""

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar

from tests.doubles.lunary import Effect, Run
from tests.reliability.oracle import Exchange, Oracle

Kind = Literal["lost", "doubled", "disordered", "foreign"]
KINDS: Final[tuple[Kind, ...]] = ("lost", "doubled", "disordered", "foreign")
T = TypeVar("T", bound=Hashable)


@dataclass(frozen=True)
class Break:
    """One promise broken, and where."""

    kind: Kind
    where: str


def judge_log(oracle: Oracle, stored: Mapping[str, Sequence[str]]) -> list[Break]:
    """The breaks in the log, given the event ids of each thread in its order."""
    breaks = [Break("foreign", f"thread {thread}") for thread in stored.keys() - oracle.threads]
    for thread in oracle.threads:
        owed = [event.id for event in oracle.owed(thread)]
        breaks += _compare(f"log, thread {thread}", owed, stored.get(thread, []))
    return breaks


def judge_upstream(oracle: Oracle, runs: Sequence[Run], effects: Sequence[Effect]) -> list[Break]:
    """The breaks at a Lunary, given its rows and what each event did to them."""
    chats: dict[str, list[Run]] = {}
    for run in sorted(runs, key=lambda run: run.created_at):
        chats.setdefault(run.parent_run_id or "", []).append(run)
    applied = _count(effects)
    tops = [run.id for run in chats.pop("", [])]
    breaks = _compare("threads", list(oracle.threads), sorted(tops, key=_order(oracle.threads)))
    for thread in oracle.threads:
        breaks += _judge_thread(thread, oracle.exchanges(thread), chats.get(thread, []), applied)
    return breaks


def _judge_thread(
    thread: str, owed: Sequence[Exchange], found: Sequence[Run], applied: Counter[tuple[str, str]]
) -> Iterator[Break]:
    where = f"upstream, thread {thread}"
    yield from _compare(where, [exchange.id for exchange in owed], [run.id for run in found])
    times = [run.created_at for run in found]
    if len(set(times)) < len(times):
        yield Break("disordered", f"{where}: equal times")
    runs = {run.id: run for run in found}
    for exchange in owed:
        if exchange.id in runs:
            yield from _judge_exchange(exchange, runs[exchange.id], applied)


def _judge_exchange(
    exchange: Exchange, run: Run, applied: Counter[tuple[str, str]]
) -> Iterator[Break]:
    where = f"exchange {exchange.id}"
    yield from _compare(where, exchange.messages, _messages(run))
    last = exchange.opinions[-1] if exchange.opinions else {}
    if _given(run.feedback) != _given(last):
        yield Break("lost", f"{where}: the last vote {last}, found {run.feedback}")
    if applied[exchange.id, "start"] > 1:
        yield Break("doubled", f"{where}: started twice")
    if applied[exchange.id, "feedback"] > len(exchange.opinions):
        yield Break("doubled", f"{where}: more votes than were given")


def _compare(where: str, owed: Sequence[T], found: Sequence[T]) -> list[Break]:
    """What is missing, extra, there twice, or in another order than owed."""
    counts, known = Counter(found), set(owed)
    breaks = [Break("lost", f"{where}: {each}") for each in owed if each not in counts]
    breaks += [Break("foreign", f"{where}: {each}") for each in counts if each not in known]
    breaks += [Break("doubled", f"{where}: {each}") for each, n in counts.items() if n > 1]
    common = [each for each in counts if each in known]
    if common != [each for each in owed if each in counts]:
        breaks.append(Break("disordered", where))
    return breaks


def _count(effects: Sequence[Effect]) -> Counter[tuple[str, str]]:
    """How often events of a name changed the rows of a run."""
    return Counter(
        (effect.event["runId"], effect.event["event"]) for effect in effects if effect.changed
    )


def _messages(run: Run) -> list[tuple[str, str]]:
    return [(each["role"], each["content"]) for each in [*run.input, *(run.output or [])]]


def _given(opinion: Mapping[str, Any] | None) -> dict[str, Any]:
    """An opinion without what is not set: Lunary keeps nulls, the oracle leaves them out."""
    return {key: value for key, value in (opinion or {}).items() if value is not None}


def _order(threads: Mapping[str, object]) -> Any:
    """Threads have no order among each other: the oracle's will do, strangers at the end."""
    places = {thread: place for place, thread in enumerate(threads)}
    return lambda thread: places.get(thread, len(places))
