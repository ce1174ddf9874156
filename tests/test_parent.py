"""parent(): what runs inside belongs to a message, what runs outside or beside does not."""

import asyncio
import contextvars
import gc
import inspect
import json
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Generator
from typing import Final

import pytest

import thumbseal
from tests.proxy import Clock
from thumbseal import current_message, parent
from thumbseal.keys import Keys, new_key

SITE: Final = thumbseal.Site("support", Keys.derive([new_key()]).for_app(), clock=Clock())
THREAD: Final = SITE.open_thread()
FIRST, SECOND = SITE.mint_message(THREAD), SITE.mint_message(THREAD)


def test_inside_is_inside_and_outside_is_outside() -> None:
    """Nested parents take turns, and each end brings back what was before, an error's too."""
    assert current_message() is None
    with parent(FIRST) as given:
        assert given is FIRST
        with parent(SECOND):
            assert current_message() is SECOND
        with pytest.raises(ZeroDivisionError), parent(SECOND):
            _ = 1 / 0
        assert current_message() is FIRST
        with parent(None):
            assert current_message() is FIRST
    assert current_message() is None


def test_one_parent_can_be_entered_many_times() -> None:
    """The same object nests in itself, and serves several threads at once."""
    shared, both, seen = parent(FIRST), threading.Barrier(2), []

    def run() -> None:
        with shared, parent(SECOND), shared:
            both.wait(10)
            seen.append(current_message())
        seen.append(current_message())

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen.count(FIRST) == 2
    assert seen.count(None) == 2


def test_a_thread_of_its_own_begins_without_a_parent() -> None:
    """A new thread has none, but one that is run in a copy of the context has it."""
    seen: list[thumbseal.Message | None] = []

    def run() -> None:
        seen.append(current_message())

    with parent(FIRST):
        context = contextvars.copy_context()
        for target in (run, lambda: context.run(run)):
            thread = threading.Thread(target=target)
            thread.start()
            thread.join()
    assert seen[1] is FIRST
    # Free-threaded builds hand the context on by themselves.
    assert seen[0] is (FIRST if getattr(sys.flags, "thread_inherit_context", False) else None)


@pytest.mark.anyio
async def test_tasks_do_not_mix() -> None:
    """Two tasks at once have each their own, and a thread that asyncio starts has its task's."""

    async def answer(message: thumbseal.Message) -> list[thumbseal.Message | None]:
        with parent(message):
            await asyncio.sleep(0)
            return [current_message(), await asyncio.to_thread(current_message)]

    assert list(await asyncio.gather(answer(FIRST), answer(SECOND))) == [[FIRST] * 2, [SECOND] * 2]
    assert current_message() is None


@pytest.mark.anyio
async def test_functions_of_all_kinds_are_decorated() -> None:
    """A decorated function stays of its kind, has its parent while it runs, and leaves none."""

    @parent(FIRST)
    def plain() -> thumbseal.Message | None:
        return current_message()

    @parent(FIRST)
    async def coroutine() -> thumbseal.Message | None:
        await asyncio.sleep(0)
        return current_message()

    assert plain() is await coroutine() is FIRST
    assert inspect.iscoroutinefunction(coroutine)
    assert plain.__name__ == "plain"
    assert current_message() is None


def test_the_message_is_found_among_the_arguments() -> None:
    """Given a function, the decorator asks it with each call's own arguments."""

    @parent(lambda message, **_: message)
    def answer(message: thumbseal.Message | None, *, prompt: str) -> thumbseal.Message | None:
        return current_message()

    assert [answer(each, prompt="hi") for each in (FIRST, None, SECOND)] == [FIRST, None, SECOND]


def test_a_generator_keeps_its_parent_to_itself() -> None:
    """Between two values the consumer has no parent, and the generator has what it set itself; two
    at once do not mix."""

    @parent(lambda message: message)
    def stream(message: thumbseal.Message) -> Generator[object, object, None]:
        yield current_message()
        with parent(SECOND):
            yield current_message()
            yield current_message()
        yield current_message()

    one, other = stream(FIRST), stream(SECOND)
    seen = []
    for pair in zip(one, other, strict=True):
        assert current_message() is None
        seen.append(pair)
    assert seen == [(FIRST, SECOND), (SECOND, SECOND), (SECOND, SECOND), (FIRST, SECOND)]


def test_a_generator_hears_what_it_is_sent() -> None:
    """Values, errors, the end and the result go through as without a decorator."""
    heard: list[object] = []

    @parent(FIRST)
    def talk() -> Generator[object, object, None]:
        try:
            heard.append((yield 1))
            yield 2
        except ValueError as error:
            heard.append(str(error))
            yield 3
        finally:
            heard.append(current_message())

    talking = talk()
    assert (next(talking), talking.send("a"), talking.throw(ValueError("b"))) == (1, 2, 3)
    talking.close()
    assert heard == ["a", "b", FIRST]


@pytest.mark.anyio
async def test_an_async_generator_keeps_its_parent_to_itself() -> None:
    """As with a generator: also when its values are asked for by different tasks."""
    ended: list[object] = []

    @parent(FIRST)
    async def stream() -> AsyncGenerator[object, None]:
        try:
            for _ in range(3):
                await asyncio.sleep(0)
                yield current_message()
        finally:
            await asyncio.sleep(0)
            ended.append(current_message())

    assert inspect.isasyncgenfunction(stream)
    streaming = stream()
    assert await asyncio.create_task(anext(streaming)) is FIRST
    with parent(SECOND):
        assert await anext(streaming) is FIRST
        assert current_message() is SECOND
    await streaming.aclose()
    assert ended == [FIRST]
    assert [each async for each in stream()] == [FIRST] * 3
    assert current_message() is None


@pytest.mark.anyio
async def test_a_parent_that_ends_elsewhere_harms_nobody() -> None:
    """A generator that entered its parent by hand, and is closed in another context, ends there
    without an error and without ending the parent of that context."""

    async def stream() -> AsyncGenerator[None, None]:
        with parent(FIRST):
            yield

    streaming = stream()

    async def begin() -> None:
        await anext(streaming)

    await asyncio.create_task(begin())
    with parent(SECOND):
        await streaming.aclose()
        assert current_message() is SECOND
    gc.collect()


def test_neither_lunary_nor_opentelemetry_is_needed_or_loaded() -> None:
    """With neither imported, parent() works and loads neither."""
    code = """
import json, sys, thumbseal
from thumbseal.keys import Keys, new_key
site = thumbseal.Site("support", Keys.derive([new_key()]).for_app())
message = site.mint_message(site.open_thread())
with thumbseal.parent(message):
    assert thumbseal.current_message() is message
print(json.dumps([name for name in sys.modules if name.startswith(("lunary", "opentelemetry"))]))
"""
    assert json.loads(subprocess.check_output([sys.executable, "-c", code])) == []
