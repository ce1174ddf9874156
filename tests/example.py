"""An example as its reader runs it: by the commands at its top, in a copy of its folder."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Any, Final

import msgspec
from msgspec.structs import replace
from playwright.sync_api import BrowserContext, ConsoleMessage, Locator, Page, Route, expect

from tests.browser.hosting import until
from tests.proxy import Proxy, running
from thumbseal import settings
from thumbseal.conversation import Turn

FOLDER: Final = Path(__file__).parent.parent / "examples"
#: Where an example's page and its proxy are, as its text says.
PORT: Final = "8000"
PROXY: Final = "http://127.0.0.1:8300"
#: What to type, after a word that says where: once, in one terminal, in another. The installing
#: has been done by `make`.
COMMANDS: Final = re.compile(
    r"Once: +(?:pip install .+\n +)?(?P<init>thumbseal init .+)\n"
    r".+: +thumbseal serve --config ~/(?P<settings>\S+)\n"
    r".+: +(?:npm install && )?(?P<serve>.+\n(?: {20}.+\n)*)"
)
MADE: Final = ("node_modules", "dist", "__pycache__", "package-lock.json")
START: Final = 120.0  # seconds: a build is among what starts

#: Files from elsewhere, by the address that a page loads them from.
Elsewhere = Mapping[str, str]


class Example:
    """An example that runs at ``url`` and records to ``proxy``. ``trouble`` is what went wrong in
    its pages: errors, warnings, and addresses that ``elsewhere`` does not have."""

    def __init__(self, url: str, proxy: Proxy, elsewhere: Elsewhere) -> None:
        self.url = url
        self.proxy = proxy
        self.trouble: list[str] = []
        self._elsewhere = elsewhere

    def open(self, context: BrowserContext) -> Page:
        """A new tab with its page; a thread that it opens at once is open."""
        context.route(_is_elsewhere, self._fetch)
        page = context.new_page()
        page.on("pageerror", lambda error: self.trouble.append(str(error)))
        page.on("console", self._hear)
        page.goto(self.url)
        page.evaluate("window.thumbseal?.flush()")
        return page

    def turns(self) -> list[Turn]:
        """All recorded messages, thread by thread."""
        return [turn for told in self.proxy.conversations() for turn in told.turns]

    def records(self, page: Page, *texts: str) -> list[Turn]:
        """The messages, as soon as these are what was recorded, in this order."""
        until(page, lambda: self.texts() == list(texts), lambda: f"recorded: {self.texts()}")
        return self.turns()

    def texts(self) -> list[Any]:
        return [turn.message.content for turn in self.turns()]

    def opinions(self) -> dict[Any, dict[str, Any]]:
        """What the log says of each message that somebody voted on, by the message's text."""
        texts = {turn.message.message: turn.message.content for turn in self.turns()}
        return {
            texts[rating.message]: msgspec.to_builtins(rating.opinion)
            for told in self.proxy.conversations()
            for rating in told.ratings.values()
        }

    def _fetch(self, route: Route) -> None:
        body = self._elsewhere.get(route.request.url)
        if body is None:
            self.trouble.append(f"{route.request.url} is none of the files that it may load")
            route.abort()
        else:
            cors = {"Access-Control-Allow-Origin": "*"}
            route.fulfill(body=body, content_type="text/javascript", headers=cors)

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.trouble.append(message.text)


def press(thumbs: Locator, name: str) -> None:
    """Vote, and wait until the server has it."""
    thumbs.get_by_role("button", name=name).click()
    expect(thumbs.get_by_role("status")).not_to_be_empty()


def pressed(thumbs: Locator, name: str | None) -> None:
    """Wait until this button of an element is the pressed one, or none is."""
    for each in ("Good answer", "Bad answer"):
        button = thumbs.get_by_role("button", name=each)
        expect(button).to_have_attribute("aria-pressed", str(each == name).lower())


@contextmanager
def started(
    name: str,
    home: Path,
    elsewhere: Elsewhere | None = None,
    upstreams: Sequence[settings.Upstream] = (),
    **environment: str,
) -> Iterator[Example]:
    """``examples/NAME`` by the commands at its top, but on ports of its own; ``elsewhere`` are the
    files that its pages may load from the web, ``environment`` what its reader has set before. The
    proxy is this process's, with the settings that the first command has made, and these
    ``upstreams``."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = str(probe.getsockname()[1])
    url, copy = f"http://127.0.0.1:{port}", home / name
    commands = _commands(FOLDER / name)
    shell = _Shell(home, environment)
    shell.run(commands["init"].replace(PORT, port))
    configured = _delivering(settings.read(home / commands["settings"]), upstreams)
    with running(configured, time.time) as proxy:
        changes = {PROXY: proxy.url, PORT: port}
        _copy(FOLDER / name, copy, changes)
        with shell.serving(_changed(commands["serve"], changes), copy, url):
            example = Example(url, proxy, elsewhere or {})
            try:
                yield example
            except Exception as error:
                error.add_note(f"Trouble in its pages: {example.trouble}")
                raise
            assert example.trouble == []


def _delivering(
    configured: settings.Settings, upstreams: Sequence[settings.Upstream]
) -> settings.Settings:
    sites = {
        name: replace(site, upstreams=list(upstreams)) for name, site in configured.sites.items()
    }
    return replace(configured, sites=sites)


def _commands(folder: Path) -> dict[str, str]:
    fronts = (folder / name for name in ("server.py", "server.js", "index.html"))
    front = next(each for each in fronts if each.exists())
    found = COMMANDS.search(front.read_text("utf-8"))
    assert found, f"The top of {front} does not say how to run it."
    return found.groupdict()


def _copy(folder: Path, copy: Path, changes: Mapping[str, str]) -> None:
    """Copy an example with its addresses changed. What npm has installed is linked."""
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns(*MADE))
    for path in copy.rglob("*.*"):
        path.write_text(_changed(path.read_text("utf-8"), changes), "utf-8")
    if (folder / "package.json").exists():
        packages = folder / "node_modules"
        assert packages.exists(), "npm's packages are not installed: run `make examples`."
        (copy / "node_modules").symlink_to(packages)


def _changed(text: str, changes: Mapping[str, str]) -> str:
    for old, new in changes.items():
        text = text.replace(old, new)
    return text


class _Shell:
    """A person's shell, with Thumbseal installed."""

    def __init__(self, home: Path, environment: Mapping[str, str]) -> None:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        own = {"PATH": path, "HOME": str(home), "PYTHONUNBUFFERED": "1", "NO_COLOR": "1"}
        self._environment = {**os.environ, **own, **environment}

    def run(self, command: str) -> None:
        subprocess.run(["/bin/sh", "-c", command], env=self._environment, check=True)

    @contextmanager
    def serving(self, command: str, folder: Path, url: str) -> Iterator[None]:
        """A command that runs until the end; it is ready once it has said where it serves."""
        process = subprocess.Popen(
            ["/bin/sh", "-ec", command],
            cwd=folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        ready: Future[None] = Future()
        reading = Thread(target=_read, args=(process, url, ready))
        reading.start()
        try:
            ready.result(START)
            yield
        finally:
            # The process group: npm starts a shell, which starts Node.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            process.wait()
            reading.join()


def _read(process: subprocess.Popen[str], url: str, ready: "Future[None]") -> None:
    """Read all that a process says: one whose pipe is full stands still."""
    assert process.stdout is not None
    said: list[str] = []
    with process.stdout as lines:
        for line in lines:
            said.append(line)
            if url in line and not ready.done():
                ready.set_result(None)
    if not ready.done():
        ready.set_exception(RuntimeError("It did not start:\n" + "".join(said)))


def _is_elsewhere(url: str) -> bool:
    return not url.startswith("http://127.0.0.1:")
