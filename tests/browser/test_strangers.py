"""Pages of somebody else: what they send changes nothing, what they change is not run."""

import base64
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import BrowserContext
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from tests.browser.hosting import until
from tests.doubles.serving import serve
from tests.inside import rows
from tests.proxy import Proxy, make_settings, running

ATTACK = """async ([url, token]) => {
  const bodies = [
    {site: "support"},
    {token, sent_at: 0, events: [{type: "custom", id: "e1", at: 0, name: "n"}]},
    {open: {site: "support"}, refs: ["~0123456789abcdef01234567=c"], sent_at: 0, events: [
      {type: "message", id: "e2", at: 0, role: "user", content: "x",
        message: "~0123456789abcdef01234567=c"}]},
  ];
  const types = ["text/plain", "application/x-www-form-urlencoded", "application/json"];
  const answers = [];
  for (const path of ["/v1/threads", "/v1/events", "/v1/feedback"])
    for (const body of bodies)
      for (const type of types)
        for (const mode of ["no-cors", "cors"])
          answers.push(await fetch(url + path, {method: "POST", mode,
            headers: {"Content-Type": type}, body: JSON.stringify(body)})
            .then((answer) => answer.type + answer.status, () => "unreadable"));
  return answers;
}"""
FORM = """<form method="post" enctype="text/plain" action="{url}/v1/events">
<input name='{{"sent_at":0,"events":[],"open":{{"site":"support","id":"' value='"}}}}'>
<button>Win a prize</button></form>"""


@contextmanager
def page_of(*bodies: bytes) -> Iterator[str]:
    """Somebody's own server: a page at ``/``, and these scripts at ``/0.js`` and on."""

    async def page(_: Request) -> Response:
        return HTMLResponse("<!doctype html><html lang=en><title>Prize</title><body>")

    async def script(request: Request) -> Response:
        headers = {"Access-Control-Allow-Origin": "*"}
        body = bodies[request.path_params["number"]]
        return Response(body, media_type="text/javascript", headers=headers)

    routes = [Route("/{number:int}.js", script), Route("/", page)]
    with serve(Starlette(routes=routes)) as url:
        yield url


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    with running(make_settings(tmp_path)) as started:
        yield started


def test_a_page_that_is_not_listed_records_nothing(context: BrowserContext, proxy: Proxy) -> None:
    """Not with a token that it stole, in no mode and under no content type; nor does a form."""
    token = proxy.open()["thread"]["token"]
    with page_of() as url:
        page = context.new_page()
        page.goto(url)
        answers = page.evaluate(ATTACK, [proxy.url, token])
        assert set(answers) == {"opaque0", "unreadable"}
        page.set_content(FORM.format(url=proxy.url))
        before = proxy.journal.count("POST")
        page.get_by_role("button").click()
        until(page, lambda: proxy.journal.count("POST") > before)
    *_, status = (status for method, _, status in proxy.journal.entries if method == "POST")
    assert status == 403
    assert rows(proxy, "SELECT * FROM events") == rows(proxy, "SELECT * FROM threads") == []


def test_a_listed_page_would_have(context: BrowserContext, tmp_path: Path) -> None:
    """The same requests from a page of the site are answered: it is the origin that refuses."""
    with page_of() as url, running(make_settings(tmp_path, origins=[url])) as proxy:
        page = context.new_page()
        page.goto(url)
        answers = page.evaluate(ATTACK, [proxy.url, proxy.open()["thread"]["token"]])
        assert {"cors200", "cors202"} <= set(answers)
        assert len(rows(proxy, "SELECT * FROM events")) == 1


def test_a_changed_byte_is_not_run(context: BrowserContext, proxy: Proxy) -> None:
    """A browser refuses a pinned script of which one byte is another, and runs the right one."""
    served = proxy.http.get("/embed.json").json()["files"]["widget.js"]
    good = httpx2.get(served["url"], headers={"Accept-Encoding": "identity"}, trust_env=False)
    digest = base64.b64encode(hashlib.sha384(good.content).digest()).decode()
    assert served["integrity"] == f"sha384-{digest}"
    middle = len(good.content) // 2
    changed = bytearray(good.content)
    changed[middle] ^= 1
    with page_of(bytes(changed), good.content) as url:
        page = context.new_page()
        page.goto(url)
        ends = [
            page.evaluate(
                """([src, integrity]) => new Promise((resolve) => document.head.append(
                  Object.assign(document.createElement("script"), {src, integrity,
                    crossOrigin: "anonymous", onload: () => resolve("run"),
                    onerror: () => resolve("refused")})))""",
                [f"{url}/{number}.js", served["integrity"]],
            )
            for number in range(2)
        ]
    assert ends == ["refused", "run"]
