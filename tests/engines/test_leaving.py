"""A vote in the last moment of a page: 20 of 20 arrive, in each engine.

Each has arrived before a page of the site is open again, which would send what is left over.
"""

import sys
from collections.abc import Callable

import pytest

from tests.engines.stage import Stage, marked
from tests.engines.thumbs import UP, Thumbs
from tests.engines.traffic import EVENTS, hang

ROUNDS = 20
Report = Callable[[str], None]


@pytest.fixture
def report(capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest) -> Report:
    """Writes a figure, also when the test passes."""

    def write(line: str) -> None:
        with capsys.disabled():
            sys.stdout.write(f"\n{request.node.name}: {line}\n")

    return write


def test_navigation(stage: Stage, report: Report) -> None:
    """A click and, in the same task, a way to another page: every vote arrives while the person is
    there already."""
    elsewhere = stage.host.put("Elsewhere", path="/elsewhere")
    page = stage.open()
    for visits in range(1, ROUNDS + 1):
        answer = stage.answer()
        page.goto(stage.host.put(marked(answer), head=stage.tag()))
        Thumbs(page).shows(None)
        page.eval(
            "void setTimeout(() => (find(...args[1]).click(), location.href = args[0]))",
            elsewhere,
            ["thumb-seal", UP],
        )
        stage.host.wait("/elsewhere", visits)
        stage.holds(answer, thumb="up")
    report(f"{ROUNDS} of {ROUNDS} arrived")


def test_navigation_while_the_server_is_slow(stage: Stage, report: Report) -> None:
    """A request that is under way when the person leaves is lost with the page; the vote in it is
    not."""
    elsewhere = stage.host.put("Elsewhere", path="/elsewhere")
    page = stage.open()
    for _ in range(ROUNDS):
        answer = stage.answer()
        page.goto(stage.host.put(marked(answer), head=stage.tag()))
        _vote_in_vain(stage, Thumbs(page))
        page.goto(elsewhere)
        stage.holds(answer, thumb="up")
    report(f"{ROUNDS} of {ROUNDS} arrived")


def test_closed_tab(stage: Stage, report: Report) -> None:
    """A click and a closed tab, with a request under way that goes down with it: every vote
    arrives, with no page left that could send it."""
    for _ in range(ROUNDS):
        answer = stage.answer()
        page = stage.open(marked(answer))
        _vote_in_vain(stage, Thumbs(page))
        page.close()
        stage.holds(answer, thumb="up")
    report(f"{ROUNDS} of {ROUNDS} arrived")


def _vote_in_vain(stage: Stage, thumbs: Thumbs) -> None:
    """A click whose request reaches the server and gets no answer."""
    before = len(stage.traffic.to(EVENTS))
    with stage.traffic.failing(EVENTS, hang):
        thumbs.press_up()
        stage.traffic.wait(EVENTS, before + 1)
