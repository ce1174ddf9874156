"""constraints.txt: a clone builds the same next year."""

import re
from importlib.metadata import Distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

CONSTRAINTS = Path(__file__).parent.parent / "constraints.txt"
INSTALLED: dict[str, Distribution] = {
    canonicalize_name(found.name): found for found in distributions()
}


def pins() -> dict[str, str]:
    lines = CONSTRAINTS.read_text("utf-8").splitlines()
    found = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {canonicalize_name(name): version for name, version in found}


def needs(name: str, *extras: str) -> set[str]:
    """The names of what `name` requires with these extras, and is installed."""
    requirements = map(Requirement, INSTALLED[name].requires or ())
    asked: set[str] = {
        canonicalize_name(requirement.name)
        for requirement in requirements
        if not requirement.marker
        or any(requirement.marker.evaluate({"extra": extra}) for extra in ("", *extras))
    }
    return asked & INSTALLED.keys()


def reachable() -> set[str]:
    """Everything that Thumbseal and work on it need, and what those need in turn."""
    found: set[str] = set()
    todo = needs("thumbseal", "tests", "backend", "checks") | {"hatchling"}
    while todo:
        found |= todo
        todo = {deeper for name in todo for deeper in needs(name)} - found
    return found


def test_everything_installed_is_pinned() -> None:
    """Nothing reaches an environment in a version that constraints.txt does not name."""
    versions = {name: INSTALLED[name].version for name in reachable()}
    assert len(versions) > 20
    assert versions == {name: pins().get(name) for name in versions}


def test_nothing_is_fetched_from_a_named_place() -> None:
    """Each line is a comment or one exact version: no address, no option, no range."""
    lines = CONSTRAINTS.read_text("utf-8").splitlines()
    odd = [line for line in lines if not re.fullmatch(r"(#.*|[\w.-]+==[\w.]+)?", line)]
    assert odd == []
