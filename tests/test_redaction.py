"""Redaction at the public face: what a site does not keep reaches no byte of its log."""

from pathlib import Path
from typing import Any, Final

import pytest

from tests.inside import stored
from tests.proxy import Proxy, make_settings, running, said, voted
from thumbseal.events import MAX_CONTENT, Custom, Message, load
from thumbseal.patterns import compile_rules
from thumbseal.redaction import redact

MAIL: Final = "canary.ann@example.com"
CARD: Final = 4111111111111111
SECRET: Final = f"mail {MAIL}, card {CARD}, call +49 30 1234567, from 10.11.12.13"
REDACTED: Final = "mail [email], card [card], call [phone], from [ip]"
CANARIES: Final = (MAIL.encode(), str(CARD).encode(), b"1234567", b"10.11.12.13")


def redacting(folder: Path) -> Any:
    configured = make_settings(folder, redact=("email", "card", "phone", "ip"))
    return running(configured)


def spoken(opened: dict[str, Any]) -> list[dict[str, Any]]:
    """An event of each kind with what must not be kept in every free field."""
    first, second, third = opened["messages"][:3]
    json = {"deep": [{MAIL: SECRET, "number": CARD, "yes": True, "half": 0.5}]}
    call = {"id": "c1", "function": {"arguments": f'{{"to": "{MAIL}"}}'}}
    return [
        said(first, "user", SECRET, name=MAIL, tags=[MAIL, "kept"], metadata=json),
        said(second, "user", [{"type": "text", "text": SECRET}]),
        said(third, "assistant", None, tool_calls=[call]),
        voted(second, thumb="down", reasons=[MAIL], comment=SECRET, correction=SECRET),
        {"type": "thread", "tags": [MAIL], "metadata": {"claimed_user": MAIL}},
        {"type": "custom", "name": MAIL, "metadata": json},
    ]


def test_nothing_redacted_reaches_the_disk(tmp_path: Path) -> None:
    """No file beside the log holds a canary, while the server runs and after it has stopped."""
    with redacting(tmp_path) as proxy:
        opened = proxy.open()
        results = proxy.record(opened["thread"]["token"], *spoken(opened))
        assert {result["status"] for result in results} == {"accepted"}
        assert found(tmp_path) == []
        entries = [load(row["body"]) for row in stored(proxy)]
    assert found(tmp_path) == []
    message, custom = entries[0], entries[-1]
    assert isinstance(message, Message)
    assert isinstance(custom, Custom)
    assert (message.content, message.name, message.tags) == (
        REDACTED,
        "[email]",
        ("[email]", "kept"),
    )
    leaf = {"[email]": REDACTED, "number": "[card]", "yes": True, "half": 0.5}
    assert message.metadata == custom.metadata == {"deep": [leaf]}


def found(folder: Path) -> list[tuple[str, bytes]]:
    files = [path for path in folder.iterdir() if path.is_file()]
    assert any(path.name.startswith("log.db") for path in files)
    return [
        (path.name, canary) for path in files for canary in CANARIES if canary in path.read_bytes()
    ]


def test_a_repeat_is_still_a_repeat(tmp_path: Path) -> None:
    """An event sent twice is a duplicate, and another one under its id is refused."""
    with redacting(tmp_path) as proxy:
        opened = proxy.open()
        token, events = opened["thread"]["token"], [proxy.event(e) for e in spoken(opened)]
        proxy.record(token, *events)
        again = proxy.record(token, *events)
        assert [result["status"] for result in again] == ["duplicate"] * len(events)
        (other,) = proxy.record(token, {**events[0], "content": "something else"})
        assert (other["status"], other["code"]) == ("rejected", "id_reused")


def test_without_the_setting_nothing_is_changed(proxy: Proxy) -> None:
    """A site that does not ask for it keeps what people write."""
    opened = proxy.open()
    proxy.record(opened["thread"]["token"], said(opened["messages"][0], "user", SECRET))
    (row,) = stored(proxy)
    assert MAIL in row["body"]


@pytest.mark.parametrize("text", ["1" * MAX_CONTENT, "ü1" * (MAX_CONTENT // 3)])
def test_a_redacted_event_stays_within_the_limits(text: str) -> None:
    """A name in brackets may be longer than what it replaces: the log can read it all the same."""
    rules = compile_rules([], {"digit": "1"})
    entry = Message(id="e", at=1, message="m", role="user", content=text, tags=("1" * 64,))
    redacted = redact(entry, rules)
    assert isinstance(redacted, Message)
    assert isinstance(redacted.content, str)
    assert MAX_CONTENT - 4 < len(redacted.content.encode()) <= MAX_CONTENT
    assert redacted.tags == (("[digit]" * 64)[:64],)
