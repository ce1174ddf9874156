"""How much may be said at once: counted in memory, by person, thread, address and site.

Messages and votes are counted apart, so that a flood of one leaves room for the other. A backend
is not limited: its token is a secret of the site's own.
"""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Final, Literal

from limits import parse

from thumbseal import settings
from thumbseal.counts import Window, take
from thumbseal.errors import TooMany
from thumbseal.events import Feedback
from thumbseal.log import Draft, Verdict
from thumbseal.web.sites import ServedSite

Kind = Literal["messages", "feedback", "openings", "reads"]
SCOPES: Final = ("actor", "thread", "address", "site")
OFF: Final = "off"
OVER_LIMIT: Final = Verdict("rejected", "rate_limited", retry=True)


class Limiter:
    """The counts of all sites. They outlive a change of the settings, and no restart."""

    def __init__(self) -> None:
        # A limit that stays as it was when others are changed goes on counting.
        self._window = cache(_window)
        self._windows = cache(self._find_windows)

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
        """See `take`: with those who speak, each by its scope."""
        asked = [
            (window, who)
            for scope, window in self._windows(site.name, site.policy.limits, kind)
            if (who := scopes.get(scope)) is not None
        ]
        return take(asked, wanted, time.monotonic())

    def _find_windows(
        self, site: str, limits: settings.Limits | Literal["off"], kind: Kind
    ) -> list[tuple[str, Window]]:
        """By scope."""
        if limits == OFF:
            return []
        asked = ((scope, getattr(limits, f"{kind}_per_{scope}", OFF)) for scope in SCOPES)
        return [
            (scope, self._window(site, kind, scope, rate)) for scope, rate in asked if rate != OFF
        ]


def _window(site: str, kind: Kind, scope: str, rate: str) -> Window:
    parsed = parse(rate)
    return Window(parsed.amount, parsed.get_expiry())


def _kind(draft: Draft) -> Kind:
    return "feedback" if isinstance(draft.entry, Feedback) else "messages"
