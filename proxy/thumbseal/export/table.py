"""The rated messages as a table: CSV for spreadsheets, a row for one actor's opinion of one."""

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from thumbseal.conversation import Conversation, Rating
from thumbseal.index.describing import question_of, said, text_of

COLUMNS: Final = (
    "site",
    "thread",
    "user",
    "message",
    "role",
    "source",
    "actor",
    "at",
    "thumb",
    "score",
    "reasons",
    "comment",
    "correction",
    "tags",
    "question",
    "answer",
)
# What spreadsheets take for the beginning of a formula, OWASP's list, and the wide forms of it.
FORMULAS: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def to_rows(site: str, conversation: Conversation) -> Iterator[bytes]:
    """The rows of a conversation."""
    for rating in conversation.ratings.values():
        yield row_of(_cells(site, conversation, rating))


def row_of(cells: tuple[str, ...]) -> bytes:
    """Cells as a row of CSV (RFC 4180, in UTF-8). A text that a spreadsheet would run is led by an
    apostrophe, as spreadsheets themselves have it."""
    line = io.StringIO()
    csv.writer(line).writerow([_harmless(cell) for cell in cells])
    return line.getvalue().encode("utf-8", "replace")


def _cells(site: str, conversation: Conversation, rating: Rating) -> tuple[str, ...]:
    exchange = conversation.exchanges.get(conversation.places.get(rating.message, ""))
    turns = exchange.turns if exchange else ()
    turn = next((turn for turn in turns if turn.message.message == rating.message), None)
    question = question_of(conversation, exchange)
    opinion, score = rating.opinion, said(rating.opinion.score)
    at = datetime.fromtimestamp(rating.marks[-1].at / 1000, UTC)
    return (
        site,
        conversation.thread,
        conversation.user or "",
        rating.message,
        turn.message.role if turn else "",
        turn.source if turn else "",
        rating.actor,
        at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        said(opinion.thumb) or "",
        "" if score is None else f"{score:g}",
        "; ".join(said(opinion.reasons) or ()),
        said(opinion.comment) or "",
        said(opinion.correction) or "",
        "; ".join(conversation.tags),
        text_of(question.message) if question else "",
        text_of(turn.message) if turn else "",
    )


def _harmless(cell: str) -> str:
    is_number = cell.removeprefix("-").replace(".", "", 1).isdecimal() and cell.isascii()
    return f"'{cell}" if cell.lstrip(" ").startswith(FORMULAS) and not is_number else cell
