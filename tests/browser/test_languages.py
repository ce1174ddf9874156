"""The widget speaks the language of the page around it."""

import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, expect

from tests.browser.chat import Chat, chatting, press_down, thumb

SOURCES = files("thumbseal_widget")
LANGUAGES = {
    "ar": "إجابة جيدة",
    "de": "Gute Antwort",
    "es": "Buena respuesta",
    "fr": "Bonne réponse",
    "hi": "अच्छा जवाब",
    "it": "Risposta buona",
    "ja": "良い回答",
    "nl": "Goed antwoord",
    "pl": "Dobra odpowiedź",
    "pt": "Boa resposta",
    "zh": "回答得好",
}
ENGLISH = "Good answer"
LINE = re.compile(r'^  (\w+): "([^"\\]*)",$', re.MULTILINE)


def texts(name: str) -> dict[str, str]:
    """The texts in a file, by key."""
    return dict(LINE.findall((SOURCES / name).read_text("utf-8")))


def in_english() -> dict[str, str]:
    return texts("strings.js") | texts("form.js")


@pytest.fixture
def chat(tmp_path: Path) -> Iterator[Chat]:
    with chatting(tmp_path) as opened:
        yield opened


def speaks(thumbs: Locator, good: str, lang: str) -> None:
    expect(thumb(thumbs, "up")).to_have_attribute("aria-label", good)
    expect(thumbs.get_by_role("group").first).to_have_attribute("lang", lang)


@pytest.mark.parametrize("lang", LANGUAGES)
def test_a_file_has_every_text(lang: str) -> None:
    """A translator's file has the keys of the English texts in their order, each translated, and
    the limit that the field has; nothing else is in it."""
    found, english = texts(f"languages/{lang}.mjs"), in_english()
    assert sorted(found) == sorted(english)
    assert all(found.values())
    assert found["lang"] == lang
    assert found["dir"] == ("rtl" if lang == "ar" else "ltr")
    assert "2000" in found["comment"]
    same = {key for key, text in found.items() if text == english[key]}
    assert same <= {"dir"}
    whole = (SOURCES / f"languages/{lang}.mjs").read_text("utf-8")
    assert LINE.sub("", whole).split() == ["export", "default", "{", "};"]


def test_the_script_knows_its_languages() -> None:
    """It asks the server for the languages that there are, and for no other."""
    there = sorted(file.name.removesuffix(".mjs") for file in (SOURCES / "languages").iterdir())
    (known,) = re.findall(r"\^\(([a-z|]+)\)", (SOURCES / "strings.js").read_text("utf-8"))
    assert there == sorted(LANGUAGES) == known.split("|")


@pytest.mark.parametrize(("lang", "good"), LANGUAGES.items())
def test_the_page_is_spoken_to_in_its_language(
    chat: Chat, context: BrowserContext, lang: str, good: str
) -> None:
    """Names, form and answer are in the page's language, and are marked as being in it."""
    _, thumbs = chat.open(context, html=f'lang="{lang}-XX"')
    speaks(thumbs, good, lang)
    press_down(thumbs)
    told = texts(f"languages/{lang}.mjs")
    expect(thumbs.get_by_role("status")).to_have_text(told["sent"])
    expect(thumbs.locator("legend")).to_have_text(told["more"])
    expect(thumbs.locator("[part=comment]")).to_have_text(told["comment"])
    expect(thumbs.locator("[part=send]")).to_have_text(told["send"])
    expect(thumbs.locator("[part=cancel]")).to_have_text(told["cancel"])


def test_the_nearest_language_wins(chat: Chat, context: BrowserContext) -> None:
    """The element's own `lang`, now and when it changes, then the tag's, then the page's."""
    _, thumbs = chat.open(context, html='lang="de"', lang="fr")
    speaks(thumbs, LANGUAGES["fr"], "fr")
    thumbs.evaluate("(thumbs) => { thumbs.lang = 'nl'; }")
    speaks(thumbs, LANGUAGES["nl"], "nl")
    _, thumbs = chat.open(context, html='lang="de"', tag='data-lang="pl"')
    speaks(thumbs, LANGUAGES["pl"], "pl")


def test_a_page_of_no_language_is_spoken_to_in_the_browsers(chat: Chat, browser: Browser) -> None:
    """The browser's own, where nothing says what the page is in."""
    with browser.new_context(locale="it-IT") as context:
        _, thumbs = chat.open(context, html="")
        speaks(thumbs, LANGUAGES["it"], "it")


def test_an_unknown_language_gets_english(chat: Chat, context: BrowserContext) -> None:
    """English, marked as such, and no request for what is not there."""
    page, thumbs = chat.open(context, html='lang="sv"')
    press_down(thumbs)
    speaks(thumbs, ENGLISH, "en")
    assert not page.evaluate("""performance.getEntriesByType("resource").some(
      ({ name }) => name.includes("/languages/sv"))""")


def test_english_runs_as_the_page_does(chat: Chat, context: BrowserContext) -> None:
    """In a page from right to left whose language there is not, the thumbs stand as the page."""
    _, thumbs = chat.open(context, html='lang="he" dir="rtl"')
    speaks(thumbs, ENGLISH, "en")
    up, down = (thumb(thumbs, name).bounding_box() for name in ("up", "down"))
    assert up
    assert down
    assert up["x"] > down["x"]


def test_a_language_that_does_not_load_disturbs_nothing(
    chat: Chat, context: BrowserContext
) -> None:
    """The texts stay English, the vote counts, and the page sees no error."""
    context.route("**/languages/*", lambda route: route.abort())
    context.add_init_script("""failures = [];
      addEventListener("error", (event) => failures.push(event.message));
      addEventListener("unhandledrejection", (event) => failures.push(`${event.reason}`));""")
    page, thumbs = chat.open(context, html='lang="de"')
    press_down(thumbs)
    speaks(thumbs, ENGLISH, "en")
    page.evaluate("thumbseal.flush()")
    assert page.evaluate("failures") == []
    assert chat.recorded() == {"thumb": "down"}


def test_arabic_runs_from_right_to_left(chat: Chat, context: BrowserContext) -> None:
    """Also where the page does not say so: the first thumb is the rightmost, the form's words
    begin at its right."""
    _, thumbs = chat.open(context, html='lang="ar"')
    speaks(thumbs, LANGUAGES["ar"], "ar")
    press_down(thumbs)
    up, down = (thumb(thumbs, name).bounding_box() for name in ("up", "down"))
    assert up
    assert down
    assert up["x"] > down["x"]
    field = thumbs.get_by_role("textbox")
    assert field.evaluate("(field) => getComputedStyle(field).direction") == "rtl"
