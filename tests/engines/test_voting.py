"""A person votes."""

from tests.engines.stage import Stage, marked
from tests.engines.thumbs import DOWN, REFUSED, REMOVED, STATUS, THANKS, UP, Thumbs
from tests.engines.traffic import EVENTS, Hold

DAY = 24 * 3600


def test_a_click_is_recorded_and_thanked_for(stage: Stage) -> None:
    """A click on a thumb shows, is acknowledged in words, and is in the log."""
    answer = stage.answer()
    thumbs = Thumbs(stage.open(marked(answer)))
    thumbs.shows(None)
    thumbs.up()
    thumbs.shows("up")
    thumbs.says(THANKS)
    assert stage.opinion(answer) == {"thumb": "up"}


def test_the_thumb_turns_before_the_server_answers(stage: Stage) -> None:
    """A click shows at once, also where the server takes its time."""
    answer = stage.answer()
    thumbs = Thumbs(stage.open(marked(answer)))
    stage.traffic.plan(EVENTS, hold := Hold())
    thumbs.down()
    thumbs.shows("down")
    assert not stage.opinion(answer)
    hold.release()
    thumbs.says(THANKS)


def test_the_pressed_thumb_takes_the_vote_back(stage: Stage) -> None:
    """A second click on the pressed thumb takes the vote back, and says so."""
    answer = stage.answer()
    thumbs = Thumbs(stage.open(marked(answer)))
    thumbs.down()
    thumbs.says(THANKS)
    thumbs.down()
    thumbs.shows(None)
    thumbs.says(REMOVED)
    assert not stage.opinion(answer)


def test_the_other_thumb_replaces_the_vote(stage: Stage) -> None:
    """A click on the other thumb replaces the vote: never are both pressed."""
    answer = stage.answer()
    thumbs = Thumbs(stage.open(marked(answer)))
    thumbs.up()
    thumbs.shows("up")
    thumbs.down()
    thumbs.shows("down")
    stage.holds(answer, thumb="down")


def test_the_last_of_two_quick_clicks_wins(stage: Stage) -> None:
    """A vote made while the one before is on a slow way still is the last word."""
    answer = stage.answer()
    thumbs = Thumbs(stage.open(marked(answer)))
    stage.traffic.plan(EVENTS, slow := Hold(), quick := Hold())
    thumbs.up()
    stage.traffic.wait(EVENTS, 1)
    thumbs.down()
    stage.clock.now = 2  # the first request arrives two seconds after it was sent
    slow.release()
    stage.traffic.wait(EVENTS, 2)
    stage.clock.now = 0  # and the second at once
    quick.release()
    stage.holds(answer, thumb="down")
    thumbs.says(THANKS)
    thumbs.shows("down")


def test_keyboard_alone_suffices(stage: Stage) -> None:
    """Tab reaches both thumbs; Enter and Space vote, and take the vote back."""
    answer = stage.answer()
    page = stage.open(marked(answer))
    thumbs = Thumbs(page)
    thumbs.shows(None)
    page.press("Tab")
    page.press("Enter")
    thumbs.shows("up")
    page.press("Space")
    thumbs.shows(None)
    page.press("Tab")
    page.press("Shift+Tab")
    page.press("Space")
    thumbs.shows("up")
    page.press("Tab")
    page.press("Enter")
    thumbs.shows("down")
    stage.holds(answer, thumb="down")


def test_focus_stays_and_is_visible(stage: Stage) -> None:
    """A vote leaves the focus on the thumb that was pressed, and its outline shows."""
    page = stage.open(marked(stage.answer()))
    thumbs = Thumbs(page)
    thumbs.shows(None)
    page.press("Tab")
    page.press("Enter")
    thumbs.says(THANKS)
    focused = "thumbs.shadowRoot.activeElement"
    assert thumbs.eval(f"{focused}.getAttribute('aria-label')") == "Good answer"
    style = f"getComputedStyle(find('thumb-seal').{focused.removeprefix('thumbs.')})"
    page.wait(f"{style}.outlineStyle === 'solid' && parseFloat({style}.outlineWidth) >= 2")


def test_names_and_states_for_assistive_technology(stage: Stage) -> None:
    """A named group of two native buttons: their names stay, `aria-pressed` tells the state. They
    belong to no form of the page's, which they would submit."""
    page = stage.open(f"<form>{marked(stage.answer())}</form>")
    thumbs = Thumbs(page)
    thumbs.shows(None)
    names = (
        "[...thumbs.shadowRoot.querySelectorAll('[role=group] [aria-pressed]')]"
        ".map((button) => button.matches('button') && !button.form && button.ariaLabel)"
    )
    assert thumbs.eval(names) == ["Good answer", "Bad answer"]
    assert page.eval("find('thumb-seal', '[role=group]').ariaLabel") == "Rate this answer"
    thumbs.up()
    thumbs.shows("up")
    assert thumbs.eval(names) == ["Good answer", "Bad answer"]


def test_the_live_region_is_there_first_and_empty(stage: Stage) -> None:
    """The status is in the page before it has a text, is emptied before each, and says each once:
    else a screen reader keeps silent, or repeats itself."""
    page = stage.open(marked(stage.answer()))
    thumbs = Thumbs(page)
    thumbs.shows(None)
    assert page.eval("find(...args).textContent", "thumb-seal", STATUS) == ""
    page.eval(
        """{said: window.said = [], seen: new MutationObserver(() => said.push(
          find("thumb-seal", "[role=status]").textContent)).observe(
          find("thumb-seal", "[role=status]"), {childList: true, characterData: true,
          subtree: true})}.said"""
    )
    thumbs.up()
    thumbs.says(THANKS)
    thumbs.down()
    page.wait("said.filter(Boolean).length === 2")
    spoken = [text for text in page.eval("said")]
    assert [text for text in spoken if text] == [THANKS, THANKS]
    assert "" in spoken[spoken.index(THANKS) :], "the second text came without a pause"


def test_a_refused_vote_gives_way_to_the_one_before(stage: Stage) -> None:
    """A vote that the server refuses for good is taken back to the previous one, and said so."""
    answer = stage.answer()
    page = stage.open(marked(answer))
    thumbs = Thumbs(page)
    thumbs.up()
    thumbs.says(THANKS)
    stage.clock.now += 91 * DAY  # the message's token has expired
    thumbs.down()
    thumbs.says(REFUSED)
    thumbs.shows("up")
    page.reload()
    thumbs.shows("up")


def test_a_refused_first_vote_leaves_none(stage: Stage) -> None:
    """Where there was no vote before, a refused one leaves no thumb pressed."""
    answer = stage.answer()
    thumbs = Thumbs(stage.open(marked(answer)))
    thumbs.shows(None)
    stage.clock.now += 91 * DAY
    thumbs.up()
    thumbs.says(REFUSED)
    thumbs.shows(None)


def test_a_page_can_cancel_a_vote(stage: Stage) -> None:
    """`thumbseal-change` can be cancelled: then nothing shows, and nothing is sent."""
    answer = stage.answer()
    page = stage.open(marked(answer))
    thumbs = Thumbs(page)
    page.eval("void addEventListener('thumbseal-change', (event) => event.preventDefault())")
    thumbs.up()
    thumbs.shows(None)
    page.eval("thumbseal.flush()")
    assert not stage.traffic.to(EVENTS)


def test_elements_tell_the_page(stage: Stage) -> None:
    """The page hears of a vote and of its arrival, with ids, state and previous state, on any
    ancestor of the element."""
    answer = stage.answer()
    page = stage.open(marked(answer))
    page.eval(
        """["change", "sent", "error"].forEach((name) => addEventListener("thumbseal-" + name,
          (event) => (window.heard ??= []).push([name, event.detail])))"""
    )
    thumbs = Thumbs(page)
    thumbs.up()
    page.wait("window.heard?.length === 2")
    thumbs.down()
    page.wait("heard.length === 4")
    about = {"message": answer["id"], "token": answer["token"]}
    heard = page.eval("heard")
    assert [name for name, _ in heard] == ["change", "sent", "change", "sent"]
    assert heard[0][1] == {**about, "thumb": "up", "previous": None}
    assert heard[1][1] | {**about, "thumb": "up"} == heard[1][1]
    assert heard[2][1] == {**about, "thumb": "down", "previous": "up"}


def test_a_pressed_thumb_looks_pressed(stage: Stage) -> None:
    """Which thumb is pressed can be seen: it alone is filled."""
    page = stage.open(marked(stage.answer()))
    for thumb, other in ((UP, DOWN), (DOWN, UP)):
        page.click("thumb-seal", thumb)
        page.eval("void find(...args).blur()", "thumb-seal", thumb)
        filled = "getComputedStyle(find('thumb-seal', args[%d], 'svg')).fill !== 'none'"
        page.wait(f"{filled % 0} && !({filled % 1})", thumb, other)
