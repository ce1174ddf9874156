"""Charts: an overview's figures as geometry that a template draws, and what they say. Pure.

Across, all is in percent of the chart, so that it fits any width while its text keeps its size;
downwards in px. No colour and no style is in here.
"""

import math
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from thumbseal.events import DAY_MS
from thumbseal.index import Bucket, Overview, Share
from thumbseal.replay.pages import moment

PLOT: Final = 132.0  # px for the highest up and the deepest down together
ROOM: Final = 18.0  # px for the numbers above and below
FOOT: Final = 20.0  # px for the days
FILLED: Final = 0.72  # of a column's share of the width, until it is as wide as a thumb
WIDEST: Final = 6.0  # percent
FEW: Final = 14  # columns that have room for a number and a day each
TICKS: Final = 5  # days that are named under more columns than that
STEADY: Final = 2  # see `thumbs_finding`
SURE: Final = 1.96  # standard deviations: a rate is ordered by what it is at least, with 97.5 %


class Column(Struct, frozen=True):
    """The thumbs of a day or a week: ups stand on the line, downs hang from it. ``name`` is the
    time in words, ``tick`` what stands under it, ``told`` whether the numbers stand at it."""

    name: str
    tick: str
    x: float
    middle: float
    width: float
    ups: int
    downs: int
    up_y: float
    up_height: float
    down_height: float
    tells_ups: bool
    tells_downs: bool


class Chart(Struct, frozen=True):
    """Thumbs over time. ``line`` is where ups and downs meet, ``unit`` what a column stands for."""

    finding: str
    unit: str
    height: float
    line: float
    columns: tuple[Column, ...]


class Bar(Struct, frozen=True):
    """What one tag or reason comes to; ``percent`` of its thumbs are down, None without thumbs;
    ``width`` is the bar's length in percent."""

    name: str
    threads: int
    ups: int
    downs: int
    percent: int | None
    width: float


class Bars(Struct, frozen=True):
    """Bars, the worst one first. The finding is about ``name`` and goes on with ``finding``; both
    are empty where the figures say nothing."""

    name: str
    finding: str
    bars: tuple[Bar, ...]


def thumbs_chart(overview: Overview) -> Chart:
    """The thumbs over time of an overview."""
    buckets = overview.buckets
    ups, downs = (_most(buckets, kind) for kind in ("ups", "downs"))
    scale = PLOT / max(1, ups + downs)
    line = round(ROOM + ups * scale, 2)
    columns = tuple(
        _column(place, buckets, overview.step, scale, line) for place in range(len(buckets))
    )
    unit = _unit(overview)
    return Chart(thumbs_finding(overview), unit, PLOT + 2 * ROOM + FOOT, line, columns)


def thumbs_finding(overview: Overview) -> str:
    """What the thumbs over time say, in a sentence.

    Two halves of a time are told apart only where their difference, squared, is over twice their
    sum: counts that differ by chance alone do so about one time in six.
    """
    thumbs = overview.ups + overview.downs
    if not thumbs:
        return "Nobody has given a thumb in this time"
    if not overview.downs:
        return "The only thumb is up" if thumbs == 1 else f"All {thumbs} thumbs are up"
    middle = len(overview.buckets) // 2
    before, after = overview.buckets[:middle], overview.buckets[middle:]
    early, late = (sum(bucket.downs for bucket in half) for half in (before, after))
    unit = _unit(overview)
    if not middle or (late - early) ** 2 <= STEADY * (late + early):
        return f"{overview.downs} of {_count(thumbs, 'thumb')} {_is(overview.downs)} down"
    verb = "rose" if late > early else "fell"
    first, last = _rates(early / len(before), late / len(after))
    return f"Thumbs down {verb} from {first} to {last} a {unit}"


def tag_bars(tags: Sequence[Share]) -> Bars:
    """How many of each tag's thumbs are down, first the tag of which most is known to be."""
    shares = sorted((each for each in tags if each.ups + each.downs), key=_at_least, reverse=True)
    bars = tuple(_bar(each, _rate(each) * 100) for each in shares)
    if not bars or not bars[0].downs:
        return Bars("", "", bars)
    worst = bars[0]
    thumbs = _count(worst.ups + worst.downs, "thumb")
    told = f"falls short most: {worst.downs} of {thumbs} {_is(worst.downs)} down"
    return Bars(worst.name, told, bars)


def reason_bars(reasons: Sequence[Share]) -> Bars:
    """How often each reason was given, the most frequent first."""
    given = [each for each in reasons if each.ups + each.downs]
    shares = sorted(given, key=lambda each: each.ups + each.downs, reverse=True)
    most = shares[0].ups + shares[0].downs if shares else 1
    bars = tuple(_bar(each, (each.ups + each.downs) / most * 100) for each in shares)
    if not bars:
        return Bars("", "", ())
    return Bars(bars[0].name, f"is the reason given most: {_times(most)}", bars)


def _column(place: int, buckets: Sequence[Bucket], step: int, scale: float, line: float) -> Column:
    bucket, share = buckets[place], 100 / len(buckets)
    width, middle = min(share * FILLED, WIDEST), (place + 0.5) * share
    few = len(buckets) <= FEW
    return Column(
        name=_name(bucket.start, step),
        tick=_tick(place, buckets),
        x=round(middle - width / 2, 3),
        middle=round(middle, 3),
        width=round(width, 3),
        ups=bucket.ups,
        downs=bucket.downs,
        up_y=round(line - bucket.ups * scale, 2),
        up_height=round(bucket.ups * scale, 2),
        down_height=round(bucket.downs * scale, 2),
        tells_ups=bool(bucket.ups) and (few or _is_first_peak(place, buckets, "ups")),
        tells_downs=bool(bucket.downs) and (few or _is_first_peak(place, buckets, "downs")),
    )


def _most(buckets: Sequence[Bucket], kind: str) -> int:
    return max((getattr(bucket, kind) for bucket in buckets), default=0)


def _is_first_peak(place: int, buckets: Sequence[Bucket], kind: str) -> bool:
    counts = [getattr(bucket, kind) for bucket in buckets]
    return counts.index(max(counts)) == place


def _tick(place: int, buckets: Sequence[Bucket]) -> str:
    """The day under a column; the month only where it is not the one before."""
    day = moment(buckets[place].start)
    if len(buckets) > FEW:
        every = math.ceil(len(buckets) / TICKS)
        return f"{day.day} {day:%b}" if place % every == every // 2 else ""
    new = place == 0 or moment(buckets[place - 1].start).month != day.month
    return f"{day.day} {day:%b}" if new else f"{day.day}"


def _name(start: int, step: int) -> str:
    day = moment(start)
    named = f"{day.day} {day:%B} {day.year}"
    return f"{day:%A}, {named}" if step == DAY_MS else f"Week of {named}"


def _unit(overview: Overview) -> str:
    return "day" if overview.step == DAY_MS else "week"


def _rates(*rates: float) -> list[str]:
    """Whole numbers where they differ, else with as many places as it takes."""
    for places in range(4):
        told = [f"{round(rate, places):g}" for rate in rates]
        if len(set(told)) == len(rates) and (places or min(rates) >= 1 or 0 in rates):
            return told
    return told


def _bar(share: Share, width: float) -> Bar:
    percent = round(_rate(share) * 100) if share.ups + share.downs else None
    return Bar(share.name, share.threads, share.ups, share.downs, percent, round(width, 2))


def _rate(share: Share) -> float:
    return share.downs / (share.ups + share.downs)


def _at_least(share: Share) -> float:
    """The lower end of Wilson's interval: one thumb down of one is no worse than 20 of 30."""
    thumbs, rate, sure = share.ups + share.downs, _rate(share), SURE**2
    spread = SURE * math.sqrt(rate * (1 - rate) / thumbs + sure / (4 * thumbs**2))
    return (rate + sure / (2 * thumbs) - spread) / (1 + sure / thumbs)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _times(number: int) -> str:
    return {1: "once", 2: "twice"}.get(number, f"{number} times")


def _is(number: int) -> str:
    return "is" if number == 1 else "are"
