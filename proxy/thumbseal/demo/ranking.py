"""Full-text search: BM25 over words without their endings."""

import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

SATURATION: Final = 1.2  # k1 and b as the literature and Lucene have them
LENGTH_WEIGHT: Final = 0.75
WORD: Final = re.compile(r"[^\W_]+")
ENDING: Final = re.compile(r"(?:ing|ed|es|(?<!s)s|e)$")
STOP_WORDS: Final = frozenset(
    WORD.findall(
        "a about after all also am an and any are as at be been before but by can could did do"
        " does doing for from get gets give had has have hello hi how i if in into is it its"
        " just know like may me might mine more most much my no not of on one only or other our"
        " out over please shall should so some such tell than thank thanks that the their them"
        " then there these they this those to too up use used using was we were what when where"
        " which while who whose why will with without would yes you your"
    )
)


def terms(text: str) -> list[str]:
    """The words that carry meaning, lower case, endings off: ``votes`` and ``voting`` are one."""
    words = (word.lower() for word in WORD.findall(text))
    return [_stem(word) for word in words if len(word) > 1 and word not in STOP_WORDS]


def _stem(word: str) -> str:
    stem = ENDING.sub("", word)
    if len(stem) < 3:
        return word
    doubled = len(stem) > 3 and stem[-1] == stem[-2] and stem[-1] not in "ls"
    return stem[:-1] if doubled else stem


@dataclass(frozen=True, slots=True)
class Hit:
    """Which text was found, how well (BM25), and how much of the question's weight it covers."""

    place: int
    score: float
    coverage: float


class Ranking:
    """An index over texts; a text's place is its position in what was given."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._counts = [Counter(terms(text)) for text in texts]
        self._lengths = [counts.total() for counts in self._counts]
        self._mean = sum(self._lengths) / max(1, len(self._lengths)) or 1.0
        self._spread = Counter(term for counts in self._counts for term in counts)

    def weight(self, term: str) -> float:
        """How rare the term is; a term found nowhere weighs most."""
        spread = self._spread[term]
        return math.log(1 + (len(self._counts) - spread + 0.5) / (spread + 0.5))

    def search(self, question: str) -> list[Hit]:
        """Texts that share a word with the question, best first."""
        asked = {term: self.weight(term) for term in terms(question)}
        total = sum(asked.values()) or 1.0
        hits = (self._hit(place, asked, total) for place in range(len(self._counts)))
        return sorted((hit for hit in hits if hit.score), key=lambda hit: -hit.score)

    def _hit(self, place: int, asked: dict[str, float], total: float) -> Hit:
        counts, length = self._counts[place], self._lengths[place] / self._mean
        damping = SATURATION * (1 - LENGTH_WEIGHT + LENGTH_WEIGHT * length)
        found = {term: counts[term] for term in asked if counts[term]}
        score = sum(
            asked[term] * count * (SATURATION + 1) / (count + damping)
            for term, count in found.items()
        )
        return Hit(place, score, sum(asked[term] for term in found) / total)
