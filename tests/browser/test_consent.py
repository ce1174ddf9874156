"""What may be stored and sent, and when."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.hosting import Site, hosted, until

STORED = "Object.keys(localStorage).concat(Object.keys(sessionStorage)).length"
GPC = "Object.defineProperty(Navigator.prototype, 'globalPrivacyControl', {get: () => true})"
CAPTURED = '<p class="user">Q</p><p class="bot">A</p>'
SELECTORS = 'data-user=".user" data-assistant=".bot"'


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with hosted(tmp_path) as opened:
        yield opened


def embed(site: Site, attributes: str) -> str:
    """A page with one answer; gives its token."""
    token = site.answer()
    site.embed(f'<p data-thumbseal-message="{token}">A</p>', attributes)
    return token


def up(page: Page) -> None:
    button = page.get_by_role("button", name="Good answer")
    button.click()
    expect(button).to_have_attribute("aria-pressed", "true")


def requests(site: Site) -> int:
    return site.proxy.journal.count("POST", "/v1/")


def test_nothing_leaves_the_page_before_consent(site: Site, context: BrowserContext) -> None:
    """With `data-consent=required`, a vote and a message are shown and kept in memory: nothing is
    stored and no request is made; with consent, all of it is sent in order."""
    token = embed(site, 'data-consent="required"')
    before = requests(site)
    page = site.open(context)
    page.evaluate("void thumbseal.openThread().trackMessage({role: 'user', content: 'Q'})")
    up(page)
    page.wait_for_timeout(300)
    assert page.evaluate(STORED) == 0
    assert requests(site) == before
    page.evaluate("thumbseal.consent(true)")
    until(page, lambda: site.opinion(token) == {"thumb": "up"})
    until(page, lambda: "Q" in site.texts())
    assert page.evaluate(STORED) > 0


def test_withdrawn_consent_empties_the_storage(site: Site, context: BrowserContext) -> None:
    """With `consent(false)`, storage is empty at once and stays so, and nothing more is sent."""
    embed(site, 'data-consent="required"')
    page = site.open(context)
    page.evaluate("thumbseal.consent(true)")
    up(page)
    page.evaluate("thumbseal.flush()")
    page.evaluate("localStorage.setItem('the-pages-own', 1); thumbseal.consent(false)")
    assert page.evaluate("Object.keys(localStorage)") == ["the-pages-own"]
    sent = requests(site)
    page.get_by_role("button", name="Bad answer").click()
    page.wait_for_timeout(300)
    assert page.evaluate("Object.keys(localStorage)") == ["the-pages-own"]
    assert requests(site) == sent


def test_what_waited_is_not_sent_after_a_refusal(site: Site, context: BrowserContext) -> None:
    """A person who refuses is not recorded with what she did before she was asked."""
    token = embed(site, 'data-consent="required"')
    page = site.open(context)
    up(page)
    page.evaluate("thumbseal.consent(false)")
    page.evaluate("thumbseal.consent(true)")
    page.evaluate("thumbseal.flush()")
    assert site.opinion(token) is None


def test_privacy_control_stops_what_is_passive(site: Site, context: BrowserContext) -> None:
    """Under Global Privacy Control, the page is not captured and nothing is stored; an explicit
    vote is sent."""
    token = site.answer()
    site.embed(CAPTURED + f'<p data-thumbseal-message="{token}">A</p>', SELECTORS)
    context.add_init_script(GPC)
    page = site.open(context)
    up(page)
    until(page, lambda: site.opinion(token) == {"thumb": "up"})
    page.wait_for_timeout(2500)  # longer than capture needs
    assert site.texts() == ["A"]
    assert page.evaluate(STORED) == 0


def test_privacy_control_can_be_overruled(site: Site, context: BrowserContext) -> None:
    """With `data-gpc=ignore`, a page that has its own agreement works as usual."""
    site.embed(CAPTURED, SELECTORS + ' data-gpc="ignore"')
    context.add_init_script(GPC)
    site.records(site.open(context), "Q", "A")


@pytest.mark.parametrize(("mode", "local", "session"), [("session", 0, 1), ("none", 0, 0)])
def test_storage_is_the_pages_choice(
    site: Site, context: BrowserContext, mode: str, local: int, session: int
) -> None:
    """`data-persist` keeps a vote to the tab's storage, or to memory; it is sent all the same, and
    shown again after a reload."""
    token = embed(site, f'data-persist="{mode}"')
    page = site.open(context)
    up(page)
    until(page, lambda: site.opinion(token) == {"thumb": "up"})
    counts = page.evaluate("[localStorage.length, sessionStorage.length].map(Math.sign)")
    assert counts == [local, session]
    page.reload()
    button = page.get_by_role("button", name="Good answer")
    expect(button).to_have_attribute("aria-pressed", "true")
