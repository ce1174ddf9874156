"""The README's own words, pasted into a page."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, expect
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from tests.doubles.serving import serve
from tests.proxy import Proxy, make_settings, running

README = Path(__file__).parents[2] / "README.md"
PLACEHOLDER = "https://feedback.example.com"


@pytest.fixture
def pasted(tmp_path: Path) -> Iterator[tuple[str, Proxy]]:
    """An otherwise empty page with the README's embed block, and the proxy it names."""
    (block,) = re.findall(r"```html\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    addresses: dict[str, str] = {}

    async def page(request: Request) -> Response:
        home = addresses["proxy"]
        policy = f"script-src 'unsafe-inline' {home}; connect-src {home}"
        html = f'<!doctype html><p id="answer">Open Settings …</p>{block}'
        html = html.replace(PLACEHOLDER, home)
        return HTMLResponse(html, headers={"Content-Security-Policy": policy})

    with (
        serve(Starlette(routes=[Route("/", page)])) as url,
        running(make_settings(tmp_path, origins=[url]), time.time) as proxy,
    ):
        addresses["proxy"] = proxy.url
        yield url, proxy


def test_the_embed_block_works_as_it_stands(
    pasted: tuple[str, Proxy], context: BrowserContext
) -> None:
    """Pasted into an empty page, the block records an exchange and puts thumbs under it."""
    url, proxy = pasted
    page = context.new_page()
    page.goto(url)
    page.get_by_role("button", name="Good answer").click()
    expect(page.get_by_role("status")).to_have_text("Thanks")
    page.evaluate("thumbseal.flush()")
    (told,) = proxy.conversations()
    (exchange,) = told.exchanges.values()
    assert [turn.message.role for turn in exchange.turns] == ["user", "assistant"]
    (rating,) = told.ratings.values()
    assert rating.opinion.thumb == "up"
