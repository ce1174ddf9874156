"""Opening and resuming threads: who gets which thread, as whom, and for how long."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.inside import bar, minted_pass, opened_by_backend, rows, stored
from tests.proxy import Clock, Proxy, make_settings, running, said, voted
from thumbseal.claims import EVERY_ROLE, LEEWAY, THREAD_LIFE, THREAD_RENEWABLE, ThreadClaims
from thumbseal.ids import actor_of
from thumbseal.keys import Kind

CLOCK: Final = Clock()
START: Final = CLOCK.now


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    """A proxy with the sites ``support`` and ``sales``; CLOCK starts over."""
    CLOCK.now = START
    with running(make_settings(tmp_path, others=["sales"], reasons=("Wrong",)), CLOCK) as found:
        yield found


def claims(proxy: Proxy, opened: dict[str, Any], site: str = "support") -> ThreadClaims:
    return proxy.tokens(site).read_expired_thread(opened["thread"]["token"])


def refusal(proxy: Proxy, **asked: Any) -> int:
    return proxy.post("/v1/threads", {"site": "support", **asked}).status_code


def test_opening_signs_and_stores_nothing(proxy: Proxy) -> None:
    """A new thread has a token for a day, eight blanks, the site's policy, and no row."""
    opened = proxy.open()
    found = claims(proxy, opened)
    assert opened["thread"]["id"] == found.thread
    assert opened["thread"]["expires"] == (START + THREAD_LIFE) * 1000
    assert found.user is None
    roles = ["user", "assistant", "tool"]
    assert opened["policy"] == {"browser_roles": roles, "reasons": ["Wrong"]}
    assert len({blank["id"] for blank in opened["messages"]}) == 8
    for blank in opened["messages"]:
        read = proxy.tokens().read_message(blank["token"], START)
        assert (read.message, read.thread, read.actor) == (blank["id"], found.thread, found.actor)
    assert rows(proxy, "SELECT * FROM threads") == []


def test_several_sites_are_told_apart_by_name(proxy: Proxy) -> None:
    """Where a server has more than one site, a page that names none is asked for it."""
    answer = proxy.post("/v1/threads", {})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "site_unknown")


@pytest.mark.parametrize("want", [0, 1, 32])
def test_a_page_gets_as_many_blanks_as_it_wants(proxy: Proxy, want: int) -> None:
    """``want`` is how many blanks come back, when opening and when recording."""
    opened = proxy.open(want=want)
    assert len(opened["messages"]) == want
    body = {"token": opened["thread"]["token"], "sent_at": 0, "want": want, "events": []}
    assert len(proxy.post("/v1/events", body).json()["messages"]) == want


def test_a_token_resumes_its_thread(proxy: Proxy) -> None:
    """With its token a thread keeps id, actor and first issue, also long after expiry."""
    first = proxy.open()
    for later in (1, THREAD_LIFE * 3, THREAD_RENEWABLE + LEEWAY):
        CLOCK.now = START + later
        again = proxy.open(thread=first["thread"]["token"])
        before, after = claims(proxy, first), claims(proxy, again)
        assert (after.thread, after.actor) == (before.thread, before.actor)
        assert after.grant == before.grant
        assert (after.first_issued, after.issued) == (START, START + later)
    CLOCK.now += 1
    assert refusal(proxy, thread=first["thread"]["token"]) == 401


def test_resuming_by_the_threads_own_id_is_the_same_as_by_token(proxy: Proxy) -> None:
    """An ``id`` equal to the token's thread resumes; the id alone does not."""
    first = proxy.open()["thread"]
    assert proxy.open(thread=first["token"], id=first["id"])["thread"]["id"] == first["id"]
    assert proxy.open(id=first["id"])["thread"]["id"] != first["id"]


def test_no_renewal_outlives_thirty_days(proxy: Proxy) -> None:
    """Renewed again and again, a credential still ends 30 days after its first issue."""
    opened = proxy.open()
    for day in range(1, 30):
        CLOCK.now = START + day * THREAD_LIFE
        opened = proxy.open(thread=opened["thread"]["token"])
        assert opened["thread"]["expires"] <= (START + THREAD_RENEWABLE) * 1000
    CLOCK.now = START + THREAD_RENEWABLE + LEEWAY + 1
    assert refusal(proxy, thread=opened["thread"]["token"]) == 401
    assert refusal(proxy, **{"from": opened["thread"]["token"]}) == 401


def test_recording_renews_a_token_after_half_its_life(proxy: Proxy) -> None:
    """An answer brings a renewed token after twelve hours, not before, and the same thread."""
    token = proxy.open()["thread"]["token"]
    body = {"token": token, "sent_at": 0, "events": []}
    CLOCK.now = START + THREAD_LIFE / 2
    assert "thread" not in proxy.post("/v1/events", body).json()
    CLOCK.now += 1
    renewed = proxy.post("/v1/events", body).json()
    found, before = claims(proxy, renewed), proxy.tokens().read_expired_thread(token)
    assert (found.thread, found.actor) == (before.thread, before.actor)
    assert found.first_issued == START
    assert renewed["thread"]["expires"] == int(CLOCK.now + THREAD_LIFE) * 1000


def test_an_expired_token_records_nothing_until_it_is_resumed(proxy: Proxy) -> None:
    """Recording needs a live token: expiry by a second over the leeway is a 401."""
    opened = proxy.open()
    body = {"token": opened["thread"]["token"], "sent_at": 0, "events": []}
    CLOCK.now = START + THREAD_LIFE + LEEWAY
    assert proxy.post("/v1/events", body).status_code == 202
    CLOCK.now += 1
    assert proxy.post("/v1/events", body).status_code == 401
    body["token"] = proxy.open(thread=opened["thread"]["token"])["thread"]["token"]
    assert proxy.post("/v1/events", body).status_code == 202


def test_from_gives_a_new_thread_to_the_same_anonymous_actor(proxy: Proxy) -> None:
    """``from`` carries the pseudonym into a new thread, and nothing else."""
    first = proxy.open()
    CLOCK.now += 3 * THREAD_LIFE
    second = proxy.open(**{"from": first["thread"]["token"]})
    before, after = claims(proxy, first), claims(proxy, second)
    assert after.actor == before.actor
    assert after.thread != before.thread
    assert after.first_issued == CLOCK.now


def test_from_never_carries_a_user(proxy: Proxy) -> None:
    """What follows a vouched user's thread is a stranger's: no user, another actor, page roles."""
    first = opened_by_backend(proxy, user="u_42")
    after = claims(proxy, proxy.open(**{"from": first["thread"]["token"]}))
    assert after.user is None
    assert after.actor != claims(proxy, first).actor
    assert after.source == "browser"
    assert not after.may_write("system")


@pytest.mark.parametrize("field", ["thread", "from"])
def test_a_token_that_is_no_thread_of_this_site_opens_nothing(proxy: Proxy, field: str) -> None:
    """Another site's thread, another kind of token, or no token at all is a 401."""
    sales = proxy.open(site="sales")["thread"]["token"]
    message = proxy.open()["messages"][0]["token"]
    for token in (sales, message, minted_pass(proxy), minted_pass(proxy, Kind.REPLAY), "x", ""):
        assert refusal(proxy, **{field: token}) == 401


def test_a_pages_own_name_for_a_thread_is_its_own(proxy: Proxy) -> None:
    """The same name is the same thread for one actor, and another one for anybody else."""
    first = proxy.open(id="order-7")["thread"]
    assert proxy.open(**{"from": first["token"]}, id="order-7")["thread"]["id"] == first["id"]
    assert proxy.open(thread=first["token"], id="order-7")["thread"]["id"] == first["id"]
    others = [proxy.open(id="order-7"), proxy.open(id="order-7", site="sales")]
    others += [opened_by_backend(proxy, id="order-7")]
    assert first["id"] not in [other["thread"]["id"] for other in others]


def test_another_name_beside_a_token_is_another_thread_of_the_same_actor(proxy: Proxy) -> None:
    """A page that goes from one of its conversations to the next stays the same person."""
    first = proxy.open(id="order-7")
    second = proxy.open(thread=first["thread"]["token"], id="order-8")
    assert second["thread"]["id"] != first["thread"]["id"]
    assert claims(proxy, second).actor == claims(proxy, first).actor


def test_only_a_backend_resumes_by_name_alone(proxy: Proxy) -> None:
    """A backend's name is one thread for ever; its UUID is the thread's id, whoever asks."""
    first, second = (opened_by_backend(proxy, id="order-7")["thread"]["id"] for _ in range(2))
    assert first == second
    own = str(uuid.uuid4())
    assert opened_by_backend(proxy, id=own)["thread"]["id"] == own
    assert opened_by_backend(proxy, id=own.upper())["thread"]["id"] == own
    assert proxy.open(id=own)["thread"]["id"] != own


def test_a_backend_vouches_for_a_user(proxy: Proxy) -> None:
    """A vouched user is one actor in every thread, writes every role, and stands in the log."""
    first, second = (opened_by_backend(proxy, user="u_42") for _ in range(2))
    for opened in (first, second):
        found = claims(proxy, opened)
        assert (found.user, found.actor) == ("u_42", actor_of("support", "u_42"))
        assert found.grant == EVERY_ROLE
        token = opened["thread"]["token"]
        (result,) = proxy.record(token, said(opened["messages"][0], "system", "Be kind."))
        assert result == {"status": "accepted"}
    assert {(each["user"], each["source"]) for each in stored(proxy)} == {("u_42", "backend")}
    assert actor_of("sales", "u_42") != actor_of("support", "u_42")


def test_a_page_vouches_for_nobody(proxy: Proxy) -> None:
    """A ``user`` without a backend token is refused as a field of the body."""
    answer = proxy.post("/v1/threads", {"site": "support", "user": "u_42"})
    assert answer.status_code == 400
    assert answer.json()["error"]["field"] == "user"


@pytest.mark.parametrize("user", ["ü" * 33, "a\0b", "", "x" * 65])
def test_a_user_that_does_not_fit_in_a_token_is_refused(proxy: Proxy, user: str) -> None:
    """Over 64 bytes of UTF-8, empty or with U+0000, a user id is a 400, never a 5xx."""
    bearer = f"Bearer {minted_pass(proxy)}"
    answer = proxy.post("/v1/threads", {"site": "support", "user": user}, Authorization=bearer)
    assert answer.status_code == 400
    assert answer.json()["error"]["field"] == "user"


def test_a_thread_keeps_its_user(proxy: Proxy) -> None:
    """Resuming a thread with another user than it has is refused, not quietly left undone."""
    anonymous, vouched = proxy.open(), opened_by_backend(proxy, user="u_42")
    bearer = f"Bearer {minted_pass(proxy)}"
    for opened, status in ((anonymous, 400), (vouched, 200)):
        asked = {"site": "support", "thread": opened["thread"]["token"], "user": "u_42"}
        assert proxy.post("/v1/threads", asked, Authorization=bearer).status_code == status


CUSTOM: Final = {"type": "custom", "name": "opened"}
BARRIERS: Final = ("thread", "actor", "user", "site")


@pytest.mark.parametrize("scope", BARRIERS)
def test_a_barrier_stops_every_token_issued_before_it(tmp_path: Path, scope: str) -> None:
    """What is closed or revoked neither resumes, records, votes nor reads, also after a restart."""
    configured = make_settings(tmp_path)
    clock = Clock()
    with running(configured, clock) as proxy:
        barred = opened_by_backend(proxy, user="u_42")
        other = proxy.open()
        found = claims(proxy, barred)
        bar(proxy, scope, {"site": "support"}.get(scope) or str(getattr(found, scope, "")))
    clock.now += 1
    with running(configured, clock) as proxy:
        token, blank = barred["thread"]["token"], barred["messages"][0]
        assert refusal(proxy, thread=token) == 401
        assert refusal(proxy, **{"from": token}) == 401
        gone = scope == "thread"
        body = {"token": token, "sent_at": 0, "want": 2, "events": [proxy.event(CUSTOM)]}
        answer = proxy.post("/v1/events", body)
        assert answer.status_code == (202 if gone else 401)
        if gone:  # a page that hears it of each event forgets them, and asks for no token
            assert answer.json() == {
                "results": [{"status": "rejected", "code": "gone", "field": "token"}],
                "messages": [],
            }
        (vote,) = proxy.record(None, voted(blank, thumb="up"))
        assert (vote["status"], vote["code"]) == ("rejected", "gone" if gone else "token_invalid")
        assert proxy.feedback(blank["token"]) == [{"code": "token_invalid"}]
        assert stored(proxy) == []
        assert (refusal(proxy, thread=other["thread"]["token"]) == 401) is (scope == "site")


@pytest.mark.parametrize("scope", BARRIERS)
def test_only_a_threads_barrier_stops_what_comes_after(tmp_path: Path, scope: str) -> None:
    """A user who comes back a second later is welcome, but a closed thread stays closed."""
    configured = make_settings(tmp_path)
    clock = Clock()
    with running(configured, clock) as proxy:
        found = claims(proxy, opened_by_backend(proxy, user="u_42", id="order-7"))
        bar(proxy, scope, {"site": "support"}.get(scope) or str(getattr(found, scope, "")))
    clock.now += 1
    with running(configured, clock) as proxy:
        asked = {"site": "support", "user": "u_42", "id": "order-7"}
        bearer = f"Bearer {minted_pass(proxy)}"
        answer = proxy.post("/v1/threads", asked, Authorization=bearer)
        assert answer.status_code == (401 if scope == "thread" else 200)


def test_a_backend_token_is_revoked_by_its_id(tmp_path: Path) -> None:
    """A barred token id is refused, in every route that takes it, and its neighbour is not."""
    configured = make_settings(tmp_path)
    revoked, kept = str(uuid.uuid4()), str(uuid.uuid4())
    with running(configured) as proxy:
        tokens = [minted_pass(proxy, id_=id_) for id_ in (revoked, kept)]
        bar(proxy, "token", revoked)
    with running(configured) as proxy:
        thread = proxy.open()["thread"]["token"]
        bodies = {
            "/v1/threads": {"site": "support"},
            "/v1/events": {"token": thread, "sent_at": 0, "events": []},
        }
        for path, body in bodies.items():
            answers = [proxy.post(path, body, Authorization=f"Bearer {each}") for each in tokens]
            assert [answer.status_code == 401 for answer in answers] == [True, False]
