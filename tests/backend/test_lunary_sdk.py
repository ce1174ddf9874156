"""Lunary's own SDK for Python (PyPI, see constraints.txt) here, with either kind of key."""

import os
import re
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Final

import pytest

from tests.doubles.lunary import Cut
from tests.proxy import make_settings, running
from tests.seed import PYTHON, RIGHT, backend_token, both_ways
from thumbseal.events import Opinion

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "lunary.md"
#: Its arguments are the proxy, the thread's token and the thread's id. The SDK sends at its end.
SCRIPT: Final = """
import sys
import lunary
lunary.config(api_url=sys.argv[1], app_id=sys.argv[2])
thread = lunary.open_thread(id=sys.argv[3], tags=["blue"])
thread.track_message({"role": "user", "content": "Why?"})
answer = thread.track_message({"role": "assistant", "content": "Because."})
lunary.track_feedback(answer, {"thumb": "up"})
lunary.track_feedback(answer, {"thumb": "down"})
thread.track_event("copied")
"""


def test_the_python_sdk_writes_the_keys_thread(tmp_path: Path) -> None:
    """Its hashed ids meet: both messages are in the thread, and the last vote is on the answer."""
    with running(make_settings(tmp_path), time.time) as proxy:
        thread = proxy.open()["thread"]
        arguments = [sys.executable, "-c", SCRIPT, proxy.url, thread["token"], thread["id"]]
        subprocess.run(arguments, check=True)
        (told,) = proxy.conversations()
    assert (told.thread, told.tags) == (thread["id"], ("blue",))
    assert [turn.message.content for turn in told.turns] == ["Why?", "Because."]
    (rating,) = told.ratings.values()
    assert (rating.message, rating.opinion) == (told.turns[1].message.message, Opinion("down"))


def test_the_seed_is_right_through_the_proxy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Sent to Lunary directly, the same script loses the tags, the user, what the assistant called,
    and here, where the first request does not arrive, all of the first visit."""

    def visit(url: str, key: str, thread: str, number: int) -> None:
        command = [sys.executable, "-c", PYTHON, str(number), thread]
        told = os.environ | {"LUNARY_API_URL": url, "LUNARY_PUBLIC_KEY": key}
        subprocess.run(command, check=True, env=told)

    direct, through = both_ways(
        visit, tmp_path, f"PyPI lunary {version('lunary')}", capsys, lost=Cut(applied=False)
    )
    assert through == RIGHT
    assert direct["tags"] == "none"


def test_the_pages_example_runs_as_it_stands(tmp_path: Path) -> None:
    """docs/lunary.md: its Python, with URL and key in the environment."""
    (example,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)
    with running(make_settings(tmp_path), time.time) as proxy:
        told = {"LUNARY_API_URL": proxy.url, "LUNARY_PUBLIC_KEY": backend_token(proxy)}
        subprocess.run([sys.executable, "-c", example], check=True, env=os.environ | told)
        (seen,) = proxy.conversations()
    assert (seen.user, seen.tags) == ("u_42", ("help",))
    assert [turn.message.content for turn in seen.turns] == ["Why?", "Because."]
    assert [rating.opinion.thumb for rating in seen.ratings.values()] == ["up"]
