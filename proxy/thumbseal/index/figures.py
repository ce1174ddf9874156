"""The figures of an overview."""

import sqlite3
from collections.abc import Iterator
from typing import Final

import msgspec

from thumbseal.events import DAY_MS
from thumbseal.index import Answer, Bucket, Overview, Share
from thumbseal.index.query import Where

DAYS: Final = 92  # up to so many a chart has a bucket for each day, then for each week
BUCKETS: Final = 520  # at most: ten years of weeks
SHARES: Final = 20
ANSWERS: Final = 10
MONDAY: Final = 4 * DAY_MS  # 1970 began on a Thursday

Span = tuple[int | None, int | None]
_ANSWER: Final = msgspec.json.Decoder(Answer)
# Which answers, and in which order.
_WORST: Final = (
    "(answer.badness > 0 OR answer.score < 0)",
    "answer.badness DESC, answer.score, answer.at DESC",
)
_COMMENTED: Final = "answer.comments > 0", "answer.comments DESC, answer.at DESC"


def read_overview(connection: sqlite3.Connection, where: Where, span: Span, now: int) -> Overview:
    """What the threads of a condition come to, with the thumbs given in a span (ms)."""
    threads, messages, comments = connection.execute(
        "SELECT count(*), coalesce(sum(messages), 0), coalesce(sum(comments), 0)"  # noqa: S608
        f" FROM thread WHERE {where.text}",
        where.values,
    ).fetchone()
    step, buckets = _buckets(connection, _votes(where, span), span, now)
    return Overview(
        threads=threads,
        messages=messages,
        ups=sum(bucket.ups for bucket in buckets),
        downs=sum(bucket.downs for bucket in buckets),
        comments=comments,
        step=step,
        buckets=buckets,
        tags=_tags(connection, where, span),
        reasons=_reasons(connection, where, span),
        commented=tuple(_answers(connection, where, span, _COMMENTED, ANSWERS)),
        worst=tuple(read_worst(connection, where, span, ANSWERS)),
    )


def read_worst(
    connection: sqlite3.Connection, where: Where, span: Span, limit: int
) -> Iterator[Answer]:
    """The answers of a condition's threads with the worst opinions."""
    return _answers(connection, where, span, _WORST, limit)


def _answers(
    connection: sqlite3.Connection, where: Where, span: Span, what: tuple[str, str], limit: int
) -> Iterator[Answer]:
    condition, order = what
    where = _within(where.also(condition), "answer.at", span)
    # CROSS has SQLite walk along the order and stop, instead of sorting all there is.
    rows = connection.execute(
        f"SELECT answer FROM answer CROSS JOIN thread USING (thread_no) WHERE {where.text}"  # noqa: S608
        f" ORDER BY {order} LIMIT ?",
        (*where.values, limit),
    )
    return (_ANSWER.decode(answer) for (answer,) in rows)


def _votes(where: Where, span: Span) -> Where:
    return _within(where, "vote.at", span)


def _buckets(
    connection: sqlite3.Connection, where: Where, span: Span, now: int
) -> tuple[int, tuple[Bucket, ...]]:
    """A bucket's length in ms, and the buckets without a gap."""
    rows = connection.execute(
        "SELECT vote.at / ?, sum(up), count(*) - sum(up) FROM vote JOIN thread USING (thread_no)"  # noqa: S608
        f" WHERE {where.text} GROUP BY 1 ORDER BY 1",
        (DAY_MS, *where.values),
    ).fetchall()
    since, until = span
    first = rows[0][0] * DAY_MS if since is None and rows else (now if since is None else since)
    last = rows[-1][0] * DAY_MS if until is None and rows else (now if until is None else until - 1)
    step = DAY_MS if last - first < DAYS * DAY_MS else 7 * DAY_MS
    start = _start_of(max(first, last - BUCKETS * step), step)
    sums = {start + n * step: [0, 0] for n in range(max(0, (last - start) // step) + 1)}
    for day, ups, downs in rows:
        entry = sums.setdefault(_start_of(day * DAY_MS, step), [0, 0])
        entry[0] += ups
        entry[1] += downs
    return step, tuple(Bucket(at, ups, downs) for at, (ups, downs) in sorted(sums.items()))


def _start_of(at: int, step: int) -> int:
    """The start of a time's day, or of its week, which begins on a Monday."""
    offset = 0 if step == DAY_MS else MONDAY
    return (at - offset) // step * step + offset


def _tags(connection: sqlite3.Connection, where: Where, span: Span) -> tuple[Share, ...]:
    votes = _votes(where, span).also("label.kind = 'tag'")
    thumbs = _thumbs(connection, votes, "label.value", "JOIN label USING (thread_no)")
    return _shares(connection, where, "tag", thumbs)


def _reasons(connection: sqlite3.Connection, where: Where, span: Span) -> tuple[Share, ...]:
    votes = _votes(where, span).also("vote.reasons IS NOT NULL")
    thumbs = _thumbs(connection, votes, "reason.value", ", json_each(vote.reasons) AS reason")
    return _shares(connection, where, "reason", thumbs)


def _thumbs(
    connection: sqlite3.Connection, votes: Where, label: str, joined: str
) -> dict[str, tuple[int, int]]:
    """The ups and downs of each label that the votes of a condition are joined with."""
    rows = connection.execute(
        f"SELECT {label}, sum(up), count(*) - sum(up) FROM vote"  # noqa: S608
        f" JOIN thread USING (thread_no) {joined} WHERE {votes.text} GROUP BY 1",
        votes.values,
    )
    return {name: (ups, downs) for name, ups, downs in rows}


def _shares(
    connection: sqlite3.Connection, where: Where, kind: str, thumbs: dict[str, tuple[int, int]]
) -> tuple[Share, ...]:
    """The most frequent labels of a kind, those with most threads first."""
    rows = connection.execute(
        "SELECT label.value, count(*) FROM label JOIN thread USING (thread_no)"  # noqa: S608
        f" WHERE label.kind = ? AND {where.text} GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT ?",
        (kind, *where.values, SHARES),
    )
    return tuple(Share(name, count, *thumbs.get(name, (0, 0))) for name, count in rows)


def _within(where: Where, column: str, span: Span) -> Where:
    since, until = span
    where = where if since is None else where.also(f"{column} >= ?", since)
    return where if until is None else where.also(f"{column} < ?", until)
