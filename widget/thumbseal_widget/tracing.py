"""Finds again in a file what stands in the modules that it was made of."""

import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from itertools import accumulate
from typing import Final, NamedTuple

from thumbseal_widget.joiner import Module
from thumbseal_widget.sourcemap import Segment

# Strings come first, so that `//` inside of one begins no comment. A minifier keeps properties,
# globals and the words in strings; it drops comments and renames the rest to a letter or two.
_TEXT: Final = re.compile(
    r"""(?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')|(?P<comment>/\*.*?\*/|//[^\n]*)""",
    re.DOTALL,
)
_WORD: Final = re.compile(r"[A-Za-z_$][\w$]{2,}")


class _Word(NamedTuple):
    text: str
    line: int
    column: int


def trace_lines(modules: Sequence[Module], before: int) -> list[list[Segment]]:
    """Segments of a file that has ``before`` lines and then the modules' own, line by line."""
    traced: list[list[Segment]] = [[] for _ in range(before)]
    for number, module in enumerate(modules):
        lines = zip(module.text.splitlines(), module.body.splitlines(), strict=True)
        traced += [[(0, number, line, len(a) - len(b))] for line, (a, b) in enumerate(lines)]
    return traced


def trace_words(text: str, modules: Sequence[Module]) -> list[list[Segment]]:
    """Segments of a minified file: each begins at a word that its module has there too.

    No minifier in Python tells where it put what. It keeps the order of nearly everything, so the
    longest common runs of words say it; a word that was moved has no segment.
    """
    sources = [(number, word) for number, each in enumerate(modules) for word in _words(each.text)]
    words = list(_words(text))
    matcher = SequenceMatcher(
        None, [word.text for word in words], [word.text for _, word in sources], autojunk=False
    )
    traced: list[list[Segment]] = [[] for _ in text.splitlines()]
    for block in matcher.get_matching_blocks():
        found = sources[block.b : block.b + block.size]
        for word, (number, source) in zip(words[block.a :], found, strict=False):
            traced[word.line].append((word.column, number, source.line, source.column))
    return traced


def _words(text: str) -> Iterator[_Word]:
    """The words outside comments and where they are, counted from 0."""
    blank = _TEXT.sub(lambda match: match[0] if match["string"] else _blank(match[0]), text)
    starts = list(accumulate((len(line) for line in blank.splitlines(keepends=True)), initial=0))
    line = 0
    for match in _WORD.finditer(blank):
        while starts[line + 1] <= match.start():
            line += 1
        yield _Word(match[0], line, match.start() - starts[line])


def _blank(comment: str) -> str:
    return re.sub(r"[^\n]", " ", comment)
