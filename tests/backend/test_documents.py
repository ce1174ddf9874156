"""docs/backend.md: its Python runs from top to bottom, against a real server."""

import re
import time
from pathlib import Path
from typing import Any, Final

import pytest

import thumbseal
from tests.proxy import make_settings, running

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "backend.md"
BLOCK: Final = re.compile(r"```python\n(.*?)```", re.DOTALL)


def test_the_examples_run_as_they_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each block runs after the ones before it, and what they assert holds."""
    blocks = BLOCK.findall(DOCUMENT.read_text("utf-8"))
    assert len(blocks) >= 5
    with running(make_settings(tmp_path), time.time) as proxy:
        key = proxy.settings.sites["support"].signing_keys().for_app()
        monkeypatch.setenv("THUMBSEAL_URL", proxy.url)
        monkeypatch.setenv("THUMBSEAL_SITE", "support")
        monkeypatch.setenv("THUMBSEAL_APP_KEY", key)
        names: dict[str, Any] = {}
        for block in blocks:
            exec(compile(block, str(DOCUMENT), "exec"), names)  # noqa: S102  the document's own
        assert isinstance(names["client"], thumbseal.Client)
        (told,) = proxy.conversations()
        assert [turn.message.content for turn in told.turns] == ["Why?", "Because."]
