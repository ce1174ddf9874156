"""The forwarder: claim, fold, send, settle; one for each upstream of each site.

It never touches a request. What it has done is in the log, so it may be killed anywhere: the
claim is made again, and an upstream that keeps state does not notice.
"""

import asyncio
import random
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

import structlog
from msgspec import structs

from thumbseal import retry
from thumbseal.conversation import Conversation, fold
from thumbseal.errors import LogError
from thumbseal.events import Message
from thumbseal.ids import MessageId
from thumbseal.log import Claim, Due, Log, Settled
from thumbseal.upstreams import Change, Later, Outcome, Upstream, UpstreamDown

CLAIM: Final = 200  # events at once: enough for large batches, little to do again
MAX_FOLDS: Final = 1_000
POLL: Final = 1.0  # seconds; a lost wake-up costs no more than this


class Forwarder:
    """Brings the events of a site to one upstream.

    ``name`` is "site/upstream" and names its cursor; ``clock`` gives epoch seconds, ``jitter``
    numbers in 0 … 1.
    """

    def __init__(
        self,
        name: str,
        log: Log,
        upstream: Upstream,
        clock: Callable[[], float] = time.time,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.name = name
        self._site = name.partition("/")[0]
        self._log = log
        self._upstream = upstream
        self._clock = clock
        self._jitter = jitter
        self._folds: OrderedDict[int, Conversation] = OrderedDict()
        self._failures = 0
        self._logger = structlog.get_logger().bind(upstream=name)

    async def run(self) -> None:
        """Deliver for ever; returns only by cancellation."""
        self._logger.info("upstream", cannot_hold=list(self._upstream.lossy))
        stored = self._log.watch()
        while True:
            stored.clear()
            try:
                wait = await self.step()
            except LogError as error:
                self._logger.error("log_failed", error=str(error))
                wait = POLL
            except Exception as error:
                self._logger.error("forwarder_failed", exc_info=True)
                wait = self._back_off(UpstreamDown(f"a fault of ours: {type(error).__name__}"))
            if wait is None:
                await _until(stored, POLL)
            else:
                await asyncio.sleep(wait)

    async def step(self) -> float | None:
        """One claim from beginning to end.

        Returns the seconds to wait before the next, None when there was nothing to do.
        """
        now = int(self._clock() * 1000)
        known = {number: told.last_seq for number, told in self._folds.items()}
        claim = await self._log.claim(self.name, self._site, now, CLAIM, known)
        if not claim.due:
            return await self._pass(claim, now)
        changes = [self._change(due) for due in claim.due]
        while len(self._folds) > MAX_FOLDS:
            self._folds.popitem(last=False)
        try:
            outcomes = await self._upstream.deliver(changes)
        except UpstreamDown as error:
            return self._back_off(error)
        self._failures = 0
        await self._settle(claim, changes, outcomes)
        return self._upstream.pause

    async def _pass(self, claim: Claim, now: int) -> float | None:
        """Leave behind what there is nothing to do about: other sites' events and held threads'.

        A few are read again next time, which is cheaper than a write; a whole claim of them must
        not hide what comes after.
        """
        if claim.upto - claim.since < CLAIM:
            return None
        await self._log.settle(claim, [], now)
        return 0.0

    def _change(self, due: Due) -> Change:
        """A due thread folded; the fold is kept, so that a long thread is not read anew."""
        stored = due.stored
        told = self._folds.pop(stored.thread_no, None) or Conversation(stored.thread)
        told = fold(stored.events, structs.replace(told, user=stored.user))
        self._folds[stored.thread_no] = told
        new = [event for event in stored.events if event.seq >= due.since_seq]
        return Change(self._site, told, new, due.dead)

    def _back_off(self, error: UpstreamDown) -> float:
        self._failures += 1
        wait = retry.delay(self._failures, self._jitter(), error.after)
        if error.refused:
            wait = max(wait, retry.REFUSED)
        self._logger.warning(
            "upstream_refused" if error.refused else "upstream_down",
            reason=str(error),
            failures=self._failures,
            wait_seconds=round(wait, 1),
        )
        return wait

    async def _settle(
        self, claim: Claim, changes: Sequence[Change], outcomes: Sequence[Outcome]
    ) -> None:
        now = self._clock()
        settled = [
            self._settled(due, change, outcome, now)
            for due, change, outcome in zip(claim.due, changes, outcomes, strict=True)
        ]
        await self._log.settle(claim, settled, int(now * 1000))

    def _settled(self, due: Due, change: Change, outcome: Outcome, now: float) -> Settled:
        for seq, reason in outcome.dead:
            self._logger.warning("event_dead", seq=seq, reason=reason)
        if isinstance(outcome, Later):
            return self._held(due, outcome, now)
        messages = [each.entry.message for each in change.events if isinstance(each.entry, Message)]
        return Settled(
            due.stored.thread_no,
            dead=outcome.dead,
            waiting=outcome.waiting,
            arrived=tuple(map(MessageId, messages)),
        )

    def _held(self, due: Due, outcome: Later, now: float) -> Settled:
        attempts = due.attempts + 1
        wait = retry.delay(attempts, self._jitter(), outcome.after)
        self._logger.info("thread_held", thread=due.stored.thread, reason=outcome.reason)
        return Settled(
            due.stored.thread_no,
            attempts,
            hold_from=due.since_seq if outcome.since is None else outcome.since,
            next_at=int((now + wait) * 1000),
            reason=outcome.reason,
            dead=outcome.dead,
        )


async def _until(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
