"""examples/migration: two lines differ, and Lunary has the same."""

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from tests.backend.model import model
from tests.doubles.lunary import PROJECT, LunaryDouble
from tests.doubles.serving import serve
from tests.example import FOLDER
from tests.seed import backend_token, proxied

MIGRATION: Final = FOLDER / "migration"
BOTH: Final = ("before", "after")
TYPED: Final = "Why?\ny\nAnd how?\nn\n\n"
SHOWN: Final = [
    ("Why?", "Because: Why?", "up", True),
    ("And how?", "Because: And how?", "down", True),
]
PATIENCE: Final = 30  # seconds


def chat(name: str, replaced: str, url: str, **environment: str) -> None:
    """Run one of the two, with another address, and type into it."""
    source = (MIGRATION / f"{name}.py").read_text("utf-8")
    assert replaced in source
    with model() as openai:
        told = {"OPENAI_BASE_URL": openai, "OPENAI_API_KEY": "sk-test", **environment}
        command = [sys.executable, "-c", source.replace(replaced, url)]
        subprocess.run(command, input=TYPED, text=True, check=True, env=os.environ | told)


def shown(double: LunaryDouble) -> list[Any]:
    """What Lunary shows of each exchange: question, answer, vote, and the model's calls below."""
    calls = [double.run(id_) for id_ in sorted({str(each["runId"]) for each in models(double)})]
    parents = [call.parent_run_id for call in calls if call is not None]
    return [
        (
            *texts(each.input),
            *texts(each.output),
            (each.feedback or {}).get("thumb"),
            each.id in parents,
        )
        for thread in double.threads()
        for each in double.exchanges(thread.id)
    ]


def models(double: LunaryDouble) -> list[Any]:
    return [each for each in double.events() if each.get("type") == "llm"]


def texts(messages: Any) -> list[Any]:
    return [each["content"] for each in messages or []]


def test_two_lines_differ() -> None:
    """The URL, and the variable that has the key."""
    files = [(MIGRATION / f"{each}.py").read_text("utf-8").splitlines() for each in BOTH]
    changes = [line for line, other in zip(*files, strict=True) if line != other]
    assert [line.split("=")[0].strip() for line in changes] == ["api_url", "app_id"]


def test_lunary_has_the_same(tmp_path: Path) -> None:
    """Both sides of each exchange, its vote, and the model's call are there either way."""
    direct, through = (LunaryDouble(requests_per_minute=10**9) for _ in BOTH)
    with serve(direct) as url:
        chat("before", "https://api.lunary.ai", url, LUNARY_PUBLIC_KEY=PROJECT.public_key)
        assert shown(direct) == SHOWN
    with proxied(through, tmp_path) as proxy:
        key = {"THUMBSEAL_BACKEND_TOKEN": backend_token(proxy)}
        chat("after", "https://feedback.example.com", proxy.url, **key)
        with suppress(TimeoutError):
            through.until(lambda: shown(through) == SHOWN).result(PATIENCE)
        assert shown(through) == SHOWN
