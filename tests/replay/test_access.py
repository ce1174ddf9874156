"""Who gets in: codes, sessions, forms, sites."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import structs

from tests.proxy import Clock, Proxy, make_settings, running
from tests.replay.visiting import Visitor, code_of, talk, with_replay
from thumbseal.claims import PassClaims
from thumbseal.keys import Keys, Kind, new_key
from thumbseal.tokens import Tokens

PAGES = ("/replay", "/replay/threads", "/replay/live")
SECRETS = re.compile(r"[A-Za-z0-9_-]{44}\.[A-Za-z0-9_-]{43}")  # a pass


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    with running(make_settings(tmp_path, others=["shop"])) as opened:
        yield opened


@pytest.fixture
def visitor(proxy: Proxy) -> Iterator[Visitor]:
    with Visitor(proxy) as arrived:
        yield arrived


def word_of(html: str) -> str:
    found = re.search(r'name="word" value="(\w+)"', html)
    assert found
    return found[1]


def test_nothing_is_shown_without_a_session(proxy: Proxy, visitor: Visitor) -> None:
    """Pages lead to the form, and back after it; what stands in a thread is not told."""
    thread = talk(proxy, "Where is the exit?", "An answer.")["thread"]["id"]
    for page in (*PAGES, f"/replay/threads/support/{thread}", "/replay/export.jsonl"):
        answer = visitor.http.get(page)
        assert answer.status_code == 303
        assert "exit" not in answer.text
    answer = visitor.http.get("/replay/threads?thumb=down")
    assert answer.headers["location"] == "../replay/login?next=threads%3Fthumb%3Ddown"
    login = "/replay/login?next=threads%3Fthumb%3Ddown"
    answer = visitor.send(login, code=code_of(proxy))
    assert (answer.status_code, answer.headers["location"]) == (303, "threads?thumb=down")
    assert "Threads" in visitor.see("/replay/threads")


@pytest.mark.parametrize(
    "wanted",
    ["//evil.example.com", "https://evil.example.com", "threads//evil", "javascript:alert(1)",
     "/replay", "..", "threads/../../x", "live\r\nX: y", "login"],
)  # fmt: skip
def test_a_login_leads_nowhere_else(proxy: Proxy, visitor: Visitor, wanted: str) -> None:
    """Whatever ``next`` says, the browser stays below ``/replay``."""
    answer = visitor.http.post(
        "/replay/login", params={"next": wanted}, data={"code": code_of(proxy)},
        headers={"Sec-Fetch-Site": "same-origin"},
    )  # fmt: skip
    assert answer.status_code == 303
    assert answer.headers["location"] == "../replay"


def test_a_code_works_once(proxy: Proxy, visitor: Visitor) -> None:
    code = code_of(proxy)
    assert visitor.send("/replay/login", code=code).status_code == 303
    with Visitor(proxy) as other:
        answer = other.send("/replay/login", code=code)
        assert answer.status_code == 403
        assert "works once" in answer.text
        other.log_in()


@pytest.mark.parametrize("typed", ["", "0000-0000-0000", "x" * 3_000, "é", "\0"])
def test_a_wrong_code_is_refused(visitor: Visitor, typed: str) -> None:
    answer = visitor.send("/replay/login", code=typed)
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


def test_a_code_has_its_time(proxy: Proxy, visitor: Visitor) -> None:
    code = code_of(proxy)
    assert isinstance(proxy.clock, Clock)
    proxy.clock.now += 601
    assert visitor.send("/replay/login", code=code).status_code == 403


def test_attempts_are_counted(tmp_path: Path) -> None:
    """By address where it is known; a good code does not get through either, until later."""
    with running(make_settings(tmp_path, hops=1)) as proxy, Visitor(proxy) as visitor:
        bad, other = {"X-Forwarded-For": "203.0.113.7"}, {"X-Forwarded-For": "203.0.113.8"}
        for _ in range(10):
            assert visitor.send("/replay/login", bad, code="wrong").status_code == 403
        answer = visitor.send("/replay/login", bad, code=code_of(proxy))
        assert answer.status_code == 429
        assert 0 < int(answer.headers["retry-after"]) <= 600
        assert "Too many attempts" in answer.text
        assert visitor.send("/replay/login", other, code=code_of(proxy)).status_code == 303


def test_the_cookie_is_kept_from_scripts_and_other_sites(proxy: Proxy, visitor: Visitor) -> None:
    answer = visitor.send("/replay/login", code=code_of(proxy))
    cookie = answer.headers["set-cookie"].split("; ")
    assert {"HttpOnly", "SameSite=strict", "Max-Age=43200"} <= set(cookie)
    assert not any(part.lower().startswith(("path", "domain")) for part in cookie)
    assert not SECRETS.search(answer.text)
    assert not SECRETS.search(visitor.see("/replay/threads"))


def test_behind_tls_the_cookie_needs_tls(tmp_path: Path) -> None:
    configured = make_settings(tmp_path)
    server = structs.replace(configured.server, public_url="https://chat.example.com/fb")
    with running(structs.replace(configured, server=server)) as proxy, Visitor(proxy) as visitor:
        answer = visitor.send("/replay/login", code=code_of(proxy))
        assert answer.headers["set-cookie"].startswith("__Secure-thumbseal-replay=")
        assert "; Secure" in answer.headers["set-cookie"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example.com"},
        {"Origin": "null"},
        {"Origin": "http://["},
        {},
    ],
)
def test_a_form_from_elsewhere_is_refused(proxy: Proxy, headers: dict[str, str]) -> None:
    """Neither logs anybody in or out, whatever cookie comes along."""
    with Visitor(proxy) as visitor:
        form = {"code": code_of(proxy)}
        answer = visitor.http.post("/replay/login", data=form, headers=headers)
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers
        word = word_of(visitor.log_in().see("/replay/threads"))
        answer = visitor.http.post("/replay/logout", data={"word": word}, headers=headers)
        assert answer.status_code == 403
        visitor.see("/replay/threads")


def test_logging_out_ends_the_session_everywhere(proxy: Proxy, visitor: Visitor) -> None:
    """Also for a copy of the cookie; a form without its word does not."""
    word = word_of(visitor.log_in().see("/replay/threads"))
    copied = dict(visitor.http.cookies)
    assert visitor.send("/replay/logout", word="x" * len(word)).status_code == 403
    visitor.see("/replay/threads")
    answer = visitor.send("/replay/logout", word=word)
    assert (answer.status_code, answer.headers["location"]) == (303, "login")
    assert not visitor.http.cookies
    with Visitor(proxy) as thief:
        thief.http.cookies.update(copied)
        thief.see("/replay/threads", 303)


def test_a_session_has_its_time(tmp_path: Path) -> None:
    configured = with_replay(make_settings(tmp_path), session_hours=1)
    clock = Clock()
    with running(configured, clock) as proxy, Visitor(proxy) as visitor:
        visitor.log_in().see("/replay/threads")
        clock.now += 3_600 + 61
        visitor.see("/replay/threads", 303)


def test_a_session_shows_its_sites_alone(proxy: Proxy) -> None:
    """Another site's threads are nowhere: not in the list, not by their address, not exported."""
    thread = talk(proxy, "Where is the exit?", "An answer.")["thread"]["id"]
    page = f"/replay/threads/support/{thread}"
    with Visitor(proxy) as whole, Visitor(proxy) as other:
        whole.log_in().await_page("/replay/threads", lambda html: "exit" in html)
        assert "exit" in whole.see(page)
        other.log_in("shop")
        assert "exit" not in other.see("/replay/threads?site=support")
        assert "exit" not in other.see("/replay/export.jsonl")
        assert "exit" not in other.see(page, 404)


def forged(proxy: Proxy) -> list[str]:
    """Cookies that look like good ones."""
    now = int(proxy.clock())
    id_ = "01890000-0000-0000-0000-000000000001"
    claims = PassClaims(id_, now, now + 3_600)
    own, strange = proxy.tokens(), Tokens("support", make_keys())
    good = own.mint_pass(Kind.REPLAY, claims)
    return [
        strange.mint_pass(Kind.REPLAY, claims),
        own.mint_pass(Kind.BACKEND, claims),
        own.mint_pass(Kind.REPLAY, PassClaims(id_, now - 7_200, now - 3_600)),
        own.mint_pass(Kind.REPLAY, PassClaims(id_, now + 3_600, now + 7_200)),
        good[:-1] + ("A" if good[-1] != "A" else "B"),
        good.partition(".")[0],
        "~".join("x" * 88 for _ in range(60)),
        "",
    ]


def make_keys() -> Keys:
    return Keys.derive([new_key()])


def test_no_other_cookie_opens_anything(proxy: Proxy) -> None:
    for cookie in forged(proxy):
        answer = proxy.http.get("/replay/threads", headers={"Cookie": f"thumbseal-replay={cookie}"})
        assert answer.status_code == 303, cookie


def test_a_link_from_elsewhere_asks_again_with_its_cookie(visitor: Visitor) -> None:
    """A strict cookie does not come with a link in a mail, but with the page's own request."""
    answer = visitor.http.get("/replay/threads", headers={"Sec-Fetch-Site": "cross-site"})
    assert (answer.status_code, answer.headers["refresh"]) == (200, "0")
    assert answer.content == b""


def test_pages_that_are_off_are_nowhere(tmp_path: Path) -> None:
    configured = with_replay(make_settings(tmp_path), login="off")
    with running(configured) as proxy, Visitor(proxy) as visitor:
        for page in (*PAGES, "/replay/login", "/replay/static/replay.css"):
            visitor.see(page, 404)


def test_pages_grant_other_origins_nothing(proxy: Proxy, visitor: Visitor) -> None:
    """A chat's page may speak with the proxy, and read nothing here."""
    visitor.log_in()
    answer = visitor.http.get("/replay/threads", headers={"Origin": proxy.origin})
    assert not [name for name in answer.headers if name.startswith("access-control")]
    asked = {"Origin": proxy.origin, "Access-Control-Request-Method": "GET"}
    answer = visitor.http.options("/replay/threads", headers=asked)
    assert answer.status_code == 405
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
