"""Votes and messages on a bad way: nothing is lost, nothing counts twice."""

from typing import Final

import pytest

from tests.engines.page import until
from tests.engines.stage import QUEUED, Stage, marked
from tests.engines.thumbs import REFUSED, SAVED, THANKS, Thumbs
from tests.engines.traffic import (
    ASKED,
    EVENTS,
    Fault,
    Hold,
    answer,
    drop,
    hang,
    lose,
    refuse,
)

BUSY: Final = refuse(503, "unavailable", retry=True)
SAY: Final = """(() => {
  const thread = thumbseal.openThread({id: "c"});
  args[0].forEach((content) => thread.trackMessage({role: "user", content}));
})()"""


def test_offline_and_back(stage: Stage) -> None:
    """A vote made offline is said to be kept, and goes out when the network is back: once."""
    voted = stage.answer()
    page = stage.open(marked(voted))
    thumbs = Thumbs(page)
    with stage.offline():
        thumbs.up()
        thumbs.says(SAVED)
        thumbs.shows("up")
        assert page.eval(QUEUED) == 1
    thumbs.says(THANKS)
    assert stage.opinion(voted) == {"thumb": "up"}
    assert (page.eval(QUEUED), stage.marks()) == (0, 1)


def test_conversation_offline(stage: Stage) -> None:
    """What is said offline, before a thread was ever opened, is recorded in its order later."""
    page = stage.open()
    with stage.offline():
        page.eval(SAY, ["1", "2", "3"])
    stage.records("1", "2", "3")


@pytest.mark.parametrize(
    "fault",
    [
        BUSY,
        drop,
        refuse(429, "too_many", retry=True),
        refuse(408, "timeout", retry=True),
        answer(502, "<h1>Bad gateway</h1>"),
        answer(200, "<h1>A captive portal</h1>"),
    ],
    ids=["503", "dropped", "429", "408", "gateway", "portal"],
)
def test_trouble_that_passes(stage: Stage, fault: Fault) -> None:
    """Whatever passes is waited for: the vote is kept, sent again with its own id, and counts
    once."""
    voted = stage.answer()
    page = stage.open(marked(voted))
    stage.traffic.plan(EVENTS, fault)
    thumbs = Thumbs(page)
    thumbs.down()
    thumbs.says(THANKS)
    assert stage.opinion(voted) == {"thumb": "down"}
    first, second = stage.traffic.to(EVENTS)
    assert first.event_ids == second.event_ids


def test_retry_after_is_obeyed(stage: Stage) -> None:
    """A 503 with `Retry-After` silences the whole page for that long; then everything goes out."""
    voted, other = stage.answer(), stage.answer()
    page = stage.open(marked(voted) + marked(other))
    stage.traffic.plan(EVENTS, refuse(503, "unavailable", retry=True, retry_after="1"))
    Thumbs(page, "p:nth-of-type(1) thumb-seal").up()
    stage.traffic.wait(EVENTS, 1, 503)
    Thumbs(page, "p:nth-of-type(2) thumb-seal").up()
    stage.holds(voted, thumb="up")
    stage.holds(other, thumb="up")
    first, second, *_ = stage.traffic.to(EVENTS)
    assert second.at - first.at >= 1


def test_retry_after_for_another_tab(stage: Stage) -> None:
    """The pause that the server asked for holds in every tab."""
    voted = stage.answer()
    page = stage.open(marked(voted))
    there = stage.visit(stage.host.url)
    stage.traffic.wait(ASKED, 2, 202)  # neither tab is busy: each sends its own vote
    stage.traffic.plan(EVENTS, refuse(503, "unavailable", retry=True, retry_after="3"))
    Thumbs(page).press_up()
    Thumbs(page).says(SAVED)
    Thumbs(there).press_up()
    until(lambda: stage.marks() == 2, "both votes are in the log")
    first, second, *_ = stage.traffic.to(EVENTS)
    assert second.at - first.at >= 3


def test_unsent_after_a_reload(stage: Stage) -> None:
    """What was not sent when the page was reloaded is sent by the page after it."""
    voted = stage.answer()
    page = stage.open(marked(voted))
    with stage.traffic.failing("/v1/", drop):
        Thumbs(page).up()
        page.eval(SAY, ["kept"])
        Thumbs(page).says(SAVED)
        page.reload()
        Thumbs(page).shows("up")
    stage.holds(voted, thumb="up")
    page.wait(f"{QUEUED} === 0")


def test_unsent_after_a_closed_tab(stage: Stage) -> None:
    """What was not sent when the tab was closed is sent by the next page of the site, without the
    messages that it is about."""
    voted = stage.answer()
    page = stage.open(marked(voted))
    with stage.traffic.failing("/v1/", drop):
        Thumbs(page).down()
        Thumbs(page).says(SAVED)
        page.close()
    stage.open("Another page", path="/other")
    stage.holds(voted, thumb="down")


def test_messages_unsent_after_a_reload(stage: Stage) -> None:
    """Messages that were bound but not sent are recorded after a reload, before newer ones."""
    page = stage.open()
    page.eval("thumbseal.openThread({id: 'c'}).ready.then(() => 1)")
    with stage.traffic.failing(EVENTS, drop):
        page.eval(SAY, ["1", "2"])
        stage.traffic.wait(EVENTS, 1)
        page.reload()
    page.eval(SAY, ["3"])
    stage.records("1", "2", "3")


def test_lost_answer(stage: Stage) -> None:
    """Where the server's answer is lost, the repeat is recognised: the vote counts once, the
    message is recorded once, and the person is thanked."""
    voted = stage.answer()
    page = stage.open(marked(voted))
    stage.traffic.plan(EVENTS, lose)
    thumbs = Thumbs(page)
    thumbs.up()
    thumbs.says(THANKS)
    first, second = stage.traffic.to(EVENTS)
    assert first.event_ids == second.event_ids
    assert stage.marks() == 1


def test_lost_answer_to_messages(stage: Stage) -> None:
    """Messages whose acknowledgement is lost are in the log once, in their order."""
    page = stage.open()
    stage.traffic.plan(EVENTS, lose, lose)
    page.eval(SAY, ["1", "2", "3"])
    page.wait(f"{QUEUED} === 0")
    stage.records("1", "2", "3")


def test_page_left_while_a_request_is_under_way(stage: Stage) -> None:
    """One vote sent by a request, by the leaving page and by the next page counts once."""
    voted = stage.answer()
    page = stage.open(marked(voted))
    stage.traffic.plan(EVENTS, hold := Hold(), lose)
    Thumbs(page).up()
    stage.traffic.wait(EVENTS, 1)
    page.reload()
    hold.release()
    stage.holds(voted, thumb="up")
    page.wait(f"{QUEUED} === 0")
    Thumbs(page).shows("up")
    assert stage.marks() == 1
    assert len({each for request in stage.traffic.to(EVENTS) for each in request.event_ids}) == 1


def test_thread_refused_for_good(stage: Stage) -> None:
    """A thread that is refused is let go with an error; the vote in the same request arrives."""
    voted = stage.answer()
    page = stage.open(marked(voted))
    page.eval("(window.codes = [], thumbseal.on('error', ({code}) => codes.push(code)), 1)")
    page.eval("thumbseal.openThread({id: 'c'}).ready.then(() => 1)")
    stage.traffic.plan(EVENTS, hold := Hold(), refuse(401, "token_invalid", retry=False))
    page.eval(SAY, ["done"])
    stage.traffic.wait(EVENTS, 1)
    page.eval(SAY, ["refused"])
    Thumbs(page).up()
    hold.release()
    stage.holds(voted, thumb="up")
    assert page.eval("codes") == ["token_invalid"]
    assert stage.contents() == ["Open Settings.", "done"]


def test_verdicts_on_single_events(stage: Stage) -> None:
    """Of one request each event has its own verdict: refused ones are let go, those to be tried
    again stay, and the others are done."""
    page = stage.open()
    page.eval("thumbseal.openThread({id: 'c'}).ready.then(() => 1)")
    verdicts = [
        {"status": "rejected", "code": "bad_event", "retry": False},
        {"status": "rejected", "code": "try_again", "retry": True},
        {"status": "accepted"},
    ]
    page.eval("(window.codes = [], thumbseal.on('error', ({code}) => codes.push(code)), 1)")
    stage.traffic.plan(EVENTS, answer(202, {"results": verdicts, "messages": []}))
    page.eval(SAY, ["refused", "again", "done"])
    stage.records("again")
    assert page.eval("codes") == ["bad_event"]
    assert [len(each.event_ids) for each in stage.traffic.to(EVENTS)] == [3, 1]


def test_one_request_at_a_time(stage: Stage) -> None:
    """However much there is to say, one request for events is under way, no more: the browser's
    budget for the last moment is small."""
    answers = [stage.answer() for _ in range(3)]
    page = stage.open("".join(map(marked, answers)))
    stage.traffic.plan(EVENTS, hold := Hold())
    for number in range(len(answers)):
        Thumbs(page, f"p:nth-of-type({number + 1}) thumb-seal").up()
    page.eval(SAY, ["1", "2"])
    stage.traffic.wait(EVENTS, 1)
    hold.release()
    stage.holds(answers[-1], thumb="up")
    page.wait(f"{QUEUED} === 0")
    assert stage.traffic.busiest == 1


def test_batches(stage: Stage) -> None:
    """Much at once goes out in requests of at most 48,000 bytes and 50 events, in order."""
    page = stage.open()
    contents = [f"{n} " + "語" * 3_000 for n in range(12)] + [f"short {n}" for n in range(120)]
    page.eval(SAY, contents)
    stage.records(*contents)
    page.wait(f"{QUEUED} === 0")
    sent = stage.traffic.to(EVENTS, 202)
    assert max(len(each.body) for each in sent) <= 48_000
    assert max(len(each.event_ids) for each in sent) <= 50
    assert len(sent) <= 12


def test_flush(stage: Stage) -> None:
    """`flush` resolves when what waits has been tried: delivered, or kept for later."""
    voted = stage.answer()
    page = stage.open()
    page.eval("void thumbseal.trackFeedback(args[0], {thumb: 'up'})", voted["token"])
    page.eval("thumbseal.flush().then(() => 1)")
    assert stage.opinion(voted) == {"thumb": "up"}
    with stage.traffic.failing("/v1/", drop):
        page.eval("void thumbseal.trackFeedback(args[0], {thumb: 'down'})", voted["token"])
        page.eval("thumbseal.flush().then(() => 1)")
        assert page.eval(QUEUED) == 1
    stage.holds(voted, thumb="down")


def test_server_that_hangs(stage: Stage) -> None:
    """A page that nobody answers stays usable, and what it has to say goes out with the next."""
    voted = stage.answer()
    page = stage.open(marked(voted))
    with stage.traffic.failing(EVENTS, hang):
        thumbs = Thumbs(page)
        thumbs.up()
        thumbs.shows("up")
        stage.traffic.wait(EVENTS, 1)
        thumbs.down()
        thumbs.shows("down")
    page.reload()
    stage.holds(voted, thumb="down")
    page.wait(f"{QUEUED} === 0")


def test_refused_vote_of_many(stage: Stage) -> None:
    """A vote with a token that no server made is refused alone; those beside it arrive."""
    voted = stage.answer()
    forged = {"token": stage.answer()["token"][:-4] + "AAAA"}
    page = stage.open(marked(voted) + marked(forged))
    with stage.offline():
        for number in (1, 2):
            Thumbs(page, f"p:nth-of-type({number}) thumb-seal").up()
    Thumbs(page, "p:nth-of-type(1) thumb-seal").says(THANKS)
    Thumbs(page, "p:nth-of-type(2) thumb-seal").says(REFUSED)
    assert stage.opinion(voted) == {"thumb": "up"}
