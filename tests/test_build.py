"""The widget's files: joined as a browser would run them, the same wherever they are built."""

import json
import os
import re
import subprocess
import sys
import zipfile
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import brotli
import pytest
from hatchling.builders.wheel import WheelBuilder

from thumbseal_widget import JoinError, Release
from thumbseal_widget.build import build, inline_numbers
from thumbseal_widget.joiner import collect, join
from thumbseal_widget.releases import CALL, compose
from thumbseal_widget.spliced import end_brotli

ROOT: Final = Path(__file__).parents[1]
SOURCES: Final = ROOT / "widget/thumbseal_widget"
VERSION: Final = "1.2.3"
SCRIPTS: Final = ("widget.js", "widget.mjs", "client.mjs", "watch.mjs", "form.mjs")
FORBIDDEN: Final = re.compile(
    r"(inner|outer)HTML|insertAdjacentHTML|DOMParser|\beval\b|\bFunction\(|document\.cookie"
    r"|document\.write|\bstyle=|\.style\b|sendBeacon|importScripts|set(Timeout|Interval)\(['\"`]"
)
BUILD: Final = (
    "from thumbseal_widget.build import build\n"
    "print([(n, f.body, f.brotli) for n, f in sorted(build('1.2.3').files.items())])"
)
WORD: Final = re.compile(r"^\s*([\w$]+|[^\w\s])")
DIGITS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


@pytest.fixture(scope="module")
def built() -> Release:
    return build(VERSION)


@pytest.fixture(scope="module")
def readable() -> Release:
    return compose(VERSION)


def test_modules_come_in_the_order_in_which_a_browser_runs_them() -> None:
    """A module stands behind what it imports, also round a circle, and once."""
    texts = {
        "start": 'import "./left.js";\nimport {\n  b,\n  c,\n} from "./right.js";\nb(c);\n',
        "left": 'import { b } from "./right.js";\nexport const a = 1;\n',
        "right": 'import { a } from "./left.js";\nexport function b() {}\nexport let c = a;\n',
    }
    modules = collect(texts.__getitem__, ["start", "left"])
    assert [module.name for module in modules] == ["right", "left", "start"]
    text = join(modules)
    assert [line for line in text.splitlines() if line] == [
        "function b() {}",
        "let c = a;",
        "const a = 1;",
        "b(c);",
    ]
    assert len(text.splitlines()) == sum(len(each.splitlines()) for each in texts.values())


@pytest.mark.parametrize(
    ("texts", "complaint"),
    [
        ({"a": 'import { b as c } from "./b.js";\n'}, "renames"),
        ({"a": "export default 1;\n"}, "cannot be joined: export default"),
        ({"a": 'export { b } from "./b.js";\n'}, "cannot be joined"),
        ({"a": 'import b from "./b.js";\n'}, "cannot be joined"),
        ({"a": "const [b, c] = [1, 2];\n"}, "more than one name"),
        (
            {"a": 'import "./b.js";\nlet same = 1;\n', "b": "function same() {}\n"},
            "b and a both declare same",
        ),
        ({"a": "const b = f();\nconst { c } = /** @type {any} */ (b);\n"}, "takes apart"),
    ],
)
def test_what_cannot_be_joined_is_refused(texts: dict[str, str], complaint: str) -> None:
    """A module that would mean something else in a common scope stops the build."""
    with pytest.raises(JoinError, match=complaint):
        collect(texts.__getitem__, ["a"])


def test_every_build_has_the_same_bytes(built: Release, tmp_path: Path) -> None:
    """Not the folder, nor the process, nor the order of its sets shows in a file or its digest."""
    expected = [(name, file.body, file.brotli) for name, file in sorted(built.files.items())]
    environment = {"PYTHONPATH": str(SOURCES.parent), "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"}
    line = [sys.executable, "-c", BUILD]
    printed = subprocess.check_output(line, cwd=tmp_path, env=environment, text=True)
    assert printed.strip() == str(expected)


def test_numbers_lose_their_names() -> None:
    """A constant's value stands where its name was; a name that only begins so is another."""
    text = "const DAY_MS = 24 * 36e5;\nconst DAY = 1;\nwait(2 * DAY_MS, DAY_MS_MORE, 'x');\n"
    assert inline_numbers(text) == "wait(2 * (24 * 36e5), DAY_MS_MORE, 'x');\n"


def test_a_digest_means_one_thing(built: Release, readable: Release) -> None:
    """Another version, or other bytes of any file, have another digest; it is in the script."""
    assert len({built.digest, readable.digest, build("1.2.4").digest}) == 3
    for release in (built, readable):
        linked = f'"/w/{release.digest}/"'.encode()
        for name in ("widget.js", "widget.mjs"):
            assert release.files[name].body.count(linked) == 1
        assert not any(b"zzzzzzzz" in file.body for file in release.files.values())


def test_both_ways_give_the_same_files(built: Release, readable: Release) -> None:
    """Development misses nothing that a wheel has; each language and the types are there."""
    languages = {f"languages/{path.name}" for path in (SOURCES / "languages").glob("*.mjs")}
    maps = {f"{name}.map" for name in SCRIPTS}
    assert set(built.files) == set(readable.files)
    assert set(built.files) == {*SCRIPTS, *maps, *languages, "thumbseal.d.ts"}
    assert len(languages) == 11


@pytest.mark.parametrize("name", SCRIPTS)
def test_each_script_says_whose_it_is(built: Release, name: str) -> None:
    """A banner names product, version and licence; nothing else of the comments is left."""
    text = built.files[name].body.decode()
    assert text.startswith("/*! Thumbseal 1.2.3 | Apache-2.0 */\n")
    assert text.count("/*") == 1


def test_compressed_files_hold_the_same(built: Release) -> None:
    """What is compressed at build time unfolds to the file."""
    for file in built.files.values():
        assert file.brotli is not None
        assert brotli.decompress(file.brotli) == file.body


def test_the_script_starts_with_any_settings(built: Release, readable: Release) -> None:
    """Another call at its end changes nothing before it, compressed or not."""
    call = b'({"site":"' + b"a" * 70_000 + b'"});'
    for release in (built, readable):
        script, started = release.files["widget.js"], release.start(call)
        assert started.body == script.body.removesuffix(CALL) + call
    packed = built.start(call).brotli
    assert packed is not None
    assert brotli.decompress(packed) == built.start(call).body
    assert readable.start(call).brotli is None


@pytest.mark.parametrize("length", [0, 1, 2, 255, 256, 65_535, 65_536, 65_537, 200_000])
def test_brotli_can_be_continued(length: int) -> None:
    """A flushed stream takes an end of any length that was not compressed with it."""
    head, tail = b"function" * 99, os.urandom(length)
    compressor = brotli.Compressor(quality=11)
    stream = compressor.process(head) + compressor.flush() + end_brotli(tail)
    assert brotli.decompress(stream) == head + tail


def test_nothing_forbidden_is_in_the_scripts(built: Release, readable: Release) -> None:
    """No markup from text, no code from text, no cookie, no inline style."""
    for name in SCRIPTS:
        assert not FORBIDDEN.search(built.files[name].body.decode())
    for path in SOURCES.glob("*.js"):
        code = re.sub(r"/\*.*?\*/|^\s*//.*$", "", path.read_text("utf-8"), flags=re.S | re.M)
        assert not FORBIDDEN.search(code), path.name


def test_the_types_name_what_the_module_exports(built: Release) -> None:
    """thumbseal.d.ts declares the values of widget.mjs, no more and no fewer."""
    types = built.files["thumbseal.d.ts"].body.decode()
    declared = re.findall(
        r"^export (?:declare )?(?:abstract )?(?:function|class|const|let) (\w+)", types, re.M
    )
    (names,) = re.findall(r"export ?const ?\{([^}]*)\}", built.files["widget.mjs"].body.decode())
    assert sorted(set(declared)) == sorted(name.strip() for name in names.split(","))


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_source_map_leads_to_the_same_word(built: Release, readable: Release, name: str) -> None:
    """Each place in a map has the same word in the file and in its module."""
    for release in (built, readable):
        source_map = json.loads(release.files[f"{name}.map"].body)
        lines = release.files[name].body.decode().splitlines()
        sources = [text.splitlines() for text in source_map["sourcesContent"]]
        segments = decoded(source_map["mappings"])
        for line, column, number, source_line, source_column in segments:
            there = lines[line][column:]
            source = sources[number][source_line][source_column:]
            # A readable file has an empty line where the module imports something.
            assert WORD.findall(there)[:1] == WORD.findall(source)[:1] or (
                release is readable and there == ""
            )
        traced = {source_map["sources"][number] for _, _, number, _, _ in segments}
        assert traced == set(source_map["sources"])


def decoded(mappings: str) -> list[tuple[int, int, int, int, int]]:
    """Line and column in the file; module's number, line and column there."""
    found = []
    where = [0, 0, 0, 0]
    for number, line in enumerate(mappings.split(";")):
        where[0] = 0
        for piece in filter(None, line.split(",")):
            where = [old + step for old, step in zip(where, numbers(piece), strict=True)]
            found.append((number, where[0], where[1], where[2], where[3]))
    return found


def numbers(piece: str) -> list[int]:
    found, value, shift = [], 0, 0
    for digit in map(DIGITS.index, piece):
        value |= (digit & 31) << shift
        shift += 5
        if not digit & 32:
            found.append(-(value >> 1) if value & 1 else value >> 1)
            value = shift = 0
    return found


def packed(version: str, folder: Path) -> Path:
    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(folder), versions=[version])
    return Path(wheel)


def test_a_wheel_brings_the_built_files(tmp_path: Path, monkeypatch: Any) -> None:
    """Twice the same wheel, with these files in a folder named by their digest."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1790000000")
    wheels = [packed("standard", tmp_path / folder) for folder in ("one", "two")]
    assert len({sha256(wheel.read_bytes()).digest() for wheel in wheels}) == 1
    with zipfile.ZipFile(wheels[0]) as wheel:
        names = [each for each in wheel.namelist() if each.startswith("thumbseal_widget/built/")]
        version = wheels[0].name.split("-")[1]
        release = build(version)
        folder = f"thumbseal_widget/built/{release.digest}"
        assert {name: wheel.read(name) for name in names} == {
            f"{folder}/{name}{ending}": body
            for name, file in release.files.items()
            for ending, body in (("", file.body), (".br", file.brotli))
        }


def test_an_editable_install_brings_none(tmp_path: Path) -> None:
    """Built files beside the modules would be served for newer modules' own."""
    with zipfile.ZipFile(packed("editable", tmp_path)) as wheel:
        assert not [name for name in wheel.namelist() if "built" in name]
