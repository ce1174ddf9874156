"""The page on the protocol: it knows every code that the server can answer."""

import re
from pathlib import Path
from typing import get_args

from thumbseal import errors
from thumbseal.events import Reason

PAGE = Path(__file__).parents[1] / "docs" / "protocol.md"


def documented() -> set[str]:
    return set(re.findall(r"^\| `(\w+)` \|", PAGE.read_text("utf-8"), re.MULTILINE))


def in_code() -> set[str]:
    """The codes of the error tree, and of rejected events."""
    return {error.code for error in _below(errors.RequestError)} | set(get_args(Reason))


def _below(kind: type[errors.RequestError]) -> set[type[errors.RequestError]]:
    return {kind}.union(*(_below(each) for each in kind.__subclasses__()))


def test_every_code_is_documented_and_real() -> None:
    """A code that a client can meet stands on the page, and the page names no other."""
    assert documented() == in_code()
