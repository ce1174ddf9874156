"""What browsers get, file by file: built with the wheel, or joined here from the modules.

Both ways have the same files: an editable install serves them readable and needs no minifier.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

from thumbseal_widget.joiner import Module, collect, join
from thumbseal_widget.sourcemap import encode
from thumbseal_widget.spliced import end_brotli
from thumbseal_widget.tracing import trace_lines, trace_words

SCRIPT: Final = "widget.js"
#: How the script ends where it has no settings; a server puts its own between the brackets.
CALL: Final = b"({});\n"
#: The folder in a wheel that holds the files, in one named by their digest.
BUILT: Final = "built"
BROTLI: Final = ".br"
MAP: Final = ".map"
_ENTRIES: Final = {
    SCRIPT: ["boot"],
    "widget.mjs": ["client", "define", "element"],
    "client.mjs": ["client"],
    # What few pages use; start.js imports it where they do.
    "watch.mjs": ["watch"],
    # What only a page with thumbs uses; view.js fetches it ahead of need.
    "form.mjs": ["form"],
}
_EXPORTS: Final = {
    "widget.mjs": ["createClient", "define", "ThumbSeal"],
    "client.mjs": ["createClient"],
    "watch.mjs": ["watch"],
    "form.mjs": ["openForm"],
}
_TYPES: Final = "thumbseal.d.ts"
_LANGUAGES: Final = "languages/"
# As files.js spells the address of all files.
_FILES: Final = '"/files/"'
# Stands for the digest while the digest is computed: as long, and no digest itself.
_PLACE: Final = "z" * 16

Minify = Callable[[str], str]


@dataclass(frozen=True)
class File:
    """A file's bytes, and the same compressed where the build has done so."""

    body: bytes
    brotli: bytes | None = None


@dataclass(frozen=True)
class Release:
    """The files of one version, by names such as ``languages/de.mjs``.

    ``digest`` names them all: a URL with it means the same bytes for ever.
    """

    digest: str
    files: Mapping[str, File]

    def start(self, call: bytes) -> File:
        """The script with another call at its end: ``(SETTINGS);``."""
        script = self.files[SCRIPT]
        brotli = script.brotli and script.brotli.removesuffix(end_brotli(CALL)) + end_brotli(call)
        return File(script.body.removesuffix(CALL) + call, brotli)


@cache
def release(version: str) -> Release:
    """The files that came with the wheel; without them, those made of the modules beside this."""
    built = files(__package__) / BUILT
    return _load(built) if built.is_dir() else compose(version)


def compose(version: str, minify: Minify | None = None) -> Release:
    """Join the modules into a release. ``minify`` turns JavaScript into shorter JavaScript."""
    drafts = {name: text.encode() for name, text in _draft(version, minify)}
    told = hashlib.sha256()
    for name, body in sorted(drafts.items()):
        told.update(b"%s %d\n%s" % (name.encode(), len(body), body))
    digest = told.hexdigest()[:16]
    place, final = _PLACE.encode(), digest.encode()
    return Release(
        digest, {name: File(body.replace(place, final)) for name, body in drafts.items()}
    )


def script() -> str:
    """The script, readable and not started: a function expression that takes the settings."""
    return _function(collect(_read, _ENTRIES[SCRIPT]))


def _draft(version: str, minify: Minify | None) -> Iterator[tuple[str, str]]:
    """Names and texts, in which the digest is still to be put."""
    banner = f"/*! Thumbseal {version} | Apache-2.0 */\n"
    for name, entries in _ENTRIES.items():
        modules = collect(_read, entries)
        text = banner + _shortened(_wrapped(name, modules), minify)
        yield name, text
        traced = trace_words(text, modules) if minify else trace_lines(modules, 2)
        yield name + MAP, encode(modules, traced)
    for language in _list(_LANGUAGES, ".mjs"):
        yield _LANGUAGES + language.name, _shortened(language.read_text("utf-8"), minify)
    yield _TYPES, (files(__package__) / _TYPES).read_text("utf-8")


def _shortened(text: str, minify: Minify | None) -> str:
    return minify(text).rstrip(";\n") + ";\n" if minify else text


def _wrapped(name: str, modules: Sequence[Module]) -> str:
    """A file whose modules begin in its second line."""
    if name == SCRIPT:
        return f"({_function(modules)}){CALL.decode()}"
    names = f"{{ {', '.join(_EXPORTS[name])} }}"
    # In a function, a minifier may shorten every name.
    return f"export const {names} = (() => {{\n{_linked(modules)}return {names};\n}})();\n"


def _function(modules: Sequence[Module]) -> str:
    return f"function (settings) {{\n{_linked(modules)}}}"


def _linked(modules: Sequence[Module]) -> str:
    return join(modules).replace(_FILES, f'"/w/{_PLACE}/"')


def _read(name: str) -> str:
    return (files(__package__) / f"{name}.js").read_text("utf-8")


def _list(folder: str, ending: str) -> list[Traversable]:
    found = (files(__package__) / folder).iterdir()
    return sorted(
        (each for each in found if each.name.endswith(ending)), key=lambda each: each.name
    )


def _load(built: Traversable) -> Release:
    (folder,) = built.iterdir()
    bodies = dict(_walk(folder))
    found = {name: File(body, bodies.get(name + BROTLI)) for name, body in bodies.items()}
    return Release(
        folder.name, {name: file for name, file in found.items() if not name.endswith(BROTLI)}
    )


def _walk(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, bytes]]:
    for each in folder.iterdir():
        if each.is_dir():
            yield from _walk(each, f"{prefix}{each.name}/")
        else:
            yield prefix + each.name, each.read_bytes()
