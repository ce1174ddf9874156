"""Access: which token opens what, from which page, and that nothing else does."""

import hashlib
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from itsdangerous import Signer

from tests.inside import minted_pass, opened_by_backend, stored
from tests.proxy import Clock, Proxy, make_settings, running, said, voted
from thumbseal.claims import LEEWAY, THREAD_LIFE
from thumbseal.keys import Keys, Kind, decode, encode, new_key
from thumbseal.tokens import Tokens


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """One proxy for the tests that leave nothing behind that another would see."""
    configured = make_settings(tmp_path_factory.mktemp("log"), others=["sales"])
    with running(configured) as proxy:
        yield proxy


class Hand(dict[str, str]):
    """One token of each kind, and what surrounds them in a good request."""

    def __init__(self, proxy: Proxy) -> None:
        opened = proxy.open()
        self.thread = opened["thread"]["token"]
        self.blank = opened["messages"][0]
        super().__init__(
            thread=self.thread,
            message=opened["messages"][1]["token"],
            backend=minted_pass(proxy),
            replay=minted_pass(proxy, Kind.REPLAY),
        )


def _open(proxy: Proxy, hand: Hand, **asked: str) -> bool:
    return proxy.post("/v1/threads", {"site": "support", **asked}).status_code == 200


def _bearer(proxy: Proxy, path: str, body: dict[str, Any], token: str) -> bool:
    return proxy.post(path, body, Authorization=f"Bearer {token}").status_code in (200, 202)


def _record(proxy: Proxy, token: str | None, event: dict[str, Any]) -> bool:
    body = {"sent_at": proxy.ms, "events": [proxy.event(event)]} | (
        {"token": token} if token else {}
    )
    answer = proxy.post("/v1/events", body)
    return answer.status_code == 202 and answer.json()["results"][0]["status"] == "accepted"


def _said(hand: Hand, **fields: str) -> dict[str, Any]:
    return said(hand.blank, "user", "Hello") | fields


def _voted(token: str) -> dict[str, Any]:
    return voted({"token": token}, thumb="up")


Passes = Callable[[Proxy, Hand, str], bool]
PLACES: Final[dict[str, tuple[str, Passes]]] = {
    "threads, thread": ("thread", lambda p, h, t: _open(p, h, thread=t)),
    "threads, from": ("thread", lambda p, h, t: _open(p, h, **{"from": t})),
    "threads, bearer": (
        "backend",
        lambda p, h, t: _bearer(p, "/v1/threads", {"site": "support"}, t),
    ),
    "events, token": ("thread", lambda p, h, t: _record(p, t, _said(h))),
    "events, bearer": (
        "backend",
        lambda p, h, t: _bearer(
            p, "/v1/events", {"token": h.thread, "sent_at": 0, "events": []}, t
        ),
    ),
    "events, message": ("message", lambda p, h, t: _record(p, h.thread, _said(h, message=t))),
    "events, reply_to": ("message", lambda p, h, t: _record(p, h.thread, _said(h, reply_to=t))),
    "events, retry_of": ("message", lambda p, h, t: _record(p, h.thread, _said(h, retry_of=t))),
    "events, a vote": ("message", lambda p, h, t: _record(p, h.thread, _voted(t))),
    "events, a vote alone": ("message", lambda p, h, t: _record(p, None, _voted(t))),
    "feedback, messages": ("message", lambda p, h, t: "id" in p.feedback(t)[0]),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", ["thread", "message", "backend", "replay"])
def test_of_every_kind_and_place_only_the_meant_pairs_pass(
    shared: Proxy, kind: str, place: str
) -> None:
    """A token is taken where its kind belongs, and refused in every other field and header."""
    meant, passes = PLACES[place]
    hand = Hand(shared)
    assert passes(shared, hand, hand[kind]) is (kind == meant)


@pytest.mark.parametrize("kind", ["thread", "message", "backend", "replay"])
@pytest.mark.parametrize(
    "path", ["/", "/embed.json", "/widget.js?site=support", "/livez", "/readyz"]
)
def test_an_open_page_is_the_same_with_any_token(shared: Proxy, path: str, kind: str) -> None:
    """A token changes nothing where none is needed, and is not shown."""
    token = Hand(shared)[kind]
    plain = shared.http.get(path)
    with_token = shared.http.get(path, headers={"Authorization": f"Bearer {token}"})
    assert (plain.status_code, plain.content) == (200, with_token.content)


@pytest.mark.parametrize("path", ["/v1/threads", "/v1/events", "/v1/feedback"])
def test_a_token_in_a_url_counts_for_nothing(shared: Proxy, path: str) -> None:
    """Tokens are read from the body and the Authorization header, never from a query."""
    hand = Hand(shared)
    query = f"?token={hand['thread']}&site=support&access_token={hand['backend']}"
    assert shared.post(path + query, {"sent_at": 0, "events": []}).status_code == 400


@pytest.mark.parametrize("scheme", ["Basic", "Token", "Bearer ", "Bearer,", "Bearer Bearer"])
def test_another_scheme_is_no_bearer(shared: Proxy, scheme: str) -> None:
    """An Authorization header that is not a Bearer's is refused, not ignored."""
    value = f"{scheme} {minted_pass(shared)}"
    answer = shared.post("/v1/threads", {"site": "support"}, Authorization=value)
    assert answer.status_code == 401


@pytest.mark.parametrize("kind", [Kind.BACKEND, Kind.REPLAY])
def test_an_apps_keys_open_no_backend_route(shared: Proxy, kind: Kind) -> None:
    """A pass that an application signs with what it holds is a 401 at every route."""
    secret = shared.settings.sites["support"].signing_keys()
    genuine = minted_pass(shared).partition(".")[0]
    payload = bytes([kind]) + decode(genuine)[1:]
    for subkeys in Keys.of_app(secret.for_app()).subkeys.values():
        signer = Signer(subkeys, key_derivation="none", digest_method=hashlib.sha256)
        forged = signer.sign(encode(payload)).decode()
        assert not _bearer(shared, "/v1/threads", {"site": "support"}, forged)


def test_what_an_app_signs_for_one_thread_counts_in_that_one_only(shared: Proxy) -> None:
    """A thread token with every role makes no vote in another thread look like the backend's."""
    app = opened_by_backend(shared)
    other = shared.open()
    token = app["thread"]["token"]
    results = shared.record(
        token, voted(app["messages"][0], thumb="up"), voted(other["messages"][0], thumb="up")
    )
    assert [result["status"] for result in results] == ["accepted"] * 2
    sources = {each["thread"]: each["source"] for each in stored(shared)}
    assert sources[app["thread"]["id"]] == "backend"
    assert sources[other["thread"]["id"]] == "browser"


@pytest.mark.parametrize(
    ("policy", "written"),
    [
        (["user", "assistant", "tool"], {"user", "assistant", "tool"}),
        (["user"], {"user"}),
        ([], set()),
    ],
)
def test_a_page_writes_its_sites_roles_and_a_backend_every_role(
    tmp_path: Path, policy: list[str], written: set[str]
) -> None:
    """``browser_roles`` binds pages; a backend's thread token, or a backend token, is free."""
    roles = ("user", "assistant", "tool", "system")
    with running(make_settings(tmp_path, browser_roles=tuple(policy))) as proxy:
        page, app = proxy.open(), opened_by_backend(proxy)
        for opened, expected in ((page, written), (app, set(roles))):
            events = [
                said(blank, role, "x")
                for blank, role in zip(opened["messages"], roles, strict=False)
            ]
            results = proxy.record(opened["thread"]["token"], *events)
            assert {role for role, result in zip(roles, results, strict=True)
                    if result["status"] == "accepted"} == expected  # fmt: skip
            codes = {result.get("code") for result in results if result["status"] == "rejected"}
            assert codes <= {"role_refused"}


def test_a_bad_vote_does_not_fail_its_neighbours(shared: Proxy) -> None:
    """Votes sent without a thread token are judged one by one, whichever comes first."""
    good = shared.open()["messages"][0]
    results = shared.record(None, _voted("no token"), _voted("A" * 130), voted(good, thumb="up"))
    assert [result["status"] for result in results] == ["rejected", "rejected", "accepted"]
    assert {result.get("code") for result in results} == {"token_invalid", None}


def test_a_site_takes_no_token_of_another_site(shared: Proxy) -> None:
    """Two sites of one server are strangers: neither threads nor messages nor passes cross."""
    sales, support = shared.open(site="sales"), Hand(shared)
    assert not _bearer(shared, "/v1/threads", {"site": "sales"}, support["backend"])
    assert not _record(shared, support.thread, said(sales["messages"][0], "user", "x"))
    assert not _record(shared, support.thread, _voted(sales["messages"][0]["token"]))
    assert _record(shared, sales["thread"]["token"], said(sales["messages"][0], "user", "x"))


def test_every_bad_token_gets_the_same_answer(tmp_path: Path) -> None:
    """An unknown site, a bad signature, an expired token and a wrong kind cannot be told apart."""
    clock = Clock()
    with running(make_settings(tmp_path), clock) as proxy:
        expired = proxy.open()["thread"]["token"]
        expired_pass = minted_pass(proxy, life=1)
        clock.now += THREAD_LIFE + LEEWAY + 1
        hand = Hand(proxy)
        unknown = Tokens("nobody", Keys.derive([new_key()]))
        forged = Tokens("support", Keys.derive([new_key()]))
        claims = proxy.tokens().read_thread(hand.thread, clock())
        bad = [expired, unknown.mint_thread(claims), forged.mint_thread(claims)]
        bad += [hand["message"], hand["backend"], hand["replay"], "x", "", hand.thread + "="]
        bodies = [{"token": token, "sent_at": 0, "events": []} for token in bad]
        answers = [proxy.post("/v1/events", body) for body in bodies]
        answers += [proxy.post("/v1/threads", {"site": "support", "thread": t}) for t in bad[1:]]
        answers += [
            proxy.post("/v1/threads", {"site": "support"}, Authorization=f"Bearer {token}")
            for token in (expired_pass, *bad)
            if token not in ("", hand["backend"])
        ]
        assert {answer.status_code for answer in answers} == {401}
        assert len({answer.content for answer in answers}) == 1
        own = ("date", "x-request-id")
        headers = [{k: v for k, v in a.headers.items() if k not in own} for a in answers]
        assert all(each == headers[0] for each in headers)


def test_keys_rotate_while_people_talk(tmp_path: Path) -> None:
    """In three restarts with new keys nobody's thread, vote or backend token is refused."""
    old, new = new_key(), new_key()
    held: Hand | None = None
    for keys in ([old], [new, old], [old, new], [new]):
        with running(make_settings(tmp_path, keys=keys)) as proxy:
            fresh = Hand(proxy)
            for hand in [fresh] if held is None else [held, fresh]:
                custom = {"type": "custom", "name": "x"}
                for token, event in ((hand.thread, custom), (None, _voted(hand["message"]))):
                    assert _record(proxy, token, {**event, "id": uuid.uuid4().hex})
                assert _bearer(proxy, "/v1/threads", {"site": "support"}, hand["backend"])
            held = fresh
