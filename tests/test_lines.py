"""Log lines: one for each request, with its id, and nothing that anybody wrote."""

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from tests.lines import Lines, captured
from tests.proxy import ORIGIN, Proxy, make_settings, running, said

TRACE: Final = "0af7651916cd43dd8448eb211c80319c"
SECRET: Final = "my name is Ann"


async def _fail(request: Request) -> PlainTextResponse:
    try:
        raise KeyError(SECRET)
    except KeyError as error:
        raise ValueError(f"cannot use {SECRET}") from error


@pytest.fixture
def lines() -> Iterator[Lines]:
    with captured() as lines:
        yield lines


@pytest.fixture
def proxy(lines: Lines, tmp_path: Path) -> Iterator[Proxy]:
    """A proxy with one route that is broken."""
    with running(make_settings(tmp_path), more=lambda log: [Route("/broken", _fail)]) as proxy:
        yield proxy


def requests(lines: Lines, count: int = 1) -> list[dict[str, Any]]:
    return lines.named("request", count)


def test_each_request_has_its_line_and_its_id(proxy: Proxy, lines: Lines) -> None:
    """The id in an answer's header, which pages may read, finds the request's line."""
    answer = proxy.post("/v1/threads", {"site": "support"})
    (line,) = requests(lines)
    assert line["request_id"] == answer.headers["x-request-id"]
    assert len(line["request_id"]) == 32
    assert {key: line[key] for key in ("method", "route", "status", "level")} == {
        "method": "POST",
        "route": "/v1/threads",
        "status": 200,
        "level": "info",
    }
    assert line["ms"] > 0
    exposed = answer.headers["access-control-expose-headers"].lower()
    assert "x-request-id" in exposed


def test_two_requests_have_two_ids(proxy: Proxy, lines: Lines) -> None:
    """An id that nobody gave is new."""
    for _ in range(2):
        proxy.open()
    assert len({line["request_id"] for line in requests(lines, 2)}) == 2


UUID: Final = "019A0000-0000-0000-0000-00000000000A"


TAKEN: Final = (
    ({"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}, TRACE),
    ({"traceparent": f"cc-{TRACE}-b7ad6b7169203331-01-more"}, TRACE),
    ({"x_request_id": TRACE}, TRACE),
    ({"x_request_id": UUID}, UUID.lower()),
    ({"x_request_id": "1" * 16, "traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}, TRACE),
)
REPLACED: Final = (
    {"traceparent": f"ff-{TRACE}-b7ad6b7169203331-01"},
    {"traceparent": f"00-{'0' * 32}-b7ad6b7169203331-01"},
    {"traceparent": f"00-{TRACE}-{'0' * 16}-01"},
    {"traceparent": f"00-{TRACE.upper()}-b7ad6b7169203331-01"},
    {"traceparent": "00"},
    {"x_request_id": "abc"},
    {"x_request_id": "a" * 33},
    {"x_request_id": "customer 42"},
    {"x_request_id": "1234567890abcdef/1"},
)


def test_a_callers_id_is_taken_where_it_is_one(proxy: Proxy, lines: Lines) -> None:
    """A trace id or a hexadecimal name is kept, so that traces and lines meet."""
    ids = [_id_of(proxy, headers) for headers, _ in TAKEN]
    assert ids == [expected for _, expected in TAKEN]
    assert [line["request_id"] for line in requests(lines, len(ids))] == ids


def test_a_callers_id_is_replaced_where_it_is_none(proxy: Proxy, lines: Lines) -> None:
    """Anything else could hold anything, so the request gets an id of ours."""
    ids = [_id_of(proxy, headers) for headers in REPLACED]
    assert all(re.fullmatch("[0-9a-f]{32}", each) and each != TRACE for each in ids)
    assert [line["request_id"] for line in requests(lines, len(ids))] == ids


def _id_of(proxy: Proxy, headers: dict[str, str]) -> str:
    return str(proxy.post("/v1/threads", {"site": "support"}, **headers).headers["x-request-id"])


def test_a_refusal_tells_its_code(proxy: Proxy, lines: Lines) -> None:
    """A request that was refused says why by the documented code."""
    proxy.post("/v1/threads", {"site": "support"}, Origin="https://evil.example")
    proxy.post("/v1/events", {"token": "x", "sent_at": 0, "events": []})
    assert [(line["status"], line["code"]) for line in requests(lines, 2)] == [
        (403, "origin_refused"),
        (401, "token_invalid"),
    ]


def test_a_line_holds_no_address_that_was_asked_for(proxy: Proxy, lines: Lines) -> None:
    """Paths, queries and methods are somebody's text; routes are ours."""
    token = proxy.open()["thread"]["token"]
    proxy.http.get(f"/v1/{token}", params={"token": token})
    proxy.http.request(f"X{token[:20]}", "/v1/threads")
    assert [(line["method"], line["route"]) for line in requests(lines, 3)[1:]] == [
        ("GET", "none"),
        ("OTHER", "/v1/threads"),
    ]
    assert token[:20] not in lines.text


def test_a_preflight_has_a_line_too(proxy: Proxy, lines: Lines) -> None:
    """What CORS answers by itself is seen as well."""
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}
    answer = proxy.http.options("/v1/events", headers=asked)
    (line,) = requests(lines)
    assert (line["method"], line["status"]) == ("OPTIONS", answer.status_code)


def test_healthy_probes_are_quiet(proxy: Proxy, lines: Lines) -> None:
    """What is asked each second makes no line while all is well."""
    proxy.http.get("/livez")
    proxy.http.get("/readyz")
    proxy.open()
    assert [line["route"] for line in requests(lines)] == ["/v1/threads"]


def test_a_fault_is_told_once_and_quotes_nobody(proxy: Proxy, lines: Lines) -> None:
    """An error that nobody foresaw is one line with its kind, its places and what to do, under the
    id that the page was given, and without its text."""
    answer = proxy.http.get("/broken")
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal")
    (line,) = lines.named("request_failed")
    assert line["request_id"] == answer.headers["x-request-id"]
    assert line["error"] == "builtins.ValueError < builtins.KeyError"
    assert any(place.endswith(" _fail") for place in line["places"])
    assert line["remedy"]
    assert [line["status"] for line in requests(lines)] == [500]
    assert len(lines.text.splitlines()) == 2
    assert SECRET not in lines.text


def test_content_is_in_no_line(proxy: Proxy, lines: Lines) -> None:
    """Neither what was said nor the tokens that say so appear, whether it is taken or refused."""
    opened = proxy.open()
    token, (blank, *_) = opened["thread"]["token"], opened["messages"]
    proxy.record(token, said(blank, "user", SECRET), said(blank, "user", SECRET, more=SECRET))
    proxy.post("/v1/events", f'{{"token": "{token}", "{SECRET}": 1'.encode())
    assert len(requests(lines, 3)) == 3
    for secret in (SECRET, token, blank["token"]):
        assert secret not in lines.text


def test_lines_for_a_person(tmp_path: Path) -> None:
    """Where a person watches, lines are text instead of JSON."""
    with captured("console") as lines, running(make_settings(tmp_path)) as proxy:
        proxy.open()
    assert "/v1/threads" in lines.text
    assert not lines.text.lstrip().startswith("{")


def test_libraries_write_the_same_lines(lines: Lines) -> None:
    """A library's warning is a line like ours: its fixed text, without what was filled in."""
    logger = logging.getLogger("some.library")
    logger.info("not worth a line")
    logger.warning("cannot use %s", SECRET)
    try:
        raise ValueError(SECRET)
    except ValueError:
        logger.exception("it failed")
    (line,) = lines.named("cannot use %s")
    assert (line["logger"], line["level"]) == ("some.library", "warning")
    assert lines.named("it failed")[0]["error"] == "builtins.ValueError"
    assert SECRET not in lines.text
    assert len(lines.text.splitlines()) == 2
