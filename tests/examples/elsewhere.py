"""What pages load from the web, out of npm's packages: a test reaches loopback only."""

import json
import re
from pathlib import Path
from typing import Any, Final

PACKAGES: Final = Path(__file__).parent / "node_modules"


def htmx() -> dict[str, str]:
    """htmx by the address that a content network gives it: the very same bytes."""
    address = f"https://cdn.jsdelivr.net/npm/htmx.org@{_version('htmx.org')}"
    return {f"{address}/dist/htmx.min.js": _read("htmx.org/dist/htmx.min.js")}


def react(build: str) -> dict[str, str]:
    """React as esm.sh gives it: packages of CommonJS, each wrapped into one module. ``build`` is
    `production` or `development`."""
    address = f"https://esm.sh/react-dom@{_version('react-dom')}"
    inner = {"react-dom": f"{address}?external=react", "scheduler": "https://esm.sh/scheduler"}
    client = f"react-dom/cjs/react-dom-client.{build}.js"
    return {
        f"https://esm.sh/react@{_version('react')}": _module(f"react/cjs/react.{build}.js"),
        f"{address}/client?external=react": _module(client, react="react", **inner),
        inner["react-dom"]: _module(f"react-dom/cjs/react-dom.{build}.js", react="react"),
        inner["scheduler"]: _module(f"scheduler/cjs/scheduler.{build}.js"),
    }


def _module(path: str, **required: str) -> str:
    """A file of CommonJS as a module; ``required`` are the addresses of what it requires."""
    source = _read(path)
    imports = [f'import * as m{n} from "{each}";' for n, each in enumerate(required.values())]
    found = ", ".join(f'"{name}": m{n}' for n, name in enumerate(required))
    build = path.split(".")[-2]
    names = sorted(set(re.findall(r"^\s*exports\.(\w+) =", source, re.MULTILINE)))
    return "\n".join(
        [
            *imports,
            f'const process = {{ env: {{ NODE_ENV: "{build}" }} }};',
            f"const exports = {{}}, require = (name) => ({{ {found} }})[name];",
            source,
            *[f"const _{name} = exports.{name};" for name in names],
            f"export {{ {', '.join(f'_{name} as {name}' for name in names)} }};",
        ]
    )


def _version(package: str) -> Any:
    return json.loads(_read(f"{package}/package.json"))["version"]


def _read(path: str) -> str:
    file = PACKAGES / path
    assert file.exists(), "npm's packages are not installed: run `make examples`."
    return file.read_text("utf-8")
