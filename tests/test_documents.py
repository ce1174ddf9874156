"""The Markdown files: what they name is there."""

import re
from pathlib import Path

import pytest

from thumbseal import settings
from thumbseal.keys import new_key

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


HOOK = {"name": "hook", "kind": "webhook", "url": "https://a.example.com", "secret": "env:HOOK"}


def completed(piece: str) -> str:
    """A piece of a settings file with the tables that stand around it."""
    if re.search(r"^\[sites\.support\]$", piece, re.MULTILINE):
        return piece
    if piece.startswith("keys ="):
        return f"[sites.support]\n{piece}"
    keys = '[sites.support]\nkeys = ["env:THUMBSEAL_KEY"]\n'
    if piece.startswith("["):
        return keys + piece
    lacking = {key: value for key, value in HOOK.items() if not re.search(rf"(?m)^{key} =", piece)}
    lines = "".join(f'{key} = "{value}"\n' for key, value in lacking.items())
    return f"{keys}[[sites.support.upstreams]]\n{lines}{piece}"


def test_settings_are_good(document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each piece of a settings file can stand in one: the server reads it without a complaint."""
    text = document.read_text("utf-8")
    for indent, piece in re.findall(r"^( *)```toml\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL):
        whole = completed(re.sub(rf"^{indent}", "", piece, flags=re.MULTILINE))
        for name in re.findall(r"env:(\w+)", whole):
            monkeypatch.setenv(name, f"whsec_{'A' * 32}" if "HOOK" in name else new_key())
        for name in re.findall(r"file:([\w.-]+)", whole):
            (tmp_path / name).write_text(new_key())
        (tmp_path / "thumbseal.toml").write_text(whole)
        assert settings.read(tmp_path / "thumbseal.toml").sites
