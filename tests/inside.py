"""What a test knows from inside: tokens minted with the site's keys, and the rows of the log."""

import json
import re
import sqlite3
import uuid
from contextlib import closing
from typing import Any, Final, Literal, NoReturn

import httpx2

from tests.proxy import Proxy
from thumbseal import events
from thumbseal.claims import PassClaims
from thumbseal.ids import new_id
from thumbseal.keys import Kind

STATUSES: Final = {400, 401, 403, 404, 405, 413, 415}
CODE: Final = re.compile(r"[a-z]+(_[a-z]+)*")


def minted_pass(
    proxy: Proxy,
    kind: Literal[Kind.BACKEND, Kind.REPLAY] = Kind.BACKEND,
    *,
    site: str = "support",
    id_: str | None = None,
    life: int = 3600,
) -> str:
    """A backend token or replay session, issued now; ``life`` in seconds."""
    now = int(proxy.clock())
    return proxy.tokens(site).mint_pass(kind, PassClaims(id_ or new_id(), now, now + life))


def opened_by_backend(proxy: Proxy, **asked: Any) -> dict[str, Any]:
    """A thread as a backend with a token opens it."""
    asked = {"site": "support", **asked}
    bearer = f"Bearer {minted_pass(proxy, site=asked['site'])}"
    answer = proxy.post("/v1/threads", asked, Authorization=bearer)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def rows(proxy: Proxy, query: str, *values: object) -> list[dict[str, Any]]:
    """What a query finds in the log's file."""
    with closing(sqlite3.connect(proxy.settings.server.log_path)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(query, values)]


def stored(proxy: Proxy) -> list[dict[str, Any]]:
    """Every stored event, with its site, thread and user."""
    return rows(proxy, "SELECT * FROM events JOIN threads USING (thread_no) ORDER BY seq")


def bar(proxy: Proxy, scope: str, id_: str) -> None:
    """A barrier as closing, revoking and erasing write it; a running server notices in a second."""
    assert id_
    with closing(sqlite3.connect(proxy.settings.server.log_path)) as connection, connection:
        values = ("support", scope, id_, int(proxy.clock()))
        connection.execute("INSERT INTO barrier VALUES (?, ?, ?, ?)", values)


def check_answer(answer: httpx2.Response) -> int:
    """The form of any answer; gives how many events were accepted."""
    if answer.is_success:
        results = answer.json().get("results", [])
        for result in results:
            assert result["status"] in ("accepted", "duplicate", "rejected")
            assert (result["status"] == "rejected") is bool(CODE.fullmatch(result.get("code", "")))
        return sum(result["status"] == "accepted" for result in results)
    assert answer.status_code in STATUSES, answer.text
    error = answer.json()["error"]
    assert answer.json().keys() == {"error"}
    assert {"code", "message", "retry"} <= error.keys() <= {"code", "message", "retry", "field"}
    assert CODE.fullmatch(error["code"])
    assert error["message"]
    assert error["retry"] is False
    return 0


def check_log(proxy: Proxy) -> int:
    """Every stored event is one that could come in today; gives how many there are."""
    assert rows(proxy, "PRAGMA integrity_check") == [{"integrity_check": "ok"}]
    found = stored(proxy)
    for row in found:
        assert "\\u0000" not in row["body"]
        assert "\0" not in row["body"]
        body = json.loads(row["body"], parse_constant=_no_constant)
        assert events.dump(events.load(row["body"])).decode() == row["body"]
        assert (body["id"], body["type"]) == (row["event_id"], row["kind"])
        for id_ in (row["thread"], row["actor"], row["message"], body.get("reply_to")):
            assert id_ is None or str(uuid.UUID(id_)) == id_
        assert 0 <= row["at"] <= row["received_at"] == proxy.ms
    return len(found)


def _no_constant(text: str) -> NoReturn:
    raise AssertionError(f"{text} is not JSON")
