"""What the replay pages are for: from the log-in to an answer that fell short, in a few clicks or
keys. And the basics of every page: title, language, landmarks, order of focus, axe."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.replaying import DAY, enter
from tests.browser.test_accessibility import faults
from tests.indexed import wait_for
from tests.proxy import START, Clock, Proxy, make_settings, running
from tests.replay.visiting import code_of, talk

MOST = 6  # clicks
PATHS = ("?since=&tag=none", "/threads?text=answer", "/live", "/404")
# Contrasts that axe cannot tell: of a chart's text and under what floats, whose colours
# `tests.test_look` compares, and of arrows on buttons that have a name.
UNTOLD = (
    "color-contrast: <text ",
    "contains only non-text characters",
    "could not be determined because it partially overlaps",
)
OUTLINE = """() => ({
  title: document.title,
  lang: document.documentElement.lang,
  headings: document.querySelectorAll('h1').length,
  landmarks: [...document.querySelectorAll('body > header, main')].map((each) => each.localName),
  unnamed: [...document.querySelectorAll('nav:not([aria-label])')].length,
  jumping: [...document.querySelectorAll('[tabindex]')].filter((each) => each.tabIndex > 0).length,
})"""


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A week of conversations: twelve bad answers, of which two are the worst, and good ones. One
    that is eight days old was worse."""
    clock = Clock()
    with running(make_settings(tmp_path_factory.mktemp("replay")), clock=clock) as proxy:
        today = clock.now
        for number in range(12):
            clock.now = today - (8 if number == 0 else number % 7) * DAY - 60
            opinion = {"thumb": "down", "reasons": ["Wrong"], "comment": f"No, not {number}."}
            texts = [f"Question {number}?", "Wait.", "Why?", f"Bad answer {number}."]
            talk(proxy, *texts, tags=["docs"], pause=2, **opinion)
            talk(proxy, f"Fine {number}?", "A good answer.", tags=["app"], thumb="up")
        clock.now = today
        wait_for(proxy.settings.server.log_path, lambda: True)
        yield proxy


def counted(page: Page) -> list[str]:
    """The clicks that are made from now on; the page's time passes when the test says so."""
    page.clock.install(time=START)
    page.clock.pause_at(START + 1)
    clicks: list[str] = []
    page.expose_function("clicked", lambda target: clicks.append(target))
    page.add_init_script("addEventListener('pointerdown', ({target}) => clicked(target.outerHTML))")
    return clicks


def played(page: Page) -> None:
    """Wait until a conversation was played to its end."""
    expect(page.locator("article").nth(3)).to_be_hidden()
    page.clock.run_for(60_000)
    expect(page.get_by_text("Step 5 of 5")).to_be_attached()
    expect(page.locator("article").nth(3)).to_be_visible()


def test_the_worst_answers_are_a_few_clicks_away(context: BrowserContext, proxy: Proxy) -> None:
    page = context.new_page()
    clicks = counted(page)
    page.goto(f"{proxy.url}/replay")
    expect(page.get_by_label("Login code")).to_be_focused()
    page.keyboard.type(code_of(proxy))
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="The ten worst answers")).to_be_visible()
    worst = page.locator(".answers > li")
    expect(worst).to_have_count(10)
    assert "Bad answer 0" not in page.content()
    seventh = worst.nth(6)
    answer = seventh.locator(".cut").inner_text()
    seventh.get_by_role("link").click()
    expect(page.locator("article:target")).to_contain_text(answer)
    expect(page.locator("article:target")).to_be_in_viewport()
    page.get_by_role("button", name="Play").click()
    played(page)
    assert 0 < len(clicks) <= MOST, clicks


def test_keys_alone_lead_there(context: BrowserContext, proxy: Proxy) -> None:
    """Type the code, skip to the content, tab to the worst answer, and play it."""
    page = context.new_page()
    clicks = counted(page)
    page.goto(f"{proxy.url}/replay")
    expect(page.get_by_label("Login code")).to_be_focused()
    page.keyboard.type(code_of(proxy))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="The ten worst answers")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    expect(page.get_by_role("link", name="Skip to the content")).to_be_in_viewport()
    page.keyboard.press("Enter")
    first = page.locator(".answers a").first
    for _ in range(8):
        page.keyboard.press("Tab")
        if first.evaluate("(link) => link === document.activeElement"):
            break
    expect(first).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("article:target")).to_be_in_viewport()
    page.keyboard.press("Space")
    played(page)
    assert clicks == []


def test_every_page_is_in_order(context: BrowserContext, proxy: Proxy) -> None:
    """Title, language, landmarks, no jumps in the order of focus, and axe finds nothing, in light
    and in dark."""
    page = context.new_page()
    page.goto(f"{proxy.url}/replay/login")
    titles = [checked(page)]
    enter(page, proxy)
    for path in PATHS:
        page.goto(f"{proxy.url}/replay{path}")
        titles.append(checked(page))
    page.goto(f"{proxy.url}/replay")
    page.locator("summary").click()
    checked(page)
    page.locator(".answers a").first.click()
    page.wait_for_url("**/threads/**")
    titles.append(checked(page))
    for summary in page.locator("summary").all():
        summary.click()
    checked(page)
    assert len(set(titles)) == 6, titles


def checked(page: Page) -> str:
    """The title of a page that is in order."""
    outline = page.evaluate(OUTLINE)
    title = str(outline.pop("title"))
    assert outline == {
        "lang": "en",
        "headings": 1,
        "landmarks": ["header", "main"],
        "unnamed": 0,
        "jumping": 0,
    }
    assert title.endswith(" · Thumbseal")
    page.emulate_media(color_scheme="light")
    found = faults(page)
    page.emulate_media(color_scheme="dark")
    found += faults(page, "color-contrast")
    assert [fault for fault in found if not any(each in fault for each in UNTOLD)] == [], page.url
    return title
