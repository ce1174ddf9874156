"""docs/security.md: each threat names tests that there are."""

import re
from pathlib import Path
from typing import Final

from tests.test_documents import ROOT

PAGE: Final = ROOT / "docs" / "security.md"
ROW: Final = re.compile(r"^\| S(\d+) \| [^|]+ \| [^|]+ \| ([^|]+) \|$", re.MULTILINE)
NAMED: Final = re.compile(r"`(test_\w+)`")


def there_are() -> set[str]:
    """The names of all tests."""
    found: set[str] = set()
    for path in Path(ROOT / "tests").rglob("test_*.py"):
        found |= set(
            re.findall(r"^(?:async )?def (test_\w+)", path.read_text("utf-8"), re.MULTILINE)
        )
    return found


def test_each_threat_names_tests_that_there_are() -> None:
    """A test that was renamed or went away leaves no promise behind."""
    rows = ROW.findall(PAGE.read_text("utf-8"))
    named = {number: NAMED.findall(tests) for number, tests in rows}
    assert [int(number) for number, _ in rows] == list(range(1, 37))
    assert all(named.values())
    assert {name for names in named.values() for name in names} <= there_are()
