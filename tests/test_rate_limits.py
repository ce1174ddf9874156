"""Limits in time: a flood is refused with the time to wait, and who has no part in it is not."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest

from tests.engines.page import until
from tests.inside import minted_pass, rows
from tests.lines import captured
from tests.proxy import ORIGIN, Proxy, make_settings, running, said, voted
from tests.test_cli import config, reread, served
from thumbseal.counts import Window, take
from thumbseal.settings import Limits

__all__ = ["config"]  # a fixture
DAY: Final = 24 * 3600
LOOSE: Final = dict.fromkeys(Limits.__struct_fields__, "off")
NEIGHBOURS: Final = [  # two callers, and whether limits take them for one
    ("203.0.113.7", "203.0.113.8", False),
    ("203.0.113.7", "::ffff:203.0.113.7", True),
    ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
    ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
]


@contextmanager
def limited(
    folder: Path, *, hops: int = 0, others: tuple[str, ...] = (), **rates: str
) -> Iterator[Proxy]:
    """A proxy with these limits and no others; as many proxies are trusted."""
    configured = make_settings(
        folder, others=others, hops=hops, limits=Limits(**{**LOOSE, **rates})
    )
    with running(configured) as proxy:
        yield proxy


def say(proxy: Proxy, opened: dict[str, Any], *texts: str, **headers: str) -> httpx2.Response:
    """Messages of one thread, sent at once."""
    blanks = [fresh(proxy, opened) for _ in texts]
    events = [
        proxy.event(said(blank, "user", text)) for blank, text in zip(blanks, texts, strict=True)
    ]
    body = {"sent_at": proxy.ms, "token": opened["thread"]["token"], "events": events}
    return proxy.post("/v1/events", body, **headers)


def fresh(proxy: Proxy, opened: dict[str, Any]) -> dict[str, str]:
    """A message of this thread that nothing was said in yet."""
    tokens = proxy.tokens(opened.get("site", "support"))
    claims = tokens.read_thread(opened["thread"]["token"], proxy.clock())
    _, token = tokens.blank(claims.thread, claims.actor, proxy.clock())
    return {"token": token}


def check_refused(answer: httpx2.Response) -> None:
    """A page is told to wait, and for how long."""
    problem = answer.json()["error"]
    assert (answer.status_code, problem["code"], problem["retry"]) == (429, "rate_limited", True)
    assert 1 <= int(answer.headers["Retry-After"]) <= DAY
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert "Retry-After" in answer.headers["Access-Control-Expose-Headers"]


def codes(answer: httpx2.Response) -> list[str | None]:
    assert answer.status_code == 202, answer.text
    return [result.get("code") for result in answer.json()["results"]]


def test_an_actor_s_limit(tmp_path: Path) -> None:
    """The one over the limit is refused, also in another thread of hers; somebody else is not."""
    with limited(tmp_path, messages_per_actor="3/day") as proxy:
        mine = proxy.open()
        assert codes(say(proxy, mine, "1", "2", "3")) == [None] * 3
        check_refused(say(proxy, mine, "4"))
        again = proxy.open(**{"from": mine["thread"]["token"]})
        assert again["thread"]["id"] != mine["thread"]["id"]
        check_refused(say(proxy, again, "5"))
        assert codes(say(proxy, proxy.open(), "6")) == [None]
        assert len(rows(proxy, "SELECT * FROM events")) == 4


def test_the_first_events_of_a_request_fit(tmp_path: Path) -> None:
    """What has room is stored, the rest may be sent again, in its order."""
    with limited(tmp_path, messages_per_thread="3/day") as proxy:
        opened = proxy.open()
        answer = say(proxy, opened, "1", "2", "3", "4", "5")
        assert codes(answer) == [None] * 3 + ["rate_limited"] * 2
        assert [result.get("retry") for result in answer.json()["results"][3:]] == [True, True]
        assert [turn.message.content for turn in proxy.conversations()[0].turns] == ["1", "2", "3"]


def test_votes_have_room_of_their_own(tmp_path: Path) -> None:
    """A flood of messages leaves room for votes, and the other way round."""
    with limited(tmp_path, messages_per_actor="1/day", feedback_per_actor="2/day") as proxy:
        opened = proxy.open()
        blank = opened["messages"][-1]
        assert codes(say(proxy, opened, "1")) == [None]
        check_refused(say(proxy, opened, "2"))
        votes = [voted(blank, thumb=thumb) for thumb in ("up", "down", "up")]
        results = proxy.record(None, *votes)
        assert [result.get("code") for result in results] == [None, None, "rate_limited"]


def test_a_site_s_limit(tmp_path: Path) -> None:
    """A flood at one site is no matter of another one's."""
    with limited(tmp_path, others=("sales",), messages_per_site="2/day") as proxy:
        for text in ("1", "2"):
            assert codes(say(proxy, proxy.open(), text)) == [None]
        check_refused(say(proxy, proxy.open(), "3"))
        sales = {**proxy.open(site="sales"), "site": "sales"}
        assert codes(say(proxy, sales, "4")) == [None]


@pytest.mark.parametrize(("first", "second", "same"), NEIGHBOURS)
def test_an_address_s_limit(tmp_path: Path, first: str, second: str, same: bool) -> None:
    """An IPv4 address is one caller, and so is a /64 of IPv6."""
    with limited(tmp_path, hops=1, messages_per_address="1/day") as proxy:
        assert codes(say(proxy, proxy.open(), "1", X_Forwarded_For=first)) == [None]
        answer = say(proxy, proxy.open(), "2", X_Forwarded_For=second)
        assert (answer.status_code == 429) is same


def test_a_forged_address(tmp_path: Path) -> None:
    """What a caller writes into the header itself moves no limit: only own proxies' entries
    count."""
    with limited(tmp_path, hops=2, messages_per_address="1/day") as proxy:
        own = "203.0.113.7, 10.0.0.1"
        assert codes(say(proxy, proxy.open(), "1", X_Forwarded_For=own)) == [None]
        for forged in ("198.51.100.9", "::1, nonsense", "", "x" * 4000):
            answer = say(proxy, proxy.open(), "2", X_Forwarded_For=f"{forged}, {own}")
            check_refused(answer)


def test_a_proxy_that_nobody_trusts(tmp_path: Path) -> None:
    """All visitors would stand behind the proxy's address: then no limit by address holds, and the
    operator is told, once."""
    with captured() as lines, limited(tmp_path, messages_per_address="1/day") as proxy:
        opened = proxy.open()
        for text in ("1", "2", "3"):
            assert codes(say(proxy, opened, text, X_Forwarded_For="203.0.113.7")) == [None]
        (warning,) = lines.named("proxy_not_trusted")
        assert "trusted_proxies" in warning["remedy"]


def test_openings_and_reads(tmp_path: Path) -> None:
    """Opening threads and asking for votes are limited, too, and are no matter of each other's."""
    with limited(tmp_path, openings_per_site="2/day", reads_per_site="1/day") as proxy:
        tokens = [proxy.open()["messages"][0]["token"] for _ in range(2)]
        check_refused(proxy.post("/v1/threads", {"site": "support"}))
        entrance = {"open": {"site": "support"}, "sent_at": proxy.ms, "events": []}
        check_refused(proxy.post("/v1/events", entrance))
        assert proxy.post("/v1/feedback", {"messages": tokens}).status_code == 200
        check_refused(proxy.post("/v1/feedback", {"messages": tokens}))


def test_a_thread_of_one_s_own_is_no_opening(tmp_path: Path) -> None:
    """A page that goes on in its thread is let in, however many threads others have opened."""
    with limited(tmp_path, openings_per_site="1/day") as proxy:
        token = proxy.open()["thread"]["token"]
        body = {"open": {"thread": token}, "sent_at": proxy.ms, "events": []}
        assert [proxy.post("/v1/events", body).status_code for _ in range(3)] == [202] * 3


def test_a_backend_has_no_limit(tmp_path: Path) -> None:
    """What its secret proves is the site's own."""
    limits = Limits(**dict.fromkeys(LOOSE, "1/day"))
    with running(make_settings(tmp_path, limits=limits)) as proxy:
        headers = {"Authorization": f"Bearer {minted_pass(proxy)}"}
        for _ in range(3):
            answer = proxy.post("/v1/threads", {"site": "support", "want": 8}, **headers)
            assert codes(say(proxy, answer.json(), "1", "2", **headers)) == [None, None]


def test_limits_can_be_lifted(tmp_path: Path) -> None:
    """Without limits a flood is stored."""
    with running(make_settings(tmp_path, limits="off")) as proxy:
        opened = proxy.open()
        assert [codes(say(proxy, opened, *"12345" * 10)) for _ in range(6)] == [[None] * 50] * 6


def test_the_window_passes(tmp_path: Path) -> None:
    """After the time that the answer names there is room again."""
    with limited(tmp_path, messages_per_actor="1/second") as proxy:
        opened = proxy.open()
        refused = until(lambda: over(say(proxy, opened, "1")), "the limit is reached")
        check_refused(refused)
        assert refused.headers["Retry-After"] == "1"
        until(lambda: not over(say(proxy, opened, "2")), "there is room again")


def over(answer: httpx2.Response) -> httpx2.Response | None:
    """The answer, if it is a refusal."""
    return answer if answer.status_code == 429 else None


def test_a_reload_forgets_no_count(config: Path) -> None:
    """A limit that stays as it was goes on counting when another one is changed."""
    told = config.read_text()

    def limit(**rates: str) -> None:
        lines = "".join(f'{name} = "{rate}"\n' for name, rate in rates.items())
        config.write_text(f"{told}\n[sites.support.limits]\n{lines}")

    limit(openings_per_site="2/day")
    with served(config) as (public, process):
        asked = partial(httpx2.post, f"{public}/v1/threads", content=b"{}", trust_env=False)
        assert [asked().status_code for _ in range(3)] == [200, 200, 429]
        limit(openings_per_site="2/day", reads_per_site="5/day")
        reread(process)
        assert asked().status_code == 429
        limit(openings_per_site="3/day", reads_per_site="5/day")
        reread(process)
        assert [asked().status_code for _ in range(4)] == [200, 200, 200, 429]


def test_counting_forgets() -> None:
    """Whoever says something is counted, and forgotten when others come after the window, however
    long the other windows are."""
    site, actors = Window(10_000, 3_600), Window(3, 60)
    for now in range(500):
        asked = [(actors, f"actor {now}"), (site, "")]
        assert take(asked, 1, now) == (1, 0)
        assert take(asked, 2, now) == (2, 0)
        assert take(asked, 1, now) == (0, 60)
    assert (len(actors), len(site)) == (60, 1)
    assert take([(site, "")], 9_999, 3_600) == (9_999, 0)


def test_what_has_room_in_each_window_is_taken() -> None:
    """The wait is that of the windows which lack room for the rest, not of all."""
    narrow, wide = (Window(3, 10), ""), (Window(8, 100), "")
    assert take([narrow, wide], 5, 0) == (3, 10)
    assert take([wide], 4, 4.5) == (4, 0)
    assert take([narrow, wide], 2, 4.5) == (0, 96)
    assert take([narrow, wide], 1, 10) == (1, 0)
    assert take([narrow], 2, 10) == (2, 0)
