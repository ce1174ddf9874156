"""Joins ES modules into one text, so that a page makes one request."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

_IMPORT = re.compile(r"""^import (?:\{([^}]*)\} from )?"\./([\w-]+)\.js";$""", re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const|let)\b)", re.MULTILINE)
_LEFT = re.compile(r"^(?:import|export)\b.*", re.MULTILINE)
# The minifier moves such a pattern ahead of what it takes apart: cast where that gets its name.
_MOVED = re.compile(r"^ *(?:const|let) (?:\{[^=;]*\}|\[[^=;]*\]) = (?:/\*.*?\*/ )?\(", re.MULTILINE)
_NAME = re.compile(r"^(?:async )?(?:function|class|const|let) ?\*? ?([\w$]+|.*)", re.MULTILINE)


class JoinError(ValueError):
    """The modules cannot stand in one scope as they are."""


@dataclass(frozen=True)
class Module:
    """One module: its file's text, what of it stands in the common scope, and what it imports.

    ``body`` has the lines of ``text``, so that a line can be traced to its file.
    """

    name: str
    text: str
    body: str
    imports: tuple[str, ...]

    @classmethod
    def parse(cls, name: str, text: str) -> "Module":
        """Raises JoinError for an import or an export that cannot simply be dropped."""
        found = list(_IMPORT.finditer(text))
        for names, _ in (match.groups() for match in found):
            if names and " as " in names:
                raise JoinError(f"{name} renames an import: {names.strip()}")
        body = _EXPORT.sub("", _IMPORT.sub(lambda match: "\n" * match[0].count("\n"), text))
        if moved := _MOVED.search(body):
            raise JoinError(f"{name} takes apart what stands in brackets: {moved.group()}")
        if left := _LEFT.search(body):
            raise JoinError(f"{name} cannot be joined: {left.group()}")
        return cls(name, text, body, tuple(match[2] for match in found))


def collect(read: Callable[[str], str], entries: Iterable[str]) -> list[Module]:
    """The modules that these import, directly or not, in the order in which a browser runs them.

    ``read`` gives the text of a module by its name. Raises JoinError if the modules cannot stand
    in one scope: one of them says so, or two use one top-level name.
    """
    collected: dict[str, Module] = {}
    seen: set[str] = set()

    def visit(name: str) -> None:
        if name not in seen:
            seen.add(name)
            module = Module.parse(name, read(name))
            for imported in module.imports:
                visit(imported)
            collected[name] = module

    for entry in entries:
        visit(entry)
    _check_names(collected.values())
    return list(collected.values())


def join(modules: Iterable[Module]) -> str:
    """One scope's text; a module's first line follows the last line of the one before."""
    return "".join(module.body for module in modules)


def _check_names(modules: Iterable[Module]) -> None:
    owners: dict[str, str] = {}
    for module, top in _top_names(modules):
        if not re.fullmatch(r"[\w$]+", top):
            raise JoinError(f"{module} declares more than one name at once: {top}")
        if top in owners:
            raise JoinError(f"{owners[top]} and {module} both declare {top}")
        owners[top] = module


def _top_names(modules: Iterable[Module]) -> Iterator[tuple[str, str]]:
    for module in modules:
        for top in _NAME.findall(module.body):
            yield module.name, top
