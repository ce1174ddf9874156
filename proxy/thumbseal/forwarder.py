"""The forwarder: claim, fold, send, settle; one for each upstream of each site.

It never touches a request. What it has done is in the log, so it may be killed anywhere: the
claim is made again, and an upstream that keeps state does not notice.
"""

import asyncio
import random
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import structlog
from msgspec import structs

from thumbseal import retry
from thumbseal.conversation import Conversation, fold
from thumbseal.erasure import carry_out
from thumbseal.errors import LogError
from thumbseal.log import Claim, Due, Log, Settled, Standing
from thumbseal.patience import Patience, standing
from thumbseal.settling import Unsent, is_young, new_events, postponed
from thumbseal.settling import settled as settle
from thumbseal.upstreams import Change, Delivered, Later, Outcome, Upstream, UpstreamDown
from thumbseal.upstreams.dispatch import Dispatched, dispatch, find_fault

CLAIM: Final = 500  # events at once: enough to catch up in few requests, little to do again
MAX_FOLDS: Final = 1_000
POLL: Final = 1.0  # seconds; a lost wake-up costs no more than this
BUDGET: Final = 5.0  # seconds in which a claim begins calls: a slow thread delays no more than that


def steady_clock() -> Callable[[], float]:
    """Epoch seconds as of now, which go on evenly whatever is done to the machine's clock: what
    waits for its time waits neither longer nor shorter."""
    offset = time.time() - time.monotonic()
    return lambda: offset + time.monotonic()


class Forwarder:
    """Brings the events of a site to one upstream.

    ``name`` is "site/upstream" and names its cursor; ``clock`` gives epoch seconds that never
    jump, ``jitter`` numbers in 0 … 1.
    """

    def __init__(
        self,
        name: str,
        log: Log,
        upstream: Upstream,
        clock: Callable[[], float] | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.name = name
        self._site = name.partition("/")[0]
        self._log = log
        self._upstream = upstream
        self._clock = clock or steady_clock()
        self._jitter = jitter
        self._folds: OrderedDict[int, Conversation] = OrderedDict()
        self._patience = Patience(CLAIM, upstream.concurrency, jitter)
        self._holds = False
        self._next_hold: int | None = None
        self._standing: Standing | None = None
        self._stop = asyncio.Event()
        self._stored = log.watch(self._site)
        self._logger = structlog.get_logger().bind(upstream=name)

    async def run(self) -> None:
        """Deliver until `stop`, or cancellation."""
        self._logger.info("upstream", cannot_hold=list(self._upstream.lossy))
        wait = await self._guarded(self.resume())
        while not self._stop.is_set():
            wait = await self._guarded(self._turn(wait))

    def stop(self) -> None:
        """Begin nothing more; `run` returns when what is under way has been settled."""
        self._stop.set()
        self._stored.set()

    async def resume(self) -> float | None:
        """The seconds left of a wait that the upstream asked for before a restart."""
        self._standing = await self._log.standing(self.name)
        if self._standing is None or self._standing.state not in ("asked", "gone"):
            return 0.0
        left = self._standing.next_at / 1000 - self._clock()
        if self._standing.state == "gone":
            return max(left, 0.0)
        return left if left <= retry.LONGEST_ASKED else 0.0

    async def _turn(self, wait: float | None) -> float | None:
        await self._rest(wait)
        self._stored.clear()
        return None if self._stop.is_set() else await self.step()

    async def step(self) -> float | None:
        """One claim from beginning to end.

        Returns the seconds to wait before the next, None when there was nothing to do.
        """
        now = self._ms()
        claim = await self._claim(now)
        if claim.erase:
            await carry_out(self._log, self.name, self._upstream, now, self._jitter())
            claim = await self._claim(now)
        self._next_hold = claim.next_hold
        if not claim.due:
            return await self._pass(claim, now)
        sent: list[Due] = []
        settled: list[Settled] = []
        for due in claim.due:
            if not new_events(due):
                settled.append(Settled(due.stored.thread_no))
            elif self._upstream.keeps_state and is_young(due, now):
                settled.append(postponed(due, now))
            else:
                sent.append(due)
        if sent:
            return await self._deliver(claim, sent, settled)
        await self._log.settle(claim, settled, now)
        return 0.0

    async def _claim(self, now: int) -> Claim:
        """What to try next: half holds at most, and if one thread alone, new and held in turn, so
        that one which always fails is not the only one that is ever tried."""
        limit = self._patience.limit
        known = {number: told.last_seq for number, told in self._folds.items()}
        for _ in range(2):
            self._holds = limit > 1 or not self._holds
            holds = limit - limit // 2 if self._holds else 0
            claim = await self._log.claim(self.name, self._site, now, limit, known, holds)
            if claim.due or self._holds:
                break
        return claim

    async def _deliver(
        self, claim: Claim, sent: Sequence[Due], settled: list[Settled]
    ) -> float | None:
        changes = [self._change(due, claim.start) for due in sent]
        done = await dispatch(self._upstream, changes, self._patience.width, BUDGET)
        if done.trouble is not None and not done.sent:
            return await self._down(
                done.trouble, claim, list(zip(sent, changes, strict=True)), settled
            )
        await self._find_faults(sent, changes, done)
        wait = await self._judge(done)
        unsent = Unsent(str(done.trouble), wait) if done.trouble else Unsent()
        settled += [
            self._settled(due, change, outcome or unsent)
            for due, change, outcome in zip(sent, changes, done.outcomes, strict=True)
        ]
        await self._log.settle(claim, settled, self._ms())
        self._keep(sent, changes)
        return wait

    def _keep(self, sent: Sequence[Due], changes: Sequence[Change]) -> None:
        """Keep the folds, so that long threads are not read anew; only once they are settled, since
        the next claim may reach less far."""
        for due, change in zip(sent, changes, strict=True):
            self._folds[due.stored.thread_no] = change.conversation
            self._folds.move_to_end(due.stored.thread_no)
        while len(self._folds) > MAX_FOLDS:
            self._folds.popitem(last=False)

    def _settled(self, due: Due, change: Change, outcome: Outcome | Unsent) -> Settled:
        if isinstance(outcome, Delivered | Later):
            for seq, reason in outcome.dead:
                self._logger.warning("event_dead", thread=due.stored.thread, seq=seq, reason=reason)
        if isinstance(outcome, Later):
            self._logger.info("thread_held", thread=due.stored.thread, reason=outcome.reason)
        keeps_state = self._upstream.keeps_state
        return settle(due, change, outcome, self._clock(), self._jitter, keeps_state=keeps_state)

    async def _pass(self, claim: Claim, now: int) -> float | None:
        """Leave behind what there is nothing to do about: other sites' events and held threads'.

        A few are read again next time, which is cheaper than a write; a whole claim of them must
        not hide what comes after.
        """
        if claim.upto - claim.since < CLAIM:
            return None
        await self._log.settle(claim, [], now)
        return 0.0

    def _change(self, due: Due, start: int) -> Change:
        """A due thread folded, onto what is known of it."""
        stored = due.stored
        told = self._folds.get(stored.thread_no) or Conversation(stored.thread)
        told = fold(stored.events, structs.replace(told, user=stored.user))
        return Change(self._site, told, new_events(due), due.dead, start)

    async def _down(
        self,
        error: UpstreamDown,
        claim: Claim,
        sent: Sequence[tuple[Due, Change]],
        settled: list[Settled],
    ) -> float:
        """Nothing arrived, so nothing moves. But one thread that failed alone, time and again, may
        itself be the cause: it is held, and the next one has its turn."""
        alone = len(sent) == 1 and self._patience.limit == 1
        wait = await self._tell(error, self._patience.lost(error))
        if alone and not error.whole:
            settled += [self._settled(*pair, Later(str(error), error.after)) for pair in sent]
            await self._log.settle(claim, settled, self._ms())
        return wait

    async def _judge(self, done: Dispatched) -> float:
        """The seconds to leave the upstream alone, now that at least something was answered."""
        reason = self._patience.answered(self._clock(), done.outcomes)
        if done.trouble is not None:
            return await self._tell(done.trouble, self._patience.put_off(done.trouble))
        if reason is not None:
            return await self._tell(UpstreamDown(reason), retry.OPEN)
        await self._stand(None)
        return self._upstream.pause

    async def _tell(self, error: UpstreamDown, wait: float) -> float:
        """Say what is the matter, to the logs and to whoever asks; gives the wait back."""
        tell = self._logger.error if error.refused else self._logger.warning
        tell(
            "upstream_refused" if error.refused else "upstream_down",
            reason=str(error),
            failures=self._patience.failures,
            wait_seconds=round(wait, 1),
        )
        since = self._standing.since if self._standing else self._ms()
        await self._stand(standing(error, since, self._ms() + int(wait * 1000)))
        return wait

    async def _find_faults(
        self, sent: Sequence[Due], changes: Sequence[Change], done: Dispatched
    ) -> None:
        """What our own code cannot send waits like anything else, then loses the event at fault."""
        for number, reason in done.faulty.items():
            done.outcomes[number] = Later(reason)
            if sent[number].attempts + 1 >= retry.FAULTS and done.trouble is None:
                try:
                    found = await find_fault(self._upstream, changes[number], reason)
                except UpstreamDown as error:
                    done.trouble = error
                else:
                    done.outcomes[number] = found or Later(reason)

    async def _stand(self, standing: Standing | None) -> None:
        if standing != self._standing:
            await self._log.stand(self.name, standing)
            self._standing = standing

    async def _guarded(self, deed: Awaitable[float | None]) -> float | None:
        """The deed's wait, or how long to wait where it failed in a way that nobody foresaw."""
        try:
            return await deed
        except LogError as error:
            self._logger.error("log_failed", error=str(error))
            return POLL
        except Exception as error:
            self._logger.error("forwarder_failed", exc_info=True)
            return self._patience.put_off(UpstreamDown(type(error).__name__))

    async def _rest(self, wait: float | None) -> None:
        """Wait so many seconds; without a number until something is stored or a hold is due. What
        the command line wrote is seen within a second, and so is its wish to try at once."""
        if wait is None:
            hold = self._next_hold
            until = POLL if hold is None else hold / 1000 - self._clock()
            await _until(self._stored, min(max(until, 0.0), POLL))
            return
        while wait > 0 and not self._stop.is_set():
            await _until(self._stop, min(wait, POLL))
            wait -= POLL
            if wait > 0 and self._standing and await self._called():
                return

    async def _called(self) -> bool:
        """Whether somebody asks to try at once."""
        noted = await self._log.standing(self.name)
        return noted is not None and noted.next_at == 0

    def _ms(self) -> int:
        return int(self._clock() * 1000)


async def _until(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
