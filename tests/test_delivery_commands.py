"""`thumbseal status` and `thumbseal retry`, beside whoever has the log."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.forwarding import A, B, Bench, C, open_bench
from tests.histories import message, vote
from thumbseal.cli import main
from thumbseal.forwarder import POLL
from thumbseal.keys import new_key
from thumbseal.log import Counts, Erasure
from thumbseal.upstreams import Change, Delivered, Later, Outcome, UpstreamDown

pytestmark = pytest.mark.anyio
PATIENCE = 30  # seconds
HOOK = {"HOOK": "whsec_" + "A" * 32}
SETTINGS = """\
[server]
log = "sqlite:log.db"
[sites.support]
keys = ["file:site.key"]
[[sites.support.upstreams]]
name = "x"
kind = "lunary"
key = "file:site.key"
[[sites.support.upstreams]]
name = "y"
kind = "webhook"
url = "https://example.com/hook"
secret = "env:HOOK"
"""
SALES = '[sites.sales]\nkeys = ["file:site.key"]\n'


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    (tmp_path / "site.key").write_text(new_key())
    (tmp_path / "thumbseal.toml").write_text(SETTINGS)
    async with open_bench(tmp_path) as bench:
        yield bench


async def start(folder: Path, *arguments: str) -> asyncio.subprocess.Process:
    """A command in a process of its own, which Ctrl-C reaches: a shell has its background jobs
    ignore it, and what they start inherits that."""
    environment = {"PATH": os.environ["PATH"], "PYTHONWARNINGS": "error", **HOOK}
    command = (sys.executable, "-m", "thumbseal", *arguments)
    return await asyncio.create_subprocess_exec(
        *command, cwd=folder, env=environment, stdout=PIPE, stderr=PIPE, preexec_fn=_heed_ctrl_c
    )


def _heed_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


async def called(folder: Path, *arguments: str) -> Result:
    command = [arguments[0], "--config", str(folder / "thumbseal.toml"), *arguments[1:]]
    return await asyncio.to_thread(CliRunner().invoke, main, command, env=HOOK)


async def run(folder: Path, *arguments: str) -> str:
    """What a command that goes well prints."""
    result = await called(folder, *arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout


async def refused(folder: Path, *arguments: str) -> str:
    """What a command that refuses prints."""
    result = await called(folder, *arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    return result.stderr


async def report(folder: Path, name: str = "x") -> dict[str, Any]:
    """What `status --json` says of one upstream."""
    (found,) = json.loads(await run(folder, "status", "--json", "--upstream", name))["upstreams"]
    return dict(found)


def answers(**threads: Outcome) -> Callable[[Change], Outcome]:
    """An upstream that answers so for threads by their letter, and takes the others."""
    return lambda change: threads.get(change.conversation.thread[-1], Delivered())


async def spoil(bench: Bench) -> None:
    """Thread A delivered but for a dead answer, B held, C pending."""
    bench.upstream.keeps_state = True
    bench.upstream.answer = answers(
        a=Delivered(dead=((2, "Lunary: too odd\n\x1b[31m"),)), b=Later("status 503")
    )
    await bench.say(A, message("u1"), message("a1"))
    await bench.say(B, message("u2"))
    await bench.say(A, vote("a9", thumb="up"), vote("a9", thumb="down"))
    await bench.step()
    await bench.say(C, message("u3"))
    bench.clock.now += 90


async def test_status_says_where_everything_is(bench: Bench, tmp_path: Path) -> None:
    """Each event is counted once, with what is held and dead, why, and what cannot be held."""
    await spoil(bench)
    found = await report(tmp_path)
    gone = {"erased": 0, "expired": 0}
    counts = {"accepted": 6, "delivered": 3, "pending": 1, "held": 1, "dead": 1, **gone}
    assert found["counts"] == counts
    assert (found["superseded"], found["standing"]) == (1, None)
    assert found["oldest_pending"] == bench.ms - 90_000
    assert [(each["reason"], each["count"]) for each in found["held"]] == [("status 503", 1)]
    assert [each["count"] for each in found["dead"]] == [1]
    assert "votes on questions" in found["cannot_hold"]
    other = await report(tmp_path, "support/y")
    nothing = {"delivered": 0, "held": 0, "dead": 0, **gone}
    assert other["counts"] == {"accepted": 6, "pending": 6, **nothing}
    assert other["cannot_hold"] == []


async def test_status_fits_a_screen(bench: Bench, tmp_path: Path) -> None:
    """For people: names and numbers, whatever an upstream wrote into its reasons."""
    await spoil(bench)
    bench.upstream.answer = refuse
    await bench.step()
    screen = await run(tmp_path, "status")
    assert "support/x: REFUSES US, somebody must look" in screen
    assert "accepted 6   delivered 3   pending 1   held 1   dead 1" in screen
    assert "held       1 thread, next try" in screen
    assert "dead       1 event: Lunary: too odd" in screen
    assert "\x1b" not in screen
    assert max(map(len, screen.splitlines()[1:])) <= 90
    assert len(screen.splitlines()) < 24


def refuse(change: Change) -> Outcome:
    raise UpstreamDown("status 401: check its URL and key", refused=True)


async def test_status_tells_of_what_was_removed(bench: Bench, tmp_path: Path) -> None:
    """What was erased before it was delivered is not lost without a word, and the sum is right."""
    await spoil(bench)
    await bench.log.erase(Erasure(site="support", at=bench.ms, thread=C, upstreams=("support/x",)))
    screen = await run(tmp_path, "status")
    assert "accepted 6   delivered 3   pending 0   held 1   dead 1" in screen
    assert "removed    1 erased and 0 expired before they were delivered" in screen


async def test_status_tells_of_logs_put_aside(bench: Bench, tmp_path: Path) -> None:
    """A damaged log beside the one in use is not forgotten; its journal is no other one."""
    assert "put aside" not in await run(tmp_path, "status")
    names = [f"log.db.corrupt-20261128T12000{number}Z" for number in range(2)]
    for name in (*names, f"{names[0]}-wal"):
        (tmp_path / name).touch()
    assert "put aside  2 damaged logs" in await run(tmp_path, "status")
    assert json.loads(await run(tmp_path, "status", "--json"))["quarantined"] == names
    told = await run(tmp_path, "check", "--log")
    assert f"{names[1]}: damaged, put aside. Delete it once you need nothing from it." in told


async def test_status_before_the_first_upstream(bench: Bench, tmp_path: Path) -> None:
    """Who has none yet reads what is stored of each site, that nothing is forwarded, and how to
    change that; programs read the figures."""
    (tmp_path / "thumbseal.toml").write_text(SETTINGS.partition("[[")[0] + SALES)
    await bench.say(A, message("u1"), message("a1"))
    await bench.say(B, message("u2"))
    screen = await run(tmp_path, "status")
    assert "support: nothing is forwarded yet, it has no upstream" in screen
    assert "stored     3 events in 2 threads" in screen
    assert "[[sites.support.upstreams]]" in screen
    assert "stored     0 events in 0 threads" in screen
    told = json.loads(await run(tmp_path, "status", "--json"))
    support, sales = told["not_forwarded"]
    assert support == {"site": "support", "events": 3, "threads": 2}
    assert (sales["site"], told["upstreams"]) == ("sales", [])
    assert "nothing is forwarded yet" in await refused(tmp_path, "retry")
    assert "nothing is forwarded yet" in await refused(tmp_path, "status", "--upstream", "x")


async def test_status_tells_of_each_site(bench: Bench, tmp_path: Path) -> None:
    """A site without an upstream stands beside one that has some, unless one of those is asked
    for."""
    with (tmp_path / "thumbseal.toml").open("a") as file:
        file.write(SALES)
    screen = await run(tmp_path, "status")
    assert screen.index("support/y: ") < screen.index("sales: nothing is forwarded yet")
    assert "sales" not in await run(tmp_path, "status", "--upstream", "x")


async def test_status_watches_until_it_is_stopped(bench: Bench, tmp_path: Path) -> None:
    """With --watch it goes on, without an upstream too, and Ctrl-C ends it."""
    (tmp_path / "thumbseal.toml").write_text(SETTINGS.partition("[[")[0])
    process = await start(tmp_path, "status", "--watch", "--json")
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE):
        looks = [json.loads(await process.stdout.readline()) for _ in range(2)]
    assert looks[0]["at"] < looks[1]["at"]
    assert {len(look["not_forwarded"]) for look in looks} == {1}
    process.send_signal(signal.SIGINT)
    async with asyncio.timeout(PATIENCE):
        await process.communicate()
    assert process.returncode == 0


async def test_retry_tries_all_again(bench: Bench, tmp_path: Path) -> None:
    """What is held need not wait any longer, and what is dead is sent once more."""
    await spoil(bench)
    bench.clock.now -= 89.9
    assert await bench.step() == ["c: 6"]
    said = await run(tmp_path, "retry", "--upstream", "x")
    assert said == "support/x: 1 held thread and 1 dead event are tried again.\n"
    assert await bench.counts() == Counts(6, 4, 1, 1, 0)
    bench.upstream.answer = answers()
    await bench.forwarder.step()
    assert {change.dead for change in bench.upstream.changes} == {frozenset()}
    assert sorted(bench.upstream.take()) == ["a: 2", "b: 3"]
    assert await bench.counts() == Counts(6, 6, 0, 0, 0)
    assert "nothing is held or dead" in await run(tmp_path, "retry", "--upstream", "x")


async def test_what_dies_again_is_dead_again(bench: Bench, tmp_path: Path) -> None:
    """Another try is one, and what had been delivered around it is not sent again."""
    await spoil(bench)
    await run(tmp_path, "retry", "--upstream", "x", "--thread", A)
    await bench.step()
    assert await bench.counts() == Counts(6, 4, 0, 1, 1)
    assert await bench.step() == []


async def test_retry_can_be_picky(bench: Bench, tmp_path: Path) -> None:
    """Only one thread's, only one upstream's, only what is held or dead for one reason."""
    await spoil(bench)
    for options, amount in (
        (("--upstream", "support/y"), "nothing"),
        (("--upstream", "x", "--thread", C), "nothing"),
        (("--upstream", "x", "--reason", "status 5"), "1 held thread and 0 dead events"),
        (("--upstream", "x", "--reason", "odd"), "0 held threads and 1 dead event"),
    ):
        assert amount in await run(tmp_path, "retry", *options)


async def test_a_retry_in_the_middle_of_a_delivery_is_not_forgotten(
    bench: Bench, tmp_path: Path
) -> None:
    """What somebody wants tried again while its thread is on its way is tried after that."""
    await spoil(bench)
    await bench.say(A, message("u4"))
    asked = asyncio.Event()
    deliver = bench.upstream.deliver

    async def interrupted(changes: Any) -> Any:
        outcomes = await deliver(changes)
        if not asked.is_set():
            asked.set()
            await run(tmp_path, "retry", "--upstream", "x", "--thread", A)
        return outcomes

    bench.upstream.deliver = interrupted  # type: ignore[method-assign]
    bench.upstream.answer = answers()
    bench.clock.now -= 89.9
    assert await bench.step() == ["c: 6", "a: 7"]
    assert await bench.step() == ["a: 2"]


async def test_a_running_server_notices(bench: Bench, tmp_path: Path) -> None:
    """A forwarder that waits for its upstream to come to its senses tries when it is asked to."""
    await bench.say(A, message("u1"))
    bench.upstream.answer = refuse
    task = asyncio.create_task(bench.forwarder.run())
    await bench.upstream.wait(1)
    bench.upstream.answer = answers()
    bench.upstream.take()
    process = await start(tmp_path, "retry", "--upstream", "x")
    assert await process.communicate() == (b"support/x: nothing is held or dead.\n", b"")
    async with asyncio.timeout(POLL * 5):
        await bench.upstream.wait(1)
    bench.forwarder.stop()
    await task
    assert await bench.counts() == Counts(1, 1, 0, 0, 0)
    assert (await report(tmp_path))["standing"] is None


async def test_mistakes_are_explained(bench: Bench, tmp_path: Path) -> None:
    """A wrong name lists the right ones; a log that is not there is no traceback."""
    assert "There are: support/x, support/y" in await refused(tmp_path, "status", "--upstream", "z")
    (tmp_path / "thumbseal.toml").write_text(SETTINGS.replace("log.db", "other.db"))
    assert "no server has run with these settings" in await refused(tmp_path, "status")
