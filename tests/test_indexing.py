"""The process that keeps the index of a running server up to date: it comes, it ends with its
server and not before, and whatever happens to it, the server goes on."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from tests.bench.history import write_history
from tests.indexed import await_followers, content, follow, followers, wait_for
from tests.lines import Lines, captured
from tests.proxy import Journal, Proxy, make_settings, running
from tests.raw import WAIT, Raw
from tests.reliability.test_damage import harm_open
from tests.replay.visiting import Visitor, talk
from thumbseal import indexing, settings
from thumbseal.index.file import discard, index_path, make
from thumbseal.index.keeping import Keeper
from thumbseal.keys import new_key

SETTINGS = """\
[server]
listen = "127.0.0.1:0"
log = "sqlite:log.db"
lines = "json"

[sites.support]
keys = ["file:site.key"]
origins = ["https://chat.example.com"]
"""


@pytest.fixture
def lines() -> Iterator[Lines]:
    """What the server says."""
    with captured() as told:
        yield told


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has failed is tried again at once."""
    monkeypatch.setattr(indexing, "AGAIN", 0.02)


def test_it_loads_what_it_needs_alone() -> None:
    """It is started with each server, so that takes little."""
    code = "import sys, thumbseal.index.following as f; print(*sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert not {"asyncio", "jinja2", "re2", "starlette", "structlog"} & set(told.stdout.split())


def test_a_step_ends_in_time(tmp_path: Path) -> None:
    """With the thread it is at, so that a server that stops need not wait for all of them."""
    path = tmp_path / "log.db"
    write_history(path, 100)
    make(index_path(path))
    with Keeper(path) as keeper:
        assert [keeper.step(2_000, 0).progress.done for _ in range(3)] == [20, 40, 60]
        assert keeper.step(2_000).progress.done == 100


def test_it_is_the_first_that_goes_without(proxy: Proxy) -> None:
    """Where the processor or the memory is short, the server has it."""
    talk(proxy, "a")
    (process,) = await_followers(proxy.settings.server.log_path.parent, 1)
    _until(lambda: os.getpriority(os.PRIO_PROCESS, process) > os.getpriority(os.PRIO_PROCESS, 0))
    score = Path(f"/proc/{process}/oom_score_adj")
    _until(lambda: int(score.read_text()) > int(Path("/proc/self/oom_score_adj").read_text()))


def test_it_is_started_when_there_is_something_to_index(tmp_path: Path) -> None:
    with running(make_settings(tmp_path)) as proxy:
        with Visitor(proxy).log_in() as visitor:
            assert visitor.see("/replay")
        assert followers(tmp_path) == []
        talk(proxy, "a")
        wait_for(tmp_path / "log.db", lambda: True)
        await_followers(tmp_path, 1)
    assert followers(tmp_path) == []
    with running(make_settings(tmp_path)):
        await_followers(tmp_path, 1)


def test_a_killed_one_is_told_of_and_followed_by_another(proxy: Proxy, lines: Lines) -> None:
    """Pages and recording go on meanwhile, and what came then is found, too."""
    folder = proxy.settings.server.log_path.parent
    with Visitor(proxy).log_in() as visitor:
        for number in (1, 2):
            talk(proxy, f"before {number}")
            visitor.await_page("/replay/threads", lambda page: f"before {number}" in page)  # noqa: B023
            (process,) = await_followers(folder, 1)
            os.kill(process, signal.SIGKILL)
            line = lines.named("index_failed", number)[-1]
            assert str(-signal.SIGKILL) in line["error"]
            assert "started again" in line["remedy"]
            talk(proxy, f"after {number}")
            assert f"before {number}" in visitor.see("/replay/threads")
            visitor.await_page("/replay/threads", lambda page: f"after {number}" in page)  # noqa: B023
    assert len(lines.named("index_failed", 2)) == 2


def test_what_fails_again_and_again_is_told_of_once(proxy: Proxy, lines: Lines) -> None:
    """Until it has got on: then it may fail anew."""
    path = proxy.settings.server.log_path
    for number in (1, 2):
        talk(proxy, "a")
        wait_for(path, lambda: True)
        with closing(sqlite3.connect(index_path(path), isolation_level=None)) as index:
            index.execute("DROP TABLE label")
        talk(proxy, "b")
        line = lines.named("index_failed", number)[-1]
        assert (line["error"], line["remedy"]) == ("no such table: label", "Look at the disk.")
        _await_starts(path.parent, 3)
        assert len(lines.named("index_failed", number)) == number
        discard(index_path(path))
        wait_for(path, lambda: True)
        assert len(content(path)["thread"]) == 2 * number


def test_an_error_that_nobody_foresaw_is_told_without_its_text(proxy: Proxy, lines: Lines) -> None:
    path = proxy.settings.server.log_path
    talk(proxy, "quetzalcoatl")
    wait_for(path, lambda: True)
    with closing(sqlite3.connect(path, isolation_level=None)) as log:  # an event of no thread
        log.execute(
            "INSERT INTO events SELECT seq + 1, bucket, 99, message, event_id, kind, source, actor,"
            " at, received_at, body FROM events"
        )
    (line,) = lines.named("index_failed")
    assert line["error"] == "builtins.TypeError"
    assert "keeping.py" in line["places"][-1]
    assert line["remedy"]
    _await_starts(path.parent, 3)
    assert len(lines.named("index_failed")) == 1


def _await_starts(folder: Path, count: int) -> None:
    """Return once it was started so many times."""
    seen: set[int] = set()

    def enough() -> bool:
        seen.update(followers(folder))
        return len(seen) >= count

    _until(enough)


def test_a_server_that_may_start_none_goes_on(
    proxy: Proxy, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", "/nonexistent/python")
        talk(proxy, "a")
        (line,) = lines.named("index_failed")
        assert "/nonexistent/python" in line["error"]
        talk(proxy, "b")
    wait_for(proxy.settings.server.log_path, lambda: True)


def test_a_log_that_is_put_aside_is_followed_in_its_new_file(proxy: Proxy, lines: Lines) -> None:
    path = proxy.settings.server.log_path
    threads = [talk(proxy, *[f"{number} " * 200] * 5) for number in range(30)]
    wait_for(path, lambda: True)
    harm_open(path)
    _until(lambda: any(_reads(proxy, each) != 200 for each in threads))
    assert lines.named("log_salvaged")
    _until(lambda: all(_reads(proxy, each) == 200 for each in threads))
    talk(proxy, "after it")
    wait_for(path, lambda: True)
    kept = content(path)
    discard(index_path(path))
    follow(path)
    assert kept == content(path)


def _reads(proxy: Proxy, thread: dict[str, Any]) -> int:
    """The status of reading a thread's votes back."""
    return proxy.post("/v1/feedback", {"messages": [thread["messages"][0]["token"]]}).status_code


@pytest.mark.parametrize(
    ("number", "whole"),
    [
        (signal.SIGKILL, False),
        (signal.SIGTERM, False),
        (signal.SIGTERM, True),
        (signal.SIGINT, True),
    ],
    ids=["kill", "stop", "stop of systemd", "Ctrl-C"],
)
def test_it_ends_with_its_server_alone(tmp_path: Path, number: int, whole: bool) -> None:
    """A terminal and systemd send a signal to the ``whole`` group: nobody is told of a failure."""
    with _serving(tmp_path) as raw:
        proxy = _page(tmp_path, raw)
        talk(proxy, "a")
        await_followers(tmp_path, 1)
        proxy.http.close()
        (os.killpg if whole else os.kill)(raw.process.pid, number)
        raw.process.wait(WAIT)
        await_followers(tmp_path, 0)
        assert raw.process.returncode == (-number if number == signal.SIGKILL else 0)
        assert raw.said("index_failed") == []


@contextmanager
def _serving(folder: Path) -> Iterator[Raw]:
    """A server in a group of its own, as a terminal and systemd start it."""
    (folder / "site.key").write_text(new_key())
    (folder / "thumbseal.toml").write_text(SETTINGS)
    command = [sys.executable, "-m", "thumbseal", "serve", "--config"]
    command.append(str(folder / "thumbseal.toml"))
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            yield Raw(process)
        finally:
            process.kill()


def _page(folder: Path, raw: Raw) -> Proxy:
    configured = settings.read(folder / "thumbseal.toml")
    return Proxy(f"http://127.0.0.1:{raw.port}", configured, time.time, cast(Journal, None))


def _until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)
