"""Keys by name, as the Chrome DevTools Protocol and as W3C input actions spell them."""

from typing import Any, Final

from msgspec import Struct

SHIFT: Final = "Shift+"


class Key(Struct, frozen=True):
    """``w3c`` is WebDriver's character; ``number`` the virtual key code; ``text`` what is typed."""

    w3c: str
    name: str
    number: int
    text: str = ""


KEYS: Final = {
    "Tab": Key("\ue004", "Tab", 9),
    "Enter": Key("\ue007", "Enter", 13, "\r"),
    "Escape": Key("\ue00c", "Escape", 27),
    "Space": Key(" ", " ", 32, " "),
}
_W3C_SHIFT: Final = "\ue008"


def parse(key: str) -> tuple[Key, bool]:
    """The key of a name or a character, and whether Shift is held."""
    name = key.removeprefix(SHIFT)
    return KEYS.get(name, Key(name, name, ord(name[0].upper()), name)), name != key


def key_actions(key: str) -> list[dict[str, Any]]:
    """W3C actions that press and release a key."""
    parsed, shifted = parse(key)
    keys = [_W3C_SHIFT, parsed.w3c] if shifted else [parsed.w3c]
    steps = [
        *({"type": "keyDown", "value": each} for each in keys),
        *({"type": "keyUp", "value": each} for each in reversed(keys)),
    ]
    return [{"type": "key", "id": "keyboard", "actions": steps}]


def tap_actions(x: int, y: int) -> list[dict[str, Any]]:
    """W3C actions that click at a place in the viewport."""
    steps = [
        {"type": "pointerMove", "x": x, "y": y, "duration": 0},
        {"type": "pointerDown", "button": 0},
        {"type": "pointerUp", "button": 0},
    ]
    mouse = {"type": "pointer", "id": "mouse", "parameters": {"pointerType": "mouse"}}
    return [{**mouse, "actions": steps}]
