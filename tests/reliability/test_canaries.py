"""Canaries: tokens, keys and what people wrote, searched for wherever they must not be.

A server lives through all that goes wrong; afterwards every log line, metric, error, page and file
of it is searched. What must be found is found by the same search: a canary that nobody planted
proves nothing.
"""

import base64
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tests.doubles.lunary import PROJECT, Alter, Answer, Cut, Fault, Instead, LunaryDouble, Received
from tests.doubles.serving import serve
from tests.proxy import ORIGIN
from thumbseal.keys import new_key

WORDS: Final = "Quetzalcoatlus-4711"
EMAIL: Final = "ann.canary@example.com"
COMMENT: Final = "Archaeopteryx-0815"
TAG: Final = "Tag-Brontosaurus"
USER: Final = "user-Triceratops"
HOOK_KEY: Final = bytes(range(64, 96))
PATIENCE: Final = 30.0  # seconds until something counts as missing
POLL: Final = 0.05

_SETTINGS: Final = """\
[server]
listen = "127.0.0.1:0"
log = "sqlite:log.db"
metrics = "{metrics}"

[sites.support]
keys = ["file:site.key"]
origins = ["{origin}"]
redact = ["email"]

[[sites.support.upstreams]]
name = "lunary"
kind = "lunary"
url = "{lunary}"
key = "file:lunary.key"
requests_per_minute = 100000

[[sites.support.upstreams]]
name = "hook"
kind = "webhook"
url = "{hook}/hook"
secret = "file:hook.key"
allow_private = ["127.0.0.1"]
"""


class Hook:
    """A receiver that answers the first of each event with what it got, as an error."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        body, name = await request.body(), request.headers["webhook-id"]
        self.seen.append(name)
        status = 500 if self.seen.count(name) == 1 else 204
        answer = Response(body, status) if status == 500 else Response(status_code=status)
        await answer(scope, receive, send)


class Life:
    """The lives of one server over one folder, and everything that it let out."""

    def __init__(self, folder: Path, lunary: str, hook: str, metrics: str) -> None:
        self.folder = folder
        self.metrics = f"http://{metrics}/metrics"
        self.secrets = {"site key": new_key(), "lunary key": PROJECT.private_key}
        self.secrets["hook key"] = "whsec_" + base64.b64encode(HOOK_KEY).decode()
        self.answers: list[str] = []
        self.tokens: dict[str, str] = {}
        text = _SETTINGS.format(origin=ORIGIN, lunary=lunary, hook=hook, metrics=metrics)
        (folder / "thumbseal.toml").write_text(text, "utf-8")
        for name, secret in self.secrets.items():
            (folder / name.replace(" ", ".")).write_text(secret, "utf-8")

    @property
    def lines(self) -> Path:
        return self.folder / "stderr.txt"

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Another command beside the server; what it says counts as let out."""
        command = (*_THUMBSEAL, *words, "--config", str(self.folder / "thumbseal.toml"))
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        with self.lines.open("a") as lines:
            lines.write(done.stderr)
        return done

    @contextmanager
    def served(self) -> Iterator[tuple["subprocess.Popen[bytes]", httpx2.Client]]:
        """One life; whoever takes it ends it."""
        command = (*_THUMBSEAL, "serve", "--config", str(self.folder / "thumbseal.toml"))
        start = self.lines.stat().st_size if self.lines.exists() else 0
        with self.lines.open("a") as lines, subprocess.Popen(command, stderr=lines) as process:
            try:
                url = await_value(lambda: self._serving(start))
                with httpx2.Client(base_url=url, trust_env=False) as http:
                    yield process, http
            finally:
                process.kill()

    def said(self) -> str:
        """All log lines so far."""
        return self.lines.read_text("utf-8")

    def _serving(self, start: int) -> str | None:
        for line in self.said()[start:].splitlines():
            if '"serving"' in line:
                return str(json.loads(line)["url"])
        return None

    def ask(
        self, http: httpx2.Client, method: str, path: str, body: Any = None, **more: Any
    ) -> Any:
        """A request whose answer holds no token that it did not ask for, and so is searched."""
        content = body if isinstance(body, str) else json.dumps(body)
        headers = {"Origin": ORIGIN, **more.pop("headers", {})}
        answer = http.request(method, path, content=content, headers=headers, **more)
        self.answers.append(f"{answer.status_code} {dict(answer.headers)} {answer.text}")
        return answer


_THUMBSEAL: Final = (sys.executable, "-m", "thumbseal")


def await_value(look: Any) -> Any:
    """What ``look`` finds once it finds something."""
    began = time.monotonic()
    while not (found := look()):
        assert time.monotonic() < began + PATIENCE
        time.sleep(POLL)  # no event crosses processes
    return found


@pytest.fixture
def double() -> LunaryDouble:
    return LunaryDouble(requests_per_minute=10**9)


@pytest.fixture
def life(tmp_path: Path, double: LunaryDouble) -> Iterator[Life]:
    with ExitStack() as stack:
        lunary, hook = (stack.enter_context(serve(app)) for app in (double, Hook()))
        with serve(Hook()) as url:
            metrics = url.removeprefix("http://")
        yield Life(tmp_path, lunary, hook, metrics)


def talk(life: Life, http: httpx2.Client, number: int) -> None:
    """A conversation with a canary in each place that somebody can write to."""
    backend = life.tokens["backend"]
    asked = {"site": "support", "user": USER, "id": f"talk-{number}"}
    headers = {"Authorization": f"Bearer {backend}"}
    opened = http.post("/v1/threads", content=json.dumps(asked), headers=headers).json()
    thread, (question, answer, *_) = opened["thread"]["token"], opened["messages"]
    life.tokens |= {f"thread {number}": thread, f"question {number}": question["token"]}
    life.tokens[f"answer {number}"] = answer["token"]
    now = int(time.time() * 1000)
    said = {"type": "message", "id": "q", "at": now, "message": question["token"], "role": "user"}
    replied = {**said, "id": "a", "message": answer["token"], "role": "assistant"}
    vote = {"type": "feedback", "id": "v", "at": now, "message": answer["token"]}
    events = [
        {"type": "thread", "id": "t", "at": now, "tags": [TAG], "metadata": {"note": WORDS}},
        {**said, "content": f"{WORDS} {EMAIL}"},
        {**replied, "content": WORDS, "metadata": {"note": WORDS}},
        {**vote, "feedback": {"thumb": "down", "comment": f"{COMMENT} {EMAIL}"}},
        {"type": "custom", "id": "c", "at": now, "name": WORDS, "metadata": {"note": EMAIL}},
        {**said, "id": WORDS, "content": f"{WORDS} again"},
        {**said, "id": "x", "content": WORDS, WORDS: 1},
        {**said, "id": "y", "message": question["token"][:-2] + "xx", "content": WORDS},
    ]
    body = {"token": thread, "sent_at": now, "events": events}
    life.ask(http, "POST", "/v1/events", body)


def misuse(life: Life, http: httpx2.Client) -> None:
    """Tokens in all places where they do not belong, and bodies that cannot be read."""
    now = int(time.time() * 1000)
    for token in list(life.tokens.values())[-4:]:
        bad = {"token": token[:-2] + "xx", "sent_at": now, "events": []}
        life.ask(http, "POST", "/v1/events", bad)
        life.ask(http, "POST", "/v1/events", {**bad, "token": {"it": token}})
        life.ask(http, "POST", "/v1/events", f'{{"token": "{token}", "{WORDS}')
        life.ask(http, "POST", "/v1/events", {"token": token, "sent_at": WORDS, "events": []})
        life.ask(http, "POST", "/v1/feedback", {"messages": [token + "x"]})
        life.ask(http, "POST", "/v1/threads", {"site": "nobody", "thread": token})
        life.ask(http, "GET", f"/v1/threads/{token}", params={"token": token, "q": EMAIL})
        life.ask(http, "GET", f"/{token}", headers={"Referer": f"{ORIGIN}/?t={token}"})
        life.ask(http, "GET", "/metrics", headers={"Authorization": f"Bearer {token}x"})
        told = {"X-Request-Id": token, "traceparent": token, "Cookie": token, "User-Agent": token}
        life.ask(http, "GET", "/livez", headers=told)
        life.ask(http, "POST", "/v1/threads", {"site": "support"}, headers={"Origin": "http://x"})
    for path in ("/", "/embed.json", "/widget.js", "/readyz", "/nowhere"):
        life.ask(http, "GET", path)


def quoting(received: Received) -> Fault | None:
    """A Lunary that repeats what it was sent in its errors, as databases do."""
    if not received.events:
        return None
    whole = received.body.decode("utf-8", "replace")
    text = f'invalid input syntax for type json: "{whole}" {WORDS}'
    return Alter(lambda results: [{**each, "success": False, "error": text} for each in results])


TROUBLES: Final[tuple[Fault, ...]] = (
    Cut(),
    Instead(Answer(500, {}, f'{{"message":"{WORDS} {EMAIL}"}}'.encode())),
    Instead(Answer(200, {}, f"<html>{WORDS}".encode())),
    Instead(Answer(401, {}, f'{{"message":"{PROJECT.private_key}"}}'.encode())),
)
# What the log says of each of them: proof that it happened.
SAID: Final = ("no answer", "status 500", "not Lunary's", "status 401")


def test_canaries(life: Life, double: LunaryDouble) -> None:
    """No token, no key and nothing that anybody wrote is in any log line, metric, error or page,
    and no token, no key and no redacted address in any file, after refusals, failing upstreams,
    kill and restart."""
    life.tokens["backend"] = life.command("token", "backend").stdout.strip()
    life.tokens["by hand"] = life.command("token", "thread").stdout.strip()
    life.secrets["app keys"] = life.command("keys", "app").stdout.strip()
    metrics: list[str] = []
    for number, trouble in enumerate(TROUBLES):
        double.faults.plan(trouble)
        with life.served() as (process, http):
            talk(life, http, number)
            misuse(life, http)
            await_value(lambda: SAID[number] in life.said())  # noqa: B023  within its turn
            metrics.append(httpx2.get(life.metrics, trust_env=False).text)
            metrics.append(life.ask(http, "GET", "/metrics", headers=_bearer(life)).text)
            process.kill() if number % 2 else process.terminate()
            process.wait(PATIENCE)
    double.faults.hook = quoting
    with life.served() as (process, http):
        talk(life, http, len(TROUBLES))
        await_value(lambda: "invalid input syntax" in life.said())
        double.faults.clear()
        assert life.command("serve").returncode == 1  # a second server on the same log
        talk(life, http, len(TROUBLES) + 1)
        await_value(lambda: double.threads())
    assert hits(sent_to(double), {"email": EMAIL}) == {}
    _judge(life, metrics)


def sent_to(double: LunaryDouble) -> str:
    """Every request to Lunary."""
    return "\n".join(received.body.decode() for received in double.journal)


def _bearer(life: Life) -> dict[str, str]:
    return {"Authorization": f"Bearer {life.tokens['backend']}"}


def _judge(life: Life, metrics: list[str]) -> None:
    kept = {"words": WORDS, "comment": COMMENT, "tag": TAG, "user": USER}
    written = {**kept, "email": EMAIL}
    lines, pages = life.said(), "\n".join(life.answers)
    files = b"".join(each.read_bytes() for each in life.folder.glob("log.db*")).decode("latin-1")
    secrets = {**life.secrets, **life.tokens, **_parts(life)}
    assert hits(files, kept).keys() == kept.keys(), "the search finds what is there"
    assert len(secrets) > 20
    assert lines.count('"request"') > 100
    assert hits(lines, {**secrets, **written}) == {}
    assert hits("\n".join(metrics), {**secrets, **written}) == {}
    assert hits(pages, {**secrets, "email": EMAIL, "comment": COMMENT}) == {}
    assert hits(files, {**secrets, "email": EMAIL}) == {}


def _parts(life: Life) -> Mapping[str, str]:
    """What is as good as the whole: a token's end holds its signature, a key may be spelled
    otherwise."""
    ends = {f"end of {name}": token[-24:] for name, token in life.tokens.items()}
    return ends | {"hook bytes": HOOK_KEY.decode("latin-1"), "hook hex": HOOK_KEY.hex()}


def hits(text: str, canaries: Mapping[str, str]) -> dict[str, str]:
    """The canaries in a text, with what stands around each."""
    lower = text.lower()
    found = {name: lower.find(canary.lower()) for name, canary in canaries.items() if canary}
    return {name: text[max(at - 120, 0) : at + 60] for name, at in found.items() if at >= 0}
