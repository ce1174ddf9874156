"""The page on webhooks: its schema and its examples against real deliveries."""

import json
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import jsonschema
import pytest
from hypothesis import given, settings

from tests.histories import histories, message, told, vote
from tests.test_webhook_upstream import NOW, SECRET, Post, change_of
from thumbseal.events import Event
from thumbseal.upstreams.payload import describe

DOCS: Final = Path(__file__).parents[1] / "docs"
PAGE: Final = (DOCS / "webhooks.md").read_text("utf-8")
SCHEMA: Final = json.loads((DOCS / "webhook.schema.json").read_text("utf-8"))
VALIDATOR: Final = jsonschema.Draft202012Validator(SCHEMA)
REMEDY: Final = "write json.dumps(thumbseal.upstreams.payload.describe(), indent=2) into it"
TALK: Final = told(message("u1"), message("a1"), vote("a1", thumb="up"))


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def shared() -> Iterator[Post]:
    with Post.running() as post:
        yield post


@pytest.fixture
def post(shared: Post) -> Post:
    shared.receiver.renew()
    return shared


def test_the_schema_is_that_of_the_code() -> None:
    """The published schema is what the classes say today."""
    assert describe() == SCHEMA, REMEDY
    VALIDATOR.check_schema(SCHEMA)


@pytest.mark.parametrize("payload", ["event", "conversation"])
@given(events=histories())
@settings(max_examples=25, deadline=None)
def test_deliveries_keep_to_the_schema(shared: Post, payload: str, events: list[Event]) -> None:
    """Whatever happens in a thread, what arrives is what the schema says."""
    shared.receiver.renew()
    shared.deliver(change_of(events), payload=payload)
    assert shared.receiver.received
    for received in shared.receiver.received:
        VALIDATOR.validate(json.loads(received.body))


@pytest.mark.parametrize("example", blocks("json"))
def test_the_examples_keep_to_the_schema(example: str) -> None:
    """The bodies on the page could have been sent."""
    VALIDATOR.validate(json.loads(example))


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body["data"].pop("thread"),
        lambda body: body.update(type="message.deleted"),
        lambda body: body["data"]["event"].update(thumb="up"),
        lambda body: body["data"].update(at="now"),
    ],
)
def test_the_schema_refuses_other_bodies(change: Callable[[Any], object]) -> None:
    """It is no schema that lets everything pass."""
    body = json.loads(blocks("json")[0])
    change(body)
    assert not VALIDATOR.is_valid(body)


def test_the_receiver_on_the_page_verifies_real_requests(post: Post) -> None:
    """The example accepts what was sent, and nothing that was altered, is old or another's."""
    names: dict[str, Any] = {}
    exec(blocks("python")[0], names)  # noqa: S102  our own page
    verify = names["verify"]
    post.deliver(change_of(TALK))
    (received, *_) = post.receiver.received
    assert verify(SECRET, received.headers, received.body, NOW)
    assert not verify(SECRET, received.headers, received.body + b" ", NOW)
    assert not verify(SECRET, received.headers, received.body, NOW + 301)
    assert not verify(SECRET[:-4] + "AAA=", received.headers, received.body, NOW)
    assert not verify(SECRET, {**received.headers, "webhook-id": "x"}, received.body, NOW)


def test_the_settings_on_the_page_are_toml() -> None:
    """What the page says to write into the settings can be read."""
    assert [sorted(tomllib.loads(block)) for block in blocks("toml")] == [
        ["secret"],
        ["allow_private", "url"],
    ]
