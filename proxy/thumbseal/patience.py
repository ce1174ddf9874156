"""How an upstream has been doing, and so how much it is asked at once and when next."""

from collections.abc import Callable, Sequence
from typing import Final

from thumbseal import retry
from thumbseal.log import Standing
from thumbseal.upstreams import Delivered, Later, Outcome, UpstreamDown


class Patience:
    """One upstream's record. ``limit`` is how many events to claim, ``width`` how many calls to
    make at once, ``failures`` how often nothing arrived since something did."""

    def __init__(self, limit: int, concurrency: int, jitter: Callable[[], float]) -> None:
        self.width = 1
        self.failures = 0
        self._limit: Final = limit
        self._concurrency: Final = concurrency
        self._jitter: Final = jitter
        self._cuts = 0
        self._recovers = False
        self._tally = retry.Tally()

    @property
    def limit(self) -> int:
        return retry.share(self._limit, self._cuts)

    def lost(self, error: UpstreamDown) -> float:
        """Nothing of a claim arrived: the seconds to wait. The next claim is smaller, unless what
        was sent cannot be the cause, or it is the first time: one lost answer is nothing."""
        wait = self.put_off(error)
        if not error.whole and self.failures > 1:
            self._cuts = min(self._cuts + 1, retry.most_cuts(self._limit))
        return wait

    def put_off(self, error: UpstreamDown) -> float:
        """The seconds to leave an upstream alone that takes nothing as a whole."""
        self.width = retry.width(self.width, self._concurrency, failed=True)
        if error.after is not None and not error.refused:
            return retry.asked(error.after)
        self.failures += 1
        wait = retry.delay(self.failures, self._jitter(), error.after)
        if error.gone:
            return retry.GONE
        return max(wait, retry.REFUSED) if error.refused else wait

    def answered(self, now: float, outcomes: Sequence[Outcome | None]) -> str | None:
        """Something arrived. The reason to leave the upstream alone all the same, if most of it
        failed: then one thread at a time is tried, and more only little by little, while no more
        of them fail than arrive."""
        good = sum(isinstance(each, Delivered) for each in outcomes)
        failed = [each for each in outcomes if isinstance(each, Later) and each.after is None]
        self.failures = 0
        self.width = retry.width(self.width, self._concurrency, failed=bool(failed))
        self._tally = self._tally.add(now, good, len(failed))
        if self._tally.trips or (self._recovers and len(failed) > good):
            self._recovers, self._tally = True, retry.Tally()
            self._cuts = retry.most_cuts(self._limit)
            return failed[0].reason
        self._cuts = max(self._cuts - 1, 0)
        self._recovers = self._recovers and self._cuts > 0
        return None


def standing(error: UpstreamDown, since: int, next_at: int) -> Standing:
    """What is the matter with an upstream, for whoever asks. Times in ms."""
    if error.refused:
        return Standing("gone" if error.gone else "refused", str(error), since, next_at)
    state: Final = "down" if error.after is None else "asked"
    return Standing(state, str(error), since, next_at)
