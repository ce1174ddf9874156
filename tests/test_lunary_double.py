"""The Lunary double behaves as the real Lunary was observed to, its bad sides first."""

import asyncio
import gzip
import json
import socket
import ssl
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from tests.doubles.lunary import (
    HTML_PAGE,
    OTHER_PROJECT,
    PROJECT,
    Alter,
    Answer,
    Cut,
    Endless,
    Hang,
    Instead,
    LunaryDouble,
    Outage,
    Run,
    SystemClock,
    VirtualClock,
    derive_uuid,
)
from tests.doubles.serving import serve

INGEST = "/v1/runs/ingest"
JSON = {"content-type": "application/json"}
NOON = 1_780_000_000_000
MEBIBYTE = 1024 * 1024
# Never used here, but a client makes one of its own unless given one, which takes 25 ms.
TLS = ssl.create_default_context()
Event = dict[str, Any]


def uid(name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, name))


THREAD = uid("thread")


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def chat(name: str, at: Any = NOON, **more: Any) -> Event:
    """A message whose name begins with the role's letter: u1, a1, s1, t1."""
    roles = {"u": "user", "a": "assistant", "s": "system", "t": "tool", "b": "bot"}
    message = {"role": roles[name[0]], "content": name, **more.pop("message", {})}
    common = {"type": "thread", "event": "chat", "runId": uid(name), "parentRunId": THREAD}
    return {**common, "timestamp": at, "message": message, **more}


def vote(name: str, feedback: Any, at: int = NOON + 1000) -> Event:
    event = {"type": None, "event": "feedback", "runId": uid(name), "timestamp": at}
    return {**event, "feedback": feedback}


def run_event(event: str, kind: str, run: str, at: Any = NOON, **more: Any) -> Event:
    return {"type": kind, "event": event, "runId": uid(run), "timestamp": at, **more}


def custom_event(run: str, at: Any = NOON, **more: Any) -> Event:
    return run_event("custom-event", "custom-event", run, at, **{"parentRunId": THREAD, **more})


@dataclass(frozen=True)
class Lunary:
    """The double behind a real socket, and a client with the private key."""

    double: LunaryDouble
    client: httpx2.Client
    clock: VirtualClock

    def post(self, *events: Any) -> httpx2.Response:
        # In ASCII: a lone surrogate has no UTF-8.
        body = json.dumps({"events": events})
        return self.client.post(INGEST, content=body, headers=JSON)

    def send(self, *events: Any) -> list[dict[str, Any]]:
        response = self.post(*events)
        assert response.status_code == 200
        results: list[dict[str, Any]] = response.json()["results"]
        return results

    def apply(self, *events: Any) -> None:
        assert all(result["success"] for result in self.send(*events))

    def error(self, event: Event) -> str:
        (result,) = self.send(event)
        assert not result["success"]
        return str(result["error"])

    def talk(self, names: str) -> None:
        """One request a message, a second apart: what a patient client does."""
        for step, name in enumerate(names.split()):
            self.apply(chat(name, NOON + 1000 * step))

    def exchanges(self) -> list[str]:
        return [write(run) for run in self.double.exchanges(THREAD)]

    def thread(self) -> Run:
        (thread,) = self.double.threads()
        return thread

    def feedbacks(self) -> list[Any]:
        return [run.feedback for run in self.double.exchanges(THREAD)]


def write(run: Run) -> str:
    """An exchange on one line: ``u1>a1``."""
    texts = [" ".join(entry["content"] for entry in side or []) for side in (run.input, run.output)]
    return ">".join(texts)


@pytest.fixture
def lunary() -> Iterator[Lunary]:
    clock = VirtualClock()
    double = LunaryDouble(clock)
    with (
        serve(double) as url,
        httpx2.Client(
            base_url=url, headers=bearer(PROJECT.private_key), timeout=10, verify=TLS
        ) as client,
    ):
        yield Lunary(double, client, clock)


# The endpoint.


def test_results_come_in_timestamp_order_with_the_ids_as_sent(lunary: Lunary) -> None:
    """Results are sorted by timestamp, not in the order sent, and echo the run id as sent."""
    results = lunary.send(
        vote("late", {}, NOON + 2), {**chat("u1"), "runId": "msg-1"}, vote("middle", {}, NOON + 1)
    )
    assert [result["id"] for result in results] == ["msg-1", uid("middle"), uid("late")]
    assert lunary.double.exchanges(THREAD)[0].id == derive_uuid("msg-1")


def test_events_of_one_timestamp_keep_the_order_sent(lunary: Lunary) -> None:
    """Ties within a batch stay in array order."""
    results = lunary.send(*[vote(name, {}) for name in "dbac"])
    assert [result["id"] for result in results] == [uid(name) for name in "dbac"]


@pytest.mark.parametrize(
    "event",
    [
        7,
        "text",
        [],
        {"event": "unheard-of", "timestamp": NOON},
        vote("nobody", {"thumb": "up"}),
        {**chat("u1"), "runId": None},
        {**chat("u1"), "runId": 5},
        [chat("u1")],
    ],
    ids=str,
)
def test_success_only_means_no_exception(lunary: Lunary, event: Any) -> None:
    """An event without any meaning or target succeeds too."""
    (result,) = lunary.send(event)
    assert result["success"] is True


def test_a_single_event_needs_no_array(lunary: Lunary) -> None:
    """`events` may be one object."""
    response = lunary.client.post(INGEST, json={"events": chat("u1")})
    assert response.json()["results"] == [{"id": uid("u1"), "success": True}]


def test_a_failed_event_still_answers_200_and_the_others_go_on(lunary: Lunary) -> None:
    """A failure shows in the results only."""
    results = lunary.send({**chat("u1"), "message": None}, chat("u2", NOON + 1))
    assert [result["success"] for result in results] == [False, True]
    assert lunary.exchanges() == ["u2>"]


def test_a_failed_chat_event_still_updates_the_thread(lunary: Lunary) -> None:
    """There is no transaction around an event."""
    assert "created_at" in lunary.error(chat("u1", "garbage", threadTags=["x"]))
    assert (lunary.thread().tags, lunary.exchanges()) == (["x"], [])


MISSING = (500, "Missing events payload.")


@pytest.mark.parametrize(
    ("body", "content_type", "status", "message"),
    [
        (b"{}", "application/json", *MISSING),
        (b'{"events":null}', "application/json", *MISSING),
        (b"", "application/json", *MISSING),
        (b"[{}]", "application/json", *MISSING),
        (b'{"events":[]}', "text/plain", *MISSING),
        (b'{"events":[]}', "", *MISSING),
        (b'{"events":[]}', "application/json", 200, None),
        (b'{"events":[]}', "application/json; charset=utf-8", 200, None),
        (b'{"events":[]}', "application/vnd.api+json", 200, None),
        (b'{"events":[null]}', "application/json", 500, "Cannot read properties of null"),
        (b'{"events":[', "application/json", 400, ""),
        (b'{"events":NaN}', "application/json", 400, ""),
        (b'"text"', "application/json", 400, ""),
        (b"null", "application/json", 400, ""),
    ],
)
def test_bodies(
    lunary: Lunary, body: bytes, content_type: str, status: int, message: str | None
) -> None:
    """Each form of body gets the answer it was seen to get."""
    headers = {"content-type": content_type} if content_type else {}
    response = lunary.client.post(INGEST, content=body, headers=headers)
    assert response.status_code == status
    if message is None:
        assert response.json() == {"results": []}
    else:
        assert message in response.json()["message"]


def test_a_null_fails_the_whole_batch(lunary: Lunary) -> None:
    """With a null among the events nothing is applied."""
    assert lunary.post(chat("u1"), None).status_code == 500
    assert lunary.double.threads() == []


def test_gzip_and_chunked_bodies_are_read(lunary: Lunary) -> None:
    """A compressed body in chunks is a body."""
    packed = gzip.compress(json.dumps({"events": [chat("u1")]}).encode())
    chunks = (packed[start : start + 9] for start in range(0, len(packed), 9))
    headers = {**JSON, "content-encoding": "gzip"}
    assert lunary.client.post(INGEST, content=chunks, headers=headers).status_code == 200
    assert lunary.exchanges() == ["u1>"]
    assert lunary.double.events() == [chat("u1")]


@pytest.mark.parametrize(("size", "status"), [(20 * MEBIBYTE, 200), (20 * MEBIBYTE + 1, 413)])
def test_a_body_ends_at_20_mebibytes(lunary: Lunary, size: int, status: int) -> None:
    """20,971,520 bytes pass, one more does not."""
    body = b'{"events":[]}'.ljust(size)
    assert lunary.client.post(INGEST, content=body, headers=JSON).status_code == status


def test_a_batch_has_no_greatest_length(lunary: Lunary) -> None:
    """A thousand events are one request."""
    events = [run_event("start", "llm", f"run {number}") for number in range(1000)]
    assert len(lunary.send(*events)) == 1000


# Keys.


@pytest.mark.parametrize(
    ("headers", "status", "message"),
    [
        (bearer(PROJECT.public_key), 200, None),
        ({"authorization": f"Anything {PROJECT.private_key}"}, 200, None),
        ({"x-api-key": PROJECT.public_key}, 200, None),
        ({}, 402, "Incorrect project id format"),
        ({"authorization": PROJECT.public_key}, 402, "Incorrect project id format"),
        ({"authorization": f"Bearer  {PROJECT.public_key}"}, 402, "Incorrect project id format"),
        (bearer(uid("unknown")), 401, "Invalid API key"),
        (bearer("not-a-uuid"), 401, "Invalid access token"),
        ({"x-api-key": "not-a-uuid"}, 404, "Not Found"),
    ],
)
def test_keys_at_ingestion(
    lunary: Lunary, headers: dict[str, str], status: int, message: str | None
) -> None:
    """Each form of key gets the answer it was seen to get."""
    del lunary.client.headers["authorization"]
    response = lunary.client.post(INGEST, json={"events": []}, headers=headers)
    assert response.status_code == status
    assert message is None or response.json() == {"message": message}


@pytest.mark.parametrize(
    ("method", "path", "public", "none"),
    [
        ("GET", "/v1/runs?type=thread", 401, 404),
        ("GET", f"/v1/runs/{THREAD}", 401, 404),
        ("DELETE", f"/v1/runs/{THREAD}", 401, 404),
        ("PATCH", f"/v1/runs/{THREAD}/tags", 401, 404),
        ("PATCH", f"/v1/runs/{THREAD}/feedback", 403, 403),
        ("GET", f"/v1/runs/{THREAD}/feedback", 204, 204),
    ],
)
def test_keys_elsewhere(lunary: Lunary, method: str, path: str, public: int, none: int) -> None:
    """Every other route wants the private key, but for reading feedback, which wants none."""
    lunary.talk("u1")
    del lunary.client.headers["authorization"]
    with_public = lunary.client.request(method, path, headers=bearer(PROJECT.public_key))
    without = lunary.client.request(method, path)
    assert (with_public.status_code, without.status_code) == (public, none)


# The rate limit and CORS.


def test_150_requests_a_minute_pass(lunary: Lunary) -> None:
    """The 151st in a fixed window is a plain-text 429 that says when to come back."""
    answers = [lunary.client.get("/v1/health") for _ in range(150)]
    assert {answer.status_code for answer in answers} == {200}
    assert [answers[place].headers["rate-limit-remaining"] for place in (0, 149)] == ["149", "0"]
    lunary.clock.advance(20.5)
    refused = lunary.post(chat("u1"))
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "39")
    assert refused.headers["content-type"].startswith("text/plain")
    assert refused.headers["rate-limit-total"] == "150"
    assert refused.headers["rate-limit-reset"] == str(int(lunary.clock.now() + 39.5))
    lunary.clock.advance(39.5)
    assert lunary.post(chat("u1")).status_code == 200
    assert lunary.exchanges() == ["u1>"]


def test_preflights_and_bad_keys_are_not_counted() -> None:
    """What is refused before the limiter costs nothing; the address may be a forwarded one."""
    with (
        serve(LunaryDouble(requests_per_minute=1)) as url,
        httpx2.Client(base_url=url, verify=TLS) as client,
    ):
        asking = {"origin": "https://a.example", "access-control-request-method": "POST"}
        assert client.options(INGEST, headers=asking).status_code == 204
        assert client.post(INGEST, headers=bearer("bad")).status_code == 401
        assert client.get("/v1/health").status_code == 200
        assert client.get("/v1/health").status_code == 429
        other = {"x-forwarded-for": "192.0.2.1"}
        assert client.get("/v1/health", headers=other).status_code == 200


def test_preflight(lunary: Lunary) -> None:
    """A preflight echoes the origin and allows three headers, and only those."""
    asking = {"origin": "https://a.example", "access-control-request-method": "POST"}
    answer = lunary.client.options(INGEST, headers=asking)
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == "https://a.example"
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert answer.headers["access-control-allow-methods"] == "GET,POST,PATCH,DELETE,OPTIONS,PUT"
    assert answer.headers["access-control-allow-headers"] == "Content-Type,Authorization,Accept"
    assert not {"access-control-max-age", "access-control-expose-headers"} & set(answer.headers)
    assert lunary.client.options(INGEST, headers={"origin": "https://a.example"}).status_code == 404


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        (JSON, b"{", 400),
        (bearer("bad"), b"", 401),
        ({"authorization": "none"}, b"", 402),
        (JSON, b"{}", 500),
    ],
)
def test_error_answers_carry_cors(
    lunary: Lunary, headers: dict[str, str], body: bytes, status: int
) -> None:
    """A page can read every error."""
    headers = {"origin": "https://a.example", **headers}
    answer = lunary.client.post(INGEST, content=body, headers=headers)
    assert answer.status_code == status
    assert answer.headers["access-control-allow-origin"] == "https://a.example"


# Chat messages.


@pytest.mark.parametrize(
    ("names", "stored"),
    [
        ("u1 a1 u2 a2", ["u1>a1", "u2>a2"]),
        ("s1 u1 a1 t1 a2", ["s1 u1>a1 t1 a2"]),
        ("u1 u2 a1", ["u1 u2>a1"]),
        ("a1 u1 b1", [">a1", "u1>b1"]),
        ("t1 a1", [">t1 a1"]),
    ],
)
def test_messages_join_one_row_an_exchange(lunary: Lunary, names: str, stored: list[str]) -> None:
    """Questions open a row once the last one is answered, answers go to the latest row."""
    lunary.talk(names)
    assert lunary.exchanges() == stored


@pytest.mark.parametrize("role", ["function", "developer", "human", None])
def test_other_roles_lose_their_content(lunary: Lunary, role: str | None) -> None:
    """A message of an unknown role becomes a row with neither input nor output."""
    lunary.talk("u1")
    lunary.apply(chat("u2", NOON + 1000, message={"role": role}))
    assert [(run.input, run.output) for run in lunary.double.exchanges(THREAD)][1] == (None, None)


def test_after_a_custom_event_question_and_answer_land_apart(lunary: Lunary) -> None:
    """The latest row of any type is the previous one, and a custom event takes no messages."""
    lunary.talk("u1")
    lunary.apply(custom_event("e1", NOON + 1))
    lunary.apply(chat("a1", NOON + 2))
    assert lunary.exchanges() == ["u1>", ">a1"]


def test_a_merge_renames_the_row_to_the_newest_message(lunary: Lunary) -> None:
    """Only the last message's id exists; children, feedback and the first time come along."""
    lunary.apply(chat("u1"))
    lunary.apply(vote("u1", {"thumb": "up"}))
    lunary.apply(run_event("start", "llm", "llm", NOON + 1, parentRunId=uid("u1")))
    for step, name in enumerate(["a1", "t1", "a2"]):
        lunary.apply(chat(name, NOON + 2 + step))
    (run,) = lunary.double.exchanges(THREAD)
    assert (run.id, run.created_at, run.ended_at) == (uid("a2"), NOON, NOON + 4)
    assert run.feedback == {"thumb": "up"}
    child = lunary.double.run(uid("llm"))
    assert child is not None
    assert child.parent_run_id == uid("a2")
    statuses = [lunary.client.get(f"/v1/runs/{uid(name)}").status_code for name in ("u1", "a1")]
    assert statuses == [404, 404]


def test_only_role_content_and_metadata_of_a_message_are_kept(lunary: Lunary) -> None:
    """Tool calls, name and tool_call_id are dropped; `extra` stands in for metadata."""
    extra = {"name": "bob", "tool_calls": [], "tool_call_id": "c", "extra": {"a_b": 1}}
    lunary.apply(chat("u1", message={**extra, "tags": ["row"]}, tags=["event"], metadata={"e": 1}))
    (run,) = lunary.double.exchanges(THREAD)
    assert run.input == [{"role": "user", "content": "u1", "metadata": {"aB": 1}}]
    assert (run.tags, run.metadata) == (["row"], {"aB": 1})


def test_feedback_counts_on_the_event_only(lunary: Lunary) -> None:
    """`feedback` beside the message is stored, inside it is not."""
    lunary.apply(chat("u1", message={"feedback": {"thumb": "down"}}))
    lunary.apply(chat("a1", NOON + 1, feedback={"thumb": "up"}))
    assert lunary.feedbacks() == [{"thumb": "up"}]


def test_keys_are_camel_cased_at_every_depth(lunary: Lunary) -> None:
    """Snake and kebab keys change, in content, metadata, props and feedback; strings do not."""
    content = [{"image_url": {"x-y": [{"_id": "a_b"}]}}]
    lunary.apply(
        chat(
            "u1",
            message={"content": content, "metadata": {"m_n": {"o-p": 1}}},
            userId="user",
            userProps={"first_name": "A"},
            feedback={"is_good": True},
        )
    )
    (run,) = lunary.double.exchanges(THREAD)
    assert run.input[0]["content"] == [{"imageUrl": {"xY": [{"Id": "a_b"}]}}]
    assert (run.metadata, run.feedback) == ({"mN": {"oP": 1}}, {"isGood": True})
    assert lunary.double.users()[0].props == {"firstName": "A"}


@pytest.mark.parametrize("content", ["text", None, "", 1.5, True, {"a": 1}, ["x", 1]])
def test_content_may_be_anything(lunary: Lunary, content: Any) -> None:
    """Content is stored as sent."""
    lunary.apply(chat("u1", message={"content": content}))
    assert lunary.double.exchanges(THREAD)[0].input == [{"role": "user", "content": content}]


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("a\0b", "unsupported Unicode escape sequence"),
        ({"deep": ["\ud83d"]}, "invalid input syntax for type json"),
        ({"\0": 1}, "unsupported Unicode escape sequence"),
    ],
)
def test_bad_unicode_fails(lunary: Lunary, content: Any, error: str) -> None:
    """U+0000 and lone surrogates are refused, now and whenever they are sent again."""
    event = chat("u1", message={"content": content})
    assert [lunary.error(event), lunary.error(event)] == [error, error]
    assert lunary.double.threads() == []


def test_a_surrogate_pair_is_no_lone_one(lunary: Lunary) -> None:
    """An emoji, escaped or not, is stored."""
    body = json.dumps({"events": [chat("u1", message={"content": "👍"})]})
    assert "\\ud83d" in body
    results = lunary.client.post(INGEST, content=body, headers=JSON).json()["results"]
    assert results[0]["success"]
    assert lunary.exchanges() == ["👍>"]


@pytest.mark.parametrize("message", ["text", 5, [], {}])
def test_a_message_that_is_none_stores_an_empty_row(lunary: Lunary, message: Any) -> None:
    """Strings, numbers and empty messages are accepted."""
    lunary.apply({**chat("u1"), "message": message})
    (run,) = lunary.double.exchanges(THREAD)
    assert (run.input, run.output) == (None, None)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"message": None}, "Cannot destructure property 'role'"),
        ({"message": {"role": "user", "tags": "x"}}, 'malformed array literal: "x"'),
        ({"threadTags": "x"}, 'malformed array literal: "x"'),
        ({"parentRunId": None}, "No parent run ID provided"),
        ({"parentRunId": ""}, 'invalid input syntax for type uuid: ""'),
        ({"runId": "x" * 36}, "invalid input syntax for type uuid"),
        ({"userId": "a\0b"}, 'invalid byte sequence for encoding "UTF8": 0x00'),
        ({"appId": "no-uuid"}, 'invalid input syntax for type uuid: "no-uuid"'),
    ],
)
def test_chat_failures(lunary: Lunary, change: Event, error: str) -> None:
    """Each bad field fails with its raw error text."""
    assert error in lunary.error({**chat("u1"), **change})


# The thread and its user.


def test_the_thread_row(lunary: Lunary) -> None:
    """Its time is the arrival's, its input the last message, its metadata the first event's."""
    lunary.apply(chat("u1", threadMetadata={"a": 1}))
    lunary.clock.advance(60)
    lunary.apply(chat("a1", NOON + 1, threadMetadata={"a": 2}))
    thread = lunary.thread()
    assert thread.created_at == (lunary.clock.now() - 60) * 1000
    assert thread.input == {"role": "assistant", "content": "a1"}
    assert thread.metadata == {"a": 1}


@pytest.mark.parametrize(
    ("later", "tags", "user"),
    [
        (chat("a1", NOON + 1), None, None),
        (chat("a1", NOON + 1, threadTags=["new"]), ["new"], None),
        (chat("a1", NOON + 1, userId="bob"), None, "bob"),
        (custom_event("e1", NOON + 1, userId="bob"), None, None),
        (custom_event("e1", NOON + 1, threadTags=["new"]), ["new"], None),
        (run_event("start", "custom-event", "e1", parentRunId=THREAD), ["old"], "ann"),
    ],
)
def test_absent_tags_and_users_wipe(
    lunary: Lunary, later: Event, tags: list[str] | None, user: str | None
) -> None:
    """Each chat event and custom event overwrites the thread's tags and user; a start does not."""
    lunary.apply(chat("u1", threadTags=["old"], userId="ann"))
    lunary.apply(later)
    thread = lunary.thread()
    assert (thread.tags, lunary.double.user_of(thread)) == (tags, user)


def test_string_user_ids_upsert_and_props_are_replaced(lunary: Lunary) -> None:
    """Props absent mean null; the last time is the last event's, even backwards."""
    lunary.apply(chat("u1", userId="ann", userProps={"plan": "pro"}))
    assert lunary.double.users()[0].props == {"plan": "pro"}
    lunary.apply({**vote("u1", {}, NOON - 5), "userId": "ann"})
    (user,) = lunary.double.users()
    assert (user.props, user.last_seen) == (None, NOON - 5)


@pytest.mark.parametrize(
    ("event", "names"),
    [
        (chat("u1", userId=7), []),
        (chat("u1", userId=""), [""]),
        (run_event("end", "chat", "x", userId="ann"), []),
        (run_event("error", "chat", "x", userId="ann"), []),
        (run_event("start", "chat", "x", userId="ann"), ["ann"]),
        ({**vote("u1", {}), "userId": "ann"}, ["ann"]),
    ],
)
def test_which_events_name_users(lunary: Lunary, event: Event, names: list[str]) -> None:
    """A number is ignored, an empty string is a user, end and error name nobody."""
    lunary.apply(event)
    assert [user.external_id for user in lunary.double.users()] == names


# Ids and projects.


def test_ids_of_other_lengths_become_uuids(lunary: Lunary) -> None:
    """Feedback by the same string arrives; reading by it fails; upper case matches."""
    expected = "228b1dfd-6453-41b9-a8a4-e9a231b27bc6"
    lunary.apply({**chat("u1"), "runId": "custom-msg-id", "parentRunId": "t"})
    lunary.apply({**vote("x", {"thumb": "up"}), "runId": "custom-msg-id"})
    (run,) = lunary.double.exchanges(derive_uuid("t"))
    assert run.feedback == {"thumb": "up"}
    assert run.id == expected
    assert lunary.client.get("/v1/runs/custom-msg-id/feedback").status_code == 500
    lunary.apply({**vote("x", {"thumb": "down"}), "runId": run.id.upper()})
    assert lunary.double.exchanges(derive_uuid("t"))[0].feedback == {"thumb": "down"}


def test_ids_are_global_across_projects(lunary: Lunary) -> None:
    """Another project's public key can vote, and a merge moves the row to it."""
    lunary.talk("u1")
    body = {"events": [vote("u1", {"thumb": "up"}, NOON), chat("a1", NOON + 1)]}
    lunary.client.post(INGEST, json=body, headers=bearer(OTHER_PROJECT.public_key))
    (run,) = lunary.double.exchanges(THREAD)
    assert (run.feedback, run.project_id) == ({"thumb": "up"}, OTHER_PROJECT.id)
    assert lunary.client.get(f"/v1/runs/{run.id}").status_code == 404


@pytest.mark.parametrize(
    ("app_id", "project"),
    [
        (OTHER_PROJECT.id, OTHER_PROJECT),
        (OTHER_PROJECT.public_key, OTHER_PROJECT),
        (uid("unknown"), PROJECT),
        (5, PROJECT),
    ],
)
def test_app_id_overrides_the_key(lunary: Lunary, app_id: Any, project: Any) -> None:
    """An event's `appId` re-targets the project; an unknown one falls back to the key's."""
    lunary.apply(chat("u1", appId=app_id))
    assert lunary.double.exchanges(THREAD)[0].project_id == project.id


# Timestamps and order.


@pytest.mark.parametrize(
    ("written", "milliseconds"),
    [
        (NOON, NOON),
        (NOON // 1000, NOON // 1000),
        (None, 0),
        (NOON + 0.9, NOON),
        ("2026-05-28T20:26:40.1239Z", NOON + 123),
        ("2026-05-28T22:26:40+02:00", NOON),
        ("2026-05-28T20:26:40.000001+00:00", NOON),
        ("2026-05-28T20:26:40", NOON),
        ("1970-01-02", 86_400_000),
    ],
)
def test_timestamps(lunary: Lunary, written: Any, milliseconds: int) -> None:
    """Whatever JavaScript's Date takes, cut to ms; seconds and null land in 1970."""
    lunary.apply(chat("u1", written))
    assert lunary.double.exchanges(THREAD)[0].created_at == milliseconds


BAD_TIMES = [str(NOON), "yesterday", "", "2026-13-01", [], 1e17]


@pytest.mark.parametrize("written", BAD_TIMES, ids=str)
def test_unreadable_timestamps_fail_where_a_row_is_created(lunary: Lunary, written: Any) -> None:
    """They pass on merges and feedback."""
    event = chat("u1", written)
    assert 'null value in column "created_at"' in lunary.error(event)
    lunary.apply(chat("u1"), chat("a1", NOON + 1))
    lunary.apply(chat("a2", written), {**vote("a2", {"thumb": "up"}), "timestamp": written})
    assert lunary.exchanges() == ["u1>a1 a2"]
    assert lunary.feedbacks() == [{"thumb": "up"}]


def test_an_absent_timestamp_fails_like_an_unreadable_one(lunary: Lunary) -> None:
    """A row needs its time."""
    event = chat("u1")
    del event["timestamp"]
    assert "created_at" in lunary.error(event)


def test_the_year_10000_fails(lunary: Lunary) -> None:
    """The database cannot read such a time."""
    assert "timestamp with time zone" in lunary.error(chat("u1", 253_402_300_800_000))


def test_equal_timestamps_break_threading(lunary: Lunary) -> None:
    """Three exchanges stamped alike: all answers land on the first question."""
    lunary.apply(*[chat(name) for name in ["u0", "a0", "u1", "a1", "u2", "a2"]])
    assert lunary.exchanges() == ["u0>a0 a1 a2", "u1>", "u2>"]


def test_strictly_increasing_timestamps_do_not(lunary: Lunary) -> None:
    """A millisecond between them is enough."""
    names = ["u0", "a0", "u1", "a1", "u2", "a2"]
    lunary.apply(*[chat(name, NOON + step) for step, name in enumerate(names)])
    assert lunary.exchanges() == ["u0>a0", "u1>a1", "u2>a2"]


def test_across_requests_arrival_decides(lunary: Lunary) -> None:
    """An answer that arrives before its question is never joined to it."""
    lunary.apply(chat("a1", NOON + 1))
    lunary.apply(chat("u1", NOON))
    assert lunary.exchanges() == ["u1>", ">a1"]


def test_a_late_question_takes_no_answer(lunary: Lunary) -> None:
    """It makes its own row in the past, and the answer after it goes to the newest."""
    lunary.talk("u2 a2")
    lunary.apply(chat("u1", NOON - 1000))
    lunary.apply(chat("a1", NOON + 9000))
    assert lunary.exchanges() == ["u1>", "u2>a2 a1"]


def at_once(double: LunaryDouble, *events: Event) -> list[dict[str, Any]]:
    """Each event in a request of its own, all in lockstep on one event loop."""

    async def post_all() -> list[dict[str, Any]]:
        transport = httpx2.ASGITransport(double)
        headers = bearer(PROJECT.public_key)
        async with httpx2.AsyncClient(
            transport=transport, base_url="http://lunary", headers=headers
        ) as client:
            requests = [client.post(INGEST, json={"events": [event]}) for event in events]
            answers = await asyncio.gather(*requests)
        return [answer.json()["results"][0] for answer in answers]

    return asyncio.run(post_all())


def test_question_and_answer_at_once_end_as_two_rows() -> None:
    """Concurrent requests for one thread read before either writes."""
    double = LunaryDouble()
    at_once(double, chat("u0"))
    at_once(double, chat("a0", NOON + 1))
    at_once(double, chat("u1", NOON + 2), chat("a1", NOON + 3))
    assert [write(run) for run in double.exchanges(THREAD)] != ["u0>a0", "u1>a1"]


def test_answers_at_once_are_lost_with_success() -> None:
    """Of eight concurrent answers some vanish, and every result says success."""
    double = LunaryDouble()
    at_once(double, chat("u1"))
    results = at_once(double, *[chat(f"a{step}", NOON + step) for step in range(1, 9)])
    assert all(result["success"] for result in results)
    assert len(double.exchanges(THREAD)[0].output) < 8


def test_votes_at_once_lose_one() -> None:
    """A concurrent thumb and comment overwrite each other."""
    double = LunaryDouble()
    at_once(double, chat("u1"))
    at_once(double, vote("u1", {"thumb": "up"}), vote("u1", {"comment": "x"}))
    assert len(double.exchanges(THREAD)[0].feedback) == 1


# The same event again.


@pytest.mark.parametrize(
    ("before", "again", "stored"),
    [
        ("u1", "u1", ["u1 u1>"]),
        ("u1 a1", "u1", ["u1>a1", "u1>"]),
        ("u1 a1", "a1", ["u1>a1 a1"]),
        ("u1 a1 a2 u2", "a1", ["u1>a1 a2", "u2>a1"]),
    ],
)
def test_a_chat_event_again_is_not_idempotent(
    lunary: Lunary, before: str, again: str, stored: list[str]
) -> None:
    """It is appended twice, makes a phantom exchange, or lands on the wrong one."""
    lunary.talk(before)
    lunary.apply(chat(again, NOON + 9000))
    assert lunary.exchanges() == stored


def test_an_answer_again_takes_over_the_newer_exchange(lunary: Lunary) -> None:
    """Already merged over, its id is free, and the newer row takes it."""
    lunary.talk("u1 a1 a2 u2")
    lunary.apply(chat("a1", NOON + 9000))
    assert [run.id for run in lunary.double.exchanges(THREAD)] == [uid("a2"), uid("a1")]


def test_an_answer_again_after_the_next_question_is_a_duplicate_key(lunary: Lunary) -> None:
    """Harmless, save that the thread's input is overwritten."""
    lunary.talk("u1 a1 u2")
    assert "duplicate key value" in lunary.error(chat("a1", NOON + 9000))
    assert lunary.exchanges() == ["u1>a1", "u2>"]
    assert lunary.thread().input["content"] == "a1"


@pytest.mark.parametrize(
    ("event", "error"),
    [
        (custom_event("e1"), "duplicate key value violates unique constraint"),
        (run_event("start", "llm", "x"), "Run with this ID already exists in the database."),
    ],
)
def test_rows_of_their_own_are_refused_again(lunary: Lunary, event: Event, error: str) -> None:
    """A custom event and a start exist only once."""
    lunary.apply(event)
    assert error in lunary.error(event)


def test_is_retry_is_broken(lunary: Lunary) -> None:
    """It works as a thread's first message only."""
    lunary.apply(chat("a1", message={"isRetry": True}))
    for spelling in ("isRetry", "is_retry"):
        error = lunary.error(chat("a2", NOON + 1, message={spelling: True}))
        assert 'column "sibling_run_id"' in error
        assert error.endswith("does not exist")


# Feedback.


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ([{"thumb": "up"}, {"comment": "x"}], {"thumb": "up", "comment": "x"}),
        ([{"thumb": "up", "comment": "x"}, {"thumb": None}], {"thumb": None, "comment": "x"}),
        ([{"thumb": "up"}, {}, None, 7], {"thumb": "up"}),
        ([{"thumb": "up"}, "ab"], {"thumb": "up", "0": "a", "1": "b"}),
        ([{"any_key": [1]}], {"anyKey": [1]}),
        ([{}], None),
    ],
)
def test_feedback_merges_shallowly(lunary: Lunary, given: list[Any], stored: Any) -> None:
    """Keys given replace, nothing removes one."""
    lunary.talk("u1 a1")
    for feedback in given:
        lunary.apply(vote("a1", feedback))
    assert lunary.feedbacks() == [stored]


def test_extra_is_merged_after_feedback(lunary: Lunary) -> None:
    """The legacy field wins."""
    lunary.talk("u1")
    lunary.apply({**vote("u1", {"thumb": "up"}), "extra": {"thumb": "down"}})
    assert lunary.feedbacks() == [{"thumb": "down"}]


@pytest.mark.parametrize("name", ["u1", "a1", "nobody"])
def test_feedback_to_earlier_or_unknown_ids_is_lost(lunary: Lunary, name: str) -> None:
    """It succeeds and changes nothing."""
    lunary.talk("u1 a1 t1")
    lunary.apply(vote(name, {"thumb": "up"}))
    assert lunary.feedbacks() == [None]
    assert lunary.double.effect_count(uid(name), "feedback") == 0


def test_feedback_to_a_question_goes_over_to_its_answer(lunary: Lunary) -> None:
    """Given before the answer came, it stays on the row."""
    lunary.talk("u1")
    lunary.apply(vote("u1", {"thumb": "up"}))
    lunary.apply(chat("a1", NOON + 1))
    assert lunary.feedbacks() == [{"thumb": "up"}]


def test_feedback_stamped_before_its_message_is_lost(lunary: Lunary) -> None:
    """Also inside one batch."""
    lunary.apply(chat("u1", NOON), vote("u1", {"thumb": "up"}, NOON - 1))
    assert lunary.feedbacks() == [None]


@pytest.mark.parametrize(("more", "left"), [({"feedback": None}, None), ({}, {"thumb": "up"})])
def test_a_null_feedback_on_a_message_wipes(lunary: Lunary, more: Event, left: Any) -> None:
    """An explicit null wipes the exchange's feedback on merge, an absent one does not."""
    lunary.talk("u1")
    lunary.apply(vote("u1", {"thumb": "up"}))
    lunary.apply(chat("a1", NOON + 1, **more))
    assert lunary.feedbacks() == [left]


def test_feedback_works_on_any_row(lunary: Lunary) -> None:
    """A thread, an llm run and a custom event take it too."""
    lunary.talk("u1")
    lunary.apply(custom_event("e1"), run_event("start", "llm", "llm"))
    for name in ("thread", "llm", "e1"):
        lunary.apply(vote(name, {"thumb": "up"}))
        run = lunary.double.run(uid(name))
        assert run is not None
        assert run.feedback == {"thumb": "up"}


def test_patch_feedback(lunary: Lunary) -> None:
    """It merges a thumb and a comment, drops other keys and answers an empty object."""
    lunary.talk("u1")
    path = f"/v1/runs/{uid('u1')}/feedback"
    answer = lunary.client.patch(path, json={"thumb": "up", "other": 1})
    assert (answer.status_code, answer.json()) == (200, {})
    lunary.client.patch(path, json={"comment": "x"})
    assert lunary.feedbacks() == [{"thumb": "up", "comment": "x"}]
    for bad in ({"thumb": "sideways"}, {"comment": 5}, {"thumb": ["up"]}):
        assert lunary.client.patch(path, json=bad).status_code == 422
    for unknown in (uid("nobody"), "no-uuid"):
        assert lunary.client.patch(f"/v1/runs/{unknown}/feedback", json={}).status_code == 500


def test_patch_feedback_of_another_project_has_no_effect(lunary: Lunary) -> None:
    """Its private key gets a 200 all the same."""
    lunary.talk("u1")
    path, other = f"/v1/runs/{uid('u1')}/feedback", bearer(OTHER_PROJECT.private_key)
    assert lunary.client.patch(path, json={"thumb": "up"}, headers=other).status_code == 200
    assert lunary.feedbacks() == [None]


def test_get_feedback(lunary: Lunary) -> None:
    """The object; 204 and nothing where there is none; 404 unknown; 500 for no UUID."""
    lunary.talk("u1")
    path = f"/v1/runs/{uid('u1')}/feedback"
    empty = lunary.client.get(path)
    assert (empty.status_code, empty.content) == (204, b"")
    lunary.apply(vote("u1", {"thumb": None}))
    assert lunary.client.get(path).json() == {"thumb": None}
    assert lunary.client.get(f"/v1/runs/{uid('nobody')}/feedback").status_code == 404


# Other events.


def test_custom_events_create_the_thread(lunary: Lunary) -> None:
    """They are rows of their own, with a name and metadata one level deep."""
    metadata = {"a": 1, "b": ["x", 2], "c": {"d": 1}, "e": [[1]], "f": None}
    lunary.apply(custom_event("e1", name="clicked", metadata=metadata))
    (run,) = lunary.double.custom_events(lunary.thread().id)
    assert (run.name, run.metadata) == ("clicked", {"a": 1, "b": ["x", 2]})


@pytest.mark.parametrize(
    ("change", "error"),
    [({"parentRunId": None}, "No parent run ID provided"), ({"timestamp": ""}, "created_at")],
)
def test_custom_events_need_a_parent_and_a_time(lunary: Lunary, change: Event, error: str) -> None:
    """Without them they fail."""
    assert error in lunary.error({**custom_event("e1"), **change})


def test_the_parents_user_wins(lunary: Lunary) -> None:
    """A start under a parent with a user gets that one, else its own."""
    lunary.apply(
        run_event("start", "agent", "parent", userId="ann"),
        run_event("start", "llm", "child", NOON + 1, userId="bob", parentRunId=uid("parent")),
        run_event("start", "llm", "free", NOON + 2, userId="bob"),
    )
    users = [lunary.double.user_of(run) for run in lunary.double.database.runs()]
    assert users == ["ann", "ann", "bob"]


def test_an_unknown_parent_waits_five_seconds_each(lunary: Lunary) -> None:
    """Two orphans wait ten seconds in all, and are then stored without a parent."""
    orphans = [
        run_event("start", "llm", name, NOON + step, parentRunId=uid("nobody"))
        for step, name in enumerate(["one", "two"])
    ]
    first = lunary.clock.sleepers()
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(lunary.send, *orphans)
        first.result(5)
        assert lunary.client.get("/v1/health").status_code == 200
        lunary.clock.advance(4.99)
        assert lunary.clock.sleepers().done()
        assert lunary.double.run(uid("one")) is None
        lunary.clock.advance(0.01)
        lunary.clock.sleepers().result(5)
        assert lunary.double.run(uid("one")) is not None
        lunary.clock.advance(5)
        assert [result["success"] for result in sending.result(5)] == [True, True]
    run = lunary.double.run(uid("two"))
    assert run is not None
    assert run.parent_run_id is None


def test_a_parent_that_arrives_meanwhile_is_found(lunary: Lunary) -> None:
    """The one try after the wait finds it."""
    waiting = lunary.clock.sleepers()
    with ThreadPoolExecutor(1) as pool:
        orphan = run_event("start", "llm", "child", parentRunId=uid("u1"))
        sending = pool.submit(lunary.send, orphan)
        waiting.result(5)
        lunary.apply(chat("u1"))
        lunary.clock.advance(5)
        sending.result(5)
    run = lunary.double.run(uid("child"))
    assert run is not None
    assert run.parent_run_id == uid("u1")


def test_an_llm_end_of_an_unknown_run_waits_and_is_dropped(lunary: Lunary) -> None:
    """It succeeds five seconds later and leaves nothing."""
    waiting = lunary.clock.sleepers()
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(lunary.send, run_event("end", "llm", "x", output="y"))
        waiting.result(5)
        lunary.clock.advance(5)
        assert sending.result(5)[0]["success"]
    assert lunary.double.database.runs() == []


def test_a_run_under_the_thread_is_written_into(lunary: Lunary) -> None:
    """It is the previous run: the next answer goes into it and renames it."""
    lunary.talk("u1")
    lunary.apply(run_event("start", "llm", "llm", NOON + 1, parentRunId=THREAD))
    lunary.apply(chat("a1", NOON + 2))
    assert lunary.double.run(uid("llm")) is None
    run = lunary.double.run(uid("a1"))
    assert run is not None
    assert (run.type, write(run)) == ("llm", ">a1")


def test_a_run_under_the_thread_with_an_object_as_output_fails_the_answer(lunary: Lunary) -> None:
    """The object cannot be spread."""
    lunary.talk("u1")
    lunary.apply(
        run_event("start", "llm", "llm", NOON + 1, parentRunId=THREAD),
        run_event("end", "llm", "llm", NOON + 2, output={"role": "assistant"}),
    )
    assert "Spread syntax" in lunary.error(chat("a1", NOON + 3))


def test_plain_strings_break_the_thread_list(lunary: Lunary) -> None:
    """Legacy chat starts are stored as sent, and the list then fails."""
    lunary.apply(
        run_event("start", "thread", "thread"),
        run_event("start", "chat", "x", NOON + 1, parentRunId=THREAD, input="hello"),
    )
    answer = lunary.client.get("/v1/runs?type=thread")
    assert answer.status_code == 500
    assert answer.json() == {"message": "cannot extract elements from a scalar"}


def test_an_error_event_ends_the_run(lunary: Lunary) -> None:
    """It stores the error and the status."""
    lunary.apply(
        run_event("start", "llm", "x"), run_event("error", "llm", "x", NOON + 1, error={"m": 1})
    )
    run = lunary.double.run(uid("x"))
    assert run is not None
    assert (run.status, run.error, run.ended_at) == ("error", {"m": 1}, NOON + 1)


def test_an_update_replaces_an_llm_runs_metadata(lunary: Lunary) -> None:
    """Other types are left alone, and an end merges instead."""
    lunary.apply(run_event("start", "llm", "x", metadata={"a": 1}))
    lunary.apply(run_event("end", "llm", "x", metadata={"b": 2}))
    run = lunary.double.run(uid("x"))
    assert run is not None
    assert run.metadata == {"a": 1, "b": 2}
    lunary.apply(run_event("update", "llm", "x", metadata={"c": 3}))
    lunary.apply(run_event("update", "agent", "x", metadata={}))
    run = lunary.double.run(uid("x"))
    assert run is not None
    assert run.metadata == {"c": 3}


def test_log_events_need_a_parent(lunary: Lunary) -> None:
    """Only the type `log` decides before the event's name does."""
    log = {"type": "log", "event": "info", "message": "x", "timestamp": NOON}
    assert lunary.error(log) == "parentRunId and eventName must be defined"
    lunary.apply({**log, "parentRunId": THREAD})
    assert lunary.double.threads() == []


def test_a_start_under_a_question_answered_at_once_breaks_its_foreign_key() -> None:
    """The parent's id goes away between look and insert."""
    double = LunaryDouble()
    at_once(double, chat("u1"))
    start = run_event("start", "llm", "llm", NOON + 2, parentRunId=uid("u1"))
    answered, started = at_once(double, chat("a1", NOON + 1), start)
    assert answered["success"]
    assert "violates foreign key constraint" in started["error"]


def test_the_legacy_report_needs_no_key(lunary: Lunary) -> None:
    """The first event names the project, and the answer is a bare array."""
    body = {"events": [chat("u1", appId=OTHER_PROJECT.id)]}
    del lunary.client.headers["authorization"]
    answer = lunary.client.post("/api/report", json=body)
    assert answer.json() == [{"id": uid("u1"), "success": True}]
    nameless = lunary.client.post("/api/report", json={"events": [chat("u2")]})
    assert nameless.status_code == 402
    assert lunary.client.post("/api/report", json={"events": []}).status_code == 500
    assert lunary.double.exchanges(THREAD)[0].project_id == OTHER_PROJECT.id


# Reading back.


def test_the_thread_list(lunary: Lunary) -> None:
    """Newest first by page, with feedbacks, first message, count and user; no total."""
    lunary.apply(chat("u1"), chat("a1", NOON + 1, userId="ann"))
    lunary.apply(chat("u2", NOON + 2, userId="ann"), vote("a1", {"thumb": "up"}))
    lunary.clock.advance(1)
    lunary.apply({**chat("u3"), "parentRunId": uid("newer")})
    newest = lunary.client.get("/v1/runs?type=thread&limit=1&page=0").json()
    assert [run["id"] for run in newest["data"]] == [uid("newer")]
    page = lunary.client.get("/v1/runs?type=thread&limit=1&page=1").json()
    assert set(page) == {"page", "limit", "data"}
    (thread,) = page["data"]
    assert thread["feedbacks"] == [{"thumb": "up"}, None]
    assert thread["firstMessage"] == {"role": "user", "content": "u1"}
    assert (thread["messagesCount"], thread["user"]["externalId"]) == (3, "ann")
    assert lunary.client.get("/v1/runs/count?type=thread").text == "2"


def test_the_exchange_list_and_the_tree(lunary: Lunary) -> None:
    """Exchanges newest first; the whole tree oldest first."""
    lunary.talk("u1 a1 u2")
    lunary.apply(run_event("start", "llm", "llm", NOON + 3000, parentRunId=uid("u2")))
    listed = lunary.client.get(f"/v1/runs?type=chat&parentRunId={THREAD}").json()["data"]
    assert [run["id"] for run in listed] == [uid("u2"), uid("a1")]
    tree = lunary.client.get(f"/v1/runs/{THREAD}/related").json()
    assert {run["id"] for run in tree} == {THREAD, uid("a1"), uid("u2"), uid("llm")}
    assert [run["createdAt"] for run in tree] == sorted(run["createdAt"] for run in tree)


def test_one_run(lunary: Lunary) -> None:
    """Each message carries an added empty `enrichments`; an id that is no UUID is a 500."""
    lunary.talk("u1")
    run = lunary.client.get(f"/v1/runs/{uid('u1')}").json()
    assert run["input"] == [{"role": "user", "content": "u1", "enrichments": []}]
    assert run["createdAt"] == "2026-05-28T20:26:40.000Z"
    assert lunary.client.get("/v1/runs/no-uuid").status_code == 500


def test_delete_cascades(lunary: Lunary) -> None:
    """A thread goes with all that is under it, but not by another project's key."""
    lunary.talk("u1 a1 u2")
    lunary.apply(run_event("start", "llm", "llm", parentRunId=uid("u2")))
    other = bearer(OTHER_PROJECT.private_key)
    assert lunary.client.delete(f"/v1/runs/{THREAD}", headers=other).status_code == 404
    assert lunary.client.delete(f"/v1/runs/{THREAD}").status_code == 200
    assert lunary.double.database.runs() == []
    assert lunary.client.delete(f"/v1/runs/{THREAD}").status_code == 404
    assert lunary.client.delete("/v1/runs/no-uuid").status_code == 422


# State instead of events.

QUESTION = {"role": "user", "content": "u1"}
ANSWER = {"role": "assistant", "content": "a1", "tool_calls": [{"id": "c"}]}
STATE = [
    run_event("start", "thread", "thread", NOON, input=QUESTION, tags=["x"], userId="ann"),
    run_event("start", "chat", "u1", NOON + 1, parentRunId=THREAD, input=[QUESTION]),
    run_event("end", "chat", "u1", NOON + 2, input=[QUESTION], output=[ANSWER]),
    vote("u1", {"thumb": "up", "comment": None}, NOON + 3),
    run_event("start", "custom-event", "e1", NOON + 4, parentRunId=THREAD, name="clicked"),
    run_event("end", "custom-event", "e1", NOON + 5),
]


def test_state_sent_twice_is_state_sent_once(lunary: Lunary) -> None:
    """Starts say they exist, ends and votes overwrite with the same: nothing changes."""
    lunary.apply(*STATE)
    before = lunary.double.database.runs()
    results = lunary.send(*STATE)
    exists = "Run with this ID already exists in the database."
    errors = [exists, exists, None, None, exists, None]
    assert [result.get("error") for result in results] == errors
    assert lunary.double.database.runs() == before
    assert [bool(effect.changed) for effect in lunary.double.effects] == [True] * 6 + [False] * 6
    assert lunary.double.effect_count(uid("u1")) == 3


def test_state_sent_eight_times_at_once_leaves_one_row() -> None:
    """The losers of the race get a duplicate key or hear that it exists."""
    double = LunaryDouble()
    results = at_once(double, *[STATE[0]] * 8)
    errors = [result["error"] for result in results if not result["success"]]
    assert (len(errors), len(double.threads())) == (7, 1)
    assert all("duplicate key" in error or "already exists" in error for error in errors)


def test_state_reads_right(lunary: Lunary) -> None:
    """Ids stay, tool calls survive as `toolCalls`, the user stays, the list counts."""
    lunary.apply(*STATE)
    (run,) = lunary.double.exchanges(THREAD)
    assert (run.id, run.feedback) == (uid("u1"), {"thumb": "up", "comment": None})
    assert run.output == [{"role": "assistant", "content": "a1", "toolCalls": [{"id": "c"}]}]
    (thread,) = lunary.client.get("/v1/runs?type=thread").json()["data"]
    assert (thread["messagesCount"], thread["firstMessage"]) == (2, QUESTION)
    assert (thread["user"]["externalId"], thread["tags"]) == ("ann", ["x"])
    assert [event.name for event in lunary.double.custom_events(THREAD)] == ["clicked"]


def test_an_end_replaces_the_whole_exchange(lunary: Lunary) -> None:
    """Input and output come from the last end; without input, or with null, it stays."""
    lunary.apply(*STATE)
    lunary.apply(run_event("end", "chat", "u1", NOON + 9, input=[QUESTION] * 2, output=[]))
    lunary.apply(run_event("end", "chat", "u1", NOON + 9))
    lunary.apply(run_event("end", "chat", "u1", NOON + 9, input=None))
    (run,) = lunary.double.exchanges(THREAD)
    assert (run.input, run.output) == ([QUESTION] * 2, [])


def test_an_answer_alone_is_an_exchange_of_its_own(lunary: Lunary) -> None:
    """It shows, counts and keeps its own feedback."""
    lunary.apply(
        *STATE,
        run_event("start", "chat", "a2", NOON + 6, parentRunId=THREAD),
        run_event("end", "chat", "a2", NOON + 7, output=[ANSWER]),
        vote("a2", {"thumb": "down"}, NOON + 8),
    )
    (thread,) = lunary.client.get("/v1/runs?type=thread").json()["data"]
    assert thread["messagesCount"] == 3
    assert thread["feedbacks"] == [{"thumb": "up", "comment": None}, {"thumb": "down"}]


def test_patch_tags(lunary: Lunary) -> None:
    """Tags are replaced by the private key of the thread's project only."""
    lunary.apply(*STATE)
    path = f"/v1/runs/{THREAD}/tags"
    assert lunary.client.patch(path, json={"tags": ["new"]}).status_code == 200
    other = bearer(OTHER_PROJECT.private_key)
    lunary.client.patch(path, json={"tags": ["foreign"]}, headers=other)
    assert lunary.thread().tags == ["new"]
    assert lunary.client.patch(path, json={"tags": "new"}).status_code == 422


# Faults, the journal, and clients that leave.


@pytest.mark.parametrize(
    ("fault", "stored"),
    [(Cut(), ["u1>"]), (Cut(half=True), ["u1>"]), (Cut(applied=False), [])],
    ids=str,
)
def test_a_cut_connection(lunary: Lunary, fault: Cut, stored: list[str]) -> None:
    """The client sees a broken connection and no answer; the state was applied all the same."""
    lunary.double.faults.plan(fault)
    with pytest.raises(httpx2.RemoteProtocolError):
        lunary.post(chat("u1"))
    assert lunary.exchanges() == stored
    assert lunary.post().status_code == 200


@pytest.mark.parametrize("applied", [True, False])
def test_another_answer_instead(lunary: Lunary, applied: bool) -> None:
    """A status with its headers, once, with or without the effect."""
    lunary.double.faults.plan(Instead(Answer(503, {"retry-after": "7"}, b"busy"), applied))
    answer = lunary.post(chat("u1"))
    assert (answer.status_code, answer.headers["retry-after"], answer.text) == (503, "7", "busy")
    assert lunary.exchanges() == (["u1>"] if applied else [])
    assert lunary.post().status_code == 200


def test_html_with_200(lunary: Lunary) -> None:
    """What a login page in front of the real thing would answer."""
    lunary.double.faults.plan(HTML_PAGE)
    answer = lunary.post(chat("u1"))
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html")
    assert "<!doctype html>" in answer.text
    assert lunary.double.threads() == []


@pytest.mark.parametrize("applied", [True, False])
def test_a_hanging_request(lunary: Lunary, applied: bool) -> None:
    """It waits for its release, its effect before or after, and answers honestly then."""
    hang = Hang(applied)
    lunary.double.faults.plan(hang)
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(lunary.send, chat("u1"))
        hang.entered.result(5)
        assert lunary.exchanges() == (["u1>"] if applied else [])
        assert not sending.done()
        hang.release()
        assert sending.result(5) == [{"id": uid("u1"), "success": True}]
    assert lunary.exchanges() == ["u1>"]


def test_a_server_stops_while_a_request_hangs() -> None:
    """Nothing keeps it: the client sees a broken connection."""
    double, hang = LunaryDouble(), Hang()
    double.faults.plan(hang)
    with ThreadPoolExecutor(1) as pool:
        with serve(double) as url:
            sending = pool.submit(httpx2.post, url + INGEST, timeout=10)
            hang.entered.result(5)
        assert isinstance(sending.exception(5), httpx2.TransportError)
    hang.release()


def test_an_endless_body(lunary: Lunary) -> None:
    """It goes on until the client has had enough."""
    lunary.double.faults.plan(Endless())
    events = {"events": [chat("u1")]}
    with lunary.client.stream("POST", INGEST, json=events) as answer:
        received = 0
        for chunk in answer.iter_raw():
            received += len(chunk)
            if received > 4 * MEBIBYTE:
                break
    assert answer.status_code == 200
    assert lunary.exchanges() == ["u1>"]


def test_altered_results(lunary: Lunary) -> None:
    """Wrong ids, or fewer results than events."""
    lunary.double.faults.plan(
        Alter(lambda results: [{**results[0], "id": "x"}]), Alter(lambda _: [])
    )
    assert lunary.send(chat("u1"), chat("a1", NOON + 1)) == [{"id": "x", "success": True}]
    assert lunary.send(chat("u2", NOON + 2)) == []


def test_an_outage_in_the_middle_of_a_batch(lunary: Lunary) -> None:
    """The rest of the batch fails in the results only; when down from the start it is a 500."""
    lunary.double.faults.plan(Outage(after=1), Outage())
    results = lunary.send(chat("u1"), chat("a1", NOON + 1))
    assert [result["success"] for result in results] == [True, False]
    assert "CONNECTION_CLOSED" in results[1]["error"]
    assert lunary.post(chat("a1", NOON + 1)).status_code == 500
    lunary.apply(chat("a1", NOON + 1))
    assert lunary.exchanges() == ["u1>a1"]


def test_a_hook_decides_for_each_request(lunary: Lunary) -> None:
    """It sees the request, after the plan is used up."""
    refusal = Instead(Answer(503))
    lunary.double.faults.hook = lambda received: refusal if len(received.events) > 1 else None
    lunary.double.faults.plan(None)
    sizes = [2, 2, 1]
    statuses = [lunary.post(*[vote("x", {})] * size).status_code for size in sizes]
    assert statuses == [200, 503, 200]
    lunary.double.faults.clear()
    assert lunary.post(*[vote("x", {})] * 2).status_code == 200


def test_the_server_carries_on_when_the_client_leaves(lunary: Lunary) -> None:
    """A client's time-out in the middle of a batch loses nothing of it."""
    waiting = lunary.clock.sleepers()
    orphan = run_event("start", "llm", "llm", NOON, parentRunId=uid("nobody"))
    url = lunary.client.base_url
    body = json.dumps({"events": [orphan, chat("u1", NOON + 1)]}).encode()
    with socket.create_connection((url.host, url.port or 80)) as client:
        head = (
            f"POST {INGEST} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
            f"authorization: Bearer {PROJECT.public_key}\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        client.sendall(head.encode() + body)
        waiting.result(5)
    # The next request is answered after the server has seen the end of that connection.
    assert lunary.client.get("/v1/health").status_code == 200
    settled = lunary.double.settled()
    lunary.clock.advance(5)
    settled.result(5)
    assert lunary.exchanges() == ["u1>"]


def test_a_cancelled_client_in_process_stops_nothing_either() -> None:
    """The batch goes on though the task that sent it is gone, as long as its loop runs."""
    clock = VirtualClock()
    double = LunaryDouble(clock)
    orphan = run_event("start", "llm", "llm", parentRunId=uid("nobody"))

    async def send_and_leave() -> None:
        transport = httpx2.ASGITransport(double)
        async with httpx2.AsyncClient(
            transport=transport, base_url="http://lunary", headers=bearer(PROJECT.public_key)
        ) as client:
            sending = asyncio.create_task(client.post(INGEST, json={"events": [orphan]}))
            await asyncio.wrap_future(clock.sleepers())
            sending.cancel()
            await asyncio.wait([sending])
            settled = double.settled()
            clock.advance(5)
            await asyncio.wrap_future(settled)

    asyncio.run(send_and_leave())
    assert double.run(uid("llm")) is not None


def test_a_cut_in_process_is_a_connection_reset() -> None:
    """Without a socket to break, the client's own call raises."""
    double = LunaryDouble()
    double.faults.plan(Cut())
    with pytest.raises(ConnectionResetError):
        at_once(double, chat("u1"))
    assert [write(run) for run in double.exchanges(THREAD)] == ["u1>"]


def test_half_a_request_is_none(lunary: Lunary) -> None:
    """A client that leaves in the middle of its body leaves no trace."""
    url = lunary.client.base_url
    with socket.create_connection((url.host, url.port or 80)) as client:
        client.sendall(f"POST {INGEST} HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{{".encode())
    assert lunary.client.get("/v1/health").status_code == 200
    assert [received.path for received in lunary.double.journal] == ["/v1/health"]


def test_the_journal_has_every_request(lunary: Lunary) -> None:
    """Method, path, query, headers, body and time, also of what was refused or cut."""
    lunary.double.faults.plan(Cut(applied=False))
    with pytest.raises(httpx2.RemoteProtocolError):
        lunary.post(chat("u1"))
    lunary.clock.advance(3)
    lunary.client.get("/v1/runs?type=thread", headers={"X-Mark": "m"})
    cut, read = lunary.double.journal
    assert (cut.method, cut.path, cut.events) == ("POST", INGEST, [chat("u1")])
    assert json.loads(cut.body) == cut.json
    assert (read.query, read.headers["x-mark"], read.json) == ("type=thread", "m", None)
    assert read.at - cut.at == 3


def test_the_double_can_live_in_the_machines_time() -> None:
    """A system clock moves and sleeps by itself."""
    clock = SystemClock()
    before = clock.now()
    asyncio.run(clock.sleep(0))
    assert clock.now() >= before > VirtualClock().now()


def test_a_server_comes_back_under_its_url() -> None:
    """The same port again, the state kept."""
    double = LunaryDouble()
    with serve(double) as url:
        port = int(url.rpartition(":")[2])
        assert httpx2.get(url + "/v1/health").status_code == 200
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(url + "/v1/health")
    with serve(double, port=port) as again:
        assert again == url
        assert httpx2.get(url + "/v1/health").status_code == 200
    assert len(double.journal) == 2


def test_an_app_that_does_not_start_says_so() -> None:
    """A failing lifespan raises at once instead of leaving a URL that nobody answers."""

    async def broken(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "lifespan"
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no"})

    with pytest.raises(RuntimeError, match="did not start"), serve(broken):
        pass
