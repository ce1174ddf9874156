"""Builds the files that a wheel brings: minified, and compressed as hard as it goes.

What is imported here is needed for building alone, never by a server.
"""

import re
from pathlib import Path
from typing import Final

import brotli
import minify

from thumbseal_widget.releases import BROTLI, CALL, SCRIPT, File, Release, compose
from thumbseal_widget.spliced import end_brotli

_NUMBER: Final = re.compile(r"^const ([A-Z][A-Z_]*) = ([\d_.e* ]+);\n", re.MULTILINE)


def build(version: str) -> Release:
    """The files of this version. The same everywhere, given the same minifier and compressor."""
    shorter = compose(version, _minify)
    packed = {name: File(file.body, _pack(name, file.body)) for name, file in shorter.files.items()}
    return Release(shorter.digest, packed)


def write(release: Release, folder: Path) -> None:
    """Write a release as `thumbseal_widget.releases` finds it again."""
    for name, file in release.files.items():
        path = folder / release.digest / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.body)
        if file.brotli:
            path.with_name(path.name + BROTLI).write_bytes(file.brotli)


def _minify(text: str) -> str:
    return str(minify.string("text/javascript", inline_numbers(text)))


def inline_numbers(text: str) -> str:
    """Write numbers where their names stand: the minifier keeps a variable for each."""
    for name, number in _NUMBER.findall(text):
        text = re.sub(
            rf"\b{name}\b", f"({number})", text.replace(f"const {name} = {number};\n", "")
        )
    return text


def _pack(name: str, body: bytes) -> bytes:
    # The script's end is changed for each site: that end stands alone, behind a flush.
    changed = CALL if name == SCRIPT else b""
    compressor = brotli.Compressor(quality=11)
    packed = compressor.process(body.removesuffix(changed))
    return bytes(
        packed + (compressor.flush() + end_brotli(changed) if changed else compressor.finish())
    )
