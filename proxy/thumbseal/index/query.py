"""A filter as SQL. Pure: what a person typed is a parameter, never a piece of a statement."""

import re
from collections.abc import Collection
from typing import Final

from msgspec import Struct

from thumbseal.index import Order, Summary
from thumbseal.index.describing import clean
from thumbseal.index.filter import Filter

MAX_WORDS: Final = 16
PREFIX: Final = 3  # from so many letters on the last word may be the beginning of one
_WORDS: Final = re.compile(r'"([^"]*)"?|([^\s"]+)')


class Where(Struct, frozen=True):
    """A condition on rows of ``thread``, and its parameters."""

    text: str
    values: tuple[object, ...]

    def also(self, text: str, *values: object) -> "Where":
        return Where(f"{self.text} AND {text}", (*self.values, *values))


class Sorting(Struct, frozen=True):
    """An order of threads: the columns of its key, and whether it goes down."""

    columns: tuple[str, ...]
    down: bool

    @property
    def clause(self) -> str:
        direction = "DESC" if self.down else "ASC"
        return ", ".join(f"{column} {direction}" for column in self.columns)

    def behind(self, where: Where, after: str) -> Where:
        """Only what comes behind a place, as `place` gives it; anything else is the beginning."""
        values = after.split(".")
        if len(values) != len(self.columns) or not all(_is_number(each) for each in values):
            return where
        marks = ", ".join("?" * len(values))
        sign = "<" if self.down else ">"
        return where.also(f"({', '.join(self.columns)}) {sign} ({marks})", *map(int, values))

    def place(self, thread: Summary) -> str:
        """Where a thread stands in this order."""
        badness = thread.downs - thread.ups
        keys = {"thread.thread_no": thread.thread_no, "thread.badness": badness}
        return ".".join(str(keys[column]) for column in self.columns)


SORTING: Final[dict[Order, Sorting]] = {
    "newest": Sorting(("thread.thread_no",), down=True),
    "oldest": Sorting(("thread.thread_no",), down=False),
    "worst": Sorting(("thread.badness", "thread.thread_no"), down=True),
}
_OPINION: Final = {
    "up": "thread.ups > 0",
    "down": "thread.downs > 0",
    "none": "thread.ups + thread.downs = 0",
    "yes": "thread.comments > 0",
    "no": "thread.comments = 0",
}


def threads_of(sites: Collection[str], wanted: Filter, now: int) -> Where:
    """The threads that a filter shows to somebody who may see these sites."""
    where = without_text(sites, wanted, now)
    if wanted.text:
        where = where.also(
            "thread.thread_no IN (SELECT rowid >> 12 FROM docs WHERE docs MATCH ?)",
            words(wanted.text),
        )
    return where


def without_text(sites: Collection[str], wanted: Filter, now: int) -> Where:
    """The same, whatever they say."""
    seen = sorted(site for site in sites if wanted.site in ("", site))
    where = Where(f"thread.site IN ({', '.join('?' * len(seen))})", tuple(seen))
    for value in (wanted.thumb, wanted.comment):
        where = where.also(_OPINION[value]) if value else where
    if wanted.user:
        where = where.also("thread.user = ?", wanted.user)
    for kind in ("reason", "tag", "role", "source"):
        if value := getattr(wanted, kind):
            where = where.also(
                "thread.thread_no IN (SELECT thread_no FROM label WHERE kind = ? AND value = ?)",
                kind,
                clean(value),
            )
    since, until = wanted.span(now)
    where = where if since is None else where.also("thread.last_at >= ?", since)
    return where if until is None else where.also("thread.first_at < ?", until)


def words(text: str) -> str:
    """What a person typed as a query of FTS5: every word has to be there, those in quotation marks
    as they stand, and the last may go on. Nothing of it is an operator."""
    found = [quoted or word for quoted, word in _WORDS.findall(clean(text)[:1_000])][:MAX_WORDS]
    terms = [f'"{word}"' for word in found]
    if terms and not text.endswith('"') and len(found[-1]) >= PREFIX:
        terms[-1] += "*"
    return " ".join(terms) or '""'


def _is_number(text: str) -> bool:
    digits = text.removeprefix("-")
    return digits.isascii() and digits.isdigit() and len(digits) < 19
