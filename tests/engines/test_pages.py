"""Pages whose messages come, grow, change and go, as frameworks make them."""

from tests.engines.stage import Stage, marked
from tests.engines.thumbs import THANKS, Thumbs
from tests.engines.traffic import ASKED

COUNT = "document.querySelectorAll('thumb-seal').length"
# Two frames: the observer's own, and the one in which its work is done.
SETTLED = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))"


def test_streamed_message(stage: Stage) -> None:
    """While a message streams in (`aria-busy`) it has no thumbs; when it is there, it has one
    pair, and its text is as the page wrote it."""
    answer = stage.answer()
    page = stage.open('<div id="chat"></div>')
    page.eval(
        """(() => {
          const message = document.createElement("p");
          message.dataset.thumbsealMessage = args[0];
          message.setAttribute("aria-busy", "true");
          find("#chat").append(message);
        })()""",
        answer["token"],
    )
    for word in ("Open ", "Settings", "."):
        page.eval("void find('#chat p').append(args[0])", word)
    page.eval(SETTLED)
    assert page.eval(COUNT) == 0
    page.eval("find('#chat p').setAttribute('aria-busy', 'false')")
    Thumbs(page).shows(None)
    page.eval(SETTLED)
    assert page.eval(COUNT) == 1
    assert page.eval("find('#chat p').textContent") == "Open Settings."


def test_removed_message(stage: Stage) -> None:
    """A framework can remove its own node with what is in it: nothing of ours stays behind."""
    page = stage.open(f'<div id="chat">{marked(stage.answer())}</div>')
    Thumbs(page).shows(None)
    page.eval("find('#chat').removeChild(find('#chat p')).nodeName")
    page.eval(SETTLED)
    assert page.eval("find('#chat').childNodes.length") == 0
    assert page.eval(COUNT) == 0


def test_rendered_again(stage: Stage) -> None:
    """A message whose content is set as HTML again has its thumbs again, with the vote shown."""
    answer = stage.answer()
    page = stage.open(marked(answer))
    thumbs = Thumbs(page)
    thumbs.down()
    thumbs.says(THANKS)
    page.eval("void (find('p').innerHTML = '<b>Open Settings.</b>')")
    thumbs.shows("down")
    assert page.eval(COUNT) == 1


def test_rendered_again_while_the_vote_is_under_way(stage: Stage) -> None:
    """A whole list that is replaced right after a click shows the vote on the new element."""
    answer = stage.answer()
    page = stage.open(f'<div id="chat">{marked(answer)}</div>')
    thumbs = Thumbs(page)
    thumbs.shows(None)
    page.eval(
        """(find("thumb-seal", "[part~=up]").click(),
          find("#chat").innerHTML = find("#chat").innerHTML, 1)"""
    )
    thumbs.shows("up")
    stage.holds(answer, thumb="up")


def test_messages_that_come_later(stage: Stage) -> None:
    """Each message that a page adds gets its own thumbs, and a vote goes to its own message."""
    first, second = stage.answer(), stage.answer()
    page = stage.open(f'<div id="chat">{marked(first)}</div>')
    page.eval("void find('#chat').insertAdjacentHTML('beforeend', args[0])", marked(second))
    thumbs = Thumbs(page, "p:nth-child(2) thumb-seal")
    thumbs.down()
    thumbs.says(THANKS)
    assert (stage.opinion(first), stage.opinion(second)) == (None, {"thumb": "down"})


def test_another_message_in_the_same_place(stage: Stage) -> None:
    """A message element that gets another token shows that one's vote, and votes for it."""
    first, second = stage.answer(), stage.answer()
    page = stage.open(marked(first))
    thumbs = Thumbs(page)
    thumbs.up()
    thumbs.says(THANKS)
    page.eval("void (find('p').dataset.thumbsealMessage = args[0])", second["token"])
    thumbs.shows(None)
    thumbs.down()
    stage.holds(second, thumb="down")
    page.eval("void (find('p').dataset.thumbsealMessage = args[0])", first["token"])
    thumbs.shows("up")
    stage.holds(first, thumb="up")


def test_message_that_loses_its_token(stage: Stage) -> None:
    """A message that is no longer marked loses its thumbs."""
    page = stage.open(marked(stage.answer()))
    Thumbs(page).shows(None)
    page.eval("void delete find('p').dataset.thumbsealMessage")
    page.wait(f"{COUNT} === 0")


def test_place_of_its_own(stage: Stage) -> None:
    """Where a message has a slot for thumbs, they go there."""
    text = "Open Settings.<span data-thumbseal-slot></span><small>just now</small>"
    page = stage.open(marked(stage.answer(), text))
    Thumbs(page, "[data-thumbseal-slot] > thumb-seal").shows(None)
    assert page.eval(COUNT) == 1


def test_element_in_the_page(stage: Stage) -> None:
    """`<thumb-seal message>` in the page's own HTML works, and no second one is added."""
    answer = stage.answer()
    element = f'<thumb-seal message="{answer["token"]}"></thumb-seal>'
    page = stage.open(marked(answer, element))
    thumbs = Thumbs(page)
    thumbs.up()
    thumbs.says(THANKS)
    assert page.eval(COUNT) == 1


def test_element_made_by_a_script(stage: Stage) -> None:
    """A framework may create the element first, and say later of which message it is."""
    answer = stage.answer()
    page = stage.open()
    page.eval(
        """(() => {
          const element = document.createElement("thumb-seal");
          document.body.append(element);
          element.setAttribute("message", args[0]);
        })()""",
        answer["token"],
    )
    thumbs = Thumbs(page)
    thumbs.up()
    thumbs.says(THANKS)
    assert stage.opinion(answer) == {"thumb": "up"}


def test_two_elements_of_one_message(stage: Stage) -> None:
    """A vote shows on every element of its message."""
    answer = stage.answer()
    page = stage.open(marked(answer, id="one") + marked(answer, id="two"))
    Thumbs(page, "#one thumb-seal").up()
    Thumbs(page, "#two thumb-seal").shows("up")


def test_moved_element(stage: Stage) -> None:
    """A message that is moved keeps its thumbs, and they still work."""
    answer = stage.answer()
    page = stage.open(f'{marked(answer)}<div id="elsewhere"></div>')
    thumbs = Thumbs(page)
    thumbs.up()
    thumbs.shows("up")
    page.eval("void find('#elsewhere').append(find('p'))")
    thumbs.shows("up")
    thumbs.down()
    stage.holds(answer, thumb="down")
    assert page.eval(COUNT) == 1


def test_messages_in_a_shadow_root(stage: Stage) -> None:
    """`attach` reaches into an open shadow root, and what it returns takes the thumbs away."""
    answer = stage.answer()
    page = stage.open('<section id="chat"></section>')
    page.eval(
        """void (find("#chat").attachShadow({mode: "open"}).innerHTML = args[0],
          window.detach = thumbseal.attach(find("#chat").shadowRoot))""",
        marked(answer),
    )
    page.click("#chat", "thumb-seal", '[aria-label="Good answer"]')
    stage.holds(answer, thumb="up")
    page.eval("detach()")
    assert page.eval("find('#chat', 'thumb-seal') === null")


def test_votes_after_a_reload(stage: Stage) -> None:
    """After a reload the votes are shown again, without a question to the server for each."""
    answers = [stage.answer() for _ in range(3)]
    body = "".join(map(marked, answers))
    page = stage.open(body)
    Thumbs(page, "p:nth-of-type(2) thumb-seal").up()
    stage.holds(answers[1], thumb="up")
    asked = len(stage.traffic.wait(ASKED, 1))
    page.reload()
    for number, thumb in enumerate((None, "up", None), start=1):
        Thumbs(page, f"p:nth-of-type({number}) thumb-seal").shows(thumb)
    assert len(stage.traffic.to(ASKED)) <= asked + 1


def test_votes_from_another_browser(stage: Stage) -> None:
    """A browser that knows nothing shows what the server knows of the messages' votes."""
    answer = stage.answer()
    page = stage.open(marked(answer))
    thumbs = Thumbs(page)
    thumbs.down()
    stage.holds(answer, thumb="down")
    page.eval("localStorage.clear()")
    page.reload()
    thumbs.shows("down")
    thumbs.down()
    stage.holds(answer)


def test_vote_in_the_other_tab(stage: Stage) -> None:
    """A vote shows in another tab with the same message at once."""
    answer = stage.answer()
    here = stage.open(marked(answer))
    there = stage.visit(stage.host.url)
    Thumbs(here).shows(None)
    Thumbs(there).up()
    Thumbs(here).shows("up")
    Thumbs(there).says(THANKS)
    Thumbs(here).press_up()
    Thumbs(there).shows(None)
    stage.holds(answer)


def test_two_tabs_take_turns(stage: Stage) -> None:
    """What two tabs have kept while the server was away is sent by one of them at a time, and
    counts once: a tab may see late that the other has sent it."""
    answers = [stage.answer() for _ in range(4)]
    body = "".join(map(marked, answers))
    tabs = [stage.open(body), stage.visit(stage.host.put(body, path="/again", head=stage.tag()))]
    with stage.offline():
        for number in range(len(answers)):
            Thumbs(tabs[number % 2], f"p:nth-of-type({number + 1}) thumb-seal").press_up()
    for answer in answers:
        stage.holds(answer, thumb="up")
    for page in tabs:
        page.wait("!Object.keys(localStorage).some((key) => key.includes(':q.'))")
    assert (stage.marks(), stage.traffic.busiest) == (len(answers), 1)
