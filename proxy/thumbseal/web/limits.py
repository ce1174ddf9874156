"""How much may be said at once: counted in memory, by person, thread, address and site.

Messages and votes are counted apart, so that a flood of one leaves room for the other. A backend
is not limited: its token is a secret of the site's own.
"""

import math
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Final, Literal

from limits import RateLimitItem, parse
from limits.strategies import FixedWindowRateLimiter
from msgspec import structs

from thumbseal import settings
from thumbseal.counts import Counts
from thumbseal.errors import TooMany
from thumbseal.events import Feedback
from thumbseal.log import Draft, Verdict
from thumbseal.web.sites import ServedSite

Kind = Literal["messages", "feedback", "openings", "reads"]
OFF: Final = "off"
OVER_LIMIT: Final = Verdict("rejected", "rate_limited", retry=True)


class Limiter:
    """The counts of all sites. They outlive a change of the settings, and no restart."""

    def __init__(self) -> None:
        self._windows = FixedWindowRateLimiter(Counts())

    def admit(
        self, site: ServedSite, address: str | None, judged: Sequence[Draft | Verdict]
    ) -> list[Draft | Verdict]:
        """A request's events, as many as there is room for, the first ones first; in the place of
        the others stands their rejection.

        Raises:
            TooMany: there is room for none of them, so that nothing is left to store.
        """
        groups: defaultdict[tuple[Kind, str, str], list[int]] = defaultdict(list)
        for place, draft in enumerate(judged):
            if isinstance(draft, Draft) and draft.source == "browser":
                groups[_kind(draft), draft.actor, draft.thread].append(place)
        admitted, wait = list(judged), 0
        for (kind, actor, thread), places in groups.items():
            scopes = {"actor": actor, "thread": thread, "address": address, "site": site.name}
            room, pause = self._take(site, kind, scopes, len(places))
            wait = max(wait, pause)
            for place in places[room:]:
                admitted[place] = OVER_LIMIT
        if wait and not any(isinstance(each, Draft) for each in admitted):
            raise TooMany(wait)
        return admitted

    def check(self, site: ServedSite, kind: Kind, address: str | None) -> None:
        """Count a request that brings no event.

        Raises:
            TooMany: there is no room for it.
        """
        room, wait = self._take(site, kind, {"address": address, "site": site.name}, 1)
        if not room:
            raise TooMany(wait)

    def _take(
        self, site: ServedSite, kind: Kind, scopes: Mapping[str, str | None], wanted: int
    ) -> tuple[int, int]:
        """How many of those wanted have room in every window, and the seconds until more have."""
        windows = list(_windows(site, kind, scopes))
        stats = [self._windows.get_window_stats(rate, *names) for rate, names in windows]
        room = min([wanted, *(each.remaining for each in stats)])
        for rate, names in windows if room else ():
            self._windows.hit(rate, *names, cost=room)
        if room == wanted:
            return room, 0
        reset = max(each.reset_time for each in stats if each.remaining < wanted)
        return room, max(1, math.ceil(reset - time.time()))


def _windows(
    site: ServedSite, kind: Kind, scopes: Mapping[str, str | None]
) -> Iterator[tuple[RateLimitItem, tuple[str, ...]]]:
    rates = _rates(site.policy.limits)
    for scope, value in scopes.items():
        rate = rates.get(f"{kind}_per_{scope}")
        if rate and value is not None:
            yield rate, (site.name, kind, scope, value)


@cache
def _rates(limits: settings.Limits | Literal["off"]) -> dict[str, RateLimitItem]:
    if limits == OFF:
        return {}
    return {name: parse(rate) for name, rate in structs.asdict(limits).items() if rate != OFF}


def _kind(draft: Draft) -> Kind:
    return "feedback" if isinstance(draft.entry, Feedback) else "messages"
