"""The Lunary API at a real proxy: what its SDKs send becomes the right state at a Lunary double."""

import hashlib
import json
import sqlite3
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.doubles.lunary import PROJECT, LunaryDouble, Run
from tests.doubles.serving import serve
from tests.proxy import ORIGIN, Proxy, make_settings, running, said
from tests.seed import backend_token
from thumbseal import events
from thumbseal.claims import BACKEND_LIFE, PassClaims
from thumbseal.export.lines import from_line, to_line
from thumbseal.ids import ThreadId, new_id
from thumbseal.keys import Keys, Kind, new_key
from thumbseal.log import Erasure, Removed
from thumbseal.log.receipts import count
from thumbseal.log.removal import erase
from thumbseal.log.threads import read_thread
from thumbseal.patterns import compile_rules
from thumbseal.redaction import redact
from thumbseal.settings import Lunary, Secret
from thumbseal.tokens import Tokens
from thumbseal.web.runs import MAX_RUNS

INGEST = "/v1/runs/ingest"
PATIENCE = 20
UPSTREAM = "support/lunary"


@pytest.fixture
def double() -> LunaryDouble:
    return LunaryDouble(requests_per_minute=10**9)


@pytest.fixture
def proxy(double: LunaryDouble, tmp_path: Path) -> Iterator[Proxy]:
    with serve(double) as url:
        upstream = Lunary("lunary", Secret(PROJECT.private_key), url, requests_per_minute=100_000)
        with running(make_settings(tmp_path, upstreams=[upstream])) as proxy:
            yield proxy


def chat(
    proxy: Proxy, thread: str, run: str, role: str, content: Any, **more: Any
) -> dict[str, Any]:
    """A message as the JavaScript SDK sends it."""
    message = {"id": run, "role": role, "content": content}
    sent = {"type": "thread", "event": "chat", "runId": run, "parentRunId": thread}
    return {**sent, "timestamp": proxy.ms, "message": message, **more}


def vote(proxy: Proxy, run: str, feedback: Any) -> dict[str, Any]:
    event = {"type": None, "event": "feedback", "runId": run, "feedback": feedback}
    return {**event, "timestamp": proxy.ms}


def ingest(proxy: Proxy, key: str, *runs: Any) -> list[dict[str, Any]]:
    answer = proxy.post(INGEST, {"events": runs}, Authorization=f"Bearer {key}")
    assert answer.status_code == 200, answer.text
    return list(answer.json()["results"])


def hashed(id_: str, key: str) -> str:
    """An id as the Python SDK spells it."""
    return str(uuid.UUID(hashlib.sha256(f"{id_}{key}".encode()).hexdigest()[:32]))


@pytest.mark.parametrize("python", [False, True])
def test_a_talk_arrives_once_however_often_it_is_sent(
    double: LunaryDouble, proxy: Proxy, python: bool
) -> None:
    """The batch comes three times, as after lost answers: Lunary itself would double it. The tags
    stay where a later event leaves them out, and the vote is on the answer."""
    thread = proxy.open()["thread"]
    key = thread["token"]
    spell = (lambda id_: hashed(id_, key)) if python else str
    own = spell(thread["id"])
    batch = [
        chat(proxy, own, spell("q"), "user", "Why?", threadTags=["blue"], userId="ann"),
        chat(proxy, own, spell("a"), "assistant", "Because.", feedback=None),
        vote(proxy, spell("a"), {"thumb": "down", "comment": "No."}),
        {**vote(proxy, spell("e"), None), "event": "custom-event", "type": "thread", "name": "copy"}
        | {"parentRunId": own},
    ]
    for _ in range(3):
        results = ingest(proxy, key, *batch)
        assert [each["success"] for each in results] == [True] * 4
        assert [each["id"] for each in results] == [each["runId"] for each in batch]
    double.until(lambda: _state(double) == [(["Why?"], ["Because."], "down")]).result(PATIENCE)
    (shown,) = double.threads()
    assert (shown.id, shown.tags) == (thread["id"], ["blue"])
    double.until(lambda: len(double.custom_events(shown.id)) == 1).result(PATIENCE)
    (told,) = proxy.conversations()
    assert told.user is None
    assert told.metadata["claimed_user"] == {"id": "ann"}


def _state(double: LunaryDouble) -> list[tuple[list[str], list[str], str | None]]:
    return [
        (_texts(run.input), _texts(run.output), (run.feedback or {}).get("thumb"))
        for thread in double.threads()
        for run in double.exchanges(thread.id)
    ]


def _texts(messages: Any) -> list[str]:
    return [each["content"] for each in messages or []]


def test_the_last_vote_is_read_back(proxy: Proxy) -> None:
    """Up, down and undone; a message without a vote is an empty object, not an empty body."""
    thread = proxy.open()["thread"]
    key, seen = thread["token"], []
    ingest(proxy, key, chat(proxy, thread["id"], "a", "assistant", "Because."))
    for thumb in ("up", "down", None):
        proxy.clock.now += 1  # type: ignore[attr-defined]  # a test's clock
        ingest(proxy, key, vote(proxy, "a", {"thumb": thumb}))
        seen.append(_feedback(proxy, key, "a"))
    assert seen == [{"thumb": "up"}, {"thumb": "down"}, {}]
    assert _feedback(proxy, key, "unknown") == {}


@pytest.mark.parametrize("run", ["chat/42", "a b", "50%", "?#", "/", "feedback/feedback", "ü"])
def test_a_run_may_be_called_anything(proxy: Proxy, run: str) -> None:
    """An application's own word is found again, whatever it means inside an address."""
    thread = proxy.open()["thread"]
    ingest(proxy, thread["token"], chat(proxy, thread["id"], run, "assistant", "Because."))
    ingest(proxy, thread["token"], vote(proxy, run, {"thumb": "up"}))
    assert _feedback(proxy, thread["token"], quote(run, safe="")) == {"thumb": "up"}


def _feedback(proxy: Proxy, key: str, run: str) -> Any:
    headers = {"Origin": ORIGIN, "Authorization": f"Bearer {key}"}
    answer = proxy.http.get(f"/v1/runs/{run}/feedback", headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_another_threads_id_is_refused(proxy: Proxy) -> None:
    """The key of one thread writes nothing into another one, and a vote under an id of the other
    thread stays in the key's own."""
    mine, other = proxy.open()["thread"], proxy.open()["thread"]
    ingest(proxy, other["token"], chat(proxy, other["id"], "a", "assistant", "Because."))
    (refused,) = ingest(proxy, mine["token"], chat(proxy, other["id"], "b", "user", "Hm."))
    assert refused["success"] is False
    assert "parentRunId" in refused["error"]
    ingest(proxy, mine["token"], vote(proxy, "a", {"thumb": "down"}))
    assert _feedback(proxy, other["token"], "a") == {}
    texts = [turn.message.content for told in proxy.conversations() for turn in told.turns]
    assert texts == ["Because."]


@pytest.mark.parametrize(
    "change",
    [
        {"message": {"role": "developer", "content": "x"}},
        {"message": {"role": ["user"], "content": "x"}},
        {"message": {"role": "user", "content": 7}},
        {"message": {"role": "system", "content": "x"}},
        {"message": {"role": "user", "content": "a\0b"}},
        {"message": "x"},
        {"message": None},
        {"runId": None},
        {"runId": "x" * 129},
        {"timestamp": "yesterday"},
        {"timestamp": None},
        {"timestamp": 10**400},
        {"threadTags": "blue"},
        {"threadMetadata": ["x"]},
        {"event": "start", "type": "llm"},
        {"event": ["chat"]},
        {"event": "feedback", "feedback": {"thumb": "sideways"}},
        {"event": "feedback", "feedback": {}},
        {"event": "feedback", "feedback": None},
        {"event": "custom-event"},
    ],
)
def test_what_cannot_be_kept_is_refused_with_a_reason(proxy: Proxy, change: dict[str, Any]) -> None:
    """Lunary says success to much of this and loses it. The event beside it is stored."""
    thread = proxy.open()["thread"]
    bad = chat(proxy, thread["id"], "b", "user", "Hm.") | change
    good = chat(proxy, thread["id"], "g", "user", "Good.")
    results = ingest(proxy, thread["token"], bad, good)
    assert sorted(each["success"] for each in results) == [False, True]
    assert all(each["error"] for each in results if not each["success"])
    (told,) = proxy.conversations()
    assert [turn.message.content for turn in told.turns] == ["Good."]


def test_a_request_is_refused_as_a_whole(proxy: Proxy) -> None:
    """For its key, its origin, its form or its size."""
    key = proxy.open()["thread"]["token"]
    good = {"Authorization": f"Bearer {key}"}

    def code(body: Any, **headers: str) -> int:
        return proxy.post(INGEST, body, **headers).status_code

    assert code({"events": []}) == 401
    assert code({"events": []}, Authorization=f"Bearer {key[:-1]}") == 401
    assert code({"events": []}, **good, Origin="https://evil.example") == 403
    bodies: list[Any] = [{}, [], {"events": [1]}, b"{"]
    assert [code(body, **good) for body in bodies] == [400] * 4
    assert code({"events": [{}] * (MAX_RUNS + 1)}, **good) == 413
    assert code({"events": [{"x": "x" * 2**20}]}, **good) == 413


def test_only_these_routes_let_a_browser_ask_first(proxy: Proxy) -> None:
    """The SDK's headers pass a preflight here; on a page's own routes none is needed or granted."""
    asked = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    paths = (INGEST, "/v1/runs/a/feedback", "/v1/events", "/v1/threads")
    assert [proxy.http.options(path, headers=asked).status_code for path in paths] == [
        *(200, 200),
        *(400, 400),
    ]


Spell = Callable[[str], str]


def spellers(proxy: Proxy) -> dict[str, tuple[str, Spell]]:
    """A key and how its SDK spells ids with it: JavaScript's, Python's with the same key, and
    Python's with another one of the site."""
    one, two = backend_token(proxy), backend_token(proxy)
    return {
        "JavaScript": (one, str),
        "Python": (one, lambda id_: hashed(id_, one)),
        "Python elsewhere": (two, lambda id_: hashed(id_, two)),
    }


@pytest.mark.parametrize("name", ["order-17", "0194c0de-0000-4000-8000-00000000abcd"])
@pytest.mark.parametrize(
    "order",
    [("JavaScript", "Python", "JavaScript"), ("Python", "JavaScript", "Python elsewhere")],
)
def test_every_spelling_means_the_same_thread_and_message(
    double: LunaryDouble, proxy: Proxy, order: tuple[str, ...], name: str
) -> None:
    """Whoever opens it: the next one resumes by the application's own id, without tags, and both
    vote on the answer by its id; at Lunary it is one exchange with tags and user."""
    known = spellers(proxy)
    for number, who in enumerate(order):
        key, spell = known[who]
        own, run = spell(name), spell("a")
        match number:
            case 0:
                said = chat(proxy, own, spell("q"), "user", "Why?", userId="ann")
                sent = [said | {"threadTags": ["blue"], "userProps": {"plan": "pro"}}]
            case 1:
                sent = [
                    chat(proxy, own, spell("s"), "system", "Be brief.", userId=None),
                    chat(proxy, own, run, "assistant", "Because."),
                    vote(proxy, run, {"thumb": "up"}),
                ]
            case _:
                sent = [vote(proxy, run, {"thumb": "down"})]
        proxy.clock.now += 1  # type: ignore[attr-defined]  # a test's clock
        assert [each["success"] for each in ingest(proxy, key, *sent)] == [True] * len(sent)
    for key, spell in (known[who] for who in order):
        assert _feedback(proxy, key, spell("a")) == {"thumb": "down"}
    shown = [(["Why?", "Be brief."], ["Because."], "down")]
    double.until(lambda: _state(double) == shown).result(PATIENCE)
    (thread,) = double.threads()
    assert (thread.tags, double.user_of(thread)) == (["blue"], "ann")
    assert [user.props for user in double.users()] == [{"plan": "pro"}]


def test_a_backend_goes_on_where_a_page_began(proxy: Proxy) -> None:
    """A page's ids are known by their hashes, too, those of the widget and those that Lunary's SDK
    made in the page; the answer's vote comes from the page, by the id that the backend gave it."""
    key = backend_token(proxy)
    opened = proxy.open()
    thread, blank = opened["thread"], opened["messages"][0]
    proxy.record(thread["token"], said(blank, "user", "Why?"))
    own = hashed(thread["id"], key)
    question = hashed(blank["id"], key)
    answer = "7e0f8a52-1c2b-4d3e-8f90-a1b2c3d4e5f6"
    sent = [
        chat(proxy, own, question, "user", "Why?"),
        chat(proxy, own, hashed(answer, key), "assistant", "Because."),
        vote(proxy, question, {"comment": "?"}),
    ]
    assert [each["success"] for each in ingest(proxy, key, *sent)] == [True] * 3
    (voted,) = ingest(proxy, thread["token"], vote(proxy, answer, {"thumb": "up"}))
    assert voted["success"]
    (told,) = proxy.conversations()
    assert [turn.message.content for turn in told.turns] == ["Why?", "Because."]
    assert {told.turns[1].message.message} <= {of for of, _ in told.ratings}


def test_a_page_names_nothing_of_a_backends(proxy: Proxy) -> None:
    """An id that a page uses first, for a message of its own, is still free for a backend's thread
    and for its messages, whoever guessed it."""
    key, guessed = backend_token(proxy), "0194c0de-0000-4000-8000-00000000abcd"
    mine = proxy.open()["thread"]
    refused = chat(proxy, mine["id"], new_id(), "system", "Not mine.")
    ingest(proxy, mine["token"], chat(proxy, mine["id"], guessed, "user", "Mine now."), refused)
    with closing(sqlite3.connect(proxy.settings.server.log_path)) as log:
        assert log.execute("SELECT name FROM alias WHERE page").fetchall() == [(guessed,)]
    ingest(proxy, key, chat(proxy, guessed, "q", "user", "Why?"))
    ingest(proxy, key, chat(proxy, "order-17", guessed, "user", "Hm."))
    texts = {told.thread: [t.message.content for t in told.turns] for told in proxy.conversations()}
    assert texts.pop(mine["id"]) == ["Mine now."]
    assert texts.pop(guessed) == ["Why?"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"event": "feedback", "feedback": {"thumb": "up"}}, "message_unknown (runId)"),
        ({"parentRunId": None}, "bad_event (parentRunId)"),
        ({"userId": "u" * 65}, "bad_event (userId)"),
        ({"appId": "0194c0de-0000-4000-8000-00000000abcd"}, "token_invalid (appId)"),
        ({"message": {"role": "developer", "content": "x"}}, "bad_event (message.role)"),
        ({"runId": "taken", "parentRunId": "another"}, "id_reused (runId)"),
        ({"parentRunId": "taken"}, "bad_event (parentRunId)"),
    ],
)
def test_what_a_backend_cannot_say_is_refused(
    proxy: Proxy, change: dict[str, Any], reason: str
) -> None:
    """Lunary takes most of it and loses it, or moves it to another project."""
    key = backend_token(proxy)
    ingest(proxy, key, chat(proxy, "order-17", "taken", "user", "Why?"))
    (refused,) = ingest(proxy, key, chat(proxy, "order-17", "b", "user", "Hm.") | change)
    assert (refused["success"], refused["error"].split(":")[0]) == (False, reason)


def test_the_deprecated_calls_are_kept_right(double: LunaryDouble, proxy: Proxy) -> None:
    """At Lunary they break the list of threads; a vote on the question's id is on the answer."""
    key, own = backend_token(proxy), "order-17"
    start = {"type": "thread", "event": "start", "runId": own, "input": "Why?"}
    asked = {"type": "chat", "event": "start", "runId": "q", "parentRunId": own, "input": "Why?"}
    told = {"type": "chat", "event": "end", "runId": "q", "output": "Because.", "extra": {"n": 1}}
    sent = [each | {"timestamp": proxy.ms} for each in (start, asked, told)]
    sent.append(vote(proxy, "q", {"thumb": "up"}))
    assert [each["success"] for each in ingest(proxy, key, *sent)] == [True] * 4
    double.until(lambda: _state(double) == [(["Why?"], ["Because."], "up")]).result(PATIENCE)


def test_a_revoked_or_foreign_backend_token_is_no_key(proxy: Proxy) -> None:
    """As on every other route."""
    now = int(proxy.clock())
    expired = PassClaims(new_id(), now - 2 * BACKEND_LIFE, now - BACKEND_LIFE)
    for token in (
        proxy.tokens().mint_pass(Kind.BACKEND, expired),
        Tokens("support", Keys.derive([new_key()])).mint_pass(
            Kind.BACKEND, PassClaims(new_id(), now, now + 60)
        ),
    ):
        answer = proxy.post(INGEST, {"events": []}, Authorization=f"Bearer {token}")
        assert answer.status_code == 401


def test_an_erased_thread_stays_erased_in_every_spelling(proxy: Proxy) -> None:
    """What comes for it later is refused, also under its hashes."""
    known = spellers(proxy)
    ingest(proxy, known["JavaScript"][0], chat(proxy, "order-17", "q", "user", "Why?"))
    key, spell = known["Python elsewhere"]
    ingest(proxy, key, chat(proxy, spell("order-17"), spell("a"), "assistant", "Because."))
    (told,) = proxy.conversations()
    erasure = Erasure(site="support", at=proxy.ms, thread=ThreadId(told.thread))
    with closing(sqlite3.connect(proxy.settings.server.log_path, isolation_level=None)) as log:
        log.execute("BEGIN IMMEDIATE")
        erase(log, [erasure])
        log.execute("COMMIT")
    for key, spell in known.values():
        (refused,) = ingest(proxy, key, chat(proxy, spell("order-17"), spell("b"), "user", "Hm."))
        assert (refused["success"], refused["error"].split(":")[0]) == (False, "gone")
    assert proxy.conversations() == []


def model(proxy: Proxy, event: str, run: str, **more: Any) -> dict[str, Any]:
    return {"type": "llm", "event": event, "runId": run, "timestamp": proxy.ms, **more}


def test_runs_hang_on_their_exchange_in_both_spellings(double: LunaryDouble, proxy: Proxy) -> None:
    """An agent and its model under the question, before and after its answer; the run's own vote
    and its log; all of it three times. A run that hangs on nothing is there, too. At Lunary itself
    a question has no id any more once it is answered."""
    known = spellers(proxy)
    key = known["JavaScript"][0]
    other, spell = known["Python elsewhere"]
    asked = [{"role": "user", "content": "Why?", "deep": {"a_b": [1]}}]
    at = {"timestamp": proxy.ms}
    late = model(proxy, "start", "late", name="late", parentRunId="q")
    talk = [
        chat(proxy, "order-17", "q", "user", "Why?"),
        model(proxy, "start", "think", type="agent", parentRunId="q", name="think", userId="ann"),
        model(proxy, "start", "call", parentRunId="think", name="gpt", input=asked, tags=["t"]),
        {"type": "log", "event": "info", "parentRunId": "call", "message": "Hm."} | at,
        model(proxy, "end", "call", output={"content": "A"}, tokensUsage={"prompt": 1}),
        model(proxy, "error", "think", type="agent", error={"message": "No."}),
        vote(proxy, "call", {"thumb": "down"}),
        vote(proxy, "call", {"comment": "Hm."}),
        model(proxy, "start", "alone", name="alone", input="x"),
        model(proxy, "end", "alone", output=True),
        chat(proxy, "order-17", "a", "assistant", "Because."),
    ]
    for _ in range(3):
        results = ingest(proxy, key, *talk)
        assert [each.get("error") for each in results] == [None] * len(talk)
    hashes = {name: spell(str(late[name])) for name in ("runId", "parentRunId")}
    proxy.clock.now += 1  # type: ignore[attr-defined]  # a test's clock
    votes = [vote(proxy, spell("a"), {"thumb": "up"}), late | hashes]
    assert all(each["success"] for each in ingest(proxy, other, *votes))
    assert _feedback(proxy, key, "call") == {"thumb": "down", "comment": "Hm."}

    def runs() -> list[Run]:
        return [run for run in double.database.runs() if run.type in ("agent", "llm")]

    double.until(lambda: len(runs()) == 4 and _state(double)[0][2] == "up").result(PATIENCE)
    (thread,) = double.threads()
    (exchange,) = double.exchanges(thread.id)
    named = {run.name: run for run in runs()}
    agent, call, alone, last = (named[name] for name in ("think", "gpt", "alone", "late"))
    assert (agent.parent_run_id, agent.status, agent.error) == (
        exchange.id,
        "error",
        {"message": "No."},
    )
    assert (call.parent_run_id, call.status, call.tags) == (agent.id, "success", ["t"])
    assert (call.input, call.feedback) == (
        [{"role": "user", "content": "Why?", "deep": {"aB": [1]}}],
        {"thumb": "down", "comment": "Hm."},
    )
    assert (alone.parent_run_id, alone.output) == (None, "true")
    assert last.parent_run_id == exchange.id
    assert _state(double) == [(["Why?"], ["Because."], "up")]
    counts = [double.effect_count(run.id, "start") for run in runs()]
    assert counts == [1] * 4


def test_a_run_waits_for_the_question_that_a_page_is_about_to_record(
    double: LunaryDouble, proxy: Proxy
) -> None:
    """The model was quicker than the page: the run's request waits until the question is there."""
    key, opened = backend_token(proxy), proxy.open()
    thread, blank = opened["thread"], opened["messages"][0]
    started = model(proxy, "start", "call", parentRunId=hashed(blank["id"], key))
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(ingest, proxy, key, started)
        until_asked(proxy, blank["id"], key)
        proxy.record(thread["token"], said(blank, "user", "Why?"))
        assert [each["success"] for each in waiting.result()] == [True]
    double.until(lambda: len(double.database.runs()) == 3).result(PATIENCE)
    (call,) = [run for run in double.database.runs() if run.type == "llm"]
    assert call.parent_run_id == blank["id"]


def until_asked(proxy: Proxy, message: str, key: str) -> None:
    """Return once the proxy has looked for the hash of what is not there: the key is noted then."""
    with closing(sqlite3.connect(proxy.settings.server.log_path)) as log:
        while not log.execute("SELECT 1 FROM alias_key WHERE id != ''").fetchone():
            pass


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"parentRunId": "order-17"}, "bad_event (parentRunId)"),
        ({"event": "end"}, "message_unknown (runId)"),
        ({"type": "log", "event": "info"}, "message_unknown (parentRunId)"),
        ({"event": "stop"}, "bad_event (event)"),
        ({"runId": "taken"}, "id_reused (runId)"),
        ({"input": "a\0b"}, "bad_event (sent)"),
        ({"input": json.loads("[" * 80 + "]" * 80)}, "bad_event (sent)"),
        ({"timestamp": None}, "bad_event (timestamp)"),
    ],
)
def test_a_run_that_would_be_lost_is_refused(
    proxy: Proxy, change: dict[str, Any], reason: str
) -> None:
    """Lunary takes it and drops it, or lets it swallow the thread's next answer."""
    key = backend_token(proxy)
    ingest(proxy, key, chat(proxy, "order-17", "taken", "user", "Why?"))
    (refused,) = ingest(proxy, key, model(proxy, "start", "call") | change)
    assert (refused["success"], refused["error"].split(":")[0]) == (False, reason)


def test_runs_leave_room_for_the_talk(proxy: Proxy) -> None:
    """Half of a thread is for what people said, whatever a model was told each time."""
    key, told = backend_token(proxy), "x" * 500_000
    ingest(proxy, key, chat(proxy, "order-17", "q", "user", "Why?"))
    results = [
        ingest(proxy, key, model(proxy, "start", f"r{n}", parentRunId="q", input=told))[0]
        for n in range(3)
    ]
    assert [each["success"] for each in results] == [True, True, False]
    assert results[2]["error"].startswith("thread_full")
    (answered,) = ingest(proxy, key, chat(proxy, "order-17", "a", "assistant", "Because."))
    assert answered["success"]


def test_runs_are_counted_exported_and_erased_like_all_events(
    double: LunaryDouble, proxy: Proxy
) -> None:
    """Delivered at Lunary and gone on a wish; a line of an export brings them back as they were;
    what is redacted in messages is so in them; the conversation does not know of them."""
    key = backend_token(proxy)
    sent = [
        chat(proxy, "order-17", "q", "user", "Why?"),
        model(proxy, "start", "call", parentRunId="q", input={"ann@example.com": ["Why?"]}),
        model(proxy, "end", "call", output="Because."),
    ]
    ingest(proxy, key, *sent)
    double.until(lambda: any(run.status == "success" for run in double.database.runs())).result(
        PATIENCE
    )
    (told,) = proxy.conversations()
    assert len(told.turns) == 1
    with closing(sqlite3.connect(proxy.settings.server.log_path, isolation_level=None)) as log:
        stored = read_thread(log, 1)
        assert from_line(to_line("support", stored, told)).events == tuple(stored.events)
        started = redact(stored.events[1].entry, compile_rules(["email"], {}))
        assert isinstance(started, events.Run)
        assert started.sent == {"input": {"[email]": ["Why?"]}}
        log.execute("BEGIN IMMEDIATE")
        erasure = Erasure(site="support", at=0, thread=ThreadId(told.thread), upstreams=(UPSTREAM,))
        assert erase(log, [erasure]) == [Removed(1, 3)]
        log.execute("COMMIT")
        counts = count(log, UPSTREAM, "support")
    assert counts.accepted == 3
    assert counts.delivered + counts.erased == 3
