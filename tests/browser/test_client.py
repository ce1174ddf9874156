"""The client: nothing is lost, and what the page calls does what it says."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.hosting import Site, hosted, until

# Counts what is left running in a page. The browser's own timers have no names.
COUNTING = """(() => {
  window.left = {timers: new Set(), listeners: 0};
  const {setTimeout, clearTimeout} = window;
  window.setTimeout = (call, ms, ...args) => {
    const id = setTimeout(() => { left.timers.delete(id); call(...args); }, ms);
    left.timers.add(id);
    return id;
  };
  window.clearTimeout = (id) => { left.timers.delete(id); clearTimeout(id); };
  for (const target of [window, document]) {
    const add = target.addEventListener.bind(target);
    target.addEventListener = (name, listener, options) => {
      left.listeners += 1;
      options?.signal?.addEventListener("abort", () => { left.listeners -= 1; });
      add(name, listener, options);
    };
  }
})()"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with hosted(tmp_path) as opened:
        opened.embed()
        yield opened


@pytest.fixture
def page(site: Site, context: BrowserContext) -> Page:
    return site.open(context)


def test_what_was_said_offline_survives_a_reload(site: Site, page: Page) -> None:
    """Messages and a vote made before the thread could be opened are sent by the next page, in
    order, the vote with its message."""
    page.route("**/v1/**", lambda route: route.abort())
    page.evaluate(
        """() => {
          const thread = thumbseal.openThread({id: "chat", tags: ["beta"]});
          const question = thread.trackMessage({role: "user", content: "One"});
          const answer = thread.trackMessage(
            {role: "assistant", content: "Two", replyTo: question});
          thumbseal.trackFeedback(answer, {thumb: "down"});
          thread.trackMessage({role: "user", content: "Three"});
        }"""
    )
    assert page.evaluate("thumbseal.openThread({id: 'chat'}).id") is None
    page.unroute("**/v1/**")
    page.reload()
    one, two, _ = site.records(page, "One", "Two", "Three")
    assert two.message.reply_to == one.message.message
    (told,) = site.proxy.conversations()
    assert told.tags == ("beta",)
    until(page, lambda: bool(site.proxy.conversations()[0].ratings))
    (rating,) = site.proxy.conversations()[0].ratings.values()
    assert (rating.message, rating.opinion.thumb) == (two.message.message, "down")


def test_a_conversation_goes_on_after_that(site: Site, page: Page) -> None:
    """The next page's own messages go into the same thread, after what the last one left."""
    page.route("**/v1/**", lambda route: route.abort())
    track = """thumbseal.openThread({id: "chat"}).trackMessage({role: "user", content: "%s"})"""
    page.evaluate(f"void {track % 'One'}")
    page.unroute("**/v1/**")
    page.reload()
    page.evaluate(f"void {track % 'Two'}")
    site.records(page, "One", "Two")
    assert len(site.proxy.conversations()) == 1


def test_another_tab_sends_what_waits_and_both_say_so(site: Site, context: BrowserContext) -> None:
    """A tab that cannot reach the server says "Thanks" when another tab has sent its vote."""
    token = site.answer()
    site.embed(f'<p data-thumbseal-message="{token}">A</p>')
    cut, free = site.open(context), site.open(context)
    cut.route("**/v1/events", lambda route: route.abort())
    cut.get_by_role("button", name="Good answer").click()
    expect(cut.get_by_role("status")).to_have_text("Saved, will be sent later")
    free.evaluate("thumbseal.flush()")
    expect(cut.get_by_role("status")).to_have_text("Thanks")
    assert site.opinion(token) == {"thumb": "up"}


def test_a_text_cut_inside_an_emoji_is_sent(site: Site, page: Page) -> None:
    """Half a pair of surrogates becomes a replacement character; the message is not lost."""
    page.evaluate("void thumbseal.openThread().trackMessage({role: 'user', content: 'Hi \\ud83d'})")
    site.records(page, "Hi \ufffd")


def test_the_first_question_takes_one_request_for_its_thread(site: Site, page: Page) -> None:
    """Opening a thread brings the tokens of the first messages with it; the next request records
    them."""
    page.evaluate(
        """async () => {
          const thread = thumbseal.openThread();
          const question = thread.trackMessage({role: "user", content: "Q"});
          await Promise.all([question.ready, thread.message().ready]);
        }"""
    )
    site.records(page, "Q")
    until(page, lambda: site.proxy.journal.count("POST") >= 2)  # an answer comes after its commit
    assert site.proxy.journal.count("POST") == 2


def test_who_asks_at_the_same_time_waits_for_one_turn(site: Site, page: Page) -> None:
    """The votes of all answers in a page are asked for in one turn between the tabs."""
    tokens = [site.answer() for _ in range(4)]
    turns = page.evaluate(
        """async (tokens) => {
          await thumbseal.flush();
          const request = navigator.locks.request.bind(navigator.locks);
          let turns = 0;
          navigator.locks.request = (...args) => { turns += 1; return request(...args); };
          await Promise.all(tokens.map((token) => thumbseal.getFeedback(token)));
          return turns;
        }""",
        tokens,
    )
    assert turns == 1


def test_the_page_has_the_last_word_on_an_event(site: Site, page: Page) -> None:
    """`beforeSend` may change an event, or withhold it; a hook that fails withholds it."""
    page.evaluate(
        """() => {
          thumbseal.beforeSend((event) => {
            if (event.content === "secret") return null;
            if (event.content === "odd") throw new Error("the page's own");
            return {...event, content: event.content.replace(/\\d+/, "#")};
          });
          const thread = thumbseal.openThread();
          for (const content of ["secret", "odd", "call 555"])
            thread.trackMessage({role: "user", content});
        }"""
    )
    site.records(page, "call #")
    assert not page.evaluate("JSON.stringify(localStorage).includes('secret')")


def test_a_withheld_vote_is_taken_back(site: Site, context: BrowserContext) -> None:
    """A vote that the page withholds is not shown as given."""
    token = site.answer()
    site.embed(f'<p data-thumbseal-message="{token}">A</p>')
    page = site.open(context)
    page.evaluate("thumbseal.beforeSend(() => null)")
    up = page.get_by_role("button", name="Good answer")
    up.click()
    expect(page.get_by_role("status")).to_contain_text("Not accepted")
    expect(up).to_have_attribute("aria-pressed", "false")


def test_the_page_hears_that_the_script_is_there(site: Site, context: BrowserContext) -> None:
    """`thumbseal:ready` is told on `window`, and `thumbseal.ready` resolves with the client."""
    site.embed(
        head="<script>addEventListener('thumbseal:ready', (told) => (window.heard = told))</script>"
    )
    page = site.open(context)
    assert page.evaluate("heard.detail === thumbseal")
    assert page.evaluate("thumbseal.ready.then((client) => client === thumbseal)")


def test_nothing_is_left_after_destroy(site: Site, context: BrowserContext) -> None:
    """After `destroy()`, no timer, no listener of the window or the document, no thumbs and no
    global are left, and nothing comes back."""
    token = site.answer()
    site.embed(
        f'<p data-thumbseal-message="{token}">A</p><p class="user">Q</p>',
        'data-user=".user" data-propagate="/api"',
        head=f"<script>{COUNTING}</script>",
    )
    page = site.open(context)
    page.get_by_role("button", name="Good answer").click()
    until(page, lambda: site.opinion(token) == {"thumb": "up"})
    site.records(page, "A", "Q")
    page.evaluate("thumbseal.openThread(); thumbseal.destroy()")
    page.wait_for_timeout(300)  # what was under way ends
    page.evaluate("document.body.append('more')")
    page.wait_for_timeout(300)
    assert page.evaluate("[left.timers.size, left.listeners]") == [0, 0]
    assert page.evaluate("['thumbseal' in window, document.querySelector('thumb-seal')]") == [
        False,
        None,
    ]


def test_the_pinned_tag_records(site: Site, context: BrowserContext) -> None:
    """The tag whose bytes are pinned has no settings; where a server has one site it needs none."""
    pinned = site.proxy.http.get("/embed.json").json()["pinned"]["support"]
    site.html = f"<!doctype html>{pinned}"
    page = site.open(context)
    page.evaluate("void thumbseal.openThread().trackMessage({role: 'user', content: 'Q'})")
    site.records(page, "Q")
