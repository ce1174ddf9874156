"""Every code block of the documents runs as it stands, but for the addresses and tokens that it
leaves to its reader."""

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from threading import Thread
from typing import Any, Final

import openai
import pytest
from playwright.sync_api import BrowserContext, Page, expect

import thumbseal
from tests.backend.blocks import ROOT, Block, blocks, of
from tests.backend.model import answer_to, model
from tests.browser.hosting import Site, hosted, until
from tests.example import press
from tests.proxy import ORIGIN, Proxy, running, said, voted
from tests.test_site import site_of
from thumbseal import settings
from thumbseal.keys import new_key

#: What each language's blocks are given to here; without a language stands what a terminal shows.
LANGUAGES: Final = {"", "html", "http", "js", "json", "python", "sh", "toml", "yaml"}
ADDRESS: Final = "https://feedback.example.com"
SETTINGS: Final = f"""[server]
log = "sqlite:thumbseal.db"
[sites.support]
keys = ["file:support.key"]
origins = ["{ORIGIN}"]
"""
OLD: Final = """[[sites.support.upstreams]]
name = "old"
kind = "webhook"
url = "http://127.0.0.1:9/"
secret = "env:HOOK"
"""
SCRIPT: Final = """async () => {
  const conversationId = "c1", text = "Why?", reply = "Because.", body = "B", prompt = "P";
  let thread;
  const question = thumbseal.openThread().trackMessage({ role: "user", content: "How?" });
  await question.ready;
  { %s }
  return thread && (await thread.trackMessage({ role: "user", content: text }).ready).id;
}"""


def test_every_block_is_run() -> None:
    """A block is in a language that the tests below run, or in a test that names its document."""
    every = blocks()
    assert len(every) > 40
    assert {each.language for each in every} <= LANGUAGES
    for each in every:
        test = each.elsewhere()
        if test is not None and each.language != "toml":  # that test reads all documents
            assert Path(each.document).name in (ROOT / test).read_text("utf-8"), each


def test_bodies_of_the_protocol_are_real(proxy: Proxy) -> None:
    """Requests are taken, and answers have the shape that the page shows."""
    bodies = [
        each.text
        for each in blocks()
        if each.document == "docs/protocol.md" and each.language == "json"
    ]
    opening, envelope, states, refusal = map(json.loads, bodies)
    opened = proxy.post("/v1/threads", opening)
    assert opened.status_code == 200
    thread, answer = opened.json()["thread"]["token"], opened.json()["messages"][0]
    proxy.record(thread, said(answer, "assistant", "A"), voted(answer, thumb="up"))

    envelope["open"] |= {"thread": thread, "from": thread}
    envelope |= {"sent_at": proxy.ms, "read": [answer["token"]]}
    taken = proxy.post("/v1/events", envelope)
    assert (taken.status_code, list(taken.json()["bound"])) == (202, envelope["refs"])
    (state,), (shown,) = proxy.feedback(answer["token"]), states["messages"]
    assert state | {"id": shown["id"], "receipt": shown["receipt"]} == shown

    refused = proxy.post("/v1/events", {"token": "x", "sent_at": proxy.ms, "events": []})
    refusal["error"]["message"] = refused.json()["error"]["message"]
    assert refused.json() == refusal


@of("js")
def test_scripts_do_what_they_are_there_for(
    block: Block, context: BrowserContext, tmp_path: Path
) -> None:
    """What they record is recorded, what they fetch has the message, what they open is open."""
    with hosted(tmp_path) as site:
        site.embed()
        page = site.open(context)
        thread = page.evaluate(SCRIPT % block.text)
        page.evaluate("thumbseal.flush()")
        if "fetch(" in block.text:
            assert {"x-thumbseal-message", "traceparent"} <= site.headers[0].keys()
        elif "trackMessage" in block.text:
            until(page, lambda: "Because." in site.texts())
        else:
            assert thread


@of("html")
def test_markup_does_what_it_is_there_for(
    block: Block, context: BrowserContext, tmp_path: Path
) -> None:
    """Tags bring the client and record what they select; marked answers have thumbs."""
    with hosted(tmp_path) as site:
        site.embed('<p class="user">Why?</p><p class="bot">Because.</p>')
        markup = filled(block.text, site)
        if "<script" in markup:
            site.html = re.sub("<script.*</script>", lambda _: markup, site.html)
        else:
            site.html += markup
        page = site.open(context)
        page.wait_for_function("window.thumbseal?.flush")
        if "data-user" in markup:
            site.records(page, "Why?", "Because.")
        if "data-thumbseal-message" in markup:
            press(page.locator("thumb-seal"), "Good answer")


def filled(text: str, site: Site) -> str:
    """Markup with what its reader fills in."""
    told = site.proxy.http.get("/embed.json").json()["files"]["widget.js"]
    _, _, digest, *_ = str(told["url"]).removeprefix(site.proxy.url).split("/")
    for old, new in {
        ADDRESS: site.proxy.url,
        '"/fb/': f'"{site.proxy.url}/',
        "DIGEST": digest,
        "sha384-…": told["integrity"],
        "TOKEN": site.answer() if "TOKEN" in text else "",
    }.items():
        text = text.replace(old, new)
    return text


@of("http")
def test_policies_are_enough(block: Block, context: BrowserContext, tmp_path: Path) -> None:
    """Under the policy a vote is taken, and the browser has no objection."""
    name, _, policy = block.text.strip().partition(": ")
    with hosted(tmp_path) as site:
        policy = policy.replace(ADDRESS, site.proxy.url)
        marked = f'<p data-thumbseal-message="{site.answer()}">A</p>'
        site.embed(marked, head=f'<meta http-equiv="{name}" content="{policy}">')
        context.add_init_script(
            """window.violations = []; addEventListener("securitypolicyviolation",
              (event) => violations.push(event.effectiveDirective));"""
        )
        page = site.open(context)
        press(page.locator("thumb-seal"), "Good answer")
        expect(page.get_by_role("status")).to_have_text("Thanks")
        assert violations(page) == []


def violations(page: Page) -> Any:
    return page.evaluate("violations")


@of("python")
def test_pythons_two_lines_are_enough(block: Block, proxy: Proxy) -> None:
    """With a site, a request and a model at hand they run, and the model answers."""
    site = site_of(proxy)
    token = site.mint_message(site.open_thread()).token
    with model() as url:
        names: dict[str, Any] = {"site": site, "thumbseal": thumbseal, "model": "m"}
        names["client"] = openai.OpenAI(base_url=url, api_key="none", max_retries=0)
        names["messages"] = [{"role": "user", "content": "Why?"}]
        names["request"] = type("Request", (), {"headers": {"x-thumbseal-message": token}})
        exec(block.text, names)  # noqa: S102  the document's own
        names["client"].close()
    assert names["answer"].choices[0].message.content == answer_to("Why?")


@of("sh")
def test_commands_work(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Line after line in one shell's folder: where a server has run, and an upstream has gone."""
    monkeypatch.setenv("HOOK", "whsec_" + "A" * 40)
    prepare(tmp_path, initial="thumbseal init" in block.text)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    for line in block.text.splitlines():
        command = shlex.split(line, comments=True)
        if command[0] == "make":
            assert f"\n{command[1]}: " in (ROOT / "Makefile").read_text("utf-8")
        elif command[0] == "pip":
            assert command == ["pip", "install", "."]  # the wheel has a check of its own
        elif command[:2] == ["thumbseal", "serve"]:
            serve(command, tmp_path)
        else:
            shell = ["/bin/sh", "-ec", line]
            subprocess.run(shell, cwd=tmp_path, input="y\n", text=True, check=True)


def prepare(folder: Path, *, initial: bool) -> None:
    """A log with a thread of a user's, and an upstream that the settings have no more."""
    if initial:
        return
    file = folder / "thumbseal.toml"
    file.write_text(SETTINGS + OLD)
    (folder / "support.key").write_text(new_key())
    with running(settings.read(file), time.time) as proxy:
        site = site_of(proxy)
        thread = site.open_thread("conversation-1", user="u_42")
        message = {"token": site.mint_message(thread).token}
        proxy.record(thread.token, said(message, "user", "Why?"))
    file.write_text(SETTINGS)
    with running(settings.read(file), time.time):
        pass  # it goes by the settings that it was started with


def serve(command: list[str], folder: Path) -> None:
    """A server that starts, on a port of its own, and stops when it is told to."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    file = folder / "thumbseal.toml"
    text = re.sub('listen = ".+"\n', "", file.read_text())
    file.write_text(text.replace("[server]", f'[server]\nlisten = "127.0.0.1:{port}"'))
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        lines = iter(process.stderr.readline, "")
        assert any("serving" in line for line in lines), "it did not start"
        reading = Thread(target=list, args=(lines,))
        reading.start()
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 0
        reading.join()
