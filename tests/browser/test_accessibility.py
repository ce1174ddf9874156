"""WCAG 2.2 AA, box by box: names, focus, contrast, size, and what a screen reader is told."""

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from tests.browser.chat import REASONS, Chat, chatting, press_down, thumb
from tests.example import FOLDER, PROXY

EXAMPLE = FOLDER / "theming/index.html"
AXE = (files("axe_playwright_python") / "axe.min.js").read_text("utf-8")
CONTRASTS = (Path(__file__).parent / "contrast.js").read_text("utf-8")
LEAST = {"text": 4.5, "icon": 3.0, "edge": 3.0, "ring": 3.0}  # WCAG 2.2: 1.4.3 and 1.4.11
MODES: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "forced": {"forced_colors": "active"},
}
# The faintest text that a page may have by itself: 4.54 on white, 4.52 on black-ish.
FAINT = "html{background:light-dark(#fff,#121212);color:light-dark(#767676,#7d7d7d)}"
SPACED = """html{font-size:200%} *{line-height:1.5!important;letter-spacing:.12em!important;
word-spacing:.16em!important}"""


@pytest.fixture
def chat(tmp_path: Path) -> Iterator[Chat]:
    with chatting(tmp_path) as opened:
        yield opened


@pytest.fixture(params=MODES)
def coloured(request: pytest.FixtureRequest, browser: Browser) -> Iterator[BrowserContext]:
    """A browser in light, dark, or forced colours."""
    with browser.new_context(**MODES[request.param]) as context:
        context.set_default_timeout(10_000)
        yield context


def faults(page: Page, *only: str) -> list[str]:
    """What axe finds wrong, and what it cannot tell, by all rules or these."""
    if not page.evaluate("'axe' in globalThis"):
        page.evaluate(AXE)
    found = page.evaluate("(only) => axe.run(only.length ? {runOnly: only} : {})", only)
    rules = [rule for kind in ("violations", "incomplete") for rule in found[kind]]
    return [
        f"{rule['id']}: {node['html']} {[check['message'] for check in node['any']]}"
        for rule in rules
        for node in rule["nodes"]
    ]


def readable(thumbs: Locator, *kinds: str) -> None:
    measured = thumbs.evaluate(CONTRASTS)
    assert {each["kind"] for each in measured} >= set(kinds)
    assert [each for each in measured if each["ratio"] < LEAST[each["kind"]]] == []


def filled(thumbs: Locator) -> None:
    """Vote, open the form and write into it."""
    press_down(thumbs)
    thumbs.get_by_role("checkbox", name="Wrong").check()
    thumbs.get_by_role("textbox").fill("Mine is called Plans.")


def test_axe_finds_nothing(chat: Chat, coloured: BrowserContext) -> None:
    """No violation and nothing left open, before a vote and with the form open."""
    page, thumbs = chat.open(coloured)
    expect(thumb(thumbs, "up")).to_be_visible()
    assert faults(page) == []
    filled(thumbs)
    assert faults(page) == []


def test_the_example_keeps_to_it(chat: Chat, coloured: BrowserContext) -> None:
    """The theming example works, and none of its looks loses anything to axe or to the contrast
    test."""
    html = EXAMPLE.read_text("utf-8")
    page = chat.show(coloured, html.replace(PROXY, chat.proxy.url))
    looks = page.locator("thumb-seal").all()
    for thumbs in looks:
        press_down(thumbs)
        expect(thumbs.locator("form")).to_be_visible()
        readable(thumbs, "text", "edge")
    assert len(looks) == 7
    assert faults(page) == []


def test_everything_can_be_seen(chat: Chat, coloured: BrowserContext) -> None:
    """On a page whose own text is as faint as it may be, every text has 4.5:1, every icon, edge
    and focus ring 3:1: before a vote, after it, in the form, under the pointer."""
    page, thumbs = chat.open(coloured, style=FAINT)
    expect(thumb(thumbs, "up")).to_be_visible()
    readable(thumbs, "icon")
    thumb(thumbs, "up").hover()
    readable(thumbs, "icon")
    filled(thumbs)
    readable(thumbs, "icon", "text", "edge", "ring")
    for part in ("send", "cancel", "down"):
        thumbs.locator(f"[part~={part}]").hover()
        readable(thumbs, "icon", "text", "edge", "ring")
    for _ in range(2):
        page.keyboard.press("Tab")
        readable(thumbs, "ring")


def test_a_screen_reader_reads_it(chat: Chat, context: BrowserContext) -> None:
    """A named group of toggle buttons whose names stay; a named group of fields with labels; the
    field's limit is in its name."""
    _, thumbs = chat.open(context)
    filled(thumbs)
    expect(thumbs).to_match_aria_snapshot("""
      - group "Rate this answer":
        - button "Good answer"
        - button "Bad answer" [pressed]
        - button "Tell us more" [expanded]
        - status: Thanks
        - group "Tell us more":
          - checkbox "Wrong" [checked]
          - checkbox "Unsafe"
          - checkbox "Not helpful"
          - textbox "Comment, up to 2000 characters": Mine is called Plans.
          - button "Send"
          - button "Cancel"
    """)
    expect(thumbs.get_by_role("textbox")).to_have_attribute("maxlength", "2000")


def test_thumbs_are_named_at_once(chat: Chat, context: BrowserContext) -> None:
    """Thumbs that a script adds have names and states before anything else runs, and what is so
    already is not written again: a browser would style a page of a thousand answers twice."""
    page, thumbs = chat.open(context)
    expect(thumb(thumbs, "up")).to_be_visible()
    label, buttons, written = page.evaluate(
        """async (token) => {
          const thumbs = document.createElement("thumb-seal");
          thumbs.setAttribute("message", token);
          document.body.append(thumbs);
          const group = thumbs.shadowRoot.querySelector("[role=group]");
          const buttons = [...group.querySelectorAll("button")]
            .map((button) => [button.ariaLabel, button.title, button.ariaPressed]);
          const written = [];
          new MutationObserver((records) => written.push(...records.map((r) => r.attributeName)))
            .observe(group, {attributes: true, subtree: true});
          await thumbseal.flush();
          await new Promise(requestAnimationFrame);
          return [group.ariaLabel, buttons, written];
        }""",
        chat.token,
    )
    assert label == "Rate this answer"
    assert buttons == [[name, name, "false"] for name in ("Good answer", "Bad answer")]
    assert written == []


def test_the_keyboard_reaches_everything(chat: Chat, context: BrowserContext) -> None:
    """Tab goes through it in the order of sight and out again; Space and Enter press."""
    page, thumbs = chat.open(context)
    expect(thumb(thumbs, "up")).to_be_visible()
    page.keyboard.press("Tab")
    expect(thumb(thumbs, "up")).to_be_focused()
    page.keyboard.press("Space")
    expect(thumb(thumbs, "up")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(thumb(thumbs, "up")).to_have_attribute("aria-pressed", "false")
    for reason in REASONS:
        expect(thumbs.get_by_role("checkbox", name=reason)).to_be_focused()
        page.keyboard.press("Tab")
    for name in ("field", "send", "cancel"):
        expect(thumbs.locator(f"[part={name}]")).to_be_focused()
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement === document.body")


def test_what_is_said_is_heard(chat: Chat, context: BrowserContext) -> None:
    """The status is there, empty and silent, before its text; each text comes into an empty one;
    an undone vote is told as such; it is cleared in the end. The host is no live region."""
    page, thumbs = chat.open(context)
    status = thumbs.get_by_role("status")
    expect(status).to_have_count(1)
    expect(status).to_be_empty()
    page.clock.install()
    status.evaluate("""(status) => {
      told = [];
      new MutationObserver(() => told.push(status.textContent)).observe(status, {childList: true});
    }""")
    thumb(thumbs, "up").click()
    page.evaluate("thumbseal.flush()")
    page.clock.run_for(60)
    thumb(thumbs, "up").click()
    page.evaluate("thumbseal.flush()")
    page.clock.run_for(60)
    page.clock.run_for(5100)
    assert page.evaluate("told") == ["Thanks", "", "Vote removed", ""]
    assert thumbs.get_attribute("aria-live") is None


@pytest.mark.parametrize(("touch", "least"), [(False, 32), (True, 44)])
def test_targets_are_large_enough(chat: Chat, browser: Browser, touch: bool, least: int) -> None:
    """Thumbs are 32 pixels wide and high, 44 for fingers, and nothing is below 24."""
    with browser.new_context(has_touch=touch, is_mobile=touch) as context:
        _, thumbs = chat.open(context)
        press_down(thumbs)
        for button in thumbs.locator("[part~=button]").all():
            box = button.bounding_box()
            assert box
            assert min(box["width"], box["height"]) >= least
        for control in thumbs.locator("[part=reason], [part=send], [part=cancel]").all():
            box = control.bounding_box()
            assert box
            assert min(box["width"], box["height"]) >= 24


def test_large_text_stays_whole(chat: Chat, browser: Browser) -> None:
    """320 pixels wide, text twice as large and spaced out: nothing is cut or beside the page."""
    with browser.new_context(viewport={"width": 320, "height": 640}) as context:
        page, thumbs = chat.open(context, html='lang="de"', style=SPACED)
        press_down(thumbs)
        expect(thumbs.locator("form")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 320
        assert (
            thumbs.evaluate("""({ shadowRoot }) => [...shadowRoot.querySelectorAll("*")]
          .filter((node) => node.clientWidth && node.scrollWidth > node.clientWidth)
          .map((node) => node.localName)""")
            == []
        )


def test_closed_thumbs_say_so(chat: Chat, context: BrowserContext) -> None:
    """A disabled element is still reached by keyboard; a press says why it does nothing."""
    _, thumbs = chat.open(context, disabled="")
    expect(thumb(thumbs, "up")).to_have_attribute("aria-disabled", "true")
    thumb(thumbs, "up").focus()
    thumb(thumbs, "up").press("Enter")
    expect(thumbs.get_by_role("status")).to_have_text("Rating is closed")
    expect(thumb(thumbs, "up")).to_have_attribute("aria-pressed", "false")
    assert chat.recorded() == {}
    thumbs.evaluate("(thumbs) => thumbs.removeAttribute('disabled')")
    expect(thumb(thumbs, "up")).to_have_attribute("aria-disabled", "false")


def test_nothing_moves_and_nothing_is_printed(chat: Chat, context: BrowserContext) -> None:
    """No animation and no transition for anybody; on paper the thumbs are gone."""
    page, thumbs = chat.open(context)
    press_down(thumbs)
    assert (
        thumbs.evaluate("""({ shadowRoot }) => [...shadowRoot.querySelectorAll("*")]
      .map((node) => getComputedStyle(node))
      .filter((style) => parseFloat(style.transitionDuration) || style.animationName !== "none")
      .length""")
        == 0
    )
    page.emulate_media(media="print")
    expect(thumbs).to_be_hidden()
