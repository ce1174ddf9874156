"""The page on the protocol: it knows every code that the server can answer."""

import re
from pathlib import Path

import thumbseal
from thumbseal import errors

PAGE = Path(__file__).parents[1] / "docs" / "protocol.md"
SOURCES = Path(thumbseal.__file__).parent


def documented() -> set[str]:
    return set(re.findall(r"^\| `(\w+)` \|", PAGE.read_text("utf-8"), re.MULTILINE))


def in_code() -> set[str]:
    """The codes of the error tree, of rejected events, and of the last-resort handlers."""
    tree = {error.code for error in _below(errors.RequestError)}
    text = "\n".join(path.read_text("utf-8") for path in SOURCES.rglob("*.py"))
    named = re.findall(
        r'(?:BadEvent|__init__\(|"rejected",|code=|40\d:|_problem\(500,) ?\(?"(\w+)"', text
    )
    return tree | set(named)


def _below(kind: type[errors.RequestError]) -> set[type[errors.RequestError]]:
    return {kind}.union(*(_below(each) for each in kind.__subclasses__()))


def test_every_code_is_documented_and_real() -> None:
    """A code that a client can meet stands on the page, and the page names no other."""
    assert documented() == in_code()
