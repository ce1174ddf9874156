"""Many changes to one upstream: cut into the calls it takes, a few of them at once."""

import asyncio
from collections import deque
from collections.abc import Sequence

import structlog
from msgspec import Struct, field, structs

from thumbseal.upstreams import Change, Delivered, Outcome, Upstream, UpstreamDown

_logger = structlog.get_logger()


class Dispatched(Struct):
    """What came of it. An outcome is None where its change was not sent, or nothing can be said;
    ``trouble`` is why; ``faulty`` are changes (by number) that our own code could not send."""

    outcomes: list[Outcome | None]
    trouble: UpstreamDown | None = None
    faulty: dict[int, str] = field(default_factory=dict)

    @property
    def sent(self) -> bool:
        """Whether anything at all has an outcome."""
        return bool(self.faulty) or any(outcome is not None for outcome in self.outcomes)


async def dispatch(
    upstream: Upstream, changes: Sequence[Change], width: int, seconds: float
) -> Dispatched:
    """Deliver the changes, ``width`` calls at once. After trouble with the upstream as a whole, or
    when ``seconds`` are over, no further call is begun; those under way are awaited."""
    done = Dispatched([None] * len(changes))
    step = upstream.batch
    calls = deque(
        (start, min(start + step, len(changes))) for start in range(0, len(changes), step)
    )
    until = asyncio.get_running_loop().time() + seconds

    async def work() -> None:
        while calls and done.trouble is None and asyncio.get_running_loop().time() < until:
            start, stop = calls.popleft()
            try:
                done.outcomes[start:stop] = await upstream.deliver(changes[start:stop])
            except UpstreamDown as error:
                done.trouble = error
            except Exception as error:
                # A change that trips our own code must not take its neighbours along.
                if stop - start > 1:
                    middle = (start + stop) // 2
                    calls.extendleft([(middle, stop), (start, middle)])
                    continue
                _logger.error("delivery_failed", exc_info=True)
                done.faulty[start] = f"a fault of ours: {type(error).__name__}"

    async with asyncio.TaskGroup() as group:
        for _ in range(min(width, len(calls))):
            group.create_task(work())
    return done


async def find_fault(upstream: Upstream, change: Change, reason: str) -> Outcome | None:
    """The outcome of a change that our own code cannot send, without the one event at fault, which
    is dead; None where leaving out no single event helps.

    Raises:
        UpstreamDown: nothing can be said.
    """
    for event in change.events:
        rest = [each for each in change.events if each is not event]
        less = structs.replace(change, events=rest, dead=change.dead | {event.seq})
        try:
            outcome = (await upstream.deliver([less]))[0] if rest else Delivered()
        except UpstreamDown:
            raise
        except Exception as error:  # noqa: BLE001  whatever it is, we look for its cause
            _logger.info("not_at_fault", seq=event.seq, error=type(error).__name__)
        else:
            return structs.replace(outcome, dead=(*outcome.dead, (event.seq, reason)))
    return None
