"""The filter: which threads somebody wants to see. It lives in a URL's query string.

Whatever a query string says, it makes a filter: what nobody could mean is left out.
"""

from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, Literal
from urllib.parse import urlencode

import msgspec
from msgspec import Struct, structs

from thumbseal.events import DAY_MS, Source
from thumbseal.ids import Role
from thumbseal.index import Order

MAX_VALUE: Final = 256  # characters; longer than any tag or user is
MAX_DAYS: Final = 100_000  # "9999999999d" is no time that a calendar has


class Filter(Struct, frozen=True, omit_defaults=True):
    """The threads in which something is so; an empty field asks for nothing.

    ``thumb``: a message has this thumb now, ``none`` for threads without any. ``comment``: whether
    one was commented on. ``since`` and ``until`` are days (2026-11-28, both included, UTC) or a
    number of days back (7d); a thread is inside if it was alive then. ``text`` are words that stand
    in one message or comment.
    """

    site: str = ""
    thumb: Literal["", "up", "down", "none"] = ""
    comment: Literal["", "yes", "no"] = ""
    reason: str = ""
    tag: str = ""
    user: str = ""
    role: Role | Literal[""] = ""
    source: Source | Literal[""] = ""
    since: str = ""
    until: str = ""
    text: str = ""
    order: Order = "newest"

    def query(self, **changed: str) -> str:
        """The query string, without a "?", of this filter with some fields changed."""
        wanted = parse_filter((structs.asdict(self) | changed).items())
        return urlencode(msgspec.to_builtins(wanted))

    def behind(self, place: str) -> str:
        """The query string of what comes behind a place in this filter's order."""
        return urlencode(msgspec.to_builtins(self) | {"after": place})

    def span(self, now: int) -> tuple[int | None, int | None]:
        """The times (ms) from and before which; ``now`` in ms."""
        return _moment(self.since, now, 0), _moment(self.until, now, 1)


def parse_filter(pairs: Iterable[tuple[str, str]]) -> Filter:
    """The filter of a query string's names and values; of a name given twice the last counts."""
    found = Filter()
    for name, value in pairs:
        if name not in Filter.__struct_fields__:
            continue
        value = value.strip().replace("\0", "")[:MAX_VALUE]
        if name in ("since", "until") and _moment(value, 0, 0) is None:
            value = ""
        with suppress(msgspec.ValidationError):
            found = msgspec.convert(structs.asdict(found) | {name: value}, Filter)
    return found


def _moment(text: str, now: int, days_on: int) -> int | None:
    """The time that a day's name or a number of days back stands for; None for anything else."""
    if text.endswith("d") and text[:-1].isascii() and text[:-1].isdigit():
        days = int(text[:-1]) if len(text) < len(str(MAX_DAYS)) else MAX_DAYS
        return now - days * DAY_MS
    try:
        day = datetime.combine(date.fromisoformat(text), time(), UTC)
        return int((day + timedelta(days=days_on)).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None
