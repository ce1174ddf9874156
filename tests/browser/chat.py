"""A page with recorded answers, on another origin than the proxy that it embeds the widget from."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import BrowserContext, Locator, Page, expect
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from tests.doubles.serving import serve
from tests.proxy import Proxy, make_settings, running, said

REASONS: Final = ("Wrong", "Unsafe", "Not helpful")


class Chat:
    """``token`` is the answer's, which every page of `open` shows."""

    def __init__(self, url: str, proxy: Proxy, pages: dict[str, str]) -> None:
        self.proxy = proxy
        self._url = url
        self._pages = pages
        opened = proxy.open()
        (answer, *_) = opened["messages"]
        self.token: str = answer["token"]
        proxy.record(opened["thread"]["token"], said(answer, "assistant", "Open Settings."))

    def open(
        self, context: BrowserContext, *, tag: str = "", html: str = 'lang="en"', **attributes: str
    ) -> tuple[Page, Locator]:
        """A new tab, and the thumbs in it. ``tag`` and ``html`` are attributes of the script and
        of the page, ``attributes`` those of the element, where ``style`` is the page's sheet."""
        style = attributes.pop("style", "")
        own = "".join(f' {name}="{value}"' for name, value in attributes.items())
        page = self.show(
            context,
            f"<!doctype html><html {html}><head><title>Chat</title>"
            '<meta name="color-scheme" content="light dark">'
            f"<style>html{{background:Canvas}}{style}</style></head>"
            "<body><main><h1>Chat</h1><p>Open Settings.</p>"
            f'<thumb-seal message="{self.token}"{own}></thumb-seal></main>'
            f'<script src="{self.proxy.url}/widget.js" {tag}></script></body></html>',
        )
        return page, page.locator("thumb-seal")

    def show(self, context: BrowserContext, html: str) -> Page:
        """A new tab with this page."""
        self._pages["/"] = html
        page = context.new_page()
        page.goto(self._url)
        return page

    def recorded(self) -> dict[str, Any]:
        """What the log says of the answer now."""
        (state,) = self.proxy.feedback(self.token)
        return dict(state["feedback"] or {})


@contextmanager
def chatting(folder: Path, **site: Any) -> Iterator[Chat]:
    """A chat; ``site`` are settings of its site."""
    pages: dict[str, str] = {}

    async def page(request: Request) -> Response:
        return HTMLResponse(pages[request.url.path])

    app = Starlette(routes=[Route("/", page), Route("/favicon.ico", lambda _: Response())])
    with serve(app) as url:
        settings = make_settings(folder, origins=[url], **{"reasons": REASONS, **site})
        with running(settings, time.time) as proxy:
            yield Chat(url + "/", proxy, pages)


def thumb(thumbs: Locator, name: str) -> Locator:
    """The button `up`, `down` or `more`, in whatever language."""
    return thumbs.locator(f'[part~="{name}"]')


def press_down(thumbs: Locator) -> None:
    """Vote, and wait until the server has it."""
    thumb(thumbs, "down").click()
    expect(thumbs.get_by_role("status")).not_to_be_empty()
