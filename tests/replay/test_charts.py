"""Charts: what they say is so, and what they draw is as large as its number."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thumbseal.events import DAY_MS
from thumbseal.index import Bucket, Overview, Share
from thumbseal.replay.charts import reason_bars, tag_bars, thumbs_chart, thumbs_finding

MONDAY = 1_795_996_800_000  # 30 November 2026
COUNTS = st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), max_size=120)


def overview(*thumbs: tuple[int, int], step: int = DAY_MS) -> Overview:
    """An overview of a time with these ups and downs."""
    buckets = tuple(Bucket(MONDAY + n * step, *each) for n, each in enumerate(thumbs))
    ups, downs = (sum(each[n] for each in thumbs) for n in (0, 1))
    return Overview(9, 9, ups, downs, 0, step, buckets, (), (), (), ())


def share(name: str, ups: int, downs: int) -> Share:
    return Share(name, ups + downs + 1, ups, downs)


@pytest.mark.parametrize(
    ("thumbs", "finding"),
    [
        ([], "Nobody has given a thumb in this time"),
        ([(0, 0)] * 7, "Nobody has given a thumb in this time"),
        ([(1, 0)], "The only thumb is up"),
        ([(2, 0), (3, 0)], "All 5 thumbs are up"),
        ([(0, 1)], "1 of 1 thumb is down"),
        ([(1, 1), (1, 2)], "3 of 5 thumbs are down"),
        ([(9, 6), (9, 9)], "15 of 33 thumbs are down"),
        ([(9, 4), (1, 4), (2, 11), (0, 11)], "Thumbs down rose from 4 to 11 a day"),
        ([(0, 11), (0, 11), (9, 4), (9, 4)], "Thumbs down fell from 11 to 4 a day"),
        ([(0, 0)] * 4 + [(0, 2)] * 4, "Thumbs down rose from 0 to 2 a day"),
        ([(0, 1), (1, 1), (1, 1), (1, 1)], "4 of 7 thumbs are down"),
        ([(0, 0)] * 9 + [(0, 1)] * 3 + [(0, 0)] * 6, "Thumbs down rose from 0 to 0.3 a day"),
    ],
)
def test_a_title_says_what_the_figures_come_to(thumbs: list[tuple[int, int]], finding: str) -> None:
    assert thumbs_finding(overview(*thumbs)) == finding


@given(COUNTS)
def test_columns_are_as_high_as_their_numbers(thumbs: list[tuple[int, int]]) -> None:
    """One scale for both directions, nothing beside the chart, no column on another."""
    chart = thumbs_chart(overview(*thumbs))
    assert [(each.ups, each.downs) for each in chart.columns] == thumbs
    for column in chart.columns:
        assert 0 <= column.up_y <= chart.line
        assert column.up_y + column.up_height == pytest.approx(chart.line, abs=0.02)
        assert chart.line + column.down_height < chart.height
        assert column.up_height * column.downs == pytest.approx(
            column.down_height * column.ups, abs=0.01 * (column.ups + column.downs)
        )
    edges = [edge for each in chart.columns for edge in (each.x, each.x + each.width)]
    assert edges == sorted(edges)
    assert all(0 <= edge <= 100 for edge in edges)


def test_the_tag_that_falls_short_most_comes_first() -> None:
    """One bad vote of one is no proof; a tag without votes is no bar."""
    shares = [share("calm", 30, 1), share("rare", 0, 1), share("billing", 10, 20)]
    drawn = tag_bars([*shares, Share("mute", 5, 0, 0)])
    assert [bar.name for bar in drawn.bars] == ["billing", "rare", "calm"]
    assert (drawn.name, drawn.finding) == (
        "billing",
        "falls short most: 20 of 30 thumbs are down",
    )
    assert [bar.percent for bar in drawn.bars] == [67, 100, 3]
    assert [bar.width for bar in drawn.bars] == [66.67, 100, 3.23]
    assert tag_bars([share("calm", 3, 0)]).finding == ""
    assert tag_bars([]).bars == ()


def test_the_reason_given_most_comes_first() -> None:
    drawn = reason_bars([share("Unsafe", 0, 2), share("Wrong", 1, 4), Share("Old", 3, 0, 0)])
    assert (drawn.name, drawn.finding) == ("Wrong", "is the reason given most: 5 times")
    assert [(bar.name, bar.width) for bar in drawn.bars] == [("Wrong", 100), ("Unsafe", 40)]
    assert reason_bars([]).finding == ""


def test_days_are_named_where_there_is_room() -> None:
    """Each of a week's with the month where it is new; five of a quarter's; weeks as weeks."""
    week = thumbs_chart(overview(*[(0, 1)] * 8))
    assert [each.tick for each in week.columns] == ["30 Nov", "1 Dec", *"234567"]
    assert all(each.tells_downs for each in week.columns)
    assert week.columns[0].name == "Monday, 30 November 2026"
    quarter = thumbs_chart(overview(*[(0, 1)] * 45, (2, 9), *[(0, 1)] * 45))
    assert len([each for each in quarter.columns if each.tick]) == 5
    assert [each.downs for each in quarter.columns if each.tells_downs] == [9]
    weeks = thumbs_chart(overview((1, 0), (0, 1), step=7 * DAY_MS))
    assert (weeks.unit, weeks.columns[1].name) == ("week", "Week of 7 December 2026")
