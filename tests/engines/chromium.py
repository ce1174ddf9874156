"""Chromium, by the Chrome DevTools Protocol."""

from base64 import b64decode
from contextlib import ExitStack
from tempfile import TemporaryDirectory
from typing import Any

from tests.browser.chromium import FLAGS
from tests.engines.connection import Connection, Message, launched
from tests.engines.keys import parse
from tests.engines.page import PageError


class Chromium:
    """One process; each profile is a browser context of its own."""

    def __init__(self, executable: str) -> None:
        self._stack = ExitStack()
        folder = self._stack.enter_context(TemporaryDirectory(ignore_cleanup_errors=True))
        command = (executable, "--headless", "--remote-debugging-port=0", *FLAGS)
        self._connection = self._stack.enter_context(
            launched([*command, f"--user-data-dir={folder}", "about:blank"])
        )
        self.close = self._stack.close

    def open_profile(self) -> "Profile":
        return Profile(self._connection)


class Profile:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._id = connection.call("Target.createBrowserContext")["browserContextId"]
        self._tabs: list[Tab] = []

    def open_tab(self) -> "Tab":
        tab = Tab(self._connection, self._id)
        self._tabs.append(tab)
        return tab

    def set_offline(self, offline: bool) -> None:
        for tab in self._tabs:
            tab.set_offline(offline)

    def close(self) -> None:
        # Chromium has been seen to say nothing for a minute, once its pages were gone: no test's
        # business, since none uses the profile again.
        self._connection.tell("Target.disposeBrowserContext", browserContextId=self._id)


class Tab:
    def __init__(self, connection: Connection, profile: str) -> None:
        self._connection = connection
        created = connection.call(
            "Target.createTarget", url="about:blank", browserContextId=profile
        )
        self._target = created["targetId"]
        attached = connection.call("Target.attachToTarget", targetId=self._target, flatten=True)
        self._session = attached["sessionId"]
        self._call("Page.enable")
        self._call("Page.setLifecycleEventsEnabled", enabled=True)
        self._call("Network.enable")

    def goto(self, url: str) -> None:
        started = self._call("Page.navigate", url=url)
        if "errorText" in started:
            raise PageError(f"{url}: {started['errorText']}")

        def loaded(event: Message) -> bool:
            about = event.get("params", {})
            return (about.get("loaderId"), about.get("name")) == (started["loaderId"], "load")

        self._connection.wait(loaded)

    def eval(self, expression: str) -> Any:
        answer = self._call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        if problem := answer.get("exceptionDetails"):
            raise PageError(problem.get("exception", {}).get("description", problem["text"]))
        return answer["result"].get("value")

    def tap(self, x: int, y: int) -> None:
        for kind in ("mousePressed", "mouseReleased"):
            self._call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def press(self, key: str) -> None:
        parsed, shifted = parse(key)
        about = {"key": parsed.name, "windowsVirtualKeyCode": parsed.number}
        about |= {"modifiers": 8 if shifted else 0}
        self._call("Input.dispatchKeyEvent", type="keyDown", text=parsed.text, **about)
        self._call("Input.dispatchKeyEvent", type="keyUp", **about)

    def screenshot(self) -> bytes:
        return b64decode(self._call("Page.captureScreenshot")["data"])

    def close(self) -> None:
        self._connection.call("Target.closeTarget", targetId=self._target)

    def set_offline(self, offline: bool) -> None:
        speed = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
        self._call("Network.emulateNetworkConditions", offline=offline, **speed)

    def _call(self, method: str, **params: Any) -> Message:
        return self._connection.call(method, session=self._session, **params)
