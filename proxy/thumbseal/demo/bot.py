"""The demo's bot: it finds the passage that fits a question, and quotes it.

No model and no network: what it says stands in the documentation, and it says where.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

from thumbseal.demo.documentation import Passage
from thumbseal.demo.ranking import Hit, Ranking

PAUSE: Final = 0.025  # seconds between two words: a quick reader's pace
ENOUGH: Final = 0.45  # of the question's weight; below it an answer would be a guess
QUOTED_BLOCKS: Final = 3
QUOTED_WORDS: Final = 110
HEADING_WEIGHT: Final = 3  # a heading says what its passage is about
SUGGESTIONS: Final = (
    "How do I put thumbs under my answers?",
    "What happens to a vote when I go offline?",
    "Why can nobody forge a vote in another thread?",
)


@dataclass(frozen=True, slots=True)
class Answer:
    """Markdown text, and the passage it is quoted from; None when nothing was found."""

    text: str
    source: Passage | None


class Bot:
    """Answers from the passages given."""

    def __init__(self, passages: Sequence[Passage]) -> None:
        self._passages = passages
        self._ranking = Ranking(map(_searchable, passages))

    def answer(self, question: str) -> Answer:
        """One to three blocks of the best passage, or an honest no."""
        hits = self._ranking.search(question)
        best = next((hit for hit in hits if hit.coverage >= ENOUGH), None)
        return self._quoted(best, question) if best else Answer(_nothing_found(), None)

    def _quoted(self, hit: Hit, question: str) -> Answer:
        passage = self._passages[hit.place]
        return Answer("\n\n".join(excerpt(passage.blocks, question)), passage)


def excerpt(blocks: Sequence[str], question: str) -> Sequence[str]:
    """At most three neighbouring blocks, from the one that fits the question best.

    A short passage is quoted whole. Code never comes without the words before it.
    """
    if len(_window(blocks)) == len(blocks):
        return blocks
    start = Ranking(blocks).search(question)
    first = start[0].place if start else 0
    if first and _leans_back(blocks[first]):
        first -= 1
    return _window(blocks[first:])


def _window(blocks: Sequence[str]) -> Sequence[str]:
    """The first blocks, as many as fit; a block that ends with a colon brings the next."""
    words = 0
    for count, block in enumerate(blocks[:QUOTED_BLOCKS]):
        words += len(block.split())
        introduced = count and blocks[count - 1].endswith(":")
        if count and words > QUOTED_WORDS and not introduced:
            return blocks[:count]
    return blocks[:QUOTED_BLOCKS]


def _leans_back(block: str) -> bool:
    return block.startswith(("```", "- "))


def _searchable(passage: Passage) -> str:
    return " ".join([passage.page, *[passage.heading] * HEADING_WEIGHT, *passage.blocks])


def _nothing_found() -> str:
    questions = "\n".join(f"- {question}" for question in SUGGESTIONS)
    return (
        "I found nothing about that in Thumbseal's documentation, and I only quote what stands"
        f" there. You could ask:\n\n{questions}"
    )


async def stream(text: str, pause: float = PAUSE) -> AsyncIterator[str]:
    """The text in pieces of one word with the space after it, ``pause`` seconds apart."""
    for piece in re.findall(r"\s*\S+\s*", text):
        yield piece
        await asyncio.sleep(pause)
