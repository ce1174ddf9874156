"""Recording a conversation from the page itself, by two selectors."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.hosting import Site, hosted, until

SELECTORS = 'data-user=".user" data-assistant=".bot"'
# What a chat's own script does: it knows nothing of the widget.
CHAT = """<div id="chat"></div><script>
  const say = (role, text, busy) => {
    const message = document.createElement("div");
    message.className = role;
    message.textContent = text;
    if (busy) message.setAttribute("aria-busy", "true");
    chat.append(message);
    return message;
  };
  const draw = (...texts) => chat.replaceChildren(
    ...texts.map((text, index) => say(index % 2 ? "bot" : "user", text)));
</script>"""
QUESTION, ANSWER = "How do I vote?", "Press a thumb."


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with hosted(tmp_path) as opened:
        opened.embed(CHAT, SELECTORS)
        yield opened


@pytest.fixture
def page(site: Site, context: BrowserContext) -> Page:
    """A page whose first exchange is recorded."""
    opened = site.open(context)
    opened.evaluate("texts => draw(...texts)", [QUESTION, ANSWER])
    site.records(opened, QUESTION, ANSWER)
    expect(opened.locator(".bot > thumb-seal")).to_have_count(1)
    return opened


def test_an_exchange_is_recorded_and_votable(site: Site, page: Page) -> None:
    """Question and answer are recorded in one thread, the answer to its question, with thumbs
    inside the answer alone."""
    asked, answered = site.turns()
    assert [asked.message.role, answered.message.role] == ["user", "assistant"]
    assert len(site.proxy.conversations()) == 1
    assert answered.message.reply_to == asked.message.message
    expect(page.locator("thumb-seal")).to_have_count(1)
    token = page.locator("thumb-seal").get_attribute("message")
    page.get_by_role("button", name="Good answer").click()
    page.evaluate("thumbseal.flush()")
    assert token
    assert site.opinion(token) == {"thumb": "up"}


@pytest.mark.parametrize("attribute", ["aria-busy", "data-thumbseal-streaming"])
def test_a_streamed_answer_is_recorded_once_it_is_whole(
    site: Site, page: Page, attribute: str
) -> None:
    """While an answer is marked as streaming, it has no thumbs and is not recorded, however long
    it pauses."""
    page.evaluate("draw('Q')")
    page.evaluate("name => (window.last = say('bot', 'One')).setAttribute(name, 'true')", attribute)
    site.records(page, QUESTION, ANSWER, "Q")
    page.wait_for_timeout(1500)  # longer than a text needs to settle
    assert site.texts() == [QUESTION, ANSWER, "Q"]
    assert page.locator("thumb-seal").count() == 0
    page.evaluate("name => { last.append(' two.'); last.removeAttribute(name); }", attribute)
    site.records(page, QUESTION, ANSWER, "Q", "One two.")


def test_an_unmarked_stream_is_recorded_once_it_rests(site: Site, page: Page) -> None:
    """Where nothing marks the streaming, the text is recorded when it has stopped changing."""
    page.evaluate(
        """async (texts) => {
          draw(...texts, "Q", "");
          for (let count = 0; count < 30; count++) {
            chat.lastChild.append("word ");
            await new Promise((resolve) => setTimeout(resolve, 80));
          }
        }""",
        [QUESTION, ANSWER],
    )
    site.records(page, QUESTION, ANSWER, "Q", ("word " * 30).strip())


@pytest.mark.parametrize("render", ["draw(...texts)", "chat.innerHTML = chat.innerHTML"])
def test_a_new_rendering_is_not_a_new_message(site: Site, page: Page, render: str) -> None:
    """Elements that are made anew with the same texts are the same messages: their thumbs come
    back, and nothing is recorded again."""
    token = page.locator("thumb-seal").get_attribute("message")
    page.get_by_role("button", name="Good answer").click()
    page.evaluate(f"texts => {{ {render}; }}", [QUESTION, ANSWER])
    thumbs = page.locator(".bot > thumb-seal")
    expect(thumbs).to_have_count(1)
    expect(thumbs).to_have_attribute("message", token or "")
    expect(page.get_by_role("button", name="Good answer")).to_have_attribute("aria-pressed", "true")
    page.evaluate("say('user', 'More?')")
    site.records(page, QUESTION, ANSWER, "More?")


def test_a_reload_records_nothing_again(site: Site, page: Page) -> None:
    """A chat that shows its history after a reload has the same messages and goes on with them in
    the same thread."""
    token = page.locator("thumb-seal").get_attribute("message")
    page.reload()
    page.evaluate("texts => draw(...texts)", [QUESTION, ANSWER])
    expect(page.locator("thumb-seal")).to_have_attribute("message", token or "")
    page.evaluate("say('user', 'More?')")
    site.records(page, QUESTION, ANSWER, "More?")
    assert len(site.proxy.conversations()) == 1


@pytest.mark.parametrize(
    "how", ["chat.lastChild.textContent = 'Better.'", "draw(first, 'Better.')"]
)
def test_a_regenerated_answer_is_a_retry(site: Site, page: Page, how: str) -> None:
    """Another answer in the place of the first is recorded as its retry, in place or rendered
    anew."""
    page.evaluate(f"first => {{ {how}; }}", QUESTION)
    asked, first, second = site.records(page, QUESTION, ANSWER, "Better.")
    assert second.message.retry_of == first.message.message
    assert second.message.reply_to == asked.message.message
    page.evaluate("texts => draw(...texts)", [QUESTION, ANSWER])  # "show the first version"
    page.evaluate("say('user', 'More?')")
    site.records(page, QUESTION, ANSWER, "Better.", "More?")


def test_an_edited_question_is_a_retry(site: Site, page: Page) -> None:
    """A question that is edited in its place is recorded as a new one in the place of the old."""
    page.evaluate("chat.firstChild.textContent = 'Edited?'; chat.lastChild.remove()")
    first, _, edited = site.records(page, QUESTION, ANSWER, "Edited?")
    assert edited.message.retry_of == first.message.message


def test_another_conversation_is_another_thread(site: Site, page: Page) -> None:
    """A chat that is cleared and begun anew goes into a thread of its own."""
    page.evaluate("draw('Something else?', 'Yes.')")
    site.records(page, QUESTION, ANSWER, "Something else?", "Yes.")
    assert len(site.proxy.conversations()) == 2


def test_what_the_page_records_is_not_captured(site: Site, context: BrowserContext) -> None:
    """A role that the page records by itself is never recorded a second time, nor after a
    reload."""
    page = site.open(context)
    page.evaluate(
        """() => {
          const thread = thumbseal.openThread({id: "mine"});
          thread.trackMessage({role: "user", content: "Mine."});
          draw("Mine.", "An answer.");
        }"""
    )
    site.records(page, "Mine.", "An answer.")
    page.reload()
    page.evaluate("draw('Mine.', 'An answer.', 'Mine too.', 'Another.')")
    site.records(page, "Mine.", "An answer.", "Another.")


def test_a_history_settles_at_once(site: Site, context: BrowserContext) -> None:
    """However long the conversation that a page opens with, its thumbs come together."""
    texts = [f"{side}{number}" for number in range(6) for side in ("Q", "A")]
    body = "".join(f'<p class="{"u" if text[0] == "Q" else "a"}">{text}</p>' for text in texts)
    site.embed(body, 'data-user=".u" data-assistant=".a"')
    page = site.open(context)
    page.clock.install()
    page.wait_for_function("window.thumbseal")
    until(page, lambda: bool(site.proxy.journal.count("POST")))
    page.clock.run_for(2_200)
    site.records(page, *texts)
    page.clock.run_for(1_100)
    expect(page.locator("thumb-seal")).to_have_count(6)
