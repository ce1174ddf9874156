"""A site of the test's own: pages that embed the widget, a chat endpoint, and the proxy."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import BrowserContext, Page
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from tests.doubles.serving import serve
from tests.proxy import Proxy, make_settings, running
from thumbseal.conversation import Turn

PATIENCE = 10.0  # seconds


class Site:
    """A host at ``url`` with one page at every address; ``headers`` are those of the requests to
    its ``/api/...``. ``trouble`` has what went wrong in its pages."""

    def __init__(self, url: str, proxy: Proxy) -> None:
        self.url = url
        self.proxy = proxy
        self.html = ""
        self.headers: list[dict[str, str]] = []
        self.trouble: list[str] = []

    def embed(self, body: str = "", attributes: str = "", head: str = "") -> None:
        """Set the page; ``attributes`` stand on the script's tag."""
        tag = f'<script src="{self.proxy.url}/widget.js" defer {attributes}></script>'
        self.html = f'<!doctype html><html lang="en"><title>Chat</title>{head}{tag}<body>{body}'

    def open(self, context: BrowserContext, path: str = "/") -> Page:
        """A new tab with the page."""
        page = context.new_page()
        page.on("pageerror", lambda error: self.trouble.append(str(error)))
        page.goto(self.url + path)
        return page

    def answer(self) -> str:
        """The token of an answer that is recorded already."""
        opened = self.proxy.open()
        blank = opened["messages"][0]
        event = {"type": "message", "message": blank["token"], "role": "assistant", "content": "A"}
        (result,) = self.proxy.record(opened["thread"]["token"], event)
        assert result["status"] == "accepted"
        return str(blank["token"])

    def opinion(self, token: str) -> dict[str, Any] | None:
        """What the log says of a message's feedback."""
        (state,) = self.proxy.feedback(token)
        found: dict[str, Any] | None = state["feedback"]
        return found

    def turns(self) -> list[Turn]:
        """All recorded messages."""
        return [turn for told in self.proxy.conversations() for turn in told.turns]

    def texts(self) -> list[Any]:
        return [turn.message.content for turn in self.turns()]

    def records(self, page: Page, *texts: str) -> list[Turn]:
        """The messages, as soon as these are what was recorded, in this order."""
        until(page, lambda: self.texts() == list(texts), lambda: f"recorded: {self.texts()}")
        return self.turns()


def until(page: Page, true: Callable[[], bool], tell: Callable[[], str] = lambda: "") -> None:
    """Return once something holds; the page goes on meanwhile."""
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, tell() or "it never came true"
        page.wait_for_timeout(20)


@contextmanager
def hosted(folder: Path) -> Iterator[Site]:
    """A site and its proxy, on two origins."""
    sites: list[Site] = []

    async def page(_: Request) -> Response:
        return HTMLResponse(sites[0].html)

    async def reply(request: Request) -> Response:
        sites[0].headers.append(dict(request.headers))
        return JSONResponse({"body": (await request.body()).decode()})

    routes = [
        Route("/api/{path:path}", reply, methods=["GET", "POST"]),
        Route("/{path:path}", page),
    ]
    with serve(Starlette(routes=routes)) as url:
        settings = make_settings(folder, origins=[url])
        with running(settings, time.time) as proxy:
            sites.append(Site(url, proxy))
            yield sites[0]
            assert sites[0].trouble == []
