"""The three drivers do the same: else a test of the widget says nothing."""

from typing import Any

import pytest

from tests.engines.page import PageError
from tests.engines.stage import Stage

INPUT = """<input><section></section><script>
  document.querySelector("section").attachShadow({mode: "open"}).innerHTML =
    "<button onclick='this.textContent += 1'>pressed </button>";
</script>"""


def test_values(stage: Stage) -> None:
    """JSON goes into a page and comes back as it was, also by a promise."""
    page = stage.open(script="")
    values: list[Any] = [None, True, 7, 0.5, "語 \\", [1, [2]], {"a": {"b": [None]}}]
    assert page.eval("args[0]", values) == values
    assert [page.eval("Promise.resolve(args[0])", value) for value in values] == values


def test_errors(stage: Stage) -> None:
    """What an expression throws, or a promise rejects with, is raised here; the page lives on."""
    page = stage.open(script="")
    with pytest.raises(PageError, match="broken"):
        page.eval("(() => { throw new Error('broken'); })()")
    with pytest.raises(PageError, match="broken"):
        page.eval("Promise.reject(new Error('broken'))")
    assert page.eval("1") == 1


def test_mouse_and_keyboard(stage: Stage) -> None:
    """Clicks reach into shadow roots, keys reach what has the focus."""
    page = stage.open(INPUT, script="")
    page.click("section", "button")
    page.press("Space")
    page.press("Enter")
    assert page.eval("find('section', 'button').textContent") == "pressed 111"
    page.press("Shift+Tab")
    page.type("a B")
    assert page.eval("find('input').value") == "a B"


def test_tabs_share_their_storage(stage: Stage) -> None:
    """Two tabs see one storage, which was empty; a closed tab leaves the other alone."""
    here, there = stage.open(script=""), stage.visit(stage.host.url)
    assert here.eval("localStorage.length") == 0
    there.eval("void (localStorage.a = 'b')")
    here.wait("localStorage.a === 'b'")
    there.close()
    assert here.eval("document.title") == "Host"


def test_network_that_is_gone(stage: Stage) -> None:
    """Offline, pages hear so and reach no server; afterwards they hear so, and do."""
    page = stage.open()
    page.eval(
        "['offline', 'online'].forEach((name) => addEventListener(name, () => window.heard = name))"
    )
    reach = "fetch(args[0] + '/v1/threads', {method: 'POST', body: '{}'}).then(() => 1, () => 0)"
    with stage.offline():
        page.wait("window.heard === 'offline'")
        assert page.eval(reach, stage.proxy.url) == 0
    page.wait("window.heard === 'online'")
    assert page.eval(reach, stage.proxy.url) == 1


def test_screenshot(stage: Stage) -> None:
    """A screenshot is a picture of what a person sees."""
    page = stage.open("<h1>Hello</h1>", script="")
    before = page.screenshot()
    page.eval("void (document.body.style.background = 'red')")
    assert before.startswith(b"\x89PNG")
    assert page.screenshot() != before
