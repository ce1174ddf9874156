"""When to try again: how long an upstream is left alone, and what it may ask for."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thumbseal import retry
from thumbseal.upstreams.calls import LONGEST_WAIT, retry_after

NOON = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("attempts", "longest"),
    [(1, 1.0), (2, 2.0), (3, 4.0), (4, 8.0), (8, 128.0), (9, 256.0), (10, 300.0), (10**6, 300.0)],
)
def test_the_longest_wait_doubles_up_to_a_limit(attempts: int, longest: float) -> None:
    """The bound starts at a second, doubles with each failure and ends at five minutes."""
    assert retry.delay(attempts, 1.0) == longest


@given(st.integers(1, 10**9), st.floats(0, 1))
def test_full_jitter(attempts: int, jitter: float) -> None:
    """The wait is the drawn share of its bound, so that waiters spread over all of it."""
    assert retry.delay(attempts, jitter) == jitter * retry.delay(attempts, 1.0)
    assert 0.0 <= retry.delay(attempts, jitter) <= retry.LONGEST


@given(st.integers(1, 40), st.floats(0, 1), st.floats(0, LONGEST_WAIT))
def test_never_earlier_than_asked(attempts: int, jitter: float, after: float) -> None:
    """What the upstream asked for is the least that it gets."""
    assert retry.delay(attempts, jitter, after) == max(after, retry.delay(attempts, jitter))


@given(st.integers(1, 10**6))
def test_claims_shrink_to_one_event(limit: int) -> None:
    """As many cuts as there may be leave one event to claim, and one fewer more than that."""
    cuts = retry.most_cuts(limit)
    sizes = [retry.share(limit, number) for number in range(cuts + 1)]
    assert (sizes[0], sizes[-1]) == (limit, 1)
    assert sizes == sorted(set(sizes), reverse=True)


def test_the_breaker_needs_enough_to_go_by() -> None:
    """Few failures say nothing, nor do those of more than a minute ago, nor a last good round."""
    few = retry.Tally().add(0.0, 0, 9)
    assert not few.trips
    assert few.add(59.0, 0, 1).trips
    assert not few.add(60.0, 0, 1).trips
    assert not few.add(1.0, 5, 1).trips
    assert few.add(1.0, 5, 1).add(2.0, 0, 2).trips
    assert not retry.Tally().add(0.0, 0, 20).add(1.0, 1, 0).trips


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        ("120", 120.0),
        ("1.5", 1.5),
        (" 7 ", 7.0),
        ("3600", 3600.0),
        ("3601", LONGEST_WAIT),
        ("1e300", LONGEST_WAIT),
        ("9" * 5000, LONGEST_WAIT),
        ("inf", LONGEST_WAIT),
        ("-inf", 0.0),
        ("-5", 0.0),
        ("nan", None),
        ("-NaN", None),
        ("", None),
        ("soon", None),
        ("12 minutes", None),
        ("2026-11-22T12:00:30Z", None),
        ("Sun, 22 Nov 2026 12:00:30 GMT", 30.0),
        ("Sunday, 22-Nov-26 12:00:30 GMT", 30.0),
        ("Sun Nov 22 12:00:30 2026", 30.0),
        ("Sun, 22 Nov 2026 13:00:30 +0100", 30.0),
        ("Sun, 22 Nov 2026 11:59:00 GMT", 0.0),
        ("Mon, 23 Nov 2026 12:00:00 GMT", LONGEST_WAIT),
        ("Sun, 22 Nov 2026 12:00:30", 30.0),
        ("Sun, 99 Nov 2026 12:00:30 GMT", None),
        ("Sun, 22 Nov 99999999999999999999 12:00:30 GMT", None),
        ("Sun, 22 Nov 2026 12:00:30 +9999999999999999", None),
        ("Fri, 31 Dec 9999 23:59:59 -2359", LONGEST_WAIT),
    ],
)
def test_what_a_retry_after_asks_for(header: str | None, seconds: float | None) -> None:
    """Seconds and HTTP dates are understood, within 0 and an hour; anything else asks nothing."""
    assert retry_after(header, NOON) == seconds


@given(st.text(max_size=60))
def test_any_text_is_a_wait_or_none(header: str) -> None:
    """No text in that header raises, or asks for more than an hour or less than nothing."""
    seconds = retry_after(header, NOON)
    assert seconds is None or 0.0 <= seconds <= LONGEST_WAIT


@given(
    st.integers(-(10**4), 10**4),
    st.from_regex(r"\A[+-]\d{1,12}\Z|\A[A-Z]{1,5}\Z", fullmatch=True),
    st.from_regex(r"\A\d{1,25}\Z"),
)
def test_any_date_is_a_wait_or_none(days: int, zone: str, year: str) -> None:
    """No date in that header raises, however far away, in whatever zone."""
    moment = NOON + timedelta(days=days % 365)
    for text in (moment.strftime(f"%a, %d %b {year} %H:%M:%S {zone}"), f"{year} {zone}"):
        seconds = retry_after(text, NOON)
        assert seconds is None or 0.0 <= seconds <= LONGEST_WAIT
