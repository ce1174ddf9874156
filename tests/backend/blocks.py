"""The code blocks of the documents."""

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest

ROOT: Final = Path(__file__).parents[2]
DOCUMENTS: Final = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*/*.md")]
)
#: A block, indented where it stands in a list, or the heading of a section.
PIECE: Final = re.compile(
    r"^## (?P<heading>[^\n]+)$|^(?P<indent> *)```(?P<language>\S*)\n(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)

#: What runs in a test of its own, by document, language and section; the test names the document.
ELSEWHERE: Final = {
    ("README.md", "html", ".*"): "tests/browser/test_readme.py",
    ("docs/backend.md", "python", ".*"): "tests/backend/test_documents.py",
    ("docs/export.md", "sh", ".*"): "tests/test_export.py",
    ("docs/lunary.md", "js", ".*"): "tests/examples/test_lunary.py",
    ("docs/lunary.md", "python", ".*"): "tests/backend/test_lunary_sdk.py",
    ("docs/operating.md", "sh", "Back up.*|Find what is dead.*|Rotate a key|Take a token back"): (
        "tests/test_operating_page.py"
    ),
    ("docs/operating.md", "yaml", ".*"): "tests/test_metrics.py",
    ("docs/webhooks.md", "json|python", ".*"): "tests/test_webhook_page.py",
    (".*", "toml", ".*"): "tests/test_documents.py",
}


class Block(NamedTuple):
    document: str
    language: str
    section: str
    text: str

    def elsewhere(self) -> str | None:
        """The test of its own that runs it."""
        tests = (test for each, test in ELSEWHERE.items() if all(map(re.fullmatch, each, self[:3])))
        return next(tests, None)


def blocks() -> list[Block]:
    return [each for path in DOCUMENTS for each in _of_document(path)]


def _of_document(path: Path) -> Iterator[Block]:
    section = ""
    for piece in PIECE.finditer(path.read_text("utf-8")):
        if piece["heading"]:
            section = piece["heading"]
        else:
            text = textwrap.dedent(piece["text"])
            yield Block(str(path.relative_to(ROOT)), piece["language"], section, text)


def of(*languages: str) -> pytest.MarkDecorator:
    """Give a test each block of these languages that runs nowhere else, as ``block``."""
    found = [each for each in blocks() if each.language in languages and not each.elsewhere()]
    assert found
    return pytest.mark.parametrize(
        "block", found, ids=[f"{each.document}: {each.text.splitlines()[0]}" for each in found]
    )
