"""The Markdown files: what they name is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*/*.md")])


@pytest.fixture(params=DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def document(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def test_make_targets_exist(document: Path) -> None:
    """Every `make …` in code is a target of the Makefile."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make ([a-z]+)", document.read_text("utf-8"), re.MULTILINE))
    assert named <= targets


def test_links_lead_somewhere(document: Path) -> None:
    """Every link to a file of the repository leads to one that is there."""
    links = re.findall(r"\]\(([^)#\s]+)", document.read_text("utf-8"))
    files = [link for link in links if not re.match(r"https?:|mailto:", link)]
    assert [link for link in files if not (document.parent / link).exists()] == []


def test_contributing_names_folders_that_exist() -> None:
    """The table of folders in CONTRIBUTING is the layout."""
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    folders = re.findall(r"^\| `([^`]+)`", text, re.MULTILINE)
    assert folders
    assert [folder for folder in folders if not (ROOT / folder).is_dir()] == []
