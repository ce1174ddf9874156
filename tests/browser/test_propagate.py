"""The page's own requests carry the exchange that they belong to."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, Route

from tests.browser.hosting import Site, hosted, until

FETCH = "(url) => fetch(url, {method: 'POST', body: 'hi', headers: {'x-own': '1'}})"
REQUEST = "(url) => fetch(new Request(url, {method: 'POST', body: 'hi', headers: {'x-own': '1'}}))"
XHR = """(url) => new Promise((resolve) => {
  const request = new XMLHttpRequest();
  request.open("POST", url);
  request.setRequestHeader("x-own", "1");
  request.onload = resolve;
  request.send("hi");
})"""
HEADER = "x-thumbseal-message"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with hosted(tmp_path) as opened:
        yield opened


@pytest.fixture
def page(site: Site, context: BrowserContext) -> Page:
    """A page that has recorded a question; `question` is its message."""
    site.embed(attributes='data-propagate="/api/chat /api/more"')
    opened = site.open(context)
    ask(opened)
    return opened


def ask(page: Page) -> None:
    page.wait_for_function("fetch.name !== 'fetch'")  # the file that watches is there
    page.evaluate(
        """() => {
          window.question = thumbseal.openThread().trackMessage({role: "user", content: "Q"});
          return question.ready;
        }"""
    )


@pytest.mark.parametrize("send", [FETCH, REQUEST, XHR], ids=["fetch", "Request", "XMLHttpRequest"])
def test_a_listed_request_names_its_exchange(site: Site, page: Page, send: str) -> None:
    """A request to a listed path carries the prompt's message and its trace, and all that the page
    gave it."""
    page.evaluate(f"({send})('/api/chat?stream=1')")
    (headers,) = site.headers
    assert headers[HEADER] == page.evaluate("question.token")
    trace = str(page.evaluate("question.id")).replace("-", "")
    assert headers["traceparent"].split("-")[1] == trace
    assert headers["x-own"] == "1"
    assert headers["content-length"] == "2"


@pytest.mark.parametrize("path", ["/api/chatter", "/api/other", "/api"])
def test_other_requests_stay_as_they_are(site: Site, page: Page, path: str) -> None:
    """A path that is not listed, nor below one that is, gets nothing."""
    page.evaluate(f"({FETCH})('{path}/')")
    assert all(HEADER not in headers for headers in site.headers)


def test_every_listed_path_counts(site: Site, page: Page) -> None:
    """Several paths can be listed, and what lies below them is meant too."""
    page.evaluate(f"({FETCH})('/api/more/deeper')")
    assert HEADER in site.headers[0]


def test_the_pages_own_trace_stands(site: Site, page: Page) -> None:
    """A `traceparent` that the page has set already is left alone."""
    own = "00-" + "1" * 32 + "-" + "2" * 16 + "-01"
    page.evaluate("own => fetch('/api/chat', {headers: {traceparent: own}})", own)
    assert site.headers[0]["traceparent"] == own
    assert HEADER in site.headers[0]


def test_another_origin_gets_nothing_unless_listed(
    site: Site, context: BrowserContext, tmp_path: Path
) -> None:
    """The same path on another origin is not meant by a path; a whole URL means it."""
    (tmp_path / "other").mkdir()
    with hosted(tmp_path / "other") as other:
        sent: list[dict[str, str]] = []

        # Playwright answers: what the page sent is what counts, not the other server's CORS.
        def answer(route: Route) -> None:
            sent.append(route.request.headers)
            route.fulfill(body="")

        context.route(f"{other.url}/**", answer)
        for listed, expected in (("/api/chat", False), (f"{other.url}/api/chat", True)):
            site.embed(attributes=f'data-propagate="{listed}"')
            page = site.open(context)
            ask(page)
            page.evaluate(f"fetch('{other.url}/api/chat', {{mode: 'cors'}}).catch(() => 0)")
            until(page, lambda: bool(sent))
            headers = sent.pop()
            names = headers.get("access-control-request-headers", "") + " ".join(headers)
            assert (HEADER in names) is expected


def test_captured_prompts_are_named_before_they_stand_there(
    site: Site, context: BrowserContext
) -> None:
    """With capture, the request goes out before the prompt is recorded, and still names it."""
    site.embed('<div id="chat"></div>', 'data-propagate="/api/chat" data-user=".user"')
    page = site.open(context)
    page.wait_for_function("fetch.name !== 'fetch'")
    until(page, lambda: site.proxy.journal.count("POST", "/v1/events") == 1)
    page.wait_for_timeout(100)
    page.evaluate(f"({FETCH})('/api/chat')")
    page.evaluate("chat.innerHTML = '<p class=user>Q</p>'")
    (turn,) = site.records(page, "Q")
    trace = site.headers[0]["traceparent"].split("-")[1]
    assert trace == turn.message.message.replace("-", "")


def test_destroy_gives_the_pages_functions_back(page: Page) -> None:
    """After `destroy()`, `fetch` and `XMLHttpRequest` are the browser's own again."""
    page.evaluate("thumbseal.destroy()")
    native = page.evaluate(
        """() => [fetch, XMLHttpRequest.prototype.open, XMLHttpRequest.prototype.send]
          .every((each) => `${each}`.includes("[native code]"))"""
    )
    assert native
