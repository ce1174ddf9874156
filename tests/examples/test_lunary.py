"""Lunary's own SDK for browsers and for Node (npm, see package.json) at this proxy: URL and key are
all that changes. In a page the key is a thread token, on a server a backend token."""

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page
from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from tests.browser.hosting import until
from tests.doubles.lunary import PROJECT, LunaryDouble
from tests.doubles.serving import serve
from tests.proxy import Proxy, make_settings, running
from tests.seed import JAVASCRIPT, RIGHT, backend_token, both_ways, proxied
from thumbseal.ids import named_thread
from thumbseal.settings import Lunary, Secret

DOCUMENT = Path(__file__).parents[2] / "docs" / "lunary.md"
SDK = Path(__file__).parent / "node_modules" / "lunary" / "dist"
NAME = f"npm lunary {json.loads((SDK.parent / 'package.json').read_text('utf-8'))['version']}"
TALK = """async ([apiUrl, publicKey, id]) => {
  const results = [], send = window.fetch;
  window.fetch = async (url, init) => {
    const answer = await send(url, init);
    if (url.endsWith("/ingest")) results.push(...(await answer.clone().json()).results);
    return answer;
  };
  const { default: lunary } = await import("/sdk/browser.js");
  lunary.init({ apiUrl, publicKey });
  const thread = lunary.openThread({ id, tags: ["blue"] });
  thread.trackMessage({ role: "user", content: "Why?" });
  const answer = thread.trackMessage({ role: "assistant", content: "Because." });
  thread.trackEvent("copied");
  lunary.trackFeedback(answer, { thumb: "up" });
  lunary.trackFeedback(answer, { thumb: "down" });
  await lunary.flush();
  return [await lunary.getFeedback(answer), results];
}"""


@contextmanager
def hosted(double: LunaryDouble, folder: Path) -> Iterator[tuple[str, Proxy]]:
    """A page of the site that has the SDK's files, and a proxy whose upstream is the double."""
    app = Starlette(
        routes=[
            Route("/", lambda request: HTMLResponse("<!doctype html><title>Chat</title>")),
            Mount("/sdk", StaticFiles(directory=SDK)),
        ]
    )
    with serve(app) as page, serve(double) as url:
        upstream = Lunary("lunary", Secret(PROJECT.private_key), url, requests_per_minute=100_000)
        configured = make_settings(folder, upstreams=[upstream], origins=[page])
        with running(configured, time.time) as proxy:
            yield page, proxy


def run_talk(page: Page, proxy: Proxy, token: str, thread: str) -> tuple[Any, list[dict[str, Any]]]:
    """The feedback that the SDK reads back, and what the proxy answered to its events. The page
    notes the answers: the SDK never reads them."""
    state, results = page.evaluate(TALK, [proxy.url, token, thread])
    return state, results


def test_the_browsers_sdk_with_a_thread_token(tmp_path: Path, context: BrowserContext) -> None:
    """The conversation is at Lunary, with its tags and the last vote on the answer."""
    double = LunaryDouble(requests_per_minute=10**9)
    with hosted(double, tmp_path) as (url, proxy):
        thread, page = proxy.open()["thread"], context.new_page()
        page.goto(url)
        state, results = run_talk(page, proxy, thread["token"], thread["id"])
        assert [each["success"] for each in results] == [True] * 5
        assert state == {"thumb": "down"}
        shown = [(["Why?"], ["Because."], {"thumb": "down"})]
        until(page, lambda: _shown(double, thread["id"]) == shown)
        (stored,) = double.threads()
        assert (stored.id, stored.tags) == (thread["id"], ["blue"])


def test_another_threads_id_is_refused(tmp_path: Path, context: BrowserContext) -> None:
    """Nothing is written into the other thread: neither messages nor events."""
    with hosted(LunaryDouble(), tmp_path) as (url, proxy):
        thread, other, page = proxy.open()["thread"], proxy.open()["thread"], context.new_page()
        page.goto(url)
        _, results = run_talk(page, proxy, thread["token"], other["id"])
        assert [each["success"] for each in results] == [False] * 3 + [True] * 2
        assert [told.thread for told in proxy.conversations()] == [thread["id"]]
        assert [told.turns for told in proxy.conversations()] == [[]]


def test_nodes_seed_is_right_through_the_proxy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Sent to Lunary directly, the same script loses the tags, the user and what the assistant
    called, tears question and answer apart, and doubles what it sends again."""
    script = f'import lunary from "lunary"; {JAVASCRIPT}'
    script += "await visits[process.argv[1]](lunary, process.argv[2]);"

    def visit(url: str, key: str, thread: str, number: int) -> None:
        command = ["node", "--input-type=module", "-e", script, "--", str(number), thread]
        told = os.environ | {"LUNARY_API_URL": url, "LUNARY_PUBLIC_KEY": key}
        subprocess.run(command, check=True, env=told, cwd=Path(__file__).parent)

    direct, through = both_ways(visit, tmp_path, f"{NAME}, Node", capsys)
    assert through == RIGHT
    assert direct["tags"] == "none"


def test_the_pages_example_goes_on_by_the_threads_own_id(tmp_path: Path) -> None:
    """docs/lunary.md: its JavaScript runs as it stands; Python's part stands in another test."""
    (example,) = re.findall(r"```js\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)
    double = LunaryDouble(requests_per_minute=10**9)
    with proxied(double, tmp_path) as proxy:
        told = {"LUNARY_API_URL": proxy.url, "LUNARY_PUBLIC_KEY": backend_token(proxy)}
        command = ["node", "--input-type=module", "-e", example]
        subprocess.run(command, check=True, env=os.environ | told, cwd=Path(__file__).parent)
        (seen,) = proxy.conversations()
    assert [turn.message.content for turn in seen.turns] == ["And?", "So."]
    assert [rating.opinion.thumb for rating in seen.ratings.values()] == ["down"]
    assert seen.thread == named_thread("support", "order-17")


def test_the_browsers_seed_is_right_through_the_proxy(
    tmp_path: Path, context: BrowserContext, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same with the browser's build; who the user is, a page cannot say."""
    page = context.new_page()
    script = f"""async ([apiUrl, publicKey, id, number]) => {{
      {JAVASCRIPT}
      const {{ default: lunary }} = await import("/sdk/browser.js");
      lunary.init({{ apiUrl, publicKey }});
      await visits[number](lunary, id);
    }}"""
    app = Starlette(
        routes=[
            Route("/", lambda request: HTMLResponse("<!doctype html><title>Chat</title>")),
            Mount("/sdk", StaticFiles(directory=SDK)),
        ]
    )
    with serve(app) as origin:

        def visit(url: str, key: str, thread: str, number: int) -> None:
            page.goto(origin)
            page.evaluate(script, [url, key, thread, number])

        direct, through = both_ways(visit, tmp_path, f"{NAME}, browser", capsys, origin=origin)
    assert through == RIGHT | {"user": "-"}
    assert direct["tags"] == "none"


def _shown(double: LunaryDouble, thread: str) -> list[tuple[list[str], list[str], Any]]:
    return [
        (_texts(run.input), _texts(run.output), _given(run.feedback))
        for run in double.exchanges(thread)
    ]


def _texts(messages: Any) -> list[str]:
    return [each["content"] for each in messages or []]


def _given(feedback: Any) -> Any:
    return {key: value for key, value in (feedback or {}).items() if value is not None}
