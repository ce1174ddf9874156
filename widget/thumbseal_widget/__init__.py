"""The browser side of Thumbseal, as text that a server can render into a page."""

from functools import cache
from importlib.resources import files

from thumbseal_widget.joiner import JoinError, join

__all__ = ["JoinError", "module", "script"]

# Functions may call onward; what runs at once comes late. boot.js is in the script alone: it acts.
_MODULES = (
    "attempt", "strings", "ids", "session", "emitter", "store", "transport", "feedback", "batch",
    "message", "thread", "threads", "queue", "votes", "attach", "client", "icons", "style",
    "element", "define",
)  # fmt: skip
_EXPORTS = ("createClient", "define", "ThumbSeal")


@cache
def script() -> str:
    """Return a JavaScript function expression that takes the settings and starts the widget."""
    return f"function (settings) {{\n{_joined(*_MODULES, 'boot')}}}"


@cache
def module() -> str:
    """Return an ES module for pages that start the widget themselves; it does nothing alone."""
    return f"{_joined(*_MODULES)}\nexport {{ {', '.join(_EXPORTS)} }};\n"


def _joined(*names: str) -> str:
    sources = files(__package__)
    paths = ((f"{name}.js", sources / f"{name}.js") for name in names)
    return join((name, path.read_text(encoding="utf-8")) for name, path in paths)
