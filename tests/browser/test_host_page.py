"""Pages that are broken, hostile or short of something: they see no error of ours."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.hosting import Site, hosted, until

POLLUTED = """for (const name of ["thumb", "retry", "code", "token", "thread", "message",
  "feedback", "pause", "persist", "beforeSend", "extra"])
  Object.prototype[name] = name === "extra" ? () => 1 : undefined;"""
OLD_PROTOTYPE = """Array.prototype.each = function () {}; String.prototype.toJSON = function () {
  return this + ""; }; Object.prototype.extend = function () {};"""
FULL = """(() => { for (let size = 2 ** 20; size >= 1; size /= 2) {
  try { for (let n = 0; ; n++) localStorage["filler" + size + "." + n] = "x".repeat(size); }
  catch {} } })()"""
FORBIDDEN = """for (const name of ["localStorage", "sessionStorage"]) Object.defineProperty(
  window, name, {get() { throw new DOMException("denied", "SecurityError"); }});"""
NO_LOCKS = """Object.defineProperty(Navigator.prototype, "locks", {get: () => undefined});"""
REFUSED_LOCKS = """LockManager.prototype.request = () =>
  Promise.reject(new DOMException("denied", "SecurityError"));"""
NO_UUID = "delete Crypto.prototype.randomUUID;"
NO_WELL_FORMED = "delete String.prototype.toWellFormed;"

#: Pages in which a vote makes its whole way.
WORKING = {
    "polluted": POLLUTED,
    "old prototype.js": OLD_PROTOTYPE,
    "full storage": FULL,
    "forbidden storage": FORBIDDEN,
    "no locks": NO_LOCKS,
    "refused locks": REFUSED_LOCKS,
    "no randomUUID": NO_UUID,
    "no toWellFormed": NO_WELL_FORMED,
}
THROWING_FETCH = "window.fetch = () => { throw new Error('not now'); };"
REJECTING_FETCH = "window.fetch = () => Promise.reject(new TypeError('blocked'));"
ODD_FETCH = "window.fetch = async () => ({});"
NO_JSON = "JSON.parse = JSON.stringify = () => { throw new Error('not here'); };"
OWN_JSON = "window.JSON = {parse: () => 7, stringify: () => 'seven'};"
#: Pages in which the widget cannot work.
SILENT = {
    "throwing fetch": THROWING_FETCH,
    "rejecting fetch": REJECTING_FETCH,
    "odd fetch": ODD_FETCH,
    "throwing JSON": NO_JSON,
    "another JSON": OWN_JSON,
}
CLOBBERED = """<form name="thumbseal"><input name="destroy"><input name="q"></form>
  <img id="fetch"><img id="localStorage"><img id="noneStorage"><img id="settings">
  <form><input name="closest"><input name="querySelector"><input name="append"></form>"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Its end checks that no page had an uncaught error or a rejection nobody handles."""
    with hosted(tmp_path) as opened:
        yield opened


def visit(site: Site, context: BrowserContext, body: str = "") -> tuple[Page, str]:
    """A page with one answer, and the answer's token. The page's own script runs after ours."""
    token = site.answer()
    site.embed(
        f'{body}<p data-thumbseal-message="{token}">A</p>'
        "<script defer src=\"data:text/javascript,document.title='mine'\"></script>",
        'data-user=".user" data-propagate="/api"',
    )
    return site.open(context), token


@pytest.mark.parametrize("attack", WORKING.values(), ids=WORKING)
def test_the_widget_works_in_an_odd_page(site: Site, context: BrowserContext, attack: str) -> None:
    """A vote makes its whole way, and the page's own script runs undisturbed."""
    context.add_init_script(attack)
    page, token = visit(site, context)
    page.get_by_role("button", name="Good answer").click()
    until(page, lambda: site.opinion(token) == {"thumb": "up"})
    expect(page.get_by_role("status")).to_have_text("Thanks")
    assert page.title() == "mine"


@pytest.mark.parametrize("attack", SILENT.values(), ids=SILENT)
def test_the_widget_is_silent_where_it_cannot_work(
    site: Site, context: BrowserContext, attack: str
) -> None:
    """Every call returns, nothing is thrown and the page's own script runs."""
    context.add_init_script(attack)
    page, token = visit(site, context)
    called = page.evaluate(
        """async (token) => {
          if (!window.thumbseal) return "no widget";
          const thread = thumbseal.openThread({id: "x"});
          const message = thread.trackMessage({role: "user", content: "Q"});
          message.headers();
          thread.trackEvent("x");
          thumbseal.trackFeedback(token, {thumb: "up"});
          thumbseal.identify("me");
          await thumbseal.getFeedback(token);
          await thumbseal.flush();
          thumbseal.destroy();
          return "called";
        }""",
        token,
    )
    assert called in {"called", "no widget"}
    page.wait_for_timeout(200)
    assert page.title() == "mine"


def test_clobbered_names(site: Site, context: BrowserContext) -> None:
    """Ids and names that stand where the browser's own things are looked for change nothing."""
    page, token = visit(site, context, CLOBBERED)
    page.get_by_role("button", name="Good answer").click()
    until(page, lambda: site.opinion(token) == {"thumb": "up"})


def test_listeners_that_throw(site: Site, context: BrowserContext) -> None:
    """A listener of the page that throws stops neither the vote nor the other listeners."""
    page, token = visit(site, context)
    page.evaluate(
        """() => {
          window.heard = 0;
          thumbseal.on("sent", () => { throw new Error("the page's own"); });
          thumbseal.on("sent", () => { heard += 1; });
        }"""
    )
    page.get_by_role("button", name="Good answer").click()
    until(page, lambda: site.opinion(token) == {"thumb": "up"})
    page.wait_for_function("heard === 1")
    assert site.trouble.pop() == "the page's own"


@pytest.mark.parametrize("touched", [False, True], ids=["mouse", "finger"])
def test_thumbs_out_of_sight_take_the_room_that_they_will_need(
    site: Site, browser: Browser, touched: bool
) -> None:
    """What comes into sight and is laid out moves nothing."""
    shown = f'<thumb-seal message="{site.answer()}"></thumb-seal>'
    answer = f'<p>A {shown}</p><div style="height:9000px"></div>'
    site.embed(answer * 2, head='<meta name="viewport" content="width=device-width">')
    with browser.new_context(has_touch=touched, is_mobile=touched) as context:
        page = site.open(context)
        near, far = page.locator("thumb-seal").all()
        expect(near.get_by_role("button", name="Good answer")).to_be_visible()
        skipped = far.bounding_box()
        far.get_by_role("button", name="Good answer").hover()  # a vote would say something
        boxes = [box for box in (skipped, far.bounding_box(), near.bounding_box()) if box]
        assert len({(box["width"], box["height"]) for box in boxes}) == 1, boxes
