"""Source maps (ECMA-426): where in the modules a line of a file comes from."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from thumbseal_widget.joiner import Module

_DIGITS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

#: Where a piece begins: its column, its module's number, and the line and column there.
Segment = tuple[int, int, int, int]


def encode(modules: Sequence[Module], lines: Iterable[Iterable[Segment]]) -> str:
    """The map of a file, given each line's segments in order. All numbers count from 0."""
    described = {
        "version": 3,
        "sources": [f"{module.name}.js" for module in modules],
        "sourcesContent": [module.text for module in modules],
        "names": [],
        "mappings": ";".join(_mappings(lines)),
    }
    return json.dumps(described, ensure_ascii=False, separators=(",", ":")) + "\n"


def _mappings(lines: Iterable[Iterable[Segment]]) -> Iterator[str]:
    """All numbers are differences to the segment before; the column's starts anew in each line."""
    last = (0, 0, 0, 0)
    for line in lines:
        last = (0, *last[1:])
        pieces = []
        for segment in line:
            steps = (new - old for new, old in zip(segment, last, strict=True))
            pieces.append("".join(map(_vlq, steps)))
            last = segment
        yield ",".join(pieces)


def _vlq(number: int) -> str:
    """Base64 digits of five bits each, the lowest first, the sign lowest of all."""
    rest = abs(number) << 1 | (number < 0)
    digits = []
    while True:
        digit, rest = rest & 31, rest >> 5
        digits.append(_DIGITS[digit | (32 if rest else 0)])
        if not rest:
            return "".join(digits)
