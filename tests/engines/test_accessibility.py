"""What axe finds in each engine: nothing wrong, and nothing that it cannot tell."""

from importlib.resources import files
from typing import Final

from tests.engines.page import Page
from tests.engines.stage import Stage, marked
from tests.engines.thumbs import Thumbs

AXE: Final = (files("axe_playwright_python") / "axe.min.js").read_text("utf-8")
FAULTS: Final = """axe.run().then(({violations, incomplete}) => [...violations, ...incomplete]
  .flatMap(({id, nodes}) => nodes.map(({html}) => id + ": " + html)))"""


def faults(page: Page) -> list[str]:
    page.eval("void (0, eval)(args[0])", AXE)
    return list(page.eval(FAULTS))


def test_axe_finds_nothing(stage: Stage) -> None:
    """Before a vote, and with the form open and a text said."""
    body = f"<main><h1>Chat</h1>{marked(stage.answer())}</main>"
    page = stage.open(body)
    thumbs = Thumbs(page)
    thumbs.shows(None)
    assert faults(page) == []
    thumbs.down()
    page.wait("!!find('thumb-seal', 'textarea')")
    assert faults(page) == []
