"""What a test does with a browser: the same few things in every engine."""

import json
import time
from collections.abc import Callable
from typing import Any, Final, Protocol

POLL: Final = 0.01  # seconds between two looks at a page
PATIENCE: Final = 10.0  # seconds until a look is given up

# `find(...)` follows selectors, each within the element (or its shadow root) found before.
_WRAPPED: Final = """
(async (args) => {
  const find = (...path) =>
    path.reduce((node, selector) => (node?.shadowRoot ?? node)?.querySelector(selector), document);
  return (%s);
})(%s)
"""
_PLACE: Final = """(() => {
  const target = find(...args);
  if (!target) return null;
  target.scrollIntoView({block: "nearest"});
  const {left, top, width, height} = target.getBoundingClientRect();
  const [x, y] = [Math.round(left + width / 2), Math.round(top + height / 2)];
  const hit = target.getRootNode().elementFromPoint(x, y);
  return width && height && (hit === target || target.contains(hit)) ? [x, y] : null;
})()"""


class PageError(Exception):
    """What was evaluated in the page threw, or the engine could not evaluate it."""


class Tab(Protocol):
    """What each engine gives: a tab with a page in it. Everything here is done when it returns."""

    def goto(self, url: str) -> None:
        """Load a page, its subresources included."""

    def eval(self, expression: str) -> Any:
        """The JSON value of an expression; a promise is awaited. Raises `PageError`."""

    def tap(self, x: int, y: int) -> None:
        """Press and release the mouse there, in CSS pixels of the viewport."""

    def press(self, key: str) -> None:
        """Press and release a key of `keys.KEYS`, a character, or ``Shift+`` one of them."""

    def screenshot(self) -> bytes:
        """What a person sees now, as PNG."""

    def close(self) -> None:
        """Close the tab as a person does: the page is told, and not waited for."""


class Profile(Protocol):
    """Tabs that share storage. It is empty for an origin that no earlier test has used."""

    def open_tab(self) -> Tab:
        """A new tab, in front."""

    def set_offline(self, offline: bool) -> None:
        """Take the network away, or give it back; pages hear the event.

        WebKitGTK has no way to: its pages hear the event only, so the server has to be unreachable
        as well.
        """

    def close(self) -> None:
        """Close the tabs that are left."""


class Engine(Protocol):
    """A running browser."""

    def open_profile(self) -> Profile:
        """A profile for one test."""

    def close(self) -> None:
        """End the browser."""


class Page:
    """A page as a person and a script use it, in any engine."""

    def __init__(self, tab: Tab) -> None:
        self._tab = tab
        self.goto = tab.goto
        self.press = tab.press
        self.screenshot = tab.screenshot
        self.close = tab.close

    def eval(self, source: str, *args: Any) -> Any:
        """The JSON value of an expression, in which ``args`` and ``find`` are known."""
        return self._tab.eval(_WRAPPED % (source, json.dumps(args)))

    def wait(self, source: str, *args: Any, seconds: float = PATIENCE) -> Any:
        """The value of an expression as soon as it is truthy."""
        return until(lambda: self.eval(source, *args), f"{source} with {args}", seconds)

    def reload(self) -> None:
        self.goto(self.eval("location.href"))

    def click(self, *path: str) -> None:
        """Click what the selectors lead to, once it is there and nothing covers it."""
        x, y = self.wait(_PLACE, *path)
        self._tab.tap(x, y)

    def type(self, text: str) -> None:
        for character in text:
            self.press(character)


def until(look: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    """What a look sees as soon as it is truthy; fails after ``seconds``."""
    end = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(POLL)
    return seen
