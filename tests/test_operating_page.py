"""docs/operating.md as an operator follows it: what stands there to be typed is typed, beside a
real server with a webhook that refuses one event."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.doubles.serving import serve
from tests.test_cli import THUMBSEAL, WAIT, called
from tests.test_documents import ROOT
from thumbseal.keys import new_key

PAGE: Final = (ROOT / "docs" / "operating.md").read_text("utf-8")
HEADERS: Final = {"Origin": "https://chat.example.com", "Content-Type": "text/plain"}
POISON: Final = "what the receiver chokes on"
UPSTREAM: Final = """
[[sites.support.upstreams]]
name = "hook"
kind = "webhook"
url = "{url}/hook"
secret = "env:HOOK"
allow_private = ["127.0.0.1/32"]
"""


def blocks(heading: str, kind: str = "sh") -> list[str]:
    """The blocks of a section, without the indentation that a list gives them."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    assert section, heading
    found = re.findall(rf"^( *)```{kind}\n(.*?)^ *```$", section, re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{indent}", "", text, flags=re.MULTILINE) for indent, text in found]


class Receiver:
    """A webhook's receiver that refuses one event until it is mended."""

    def __init__(self) -> None:
        self.mended = False
        self.app = Starlette(routes=[Route("/hook", self._take, methods=["POST"])])

    async def _take(self, request: Request) -> Response:
        bad = POISON.encode() in await request.body()
        return Response(status_code=400 if bad and not self.mended else 200)


class Operator:
    """Somebody at a shell in the server's folder, with a server beside."""

    def __init__(self, folder: Path) -> None:
        bin_ = Path(sys.executable).parent
        self.folder = folder
        self.settings = folder / "thumbseal.toml"
        self.environment = {
            "PATH": f"{bin_}{os.pathsep}{os.environ['PATH']}",
            "PYTHONWARNINGS": "error",
            "HOOK": "whsec_" + "A" * 32,
        }
        self.http: httpx2.Client

    def type(self, command: str, **variables: str) -> str:
        """What a command prints; it must end well."""
        outcome = subprocess.run(
            ["/bin/sh", "-euc", command],
            cwd=self.folder,
            env=self.environment | variables,
            capture_output=True,
            text=True,
            timeout=WAIT,
            check=False,
        )
        assert outcome.returncode == 0, (command, outcome.stdout, outcome.stderr)
        return outcome.stdout

    @contextmanager
    def serving(self) -> Iterator[None]:
        """A server while this lasts."""
        lines = self.folder / "server.log"
        with (
            lines.open("w") as stderr,
            subprocess.Popen(
                [*THUMBSEAL, "serve"], cwd=self.folder, env=self.environment, stderr=stderr
            ) as process,
        ):
            try:
                told = awaited(lambda: self.told("serving"))
                self.environment["PID"] = str(process.pid)
                with httpx2.Client(base_url=told[0]["url"], trust_env=False) as self.http:
                    yield
            finally:
                process.send_signal(signal.SIGINT)  # which leaves out the moment of a SIGTERM
                process.wait(WAIT)

    def told(self, event: str) -> list[dict[str, Any]]:
        """The lines of the running server about this."""
        lines = (self.folder / "server.log").read_text().splitlines()
        return [line for line in map(json.loads, lines) if line["event"] == event]

    def await_reload(self, count: int) -> None:
        """Return once the settings were read again so often."""
        awaited(lambda: len(self.told("settings_read")) == count)

    def edit(self, keys: str) -> None:
        """Put a line of the page in the place of the settings' own."""
        text = re.sub(r"^keys = .*\n", keys, self.settings.read_text(), flags=re.MULTILINE)
        self.settings.write_text(text)

    def post(self, path: str, body: Any) -> httpx2.Response:
        return self.http.post(path, content=json.dumps(body), headers=HEADERS)

    def say(self, *texts: str) -> dict[str, Any]:
        """A new thread, as the page got it, with messages."""
        opened: dict[str, Any] = self.post("/v1/threads", {}).json()
        events = [
            {
                "type": "message",
                "id": f"e{place}",
                "at": 0,
                "message": opened["messages"][place]["token"],
                "role": "user",
                "content": text,
            }
            for place, text in enumerate(texts)
        ]
        sent = {"token": opened["thread"]["token"], "sent_at": 0, "events": events}
        results = self.post("/v1/events", sent).json()["results"]
        assert results == [{"status": "accepted"}] * len(texts)
        return opened


def awaited(found: Callable[[], Any]) -> Any:
    """What is found once there is something; nothing within the time is a failure."""
    end = time.monotonic() + WAIT
    while not (result := found()):
        assert time.monotonic() < end, "It never came."
        time.sleep(0.02)
    return result


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
def operator(tmp_path: Path, receiver: Receiver) -> Iterator[Operator]:
    """An operator whose server has what `init` writes, and the receiver."""
    operator = Operator(tmp_path)
    assert called("init", tmp_path).exit_code == 0
    with serve(receiver.app) as url:
        text = operator.settings.read_text().replace("127.0.0.1:8300", "127.0.0.1:0")
        operator.settings.write_text(text + UPSTREAM.format(url=url))
        yield operator


def test_a_dead_event_is_found_and_tried_again(operator: Operator, receiver: Receiver) -> None:
    """Status counts it, the list names its thread, and a retry delivers it once it can be."""
    status, listing, retry = blocks("Find what is dead, and try again")[0].splitlines()
    with operator.serving():
        thread = operator.say("Hello", POISON, "Bye")["thread"]["id"]
        awaited(lambda: operator.told("event_dead"))
        assert "dead 1" in operator.type(status)
        (line,) = operator.type(listing).splitlines()
        assert re.search(rf"^support/hook  dead  thread {thread}  message e1  .*status 400$", line)
        assert operator.told("event_dead")[0]["thread"] == thread
        receiver.mended = True
        assert "1 dead event" in operator.type(retry, THREAD=thread)
        awaited(lambda: "delivered 3" in operator.type(status))
        assert operator.type(listing) == ""


def test_a_key_is_rotated(operator: Operator) -> None:
    """Old tokens stay good while both keys are there, new ones are signed by the new key, and once
    the old key is gone its tokens are, too."""
    make, *reloads = blocks("Rotate a key")
    settings = blocks("Rotate a key", "toml")
    with operator.serving():
        operator.type(make)
        assert (operator.folder / "support-2.key").stat().st_mode & 0o777 == 0o600
        tokens = [operator.say("with the old one")["thread"]["token"]]
        for count, (line, reload) in enumerate(zip(settings, reloads, strict=True), 1):
            operator.edit(line)
            operator.type(reload)
            operator.await_reload(count)
            tokens.append(operator.say("and now")["thread"]["token"])
        assert [resumes(operator, token) for token in tokens] == [True, True, True]
        operator.edit('keys = ["file:support-2.key"]\n')
        operator.type(reloads[0])
        operator.await_reload(3)
        assert [resumes(operator, token) for token in tokens] == [False, False, True]


def resumes(operator: Operator, token: str) -> bool:
    return operator.post("/v1/threads", {"thread": token}).status_code == 200


def test_tokens_are_taken_back(operator: Operator) -> None:
    """Each as far as it is said: a backend token, a thread's tokens, all tokens of the site."""
    make, revoke = blocks("Take a token back")[0].splitlines()
    with operator.serving():
        operator.type(make)
        secret = (operator.folder / "backend.token").read_text().strip()
        bearer = {"Authorization": f"Bearer {secret}"}
        assert operator.http.get("/metrics", headers=bearer).status_code == 200
        operator.type(revoke)
        awaited(lambda: operator.http.get("/metrics", headers=bearer).status_code == 401)
        closed, other = operator.say("one")["thread"], operator.say("two")["thread"]
        operator.type(f"thumbseal token revoke --yes --thread {closed['id']}")
        awaited(lambda: not resumes(operator, closed["token"]))
        assert resumes(operator, other["token"])
        operator.type("thumbseal token revoke --yes --all")
        awaited(lambda: not resumes(operator, other["token"]))


def test_a_log_is_backed_up_and_restored(operator: Operator) -> None:
    """The copy is made under a running server; put back, the server goes on from it."""
    backup, restore = blocks("Back up and restore")
    with operator.serving():
        operator.say("before the copy")
        operator.type(backup)
        assert (operator.folder / "copy.db").stat().st_mode & 0o777 == 0o600
        operator.say("after the copy")
    operator.type(restore)
    with operator.serving():
        assert "1 threads" in operator.type("thumbseal check --log")
        operator.say("after the restore")
        kept = awaited(lambda: _if_all(operator.type("thumbseal export"), 2))
    said = [event["content"] for line in kept for event in line["events"]]
    assert sorted(said) == ["after the restore", "before the copy"]


def _if_all(exported: str, count: int) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in exported.splitlines()]
    return lines if len(lines) == count else []


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (["token", "revoke"], "Say what to revoke"),
        (["token", "revoke", "abc"], "The token itself goes to stdin"),
        (["token", "revoke", "--all", "--user", "u"], "Say what to revoke"),
    ],
)
def test_a_mistake_is_explained(tmp_path: Path, arguments: list[str], remedy: str) -> None:
    """Nothing is revoked by guessing what was meant."""
    assert called("init", tmp_path).exit_code == 0
    outcome = called(*arguments, "--config", tmp_path / "thumbseal.toml")
    assert outcome.exit_code == 2
    assert remedy in outcome.stderr


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    """Neither by a new key nor by a backup."""
    kept = tmp_path / "kept"
    kept.write_text(new_key())
    assert "Cannot write" in called("keys", "new", "--output", kept).stderr
    assert called("init", tmp_path).exit_code == 0
    assert called("backup", kept, "--config", tmp_path / "thumbseal.toml").exit_code == 1
