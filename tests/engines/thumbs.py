"""The two thumbs of one message, as a person sees and hears them."""

from typing import Any, Final

from tests.engines.page import Page

UP: Final = '[aria-label="Good answer"]'
DOWN: Final = '[aria-label="Bad answer"]'
STATUS: Final = "[role=status]"
THANKS: Final = "Thanks"
REMOVED: Final = "Vote removed"
SAVED: Final = "Saved, will be sent later"
REFUSED: Final = "Not accepted, undone"
_PRESSED: Final = """Object.entries(args[1]).every(
  ([button, pressed]) => find(args[0], button)?.getAttribute("aria-pressed") === String(pressed),
)"""


class Thumbs:
    """``element`` is a selector of the `<thumb-seal>`."""

    def __init__(self, page: Page, element: str = "thumb-seal") -> None:
        self._page = page
        self._element = element

    def up(self) -> None:
        self._page.click(self._element, UP)

    def down(self) -> None:
        self._page.click(self._element, DOWN)

    def press_up(self) -> None:
        """What a click does, by script: also for a page in the background."""
        self._page.wait("!!find(...args)", self._element, UP)
        self._page.eval("find(...args).click()", self._element, UP)

    def shows(self, thumb: str | None) -> None:
        """Return once this thumb is the pressed one, or neither is."""
        self._page.wait(_PRESSED, self._element, {UP: thumb == "up", DOWN: thumb == "down"})

    def says(self, text: str) -> None:
        """Return once the status begins with this text."""
        begins = "find(...args[1])?.textContent.startsWith(args[0])"
        self._page.wait(begins, text, [self._element, STATUS])

    def eval(self, source: str, *args: Any) -> Any:
        """An expression in which ``thumbs`` is the element."""
        return self._page.eval(f"((thumbs) => ({source}))(find({self._element!r}))", *args)
