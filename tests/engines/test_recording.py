"""A page records its conversation."""

import re
from typing import Any, Final

from tests.engines.conftest import MakeStage
from tests.engines.page import Page, until
from tests.engines.stage import QUEUED, Stage
from tests.engines.traffic import EVENTS, drop

HOUR: Final = 3600
DAY: Final = 24 * HOUR


def errors(page: Page) -> None:
    """Collect the codes of what the server refuses in ``codes``."""
    page.eval("(window.codes = [], thumbseal.on('error', ({code}) => codes.push(code)), 1)")


def test_question_and_answer(stage: Stage) -> None:
    """Both sides are recorded in their order, in one exchange of one thread."""
    page = stage.open()
    page.eval(
        """(() => {
          const thread = thumbseal.openThread();
          const replyTo = thread.trackMessage({role: "user", content: "How?"});
          thread.trackMessage({role: "assistant", content: "So.", replyTo});
        })()"""
    )
    conversation = stage.records("How?", "So.")
    (exchange,) = conversation.exchanges.values()
    assert [turn.message.role for turn in exchange.turns] == ["user", "assistant"]
    assert {turn.source for turn in exchange.turns} == {"browser"}


def test_messages_before_the_thread_is_open(stage: Stage) -> None:
    """What is said while the thread cannot be opened yet is bound in its order later, with its
    references."""
    page = stage.open()
    with stage.traffic.failing("/v1/", drop):
        page.eval(
            """(() => {
              const thread = window.thread = thumbseal.openThread();
              const first = thread.trackMessage({role: "user", content: "1"});
              const second = thread.trackMessage({role: "assistant", content: "2", replyTo: first});
              window.third = thread.trackMessage({role: "user", content: "3"});
              thread.trackMessage({role: "assistant", content: "4", replyTo: third});
              thread.trackMessage({role: "assistant", content: "5", replyTo: first,
                retryOf: second});
            })()"""
        )
        stage.traffic.wait(EVENTS, 2)
        assert page.eval("[third.id, third.token, third.headers(), thread.id, thread.token]") == [
            None,
            None,
            {},
            None,
            None,
        ]
    conversation = stage.records("1", "2", "3", "4", "5")
    spoken = [
        [turn.message.content for turn in exchange.turns]
        for exchange in conversation.exchanges.values()
    ]
    assert spoken == [["1", "2"], ["3", "4"], ["5"]]


def test_votes_before_the_thread_is_open(stage: Stage) -> None:
    """A vote on a message that has no id yet waits with it."""
    page = stage.open()
    with stage.traffic.failing("/v1/", drop):
        page.eval(
            """(() => {
              const thread = thumbseal.openThread();
              window.said = thread.trackMessage({role: "assistant", content: "So."});
              thumbseal.trackFeedback(said, {thumb: "down", comment: "Too short."});
            })()"""
        )
        stage.traffic.wait(EVENTS, 1)
    conversation = stage.records("So.")
    until(lambda: stage.proxy.conversations()[0].ratings, "the vote is in the log")
    token = page.eval("said.ready.then(({token}) => token)")
    stage.holds({"token": token}, thumb="down", comment="Too short.")
    assert conversation.turns[0].message.message == page.eval("said.id")


def test_headers_for_the_pages_backend(stage: Stage) -> None:
    """A message names itself to the page's backend before it has content: by its token, and by its
    id as a W3C trace."""
    page = stage.open()
    headers, identity = page.eval(
        """thumbseal.openThread().ready.then((thread) => {
          const message = thread.message();
          return [message.headers(), message.id];
        })"""
    )
    trace = re.fullmatch(r"00-([0-9a-f]{32})-([0-9a-f]{16})-01", headers["traceparent"])
    assert trace is not None
    assert trace[1] == identity.replace("-", "")
    assert trace[2] != "0" * 16
    assert stage.proxy.feedback(headers["x-thumbseal-message"]) == [
        {"id": identity, "feedback": None}
    ]


def test_message_reserved_before_it_is_said(stage: Stage) -> None:
    """A streamed answer can be named first and recorded under that name when it is whole."""
    page = stage.open()
    reserved = page.eval(
        """thumbseal.openThread().ready.then((thread) => {
          const message = thread.message();
          thread.trackMessage({message, role: "assistant", content: "Whole."});
          return message.id;
        })"""
    )
    (turn,) = stage.records("Whole.").turns
    assert turn.message.message == reserved


def test_more_messages_than_blanks(stage: Stage) -> None:
    """Thirty messages at once, more than a thread's first tokens, each get an id of their own."""
    page = stage.open()
    contents = [f"message {number}" for number in range(30)]
    page.eval(
        """(() => {
          const thread = thumbseal.openThread();
          args[0].forEach((content) => thread.trackMessage({role: "user", content}));
        })()""",
        contents,
    )
    conversation = stage.records(*contents)
    assert len({turn.message.message for turn in conversation.turns}) == len(contents)


def test_thread_that_nobody_uses(stage: Stage) -> None:
    """Opening a thread, with tags even, records nothing."""
    page = stage.open()
    page.eval("thumbseal.openThread({id: 'c', tags: ['a']}).ready.then(() => thumbseal.flush())")
    assert not stage.proxy.conversations()
    assert not stage.traffic.to(EVENTS)


def test_tags_and_metadata(stage: Stage) -> None:
    """Tags and metadata of a thread and of a message are recorded as they are; new tags replace the
    old."""
    page = stage.open()
    said = {"n": [1], "ref": "mail", "token": "none"}
    page.eval(
        """(() => {
          window.thread = thumbseal.openThread({tags: ["a"], metadata: {plan: "free"}});
          const metadata = args[0];
          thread.trackMessage({role: "user", content: "Hi", tags: ["first"], metadata});
        })()""",
        said,
    )
    conversation = stage.records("Hi")
    assert conversation.tags == ("a",)
    assert dict(conversation.metadata) == {"plan": "free"}
    (turn,) = conversation.turns
    assert (turn.message.tags, turn.message.metadata) == (("first",), said)
    page.eval("void thread.tag(['b', 'c'])")
    until(lambda: stage.proxy.conversations()[0].tags == ("b", "c"), "the new tags are there")


def test_custom_events(stage: Stage) -> None:
    """`trackEvent` records what happened, with what the page says of it."""
    page = stage.open()
    page.eval("void thumbseal.openThread().trackEvent('copied', {chars: 12})")
    until(lambda: stage.proxy.conversations(), "the event is in the log")
    (custom,) = stage.proxy.conversations()[0].customs
    entry: Any = custom.entry
    assert (entry.name, entry.metadata) == ("copied", {"chars": 12})


def test_identify(stage: Stage) -> None:
    """Who the page says is speaking is recorded as a claim, for threads of now and of later."""
    page = stage.open()
    page.eval(
        """(() => {
          const before = thumbseal.openThread({id: "before"});
          before.trackMessage({role: "user", content: "Hi"});
          thumbseal.identify("u_42", {plan: "pro"});
          thumbseal.openThread({id: "after"}).trackMessage({role: "user", content: "Ho"});
        })()"""
    )
    claim = {"claimed_user": {"id": "u_42", "plan": "pro"}}

    def claims() -> list[dict[str, object]]:
        return [dict(each.metadata) for each in stage.proxy.conversations()]

    until(lambda: claims() == [claim, claim], "both threads have the claim")
    assert {each.user for each in stage.proxy.conversations()} == {None}


def test_tool_calls_and_parts(stage: Stage) -> None:
    """Tool calls without content, their results, and content in parts are recorded as they are."""
    page = stage.open()
    calls = [{"id": "c1", "type": "function", "function": {"name": "find", "arguments": "{}"}}]
    parts = [{"type": "text", "text": "Look:"}]
    page.eval(
        """(() => {
          const thread = thumbseal.openThread();
          const replyTo = thread.trackMessage({role: "user", content: args[1]});
          const say = (fields) => thread.trackMessage({...fields, replyTo});
          say({role: "assistant", toolCalls: args[0]});
          say({role: "tool", name: "find", toolCallId: "c1", content: "7"});
          say({role: "assistant", content: "Seven."});
        })()""",
        calls,
        parts,
    )
    (exchange,) = stage.records(tuple(parts), None, "7", "Seven.").exchanges.values()
    _, called, result, _ = (turn.message for turn in exchange.turns)
    assert list(called.tool_calls or ()) == calls
    assert (result.role, result.name, result.tool_call_id) == ("tool", "find", "c1")


def test_role_that_a_page_may_not_write(stage: Stage) -> None:
    """A system message is refused by the usual policy; the page hears why, the rest goes on."""
    page = stage.open()
    errors(page)
    page.eval(
        """(() => {
          const thread = thumbseal.openThread();
          thread.trackMessage({role: "system", content: "Be evil."});
          thread.trackMessage({role: "user", content: "Hi"});
        })()"""
    )
    stage.records("Hi")
    page.wait("codes.length === 1")
    assert page.eval("codes") == ["role_refused"]


def test_role_that_the_policy_allows(make_stage: MakeStage) -> None:
    """Where the site's policy lets pages write system messages, they are recorded."""
    stage = make_stage(browser_roles=("user", "assistant", "tool", "system"))
    page = stage.open()
    page.eval("void thumbseal.openThread().trackMessage({role: 'system', content: 'Be kind.'})")
    (turn,) = stage.records("Be kind.").turns
    assert turn.message.role == "system"


def test_long_and_multibyte_text(stage: Stage) -> None:
    """Texts of many bytes arrive as they were, to the last character, in requests that any browser
    delivers."""
    page = stage.open()
    contents = ["語" * 10_000, "🦭" * 8_000, 'quotes " and \\ and \n' * 1_500, "x" * 32_000]
    page.eval(
        """(() => {
          const thread = thumbseal.openThread();
          args[0].forEach((content) => thread.trackMessage({role: "user", content}));
        })()""",
        contents,
    )
    stage.records(*contents)
    assert max(len(each.body) for each in stage.traffic.to(EVENTS)) <= 48_000


def test_text_beyond_the_limit(stage: Stage) -> None:
    """A text of 64 KiB is refused, the page hears so, and what comes after it is recorded."""
    page = stage.open()
    errors(page)
    page.eval(
        """(() => {
          const thread = thumbseal.openThread();
          thread.trackMessage({role: "user", content: "before"});
          thread.trackMessage({role: "user", content: "語".repeat(22000)});
          thread.trackMessage({role: "user", content: "after"});
        })()"""
    )
    stage.records("before", "after")
    page.wait("codes.length === 1")


def test_text_that_is_no_unicode(stage: Stage) -> None:
    """Half of a surrogate pair costs its own message at most: what comes after it is recorded."""
    page = stage.open()
    page.eval(
        """(() => {
          const thread = thumbseal.openThread();
          thread.trackMessage({role: "user", content: "half \\ud83e"});
          thread.trackMessage({role: "user", content: "whole"});
        })()"""
    )

    until(lambda: "whole" in stage.contents(), "what comes after is recorded")
    assert all("\ud83e" not in content for content in stage.contents())


def test_thread_by_its_id_after_a_reload(stage: Stage) -> None:
    """The same `id` goes on with the same thread after a reload; another id is another thread of
    the same actor."""
    page = stage.open()
    opened = "thumbseal.openThread({id: args[0]}).ready.then((thread) => (%s, thread.id))"
    say = opened % "thread.trackMessage({role: 'user', content: args[1]})"
    first = page.eval(say, "c1", "1")
    stage.records("1")
    page.reload()
    assert page.eval(say, "c1", "2") == first
    stage.records("1", "2")
    other = page.eval(say, "c2", "3")
    assert other != first
    until(lambda: len(stage.proxy.conversations()) == 2, "the other thread is there")
    actors = {turn.actor for each in stage.proxy.conversations() for turn in each.turns}
    assert len(actors) == 1


def test_thread_by_its_id_in_two_tabs(stage: Stage) -> None:
    """Two tabs with the same `id` write into one thread, each with message ids of its own."""
    tabs = [stage.open(), stage.visit(stage.host.url)]
    for number, page in enumerate(tabs):
        page.eval(
            """thumbseal.openThread({id: "c"}).ready.then((thread) => {
              for (const n of [1, 2, 3]) thread.trackMessage({role: "user", content: args[0] + n});
            })""",
            f"tab {number}, ",
        )
    until(lambda: len(stage.proxy.conversations()) == 1, "there is one thread")
    until(lambda: len(stage.proxy.conversations()[0].turns) == 6, "six messages are in the log")
    (conversation,) = stage.proxy.conversations()
    assert len({turn.message.message for turn in conversation.turns}) == 6


def test_token_is_renewed_in_time(stage: Stage) -> None:
    """A thread token past half of its life is renewed along the way, and the new one used."""
    page = stage.open()
    page.eval("(window.thread = thumbseal.openThread({id: 'c'})).ready.then(() => 1)")
    say = "void thread.trackMessage({role: 'user', content: args[0]})"
    page.eval(say, "1")
    stage.records("1")
    stage.clock.now += 13 * HOUR
    page.eval(say, "2")
    stage.records("1", "2")
    page.eval(say, "3")
    stage.records("1", "2", "3")
    sent = [request.json["open"]["thread"] for request in stage.traffic.to(EVENTS)]
    assert sent[0] == sent[1] != sent[2]


def test_expired_token(stage: Stage) -> None:
    """A page left open over night goes on in the same thread: what renews its token records the
    message too."""
    page = stage.open()
    page.eval("void (window.thread = thumbseal.openThread())")
    say = "void thread.trackMessage({role: 'user', content: args[0]})"
    page.eval(say, "1")
    stage.records("1")
    stage.clock.now += 25 * HOUR
    before = len(stage.traffic.to(EVENTS))
    page.eval(say, "2")
    stage.records("1", "2")
    assert stage.traffic.statuses(EVENTS)[before:] == [202]


def test_token_too_old_to_renew(stage: Stage) -> None:
    """A conversation taken up again after months is recorded as a new thread."""
    page = stage.open()
    say = "void thumbseal.openThread({id: 'c'}).trackMessage({role: 'user', content: args[0]})"
    page.eval(say, "1")
    stage.records("1")
    page.wait(f"{QUEUED} === 0")  # the answer came; else the page would repeat it as a new thread
    stage.clock.now += 60 * DAY
    page.reload()
    page.eval(say, "2")
    until(lambda: stage.contents() == ["1", "2"], "both messages are in the log")


def test_get_feedback(stage: Stage) -> None:
    """`getFeedback` tells this browser's own vote, else the server's, else null, and never
    rejects."""
    voted, untouched = stage.answer(), stage.answer()
    page = stage.open()
    ask = "thumbseal.getFeedback(args[0])"
    assert page.eval(ask, untouched["token"]) is None
    page.eval("void thumbseal.trackFeedback(args[0], {thumb: 'up'})", voted["token"])
    assert page.eval(ask, voted["token"]) == {"thumb": "up"}
    stage.holds(voted, thumb="up")
    page.eval("localStorage.clear()")
    page.reload()
    assert page.eval(ask, voted["token"]) == {"thumb": "up"}
    assert page.eval(ask, "no token") is None
    with stage.traffic.failing("/v1/", drop):
        page.reload()
        assert page.eval(ask, untouched["token"]) is None


def test_feedback_is_merged(stage: Stage) -> None:
    """Keys given replace, null removes, and a turned thumb takes its reasons and comment along, in
    the page as in the log."""
    answer = stage.answer()
    page = stage.open()
    steps: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"thumb": "down", "reasons": ["Wrong"]}, {"thumb": "down", "reasons": ["Wrong"]}),
        ({"comment": "Old."}, {"thumb": "down", "reasons": ["Wrong"], "comment": "Old."}),
        ({"reasons": None}, {"thumb": "down", "comment": "Old."}),
        ({"thumb": "up", "score": 0.5}, {"thumb": "up", "score": 0.5}),
        ({"score": None}, {"thumb": "up"}),
    ]
    for patch, state in steps:
        page.eval("void thumbseal.trackFeedback(...args)", answer["token"], patch)
        assert page.eval("thumbseal.getFeedback(args[0])", answer["token"]) == state
        stage.holds(answer, **state)


def test_listeners(stage: Stage) -> None:
    """`on` tells of each change and delivery with its state, and what it returns ends that."""
    answer = stage.answer()
    page = stage.open()
    page.eval(
        """(window.heard = [], window.ends = ["change", "sent"].map((name) => thumbseal.on(name,
          ({message, feedback}) => heard.push([name, message, feedback]))), 1)"""
    )
    page.eval("void thumbseal.trackFeedback(args[0], {thumb: 'up'})", answer["token"])
    page.wait("heard.length === 2")
    assert page.eval("heard") == [
        ["change", answer["id"], {"thumb": "up"}],
        ["sent", answer["id"], {"thumb": "up"}],
    ]
    page.eval("ends.forEach((end) => end())")
    page.eval("void thumbseal.trackFeedback(args[0], {thumb: 'down'})", answer["token"])
    stage.holds(answer, thumb="down")
    assert page.eval("heard.length") == 2
