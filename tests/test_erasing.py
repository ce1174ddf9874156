"""Erasing, from the command line to the upstream: beside a running server, until it is done."""

import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from click.testing import CliRunner, Result
from structlog.testing import capture_logs

from tests.doubles.lunary import PROJECT, Answer, Instead, LunaryDouble, Received
from tests.doubles.serving import serve
from tests.histories import THREAD, event, message
from tests.lunary_desk import Desk, change_of, open_desk
from tests.proxy import ORIGIN, Clock, Proxy, running, said, voted
from thumbseal import retry, settings
from thumbseal.cli import main
from thumbseal.keys import new_key
from thumbseal.log.removal import GRACE_MS
from thumbseal.settings import Lunary, Secret
from thumbseal.upstreams import UpstreamDown
from thumbseal.upstreams.lunary import LunaryUpstream

PATIENCE: Final = 20  # seconds until something counts as missing
CANARY: Final = "a canary that somebody wants forgotten"
SETTINGS: Final = f"""
[sites.support]
keys = ["file:key"]
origins = ["{ORIGIN}"]
[[sites.support.upstreams]]
name = "lunary"
kind = "lunary"
url = "%s"
key = "env:LUNARY"
[[sites.support.upstreams]]
name = "hook"
kind = "webhook"
url = "http://127.0.0.1:9/hook"
secret = "env:HOOK"
"""
ENVIRONMENT: Final = {"LUNARY": PROJECT.private_key, "HOOK": "whsec_" + "A" * 40}


@pytest.fixture
def double() -> LunaryDouble:
    return LunaryDouble(requests_per_minute=10**9)


@pytest.fixture
def served(
    double: LunaryDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Proxy, Path]]:
    """A proxy with a file of settings, and that file."""
    monkeypatch.setattr(retry, "FIRST", 0.01)
    (tmp_path / "key").write_text(new_key())
    file = tmp_path / "thumbseal.toml"
    with serve(double) as url, capture_logs():
        file.write_text(SETTINGS % url)
        configured = settings.read(file, ENVIRONMENT)
        clock = Clock(time.time())
        with running(configured, clock, steady=clock) as proxy:
            yield proxy, file


def thumbseal(file: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, [*arguments, "--config", str(file)], env=ENVIRONMENT)


def talk(proxy: Proxy, double: LunaryDouble) -> dict[str, Any]:
    """A thread with a question, an answer and a vote, as Lunary shows it."""
    opened = proxy.open()
    question, answer = opened["messages"][:2]
    proxy.record(
        opened["thread"]["token"],
        said(question, "user", CANARY),
        said(answer, "assistant", "Sure."),
        voted(answer, thumb="up"),
    )
    thread = opened["thread"]["id"]
    double.until(lambda: any(run.feedback for run in double.exchanges(thread))).result(PATIENCE)
    return opened


def figures(file: Path, upstream: str) -> dict[str, int]:
    """An upstream's counts, as `check --log` tells them."""
    told = thumbseal(file, "check", "--log")
    assert told.exit_code == 0, told.output
    (line,) = (line for line in told.output.splitlines() if upstream in line)
    return {name: int(number) for number, name in re.findall(r"(\d+) (\w+)", line)}


def test_an_erased_thread_leaves_the_server_and_lunary(
    served: tuple[Proxy, Path], double: LunaryDouble
) -> None:
    """One command beside the running server: refused at once, gone from every byte here, and gone
    there a minute later; another thread is untouched, and the accounts add up."""
    proxy, file = served
    erased, kept = talk(proxy, double), talk(proxy, double)
    thread = erased["thread"]["id"]
    told = thumbseal(file, "erase", "--thread", thread, "--yes")
    assert told.exit_code == 0, told.output
    assert "Erased 1 thread(s) with 3 event(s)." in told.output
    assert "support/lunary: will be told to delete." in told.output
    assert "support/hook: cannot delete." in told.output
    (result,) = proxy.record(erased["thread"]["token"], {"type": "custom", "name": "late"})
    assert (result["status"], result["code"]) == ("rejected", "gone")
    assert [run.id for run in double.threads()] == [thread, kept["thread"]["id"]]
    # The command has the machine's time, however long all this took.
    proxy.clock.now = time.time() + GRACE_MS / 1000 + 1  # type: ignore[attr-defined]
    double.until(lambda: len(double.threads()) == 1).result(PATIENCE)
    assert double.exchanges(thread) == []
    assert len(double.exchanges(kept["thread"]["id"])) == 1
    counts = figures(file, "support/lunary")
    assert counts["accepted"] == 6 == counts["delivered"]
    hook = figures(file, "support/hook")
    assert hook["accepted"] == 6 == sum(hook.values()) - hook["accepted"]
    assert hook["erased"] == 3


def test_nothing_of_an_erased_thread_stays_on_the_disk(
    served: tuple[Proxy, Path], double: LunaryDouble
) -> None:
    """After the command no file of the log holds a byte of what was said, the journal included."""
    proxy, file = served
    opened = talk(proxy, double)
    assert thumbseal(file, "erase", "--thread", opened["thread"]["id"], "--yes").exit_code == 0
    deadline = time.monotonic() + PATIENCE
    while holding(file.parent) and time.monotonic() < deadline:
        time.sleep(0.05)  # the server empties the journal within a second
    assert holding(file.parent) == []


def holding(folder: Path) -> list[str]:
    files = [path for path in folder.iterdir() if path.is_file()]
    return [path.name for path in files if CANARY.encode() in path.read_bytes()]


def test_a_deletion_is_tried_until_it_is_done(
    served: tuple[Proxy, Path], double: LunaryDouble
) -> None:
    """While Lunary says no the deletion waits, deliveries go on, and then it is carried out."""
    proxy, file = served
    opened = talk(proxy, double)
    thread = opened["thread"]["id"]
    assert thumbseal(file, "erase", "--thread", thread, "--yes").exit_code == 0
    refused = threading.Semaphore(0)
    left = iter(range(3))

    def refuse(received: Received) -> Instead | None:
        if received.method != "DELETE" or next(left, None) is None:
            return None
        refused.release()
        return Instead(Answer(500))

    double.faults.hook = refuse
    for _ in range(3):
        proxy.clock.now += 3_600  # type: ignore[attr-defined]
        assert refused.acquire(timeout=PATIENCE)
    talk(proxy, double)
    proxy.clock.now += 3_600  # type: ignore[attr-defined]
    double.until(lambda: thread not in [run.id for run in double.threads()]).result(PATIENCE)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "Say what to erase"),
        (("--thread", "a", "--user", "b"), "Say what to erase"),
        (("--thread", "a", "--site", "nope"), "There is no site"),
    ],
)
def test_erase_says_what_it_needs(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    """A command that is not clear erases nothing."""
    (tmp_path / "key").write_text(new_key())
    file = tmp_path / "thumbseal.toml"
    file.write_text(SETTINGS % "http://127.0.0.1:9")
    told = thumbseal(file, "erase", *arguments, "--yes")
    assert told.exit_code != 0
    assert words in told.output


def test_erase_asks_first(served: tuple[Proxy, Path], double: LunaryDouble) -> None:
    """Without a yes nothing happens."""
    proxy, file = served
    opened = talk(proxy, double)
    told = thumbseal(file, "erase", "--thread", opened["thread"]["id"])
    assert told.exit_code == 1
    assert "cannot be undone" in told.output
    assert len(proxy.conversations()) == 1


@pytest.fixture
def desk() -> Iterator[Desk]:
    with open_desk() as opened:
        yield opened


def erase(desk: Desk, key: str = PROJECT.private_key, path: str = "") -> None:
    url = desk.url + path
    upstream = LunaryUpstream(Lunary("lunary", Secret(key), url), desk.client)
    desk.runner.run(upstream.erase(THREAD))


def test_a_thread_is_erased_at_lunary_with_all_in_it(desk: Desk) -> None:
    """The thread and its exchanges go; erasing what is not there is no failure."""
    desk.deliver(change_of([event(1, message("u1")), event(2, message("a1"))]))
    erase(desk)
    assert desk.double.database.runs() == []
    erase(desk)


def test_a_thread_is_erased_under_the_id_it_has_there(desk: Desk) -> None:
    """Where runs bear the Python SDK's ids, so does what is erased."""
    desk.deliver(change_of([event(1, message("u1"))]), ids="python")
    spelled = Lunary("lunary", Secret(PROJECT.private_key), desk.url, ids="python")
    desk.runner.run(LunaryUpstream(spelled, desk.client).erase(THREAD))
    assert desk.double.database.runs() == []


@pytest.mark.parametrize(
    ("key", "path", "words"),
    [
        (PROJECT.private_key, "/wrong", "check its URL"),
        (PROJECT.public_key, "", "check its URL and key"),
    ],
)
def test_a_wrong_address_or_key_is_no_erasure(desk: Desk, key: str, path: str, words: str) -> None:
    """Whoever would say "not found" of anything has not erased it."""
    desk.deliver(change_of([event(1, message("u1"))]))
    with pytest.raises(UpstreamDown, match=words) as caught:
        erase(desk, key, path)
    assert caught.value.refused
    assert len(desk.double.threads()) == 1
