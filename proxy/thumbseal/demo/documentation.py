"""Thumbseal's own documentation as passages: what the demo's bot answers from.

A passage is what stands between two headings of a Markdown page. Its blocks are one line each
(a paragraph), one line an item (a list), or a fenced piece of code as it stands.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

FENCE: Final = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
HEADING: Final = re.compile(r"#{1,6} +(.+)")
IMAGE: Final = re.compile(r"!\[[^\]]*\]\([^)]*\)")
LINK: Final = re.compile(r"\[([^\]]*)\]\([^)]*\)")
ITEM: Final = re.compile(r"(?:[-*]|\d+\.) +")
EXAMPLE: Final = Path("examples/chat/index.html")


@dataclass(frozen=True, slots=True)
class Passage:
    """A page's title, its file's name, a heading, and the blocks under that heading."""

    page: str
    file: str
    heading: str
    blocks: tuple[str, ...]


@cache
def root() -> Path:
    """The folder that holds ``examples`` and ``docs``: the installed package, or the checkout.

    Raises `FileNotFoundError` where neither does.
    """
    package = Path(__file__).parents[1]
    for folder in (package, package.parents[1]):
        if (folder / EXAMPLE).is_file():
            return folder
    raise FileNotFoundError(f"{EXAMPLE} is missing beside {package}: install thumbseal again.")


def pages() -> dict[str, Path]:
    """The documentation's files by name, README first."""
    readmes = (root() / "docs/README.md", root() / "README.md")
    found = [path for path in readmes if path.is_file()][:1]
    found += sorted(set((root() / "docs").glob("*.md")) - set(found))
    return {path.name: path for path in found}


def read() -> list[Passage]:
    """Every passage of the documentation."""
    return [
        passage
        for name, path in pages().items()
        for passage in passages(name, path.read_text(encoding="utf-8"))
    ]


def passages(file: str, markdown: str) -> Iterator[Passage]:
    """A page's passages; a heading with nothing under it has none."""
    page = heading = file.removesuffix(".md")
    gathered: list[str] = []
    titled = False
    for block in blocks(markdown):
        if not (found := HEADING.fullmatch(block)):
            gathered.append(block)
            continue
        if gathered:
            yield Passage(page, file, heading, tuple(gathered))
        heading, gathered = plain(found[1]), []
        page, titled = (page if titled else heading), True
    if gathered:
        yield Passage(page, file, heading, tuple(gathered))


def blocks(markdown: str) -> Iterator[str]:
    """Headings, paragraphs, lists and pieces of code, in order.

    Tables, images and HTML are left out: read alone, a row says nothing.
    """
    for index, part in enumerate(FENCE.split(markdown)):
        if index % 2:
            yield part
            continue
        for block in re.split(r"\n\s*\n|\n(?=#)", part):
            yield from _unfolded(block.strip())


def _unfolded(block: str) -> Iterator[str]:
    if not block or block[0] in "|<":
        return
    first, _, rest = block.partition("\n")
    if HEADING.fullmatch(first):
        yield first
        yield from _unfolded(rest.strip())
    else:
        lines = re.sub(r"\n(?!\s*(?:[-*]|\d+\.) )\s*", " ", block).split("\n")
        text = "\n".join(ITEM.sub("- ", plain(line), count=1) for line in lines)
        if text:
            yield text


def plain(text: str) -> str:
    """The text with its links' words, without their targets and without images."""
    return LINK.sub(r"\1", IMAGE.sub("", text)).strip()
