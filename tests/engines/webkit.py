"""WebKitGTK's MiniBrowser, by W3C WebDriver, on a display that nobody sees."""

import os
import socket
import subprocess
from base64 import b64decode
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, Final

import httpx2

from tests.engines.keys import key_actions, tap_actions
from tests.engines.page import PATIENCE, PageError, until

# The page's own `JSON` may be broken on purpose; the driver's answer goes by arguments alone.
_AWAITED: Final = """
const done = arguments[arguments.length - 1];
%s.then((value) => done([value]), (error) => done(["" + error, "thrown"]));
"""


class WebKit:
    """One process and one session for all profiles, because a start takes a second. What keeps
    tests apart is that each has an origin of its own. The first window stays open, for a session
    ends with its last one."""

    def __init__(self, driver: str, browser: str) -> None:
        self._stack = ExitStack()
        display = self._stack.enter_context(_display())
        self._http = self._stack.enter_context(_driver(driver, display))
        options = {"binary": browser, "args": ["--automation"]}
        # "eager" hung now and then: the driver waited for a page that was there.
        wanted = {"pageLoadStrategy": "normal", "webkitgtk:browserOptions": options}
        session = _post(self._http, "/session", capabilities={"alwaysMatch": wanted})
        self._base = f"/session/{session['sessionId']}"
        self._stack.callback(self._http.delete, self._base)
        _post(self._http, f"{self._base}/timeouts", script=PATIENCE * 1000)
        self._home: str = _value(self._http.get(f"{self._base}/window"))
        self.close = self._stack.close

    def open_profile(self) -> "Profile":
        return Profile(self._http, self._base, self._home)


class Profile:
    def __init__(self, http: httpx2.Client, base: str, home: str) -> None:
        self._http = http
        self._base = base
        self._home = home
        self._tabs: list[Tab] = []

    def open_tab(self) -> "Tab":
        # A new window needs one to come from that is still open. A new tab would stay hidden, and
        # a click in it never ends.
        _post(self._http, f"{self._base}/window", handle=self._home)
        tab = Tab(self._http, self._base)
        self._tabs.append(tab)
        return tab

    def set_offline(self, offline: bool) -> None:
        name = "offline" if offline else "online"
        for tab in self._tabs:
            tab.eval(f"Promise.resolve(dispatchEvent(new Event('{name}')))")

    def close(self) -> None:
        for tab in self._tabs:
            tab.close()


class Tab:
    """A window, really."""

    def __init__(self, http: httpx2.Client, base: str) -> None:
        self._http = http
        self._base = base
        self._handle: str = _post(http, f"{base}/window/new", type="window")["handle"]
        self._open = True

    def goto(self, url: str) -> None:
        self._call("/url", url=url)

    def eval(self, expression: str) -> Any:
        value, *thrown = self._call("/execute/async", script=_AWAITED % expression.strip(), args=[])
        if thrown:
            raise PageError(value)
        return value

    def tap(self, x: int, y: int) -> None:
        self._call("/actions", actions=tap_actions(x, y))

    def press(self, key: str) -> None:
        self._call("/actions", actions=key_actions(key))

    def screenshot(self) -> bytes:
        self._focus()
        return b64decode(_value(self._http.get(f"{self._base}/screenshot")))

    def close(self) -> None:
        if self._open:
            self._open = False
            self._focus()
            _value(self._http.delete(f"{self._base}/window"))

    def _call(self, path: str, **body: Any) -> Any:
        self._focus()
        return _post(self._http, self._base + path, **body)

    def _focus(self) -> None:
        _post(self._http, f"{self._base}/window", handle=self._handle)


def _post(http: httpx2.Client, path: str, **body: Any) -> Any:
    return _value(http.post(path, json=body))


def _value(answer: httpx2.Response) -> Any:
    value = answer.json()["value"]
    if answer.is_error:
        raise PageError(f"{value['error']}: {value['message']}")
    return value


@contextmanager
def _display() -> Iterator[str]:
    command = ("Xvfb", "-displayfd", "1", "-screen", "0", "1280x900x24", "-nolisten", "tcp")
    with _process(*command, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        yield f":{int(server.stdout.readline())}"


@contextmanager
def _driver(executable: str, display: str) -> Iterator[httpx2.Client]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environment = {**os.environ, "DISPLAY": display}
    with (
        _process(executable, f"--port={port}", env=environment),
        httpx2.Client(
            base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=2 * PATIENCE
        ) as http,
    ):
        until(lambda: _answers(http), "WebKitWebDriver is up")
        yield http


def _answers(http: httpx2.Client) -> bool:
    with suppress(httpx2.TransportError):
        return http.get("/status").is_success
    return False


@contextmanager
def _process(*command: str, **options: Any) -> Iterator["subprocess.Popen[bytes]"]:
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, **{**silent, **options}) as process:
        try:
            yield process
        finally:
            process.terminate()
