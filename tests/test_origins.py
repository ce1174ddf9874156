"""Origins: which pages speak for a site, and what they can read of an answer."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.proxy import ORIGIN, Proxy, make_settings, running

LISTED: Final = ("https://example.com", "https://*.example.org", "http://localhost:3000")
ORIGINS: Final = {
    "https://example.com": True,
    "https://a.example.org": True,
    "https://a.b.example.org": True,
    "http://localhost:3000": True,
    "https://feedback.example.net": True,  # the server's own
    "https://evil-example.com": False,
    "https://example.com.evil": False,
    "https://example.com.evil.org": False,
    "http://example.com": False,
    "https://example.com:8443": False,
    "http://localhost": False,
    "http://localhost:30000": False,
    "https://example.org": False,
    "https://evil.com/.example.org": False,
    "https://a.example.org.evil.com": False,
    "https://evil.com#.example.org": False,
    "https://EXAMPLE.com": False,
    "https://example.com/": False,
    "https://exämple.com": False,
    "https://example.com\u00a0": False,
    "https://xn--exmple-cua.com": False,
    "null": False,
    "*": False,
    "file://": False,
    "": False,
}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A proxy with the origins of the table."""
    configured = make_settings(tmp_path_factory.mktemp("log"), origins=list(LISTED))
    server = replace(configured.server, public_url="https://feedback.example.net/fb")
    with running(replace(configured, server=server)) as proxy:
        yield proxy


@pytest.mark.parametrize("origin", ORIGINS)
def test_only_a_listed_origin_speaks_for_a_site(guarded: Proxy, origin: str) -> None:
    """A page of another origin is refused by the server and kept from reading by the browser."""
    opened = guarded.open()
    bodies = {
        "/v1/threads": {"site": "support"},
        "/v1/events": {"token": opened["thread"]["token"], "sent_at": 0, "events": []},
        "/v1/feedback": {"messages": [opened["messages"][0]["token"]]},
    }
    for path, body in bodies.items():
        headers = [(b"Origin", origin.encode())]
        answer = guarded.http.post(path, json=body, headers=headers)
        assert answer.is_success is ORIGINS[origin]
        echoed = answer.headers.get("access-control-allow-origin")
        assert echoed == (origin if ORIGINS[origin] else None)
        assert "access-control-allow-credentials" not in answer.headers
        if ORIGINS[origin]:
            assert "Origin" in answer.headers["vary"]
        else:
            assert answer.status_code == 403
            assert answer.json()["error"]["code"] == "origin_refused"


def test_a_page_opened_from_a_file_is_taken_in_development_only(tmp_path: Path) -> None:
    """``Origin: null`` passes with ``--dev``."""
    with running(make_settings(tmp_path), dev=True) as proxy:
        answer = proxy.post("/v1/threads", {"site": "support"}, Origin="null")
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "null"


def test_an_origin_of_one_site_does_not_speak_for_another(tmp_path: Path) -> None:
    """Origins belong to their site; the refusal can be read by the page that got it."""
    configured = make_settings(tmp_path, others=["sales"], origins=["https://support.example.com"])
    with running(configured) as proxy:
        answer = proxy.post("/v1/threads", {"site": "support"}, Origin=ORIGIN)
        assert answer.status_code == 403
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert proxy.post("/v1/threads", {"site": "sales"}, Origin=ORIGIN).status_code == 200


def test_a_caller_without_an_origin_is_no_page(guarded: Proxy) -> None:
    """The origin keeps pages out, not programs: for those there are tokens."""
    assert guarded.http.post("/v1/threads", json={"site": "support"}).status_code == 200


def test_a_page_can_read_every_error(tmp_path: Path) -> None:
    """CORS headers stand on 400, 401, 404, 405, 413, 415 and 500 alike."""

    async def fail(request: Request) -> Response:
        raise RuntimeError("on purpose")

    with running(make_settings(tmp_path), more=lambda log: [Route("/fail", fail)]) as proxy:
        opening = {"site": "support"}
        answers = {
            400: proxy.post("/v1/threads", b"{"),
            401: proxy.post("/v1/threads", {**opening, "thread": "x"}),
            404: proxy.post("/v1/threads", {"site": "nobody"}),
            405: proxy.http.get("/v1/threads", headers={"Origin": ORIGIN}),
            413: proxy.post("/v1/threads", b" " * 65_537),
            415: proxy.post("/v1/threads", opening, Content_Encoding="gzip"),
            500: proxy.http.get("/fail", headers={"Origin": ORIGIN}),
        }
        for status, answer in answers.items():
            assert answer.status_code == status
            assert answer.headers["access-control-allow-origin"] == ORIGIN
            assert answer.headers["cache-control"] == "no-store"
            assert set(answer.json()["error"]) >= {"code", "message", "retry"}
        assert "on purpose" not in answers[500].text
