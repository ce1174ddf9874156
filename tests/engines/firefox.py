"""Firefox, by WebDriver BiDi: Debian has no geckodriver, and none is needed."""

from base64 import b64decode
from contextlib import ExitStack
from tempfile import TemporaryDirectory
from typing import Any

from tests.engines.connection import Connection, launched
from tests.engines.keys import key_actions, tap_actions
from tests.engines.page import PageError


class Firefox:
    """One process; each profile is a user context of its own."""

    def __init__(self, executable: str) -> None:
        self._stack = ExitStack()
        folder = self._stack.enter_context(TemporaryDirectory(ignore_cleanup_errors=True))
        command = (executable, "--headless", "--no-remote", "--remote-debugging-port", "0")
        self._connection = self._stack.enter_context(
            launched([*command, "--profile", folder], "/session")
        )
        self._connection.call("session.new", capabilities={})
        self.close = self._stack.close

    def open_profile(self) -> "Profile":
        return Profile(self._connection)


class Profile:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._id = connection.call("browser.createUserContext")["userContext"]

    def open_tab(self) -> "Tab":
        return Tab(self._connection, self._id)

    def set_offline(self, offline: bool) -> None:
        conditions = {"type": "offline"} if offline else None
        self._connection.call(
            "emulation.setNetworkConditions", networkConditions=conditions, userContexts=[self._id]
        )

    def close(self) -> None:
        self._connection.call("browser.removeUserContext", userContext=self._id)


class Tab:
    def __init__(self, connection: Connection, profile: str) -> None:
        self._connection = connection
        created = connection.call("browsingContext.create", type="tab", userContext=profile)
        self._context = created["context"]

    def goto(self, url: str) -> None:
        self._call("browsingContext.navigate", url=url, wait="complete")

    def eval(self, expression: str) -> Any:
        answer = self._connection.call(
            "script.evaluate",
            expression=expression,
            target={"context": self._context},
            awaitPromise=True,
        )
        if answer["type"] == "exception":
            raise PageError(answer["exceptionDetails"]["text"])
        return _plain(answer["result"])

    def tap(self, x: int, y: int) -> None:
        self._call("input.performActions", actions=tap_actions(x, y))

    def press(self, key: str) -> None:
        self._call("input.performActions", actions=key_actions(key))

    def screenshot(self) -> bytes:
        return b64decode(self._call("browsingContext.captureScreenshot")["data"])

    def close(self) -> None:
        self._call("browsingContext.close")

    def _call(self, method: str, **params: Any) -> dict[str, Any]:
        return self._connection.call(method, context=self._context, **params)


def _plain(remote: dict[str, Any]) -> Any:
    """The JSON value of what BiDi calls a remote value."""
    value = remote.get("value")
    match remote["type"]:
        case "array":
            return [_plain(each) for each in value or ()]
        case "object":
            return {key: _plain(each) for key, each in value or ()}
        case "string" | "number" | "boolean":
            return value
        case _:
            return None
