"""Bad input: whatever comes in, the answer is a clear refusal and nothing bad is stored."""

import asyncio
import json
import random
import socket
import uuid
from collections.abc import Callable, Iterator
from typing import Any, Final

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.requests import Request

from tests.inside import check_answer, check_log, rows
from tests.proxy import Proxy, make_settings, running, said, voted
from thumbseal.errors import BadRequest
from thumbseal.events import (
    MAX_INTEGER,
)
from thumbseal.web.recording import read_body

PATHS: Final = ("/v1/threads", "/v1/events", "/v1/feedback")


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """One proxy for all bad input: what one request does must not harm the next."""
    with running(make_settings(tmp_path_factory.mktemp("log"))) as running_proxy:
        yield running_proxy


BODIES: Final = {
    "nothing": b"",
    "space": b" \n",
    "null": b"null",
    "a number": b"1",
    "a list": b"[]",
    "text": b'"x"',
    "half": b'{"site":"supp',
    "two": b'{"site":"support"}{"site":"support"}',
    "a comma too many": b'{"site":"support",}',
    "single quotes": b"{'site':'support'}",
    "a comment": b'{"site":"support"/**/}',
    "NaN": b"NaN",
    "U+0000": b"\0",
    "not UTF-8": b'{"site":"\xff\xfe"}',
    "overlong UTF-8": b'{"site":"\xc0\xaf"}',
    "an encoded surrogate": b'{"site":"\xed\xa0\x80"}',
    "UTF-16": '{"site":"support"}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"site":"support"}',
    "a lone surrogate": rb'{"site":"\ud800"}',
    "a bomb of lists": b"[" * 60_000,
    "a bomb of objects": b'{"a":' * 10_000,
    "a bomb in a field": b'{"events":' + b"[" * 30_000 + b"]" * 30_000 + b"}",
    "a huge number": b'{"sent_at":' + b"9" * 10_000 + b"}",
    "a form": b"site=support&thread=x",
    "XML": b"<site>support</site>",
    "an unknown field": b'{"site":"support","sent_at":1,"events":[],"messages":[],"x":1}',
    "a prototype": b'{"__proto__":{"site":"support"}}',
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", BODIES)
def test_a_bad_body_is_refused_as_a_whole(proxy: Proxy, name: str, path: str) -> None:
    """A body that is not what the route takes is a 400 in the error form, and stores nothing."""
    before = check_log(proxy)
    answer = proxy.post(path, BODIES[name])
    check_answer(answer)
    assert answer.status_code == 400
    assert check_log(proxy) == before


VALUES: Final = (
    "null", "true", "0", "-1", "1.5", "1e400", "-1e400", "NaN", "Infinity", "-Infinity",
    "9" * 5_000, str(MAX_INTEGER + 1), "18446744073709551616", "01", "+1", ".5",
    '""', '"x"', f'"{"x" * 40_000}"', r'"\u0000"', r'"\ud83d"', r'"\udc4d\ud83d"', "'x'", "",
    r'"\u202e\u2028\u001b[31m"', '"<script>alert(1)</script>"', "\"'); DROP TABLE events; --\"",
    "[]", "[null]", "[[]]", '["x","x"]', "{}", '{"type":"x"}', '{"":{}}',
    "[" * 100 + "]" * 100, "[" * 5_000 + "]" * 5_000, "[" * 5_000,
)  # fmt: skip
BODY_FIELDS: Final = (
    "site", "thread", "from", "id", "want", "token", "sent_at", "events", "messages",
)  # fmt: skip
FIELDS: Final = (
    "id", "at", "type", "message", "role", "content", "name", "tool_calls", "tool_call_id",
    "reply_to", "retry_of", "tags", "metadata", "feedback", "thumb", "seq", "thread", "",
)  # fmt: skip


@pytest.mark.parametrize("field", FIELDS)
def test_any_value_in_any_field_is_refused_or_harmless(proxy: Proxy, field: str) -> None:
    """Wrong types, sizes, numbers and spellings in each field of each kind of event do no harm."""
    opened = proxy.open(want=32)
    blanks = iter(opened["messages"] * 10)
    kinds: list[Callable[[], dict[str, Any]]] = [
        lambda: said(next(blanks), "user", "x"),
        lambda: voted(next(blanks), thumb="up"),
        lambda: {"type": "thread", "tags": ["a"]},
        lambda: {"type": "custom", "name": "n"},
    ]
    before, accepted = check_log(proxy), 0
    for value in VALUES:
        for kind in kinds:
            event = {"id": uuid.uuid4().hex, "at": 1, **kind()}
            event.pop(field, None)
            raw = json.dumps(event)[:-1] + f',"{field}":{value}}}'
            head = f'{{"sent_at":1,"token":"{opened["thread"]["token"]}","events":['
            accepted += check_answer(proxy.post("/v1/events", f"{head}{raw}]}}".encode()))
    assert check_log(proxy) == before + accepted


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "field",
    ["site", "thread", "from", "id", "want", "user", "token", "sent_at", "events", "messages"],
)
def test_any_value_in_any_field_of_a_body_is_answered(proxy: Proxy, path: str, field: str) -> None:
    """Wrong types, sizes and numbers in the body around the events are refused, or mean nothing."""
    good = {
        "/v1/threads": {"site": "support"},
        "/v1/events": {"sent_at": 1, "events": [], "token": proxy.open()["thread"]["token"]},
        "/v1/feedback": {"messages": []},
    }[path]
    before = check_log(proxy)
    for value in VALUES:
        kept = {name: each for name, each in good.items() if name != field}
        raw = json.dumps(kept)[:-1] + ("," if kept else "") + f'"{field}":{value}}}'
        check_answer(proxy.post(path, raw.encode()))
    assert check_log(proxy) == before


def test_a_body_that_ends_early_is_a_bad_request() -> None:
    """A page that closes while it sends is no fault of the server's."""

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    request = Request({"type": "http", "method": "POST", "headers": []}, receive)
    with pytest.raises(BadRequest, match="ended early"):
        asyncio.run(read_body(request))


@pytest.mark.parametrize("path", [*PATHS, "/", "/livez", "/readyz", "/embed.json", "/widget.js"])
@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "TRACE", "OPTIONS", "FOO"])
def test_a_wrong_method_is_told_so(proxy: Proxy, method: str, path: str) -> None:
    """A method that a route does not take is a 405 in the error form."""
    answer = proxy.http.request(method, path)
    if method == "GET" and path not in PATHS:
        assert answer.status_code == 200
    else:
        assert answer.status_code == 405
        assert answer.json()["error"]["code"] == "method_not_allowed"
        check_answer(answer)


@pytest.mark.parametrize(
    "path",
    [
        "/nothing", "/v1", "/v1/threads/x", "/static/", "/static/%00", "/static/%2e%2e/app.py",
        "/static/..%2f..%2fsettings.py", "/static/" + "a" * 5_000, "/static/%ff", "/w/x/widget.js",
        "/w/%00/%00", "/widget.js?site=nobody", "/widget.js?site=%00%ff", "//evil.example.com/x",
    ],
)  # fmt: skip
def test_an_unknown_path_is_not_found(proxy: Proxy, path: str) -> None:
    """What is not there is a 404 in the error form, however it is spelled."""
    answer = proxy.http.get(httpx2.URL(proxy.url + path))
    assert answer.status_code == 404
    check_answer(answer)


@pytest.mark.parametrize("host", [b"", b"[", b"[::1", b"a b", b"x:99999", b'"><script>', b"\xff"])
@pytest.mark.parametrize("path", [b"/", b"/embed.json", b"/livez/", b"/nothing"])
def test_a_broken_host_header_breaks_nothing(proxy: Proxy, path: bytes, host: bytes) -> None:
    """Pages that show the server's own address do so escaped, or refuse; they never fail."""
    port = int(proxy.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as connection:
        head = b"GET " + path + b" HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n"
        connection.sendall(head)
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))
    assert int(answer.split()[1]) < 500
    assert b'"><script>' not in answer


@given(path=st.sampled_from(PATHS), body=st.binary(max_size=2_000))
@settings(deadline=None, derandomize=True, max_examples=100)
def test_any_bytes_are_refused(proxy: Proxy, path: str, body: bytes) -> None:
    """Bytes by chance are a 400 at every route."""
    answer = proxy.post(path, body)
    check_answer(answer)
    assert answer.status_code == 400


any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
keys = st.sampled_from(BODY_FIELDS)


@given(path=st.sampled_from(PATHS), body=st.dictionaries(keys, any_json, max_size=5))
@settings(deadline=None, derandomize=True, max_examples=100)
def test_any_json_is_answered_in_form(proxy: Proxy, path: str, body: dict[str, Any]) -> None:
    """Any JSON, NaN and lone surrogates included, gets an answer in form and stores nothing."""
    before = rows(proxy, "SELECT count(*) FROM events")
    assert check_answer(proxy.post(path, json.dumps(body).encode())) == 0
    assert rows(proxy, "SELECT count(*) FROM events") == before


@given(seed=st.integers(0, 2**32), edits=st.integers(1, 4))
@settings(deadline=None, derandomize=True, max_examples=150)
def test_a_good_body_with_a_few_bytes_changed_is_refused_or_good(
    proxy: Proxy, seed: int, edits: int
) -> None:
    """A request damaged here and there is refused in form, or what is stored of it is sound."""
    opened = proxy.open(want=2)
    first, second = opened["messages"]
    batch = [
        said(first, "user", [{"type": "text", "text": "Hello \ud83d\udc4d"}], metadata={"n": 1.5}),
        voted(second, thumb="up", reasons=["Wrong"], comment="x"),
        {"type": "custom", "name": "n", "metadata": {"k": [1, 2, None]}},
    ]
    body = {"token": opened["thread"]["token"], "sent_at": proxy.ms, "want": 1}
    whole = json.dumps({**body, "events": [proxy.event(event) for event in batch]})
    before = check_log(proxy)
    accepted = check_answer(proxy.post("/v1/events", _damaged(whole.encode(), seed, edits)))
    assert check_log(proxy) == before + accepted


INTRUDERS: Final = (b"\0", b"\xff", b'"', b"[", rb"\ud83d", b"NaN")


def _damaged(body: bytes, seed: int, edits: int) -> bytes:
    """The body with some bytes flipped, dropped, doubled or moved."""
    chance, damaged = random.Random(seed), bytearray(body)
    for _ in range(edits):
        start = chance.randrange(len(damaged))
        end = start + chance.randrange(1, 12)
        match chance.randrange(4):
            case 0:
                damaged[start] ^= 1 << chance.randrange(8)
            case 1:
                del damaged[start:end]
            case 2:
                damaged[start:start] = damaged[start:end]
            case _:
                damaged[start:start] = chance.choice(
                    [b"\0", b"\xff", b'"', b"[", rb"\ud83d", b"NaN"]
                )
    return bytes(damaged)
