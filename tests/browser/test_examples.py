"""The examples that need nothing but a browser, as their readers run them."""

from pathlib import Path

from playwright.sync_api import BrowserContext, expect

from tests.example import press, pressed, started

PLAIN = (
    "How do I reset my password?",
    "Open Settings, choose Security, and press Reset password.",
)


def test_plain_html(tmp_path: Path, context: BrowserContext) -> None:
    """One tag records the conversation of a plain page; the vote is there after a reload, which
    records nothing anew."""
    with started("html", tmp_path) as example:
        page = example.open(context)
        thumbs = page.locator("thumb-seal")
        press(thumbs, "Good answer")
        example.records(page, *PLAIN)
        assert example.opinions() == {PLAIN[1]: {"thumb": "up"}}

        page.reload()
        pressed(thumbs, "Good answer")
        page.evaluate("thumbseal.flush()")
        assert example.texts() == list(PLAIN)


def test_strict_policy(tmp_path: Path, context: BrowserContext) -> None:
    """Under the strictest policy a vote and a comment make their whole way, and the browser
    reports nothing but what the page then breaks on purpose."""
    context.add_init_script(
        """window.violations = []; addEventListener("securitypolicyviolation",
          (event) => violations.push(event.effectiveDirective));"""
    )
    with started("strict-csp", tmp_path) as example:
        page = example.open(context)
        thumbs = page.locator("thumb-seal")
        press(thumbs, "Bad answer")
        thumbs.get_by_role("textbox", name="Comment").fill("There is no Security page.")
        thumbs.get_by_role("button", name="Send").click()
        expect(thumbs.locator("form")).to_have_count(0)
        page.evaluate("thumbseal.flush()")
        example.records(page, *PLAIN)
        opinion = {"thumb": "down", "comment": "There is no Security page."}
        assert example.opinions() == {PLAIN[1]: opinion}
        assert page.evaluate("violations") == []

        page.reload()
        pressed(thumbs, "Bad answer")
        assert page.evaluate("crossOriginIsolated")
        assert page.evaluate("violations") == []
        page.evaluate("document.body.setAttribute('style', 'color: red')")
        page.evaluate("try { document.body.innerHTML = '<b>'; } catch { }")
        page.wait_for_function("violations.length === 2")
        assert page.evaluate("violations.sort()") == ["require-trusted-types-for", "style-src-attr"]
        example.trouble.clear()  # what the page broke just now


def test_theming(tmp_path: Path, context: BrowserContext) -> None:
    """Each of the seven looks takes a vote on the text above it."""
    with started("theming", tmp_path) as example:
        page = example.open(context)
        looks = page.locator("thumb-seal")
        for look in looks.all():
            press(look, "Good answer")
        page.evaluate("thumbseal.flush()")
        assert looks.count() == 7
        assert list(example.opinions().values()) == [{"thumb": "up"}] * 7
