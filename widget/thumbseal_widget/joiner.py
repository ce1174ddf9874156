"""Joins the ES modules of this package into one text, so that a page makes one request."""

import re
from collections.abc import Iterable

_IMPORT = re.compile(r"""^import \{([^}]*)\} from "\./[\w-]+\.js";\n""", re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const|let)\b)", re.MULTILINE)
_LEFT = re.compile(r"^(?:import|export)\b.*", re.MULTILINE)
_NAME = re.compile(r"^(?:async )?(?:function|class|const|let) ?\*? ?([\w$]+|.*)", re.MULTILINE)


class JoinError(ValueError):
    """The modules cannot stand in one scope as they are."""


def join(modules: Iterable[tuple[str, str]]) -> str:
    """Return one scope's text from (name, text) pairs given in the order of their imports.

    Relative imports and the word `export` are dropped. Raises JoinError if two modules use one
    top-level name, or if one imports or exports in a way that cannot be dropped.
    """
    owners: dict[str, str] = {}
    bodies = []
    for name, text in modules:
        body = _strip(name, text)
        for top in _NAME.findall(body):
            _claim(owners, top, name)
        bodies.append(body.strip() + "\n")
    return "\n".join(bodies)


def _strip(name: str, text: str) -> str:
    for names in _IMPORT.findall(text):
        if " as " in names:
            raise JoinError(f"{name} renames an import: {names.strip()}")
    body = _EXPORT.sub("", _IMPORT.sub("", text))
    if left := _LEFT.search(body):
        raise JoinError(f"{name} cannot be joined: {left.group()}")
    return body


def _claim(owners: dict[str, str], top: str, name: str) -> None:
    if not re.fullmatch(r"[\w$]+", top):
        raise JoinError(f"{name} declares more than one name at once: {top}")
    if top in owners:
        raise JoinError(f"{owners[top]} and {name} both declare {top}")
    owners[top] = name
