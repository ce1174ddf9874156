"""Upstreams that come and go: where one begins, and how one is forgotten, beside the server."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.forwarding import NAME, A, B, Bench, C, open_bench
from tests.histories import message, vote
from tests.lines import captured
from tests.test_delivery_commands import HOOK, SETTINGS, report, run
from thumbseal import settings
from thumbseal.cli import main
from thumbseal.keys import new_key
from thumbseal.log import Counts, Erasure, Retention
from thumbseal.upstreams import Delivered, Later
from thumbseal.web.app import open_app

pytestmark = pytest.mark.anyio
OLD = "support/old"
RULE = {"support": Retention(1_000, upstreams=(NAME,))}


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    (tmp_path / "site.key").write_text(new_key())
    (tmp_path / "thumbseal.toml").write_text(SETTINGS)
    async with open_bench(tmp_path) as bench:
        yield bench


async def called(folder: Path, *arguments: str, typed: str = "") -> Result:
    command = ["upstream", *arguments, "--config", str(folder / "thumbseal.toml")]
    return await asyncio.to_thread(CliRunner().invoke, main, command, env=HOOK, input=typed)


async def refused(folder: Path, name: str) -> str:
    result = await called(folder, "forget", name, "--yes")
    assert (result.exit_code, result.stdout) == (1, "")
    return result.stderr


async def serve_old(bench: Bench) -> None:
    """An upstream that was delivered one event, and then left the settings with A held, B pending,
    and C to be erased there."""
    await bench.log.meet({NAME: "all", OLD: "all"})
    old = bench.make(OLD)
    await bench.say(A, message("u1"), message("a1"))
    bench.upstream.answer = lambda change: Later("no", since=2, dead=((1, "odd"),))
    await old.step()
    await bench.say(B, message("u2"))
    await bench.log.erase(
        Erasure(site="support", at=bench.ms, thread=C, upstreams=(OLD,), deletions=(OLD,))
    )
    bench.upstream.answer = lambda change: Delivered()
    bench.upstream.take()


# Where one begins.


async def test_now_means_what_comes_from_now_on(bench: Bench) -> None:
    """Of a thread that goes on, only what is new is the upstream's; it sees the conversation from
    its beginning all the same. Other threads and what was removed are not in its counts."""
    await bench.say(A, message("u1"), message("a1"))
    await bench.say(B, message("u2"))
    await bench.say(C, message("u3"))
    await bench.log.erase(Erasure(site="support", at=bench.ms, thread=C, upstreams=(NAME,)))
    await bench.log.meet({NAME: "now"})
    assert await bench.counts() == Counts(0, 0, 0, 0, 0)
    await bench.say(A, message("u4"), vote("a1", thumb="up"))
    assert await bench.counts() == Counts(2, 0, 2, 0, 0)
    assert [seq for seq in await bench.log.receipts(NAME, "support", A)] == [5, 6]
    await bench.forwarder.step()
    (change,) = bench.upstream.changes
    assert [turn.seq for turn in change.conversation.turns] == [1, 2, 5]
    assert (bench.upstream.take(), change.start) == (["a: 5 6"], 4)
    assert await bench.counts() == Counts(2, 2, 0, 0, 0)
    assert await bench.step() == []


async def test_it_is_decided_once(bench: Bench) -> None:
    """The setting counts when the server meets an upstream for the first time, never again."""
    await bench.say(A, message("u1"))
    for name in ("u2", "u3"):
        await bench.log.meet({NAME: "now", "support/y": "all"})
        await bench.log.meet({NAME: "all", "support/y": "now"})
        await bench.say(A, message(name))
    assert await bench.counts() == Counts(2, 0, 2, 0, 0)
    assert await bench.counts("support/y") == Counts(3, 0, 3, 0, 0)
    await bench.log.meet({})
    await bench.say(B, message("u4"))
    await bench.log.meet({NAME: "now"})
    assert await bench.step() == ["a: 2 3", "b: 4"]


async def test_what_is_older_is_not_counted_when_it_goes(bench: Bench) -> None:
    """A thread that is erased or expires leaves as many events as were the upstream's."""
    await bench.say(A, message("u1"), message("a1"))
    await bench.say(B, message("u2"))
    await bench.log.meet({NAME: "now"})
    await bench.say(A, message("u3"))
    await bench.step()
    await bench.say(A, message("a3"))
    await bench.log.erase(Erasure(site="support", at=bench.ms, thread=A, upstreams=(NAME,)))
    assert await bench.counts() == Counts(2, 1, 0, 0, 0, erased=1)
    assert (await bench.log.expire(RULE, bench.ms + 2_000)).events == 1
    assert await bench.counts() == Counts(2, 1, 0, 0, 0, erased=1)


async def test_old_content_that_is_refused_is_left_out_and_not_counted(bench: Bench) -> None:
    """An upstream may refuse what goes along: its own events are counted alone."""
    await bench.say(A, message("u1"))
    await bench.log.meet({NAME: "now"})
    await bench.say(A, message("a1"))
    bench.upstream.answer = lambda change: Delivered(dead=((1, "odd"),))
    await bench.step()
    assert await bench.counts() == Counts(1, 1, 0, 0, 0)
    await bench.say(A, message("u2"))
    await bench.forwarder.step()
    assert bench.upstream.changes[-1].dead == {1}


async def test_status_of_one_that_begins_now(bench: Bench, tmp_path: Path) -> None:
    """Before a server has met it nothing is its own; then what was there before is named apart."""
    text = SETTINGS.replace('name = "x"', 'name = "x"\nstart = "now"')
    (tmp_path / "thumbseal.toml").write_text(text)
    await bench.say(A, message("u1"), message("a1"))
    found = await report(tmp_path)
    assert (found["met"], found["counts"]["accepted"], found["oldest_pending"]) == (False, 0, None)
    assert "support/x: new, it begins when" in await run(tmp_path, "status")
    await bench.log.meet({NAME: "now", "support/y": "all"})
    await bench.say(A, message("u2"))
    screen = await run(tmp_path, "status", "--upstream", "x")
    assert "support/x: well\n  accepted 1   delivered 0   pending 1" in screen
    assert "not its own  2 events from before it began" in screen
    assert "not its own" not in await run(tmp_path, "status", "--upstream", "y")


# How one is forgotten.


async def test_upstreams_are_listed(bench: Bench, tmp_path: Path) -> None:
    """Those that the log knows, each with whether it is in the settings and what it lacks."""
    assert (await called(tmp_path, "list")).stdout == "The log knows no upstream yet.\n"
    await serve_old(bench)
    assert (await called(tmp_path, "list")).stdout == (
        "support/old: not in the settings, lacks 2 events and 1 erasure\n"
        "support/x: in the settings, lacks 3 events\n"
    )


async def test_a_forgotten_upstream_frees_its_threads(bench: Bench, tmp_path: Path) -> None:
    """Threads are kept for one that has left the settings, until it is forgotten. Then nothing of
    it is left, and the others' accounts are as they were."""
    await serve_old(bench)
    await bench.step()
    await bench.log.meet({NAME: "all"})
    assert (await bench.log.expire(RULE, bench.ms + 2_000)).threads == 0
    before = await bench.counts()
    result = await called(tmp_path, "forget", OLD, "--yes")
    assert (result.exit_code, result.stderr) == (0, "")
    assert await bench.counts() == before == Counts(3, 3, 0, 0, 0)
    assert OLD not in (await called(tmp_path, "list")).stdout
    assert await bench.log.deletions(OLD, bench.ms * 2, 10) == []
    assert await bench.next_hold(OLD) is None
    assert (await bench.log.expire(RULE, bench.ms + 2_000)).threads == 2
    assert await bench.counts() == before


async def test_a_name_that_comes_back_is_new(bench: Bench, tmp_path: Path) -> None:
    """After it was forgotten it begins as any new one does, without dead, held or removed."""
    await serve_old(bench)
    await bench.log.meet({NAME: "all"})
    await called(tmp_path, "forget", OLD, "--yes")
    await bench.log.meet({NAME: "all", OLD: "all"})
    assert await bench.counts(OLD) == Counts(3, 0, 3, 0, 0)


async def test_what_is_served_is_not_forgotten(bench: Bench, tmp_path: Path) -> None:
    """Neither what is in the settings, nor what a server that has not reread them delivers to."""
    await serve_old(bench)
    assert "support/x is in the settings. Take it out" in await refused(tmp_path, NAME)
    assert "The server still goes by settings that have support/old" in await refused(tmp_path, OLD)
    assert "There are: support/old, support/x." in await refused(tmp_path, "support/z")
    assert await bench.counts(OLD) == Counts(3, 0, 1, 1, 1)


async def test_a_running_server_lets_go_of_it_when_it_rereads(tmp_path: Path) -> None:
    """What was taken out of the file is forgotten once the server has noticed; the server knows the
    others as before, and the name as a new one when it is put back."""
    file, old = tmp_path / "thumbseal.toml", SETTINGS.replace('name = "y"', 'name = "old"')
    (tmp_path / "site.key").write_text(new_key())
    file.write_text(old)
    # Or its lines would be taken for the command's: both write to this process's output.
    with captured():
        async with open_app(settings.read(file, HOOK)) as service:
            file.write_text(SETTINGS)
            assert "Have it reread them (SIGHUP)" in await refused(tmp_path, OLD)
            await service.use(settings.read(file, HOOK))
            assert (await called(tmp_path, "forget", OLD, "--yes")).exit_code == 0
            listed = (await called(tmp_path, "list")).stdout
            assert [line.partition(":")[0] for line in listed.splitlines()] == [NAME, "support/y"]
            file.write_text(old)
            await service.use(settings.read(file, HOOK))
            assert "support/old: in the settings" in (await called(tmp_path, "list")).stdout


async def test_forgetting_asks_first(bench: Bench, tmp_path: Path) -> None:
    """It says what is given up, and without a yes nothing is."""
    await serve_old(bench)
    await bench.log.meet({NAME: "all"})
    result = await called(tmp_path, "forget", OLD, typed="n\n")
    assert result.exit_code == 1
    assert "Forget support/old? It lacks 2 events and 1 erasure." in result.stdout
    assert await bench.counts(OLD) == Counts(3, 0, 1, 1, 1)
    assert (await called(tmp_path, "forget", OLD, typed="y\n")).exit_code == 0
