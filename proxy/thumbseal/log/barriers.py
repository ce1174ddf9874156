"""Barriers: what was revoked, closed or erased, so that no token for it is good any more."""

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from thumbseal.ids import actor_of

Scope = Literal["thread", "actor", "user", "token", "site"]


class Barrier(Struct, frozen=True):
    """Tokens of this scope that were first issued by ``at`` (seconds) are refused."""

    site: str
    scope: Scope
    id: str
    at: int


class Barriers:
    """All barriers, to be asked at every request."""

    def __init__(self, rows: Sequence[Barrier] = ()) -> None:
        self._at: dict[tuple[str, str, str | None], int] = {}
        for row in rows:
            self._add((row.site, row.scope, row.id), row.at)
            if row.scope == "user":  # a message token names her actor alone
                self._add((row.site, "actor", actor_of(row.site, row.id)), row.at)

    def _add(self, key: tuple[str, str, str], at: int) -> None:
        self._at[key] = max(at, self._at.get(key, -1))

    def closed(self, site: str, thread: str | None) -> bool:
        """Whether a thread is gone for good: erased, or closed."""
        return (site, "thread", thread) in self._at

    def refuse(self, site: str, first_issued: int, **ids: str | None) -> bool:
        """Whether a token that names these ids, by scope, is barred. A thread's barrier refuses
        all of its tokens, however new."""
        if not self._at:
            return False
        if self.closed(site, ids.get("thread")):
            return True
        named = [*ids.items(), ("site", site)]
        return any(first_issued <= self._at.get((site, *name), -1) for name in named)
