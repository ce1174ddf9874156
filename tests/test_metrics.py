"""Metrics as Prometheus reads them: what is counted, what is read from the log, and who may."""

import os
import re
import time
from pathlib import Path
from typing import Final

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.doubles.lunary import PROJECT, Answer, Instead, LunaryDouble, Received
from tests.doubles.serving import serve
from tests.proxy import Clock, Proxy, make_settings, running, said, voted
from tests.test_cli import config, reread, served
from thumbseal.claims import PassClaims
from thumbseal.ids import new_id
from thumbseal.keys import Kind
from thumbseal.settings import Lunary, Secret

__all__ = ["config"]  # a fixture

PATIENCE: Final = 20  # seconds until a delivery counts as missing
REQUESTS: Final = "thumbseal_request_duration_seconds_count"
OPERATING: Final = Path(__file__).parents[1] / "docs" / "operating.md"
NOWHERE: Final = "http://127.0.0.1:1"
Sample = tuple[str, dict[str, str], float]


def backend_token(proxy: Proxy, site: str = "support") -> str:
    now = int(proxy.clock())
    return proxy.tokens(site).mint_pass(Kind.BACKEND, PassClaims(new_id(), now, now + 3600))


def scraped(proxy: Proxy, site: str = "support") -> list[Sample]:
    """All samples that a site's backend sees."""
    token = backend_token(proxy, site)
    answer = proxy.http.get("/metrics", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200, answer.text
    return samples(answer.text)


def samples(text: str) -> list[Sample]:
    return [
        (each.name, each.labels, each.value)
        for family in text_string_to_metric_families(text)
        for each in family.samples
    ]


def value(found: list[Sample], name: str, **labels: str) -> float:
    """The one sample of this name with these labels."""
    (only,) = [
        amount for each, told, amount in found if each == name and labels.items() <= told.items()
    ]
    return only


def upstream(url: str, name: str = "lunary") -> Lunary:
    return Lunary(name, Secret(PROJECT.private_key), url, requests_per_minute=100_000)


def test_events_are_counted_by_what_became_of_them(proxy: Proxy) -> None:
    """Accepted, duplicate and rejected events, the last by code; what is stored is in the log."""
    opened = proxy.open()
    token, (question, *_) = opened["thread"]["token"], opened["messages"]
    event = proxy.event(said(question, "user", "Hi."))
    proxy.record(token, event, proxy.event({"type": "custom", "name": "opened"}))
    proxy.record(token, event, said(question, "system", "x"), {"type": "nothing"})
    found = scraped(proxy)
    counted = {
        (told["status"], told["code"]): amount
        for name, told, amount in found
        if name == "thumbseal_events_total"
    }
    assert counted == {
        ("accepted", ""): 2,
        ("duplicate", ""): 1,
        ("rejected", "role_refused"): 1,
        ("rejected", "bad_event"): 1,
    }
    assert value(found, "thumbseal_stored_events", site="support") == 2


def test_requests_are_measured_by_route(proxy: Proxy) -> None:
    """Requests by route and status; paths that nobody serves make no names of their own."""
    proxy.open()
    proxy.post("/v1/threads", {"site": "nobody"})
    for number in range(3):
        proxy.http.get(f"/no/such/path/{number}")
    found = scraped(proxy)
    assert value(found, REQUESTS, method="POST", route="/v1/threads", status="200") == 1
    assert value(found, REQUESTS, method="POST", route="/v1/threads", status="404") == 1
    assert value(found, REQUESTS, method="GET", route="none", status="404") == 3
    assert value(found, "thumbseal_requests_refused_total", code="site_unknown") == 1


def test_the_disk_is_measured(proxy: Proxy) -> None:
    """Each commit's time on its way to the disk, and what room there is."""
    opened = proxy.open()
    before = value(scraped(proxy), "thumbseal_log_fsync_seconds_count")
    proxy.record(opened["thread"]["token"], said(opened["messages"][0], "user", "Hi."))
    found = scraped(proxy)
    assert value(found, "thumbseal_log_fsync_seconds_count") > before
    assert 0 < value(found, "thumbseal_log_fsync_seconds_sum") < 60
    assert value(found, "thumbseal_log_disk_free_bytes") > 2**20
    assert value(found, "thumbseal_log_size_bytes") > 2**12


def test_a_damaged_log_is_counted_until_it_is_deleted(tmp_path: Path) -> None:
    """What was put aside at a start is still told of after it, for as long as it lies there, by
    the name that the documented alert asks for."""
    configured = make_settings(tmp_path)
    (name,) = re.findall(r"expr: (\w+) > 0\n", OPERATING.read_text("utf-8"))
    with running(configured) as proxy:
        assert value(scraped(proxy), name) == 0
    os.truncate(configured.server.log_path, 0)
    with running(configured) as proxy:
        assert value(scraped(proxy), name) == 1
        (aside,) = tmp_path.glob("log.db.corrupt-*")
        aside.unlink()
        assert value(scraped(proxy), name) == 0


def test_what_an_upstream_does_not_have_is_seen(tmp_path: Path) -> None:
    """An upstream that is away shows its pending events and how old the oldest is."""
    clock = Clock()
    with running(make_settings(tmp_path, upstreams=[upstream(NOWHERE)]), clock) as proxy:
        opened = proxy.open()
        token, (question, answer, *_) = opened["thread"]["token"], opened["messages"]
        proxy.record(token, said(question, "user", "Hi."))
        clock.now += 90
        proxy.record(token, said(answer, "assistant", "Ho."))
        found = scraped(proxy)
    states = "delivered", "pending", "held", "dead"
    assert [
        value(found, f"thumbseal_upstream_{state}_events", site="support", upstream="lunary")
        for state in states
    ] == [0, 2, 0, 0]
    assert value(found, "thumbseal_upstream_lag_seconds", upstream="lunary") == 90


def test_what_an_upstream_has_and_refuses_is_seen(tmp_path: Path) -> None:
    """Delivered, dead and waiting events of one upstream add up to what was accepted."""
    double = LunaryDouble(requests_per_minute=10**9)
    double.faults.hook = _no_tags
    with serve(double) as url:
        configured = make_settings(tmp_path, upstreams=[upstream(url)])
        with running(configured) as proxy:
            opened = proxy.open()
            token, (question, answer, *_) = opened["thread"]["token"], opened["messages"]
            proxy.record(token, said(question, "user", "Hi."), voted(answer, thumb="up"))
            await_value(proxy, "thumbseal_upstream_delivered_events", 1)
            proxy.record(token, {"type": "thread", "tags": ["x"]})
            await_value(proxy, "thumbseal_upstream_dead_events", 1)
            found = scraped(proxy)
    assert value(found, "thumbseal_upstream_delivered_events") == 1
    assert value(found, "thumbseal_upstream_held_events") == 1
    assert value(found, "thumbseal_upstream_pending_events") == 0
    assert value(found, "thumbseal_stored_events") == 3


def _no_tags(received: Received) -> Instead | None:
    return Instead(Answer(422)) if received.method == "PATCH" else None


def await_value(proxy: Proxy, name: str, amount: float) -> None:
    began = time.monotonic()
    while value(scraped(proxy), name) != amount:
        assert time.monotonic() < began + PATIENCE, scraped(proxy)


# Who may see them.


def test_metrics_need_a_backend_token(proxy: Proxy) -> None:
    """No other token opens them, nor none; the answer is the uniform one."""
    thread = proxy.open()["thread"]["token"]
    good = backend_token(proxy)
    wrong: list[dict[str, str]] = [
        {},
        {"Authorization": f"Bearer {thread}"},
        {"Authorization": good},
        {"Authorization": f"Basic {good}"},
        {"Authorization": f"Bearer {good[:-2]}xx"},
        {"Authorization": "Bearer x"},
    ]
    answers = [proxy.http.get("/metrics", headers=headers) for headers in wrong]
    assert {(each.status_code, each.json()["error"]["code"]) for each in answers} == {
        (401, "token_invalid")
    }
    assert proxy.http.get("/metrics", params={"token": good}).status_code == 401


def test_a_site_sees_no_other_site(tmp_path: Path) -> None:
    """A backend token reads its own site's figures, and those of no site."""
    with running(make_settings(tmp_path, others=["sales"])) as proxy:
        for site in ("support", "sales"):
            opened = proxy.open(site=site)
            proxy.record(opened["thread"]["token"], said(opened["messages"][0], "user", "Hi."))
        found = scraped(proxy, "sales")
    assert {told["site"] for _, told, _ in found if "site" in told} == {"sales"}
    assert value(found, "thumbseal_log_size_bytes") > 0


def test_metrics_on_a_listener_of_their_own(config: Path) -> None:
    """What reaches the metrics' own address needs no token, sees all of them and nothing else;
    the public address keeps asking for one."""
    with serve(_nobody) as url:
        own = url.removeprefix("http://")
    text = config.read_text().replace("[server]", f'[server]\nmetrics = "{own}"')
    config.write_text(text)
    with served(config) as (public, _):
        assert httpx2.get(f"{public}/metrics", trust_env=False).status_code == 401
        answer = httpx2.get(f"http://{own}/metrics", trust_env=False)
        assert httpx2.get(f"http://{own}/", trust_env=False).status_code == 404
    found = samples(answer.text)
    assert value(found, "thumbseal_stored_events", site="support") == 0


def test_a_reload_forgets_nothing(config: Path) -> None:
    """What was counted before the settings were read again is counted still; a good file and a bad
    one are told apart, and with the bad one the old settings go on."""
    with serve(_nobody) as url:
        own = url.removeprefix("http://")
    good = config.read_text().replace("[server]", f'[server]\nmetrics = "{own}"')
    config.write_text(good)
    with served(config) as (public, process):
        assert httpx2.get(f"{public}/nowhere", trust_env=False).status_code == 404
        before = every_sample(own)
        for text in (good.replace("origins", "orgins"), good[: len(good) // 2], good):
            config.write_text(text)
            reread(process)
            assert httpx2.get(f"{public}/readyz", trust_env=False).status_code == 200
        after = every_sample(own)
    name = "thumbseal_settings_reloads_total"
    for found, used, refused in ((before, 0, 0), (after, 1, 2)):
        assert value(found, name, result="used") == used
        assert value(found, name, result="refused") == refused
        assert value(found, REQUESTS, route="none", status="404") == 1
    assert value(after, "thumbseal_log_fsync_seconds_count") >= value(
        before, "thumbseal_log_fsync_seconds_count"
    )


def every_sample(own: str) -> list[Sample]:
    return samples(httpx2.get(f"http://{own}/metrics", trust_env=False).text)


async def _nobody(*_: object) -> None:
    """An application that is there for its address alone."""


# How they are named.


def test_names_keep_to_the_conventions(proxy: Proxy) -> None:
    """Every family has our prefix, its base unit and a help text; nothing tells when a counter was
    made."""
    opened = proxy.open()
    proxy.record(opened["thread"]["token"], said(opened["messages"][0], "user", "Hi."))
    proxy.http.get("/nowhere")
    token = backend_token(proxy)
    text = proxy.http.get("/metrics", headers={"Authorization": f"Bearer {token}"}).text
    families = list(text_string_to_metric_families(text))
    assert len(families) >= 7
    for family in families:
        assert re.fullmatch(r"thumbseal_[a-z_]+", family.name)
        assert family.documentation.endswith(".")
        assert not re.search(r"_(ms|millis|kb|mb|count|created)$", family.name)
    names = {sample.name for family in families for sample in family.samples}
    assert not [name for name in names if name.endswith("_created")]


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_metrics_are_only_read(proxy: Proxy, method: str) -> None:
    """The route answers GET alone."""
    assert proxy.http.request(method, "/metrics").status_code == 405
