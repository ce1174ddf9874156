"""Limits of requests and threads: at the limit all is taken, one over and it is refused."""

import uuid
from collections.abc import Iterator
from typing import Any, Final

import pytest

from tests.inside import check_answer, check_log, minted_pass
from tests.proxy import Proxy, make_settings, running, said, voted
from thumbseal.bodies import MAX_BACKEND_BODY, MAX_BATCH
from thumbseal.events import MAX_BODY, MAX_THREAD_BYTES, MAX_THREAD_EVENTS, VOTE_RESERVE

CUSTOM: Final = '{"type":"custom","id":"%s","at":1,"name":"n","metadata":%s}'


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """One proxy for all limits."""
    with running(make_settings(tmp_path_factory.mktemp("log"), limits="off")) as running_proxy:
        yield running_proxy


def an_envelope(proxy: Proxy, *raw_events: str) -> bytes:
    token = proxy.open()["thread"]["token"]
    body = '{"sent_at":1,"token":"%s","events":[%s]}' % (token, ",".join(raw_events))  # noqa: UP031
    return body.encode()


def fresh() -> str:
    return uuid.uuid4().hex


def test_a_batch_has_at_most_50_events(proxy: Proxy) -> None:
    """Fifty events are taken; of fifty-one none is."""
    whole = [CUSTOM % (fresh(), "{}") for _ in range(MAX_BATCH + 1)]
    before = check_log(proxy)
    answer = proxy.post("/v1/events", an_envelope(proxy, *whole))
    assert (answer.status_code, answer.json()["error"]["field"]) == (413, "events")
    assert check_log(proxy) == before
    assert check_answer(proxy.post("/v1/events", an_envelope(proxy, *whole[1:]))) == MAX_BATCH


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(("backend", "limit"), [(False, MAX_BODY), (True, MAX_BACKEND_BODY)])
def test_a_body_has_at_most_its_bytes(
    proxy: Proxy, backend: bool, limit: int, chunked: bool
) -> None:
    """64 KiB are read from a page and 1 MiB from a backend; a byte more is a 413, chunked too."""
    envelope = an_envelope(proxy, CUSTOM % (fresh(), "{}"))
    headers = {"Authorization": f"Bearer {minted_pass(proxy)}"} if backend else {}
    for size, status in ((limit, 202), (limit + 1, 413), (3 * limit, 413)):
        body = envelope + b" " * (size - len(envelope))
        parts = (body[at : at + 9_999] for at in range(0, size, 9_999))
        answer = proxy.http.post("/v1/events", content=parts if chunked else body, headers=headers)
        assert answer.status_code == status
        check_answer(answer)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "gzip, gzip", "x"])
def test_a_compressed_body_is_refused(proxy: Proxy, encoding: str) -> None:
    """No body is ever unfolded: any Content-Encoding is a 415, before anything is read."""
    answer = proxy.post("/v1/events", b"\x1f\x8b" + b"\0" * 100, Content_Encoding=encoding)
    assert answer.status_code == 415
    check_answer(answer)


def test_a_thread_that_is_full_still_takes_votes(proxy: Proxy) -> None:
    """At nine tenths of 2,000 events only votes are taken, at 2,000 nothing; each says so."""
    opened = proxy.open()
    token, blank = opened["thread"]["token"], opened["messages"][0]

    def send(count: int, event: dict[str, Any]) -> list[Any]:
        results: list[Any] = []
        for start in range(0, count, MAX_BATCH):
            some = [{**event, "id": fresh()} for _ in range(min(MAX_BATCH, count - start))]
            results += [each.get("code", each["status"]) for each in proxy.record(token, *some)]
        return results

    share = round(MAX_THREAD_EVENTS * (1 - VOTE_RESERVE))
    custom = {"type": "custom", "name": "n"}
    assert set(send(share, custom)) == {"accepted"}
    assert send(1, custom) == ["thread_full"]
    assert set(send(MAX_THREAD_EVENTS - share, voted(blank, thumb="up"))) == {"accepted"}
    assert send(1, voted(blank, thumb="down")) == ["thread_full"]


def test_a_thread_has_at_most_its_bytes(proxy: Proxy) -> None:
    """Two MiB of content, less what is kept for votes, and the next message is refused."""
    opened = proxy.open(want=32)
    token, blanks, sizes = opened["thread"]["token"], opened["messages"], []
    opened_again = proxy.open(thread=token, want=32)["messages"]
    for blank in [*blanks, *opened_again]:
        (result,) = proxy.record(token, said(blank, "user", "x" * 32_000))
        if result["status"] == "rejected":
            assert result["code"] == "thread_full"
            break
        sizes.append(32_000)
    room = MAX_THREAD_BYTES * (1 - VOTE_RESERVE)
    assert room - 33_000 < sum(sizes) < room
    assert proxy.record(token, voted(blanks[0], thumb="up")) == [{"status": "accepted"}]
