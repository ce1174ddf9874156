"""Settings of any form: what can be read can be used, all else is a sentence for the operator."""

import contextlib
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import hypothesis
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.test_settings import ENVIRONMENT
from thumbseal import settings
from thumbseal.errors import SettingsError

WHOLE: Final = """
[server]
listen = "[::1]:9000"
public_url = "https://chat.example.com/fb"
log = "sqlite:///var/lib/thumbseal/log.db"
metrics = "127.0.0.1:9464"
trusted_proxies = 1
header_seconds = 5.5
[replay]
session_hours = 1
[sites.support]
keys = ["env:KEY"]
origins = ["https://chat.example.com", "http://[::1]:3000"]
browser_roles = ["user"]
reasons = ["Wrong"]
retention_days = 30
max_retention_days = 60
redact = ["email"]
[sites.support.redact_patterns]
order = "ORD-[0-9]{6}"
[sites.support.limits]
messages_per_actor = "30/minute"
[[sites.support.upstreams]]
name = "lunary"
kind = "lunary"
key = "env:KEY"
link = "https://app.example.com/{message}"
[[sites.support.upstreams]]
name = "hook"
kind = "webhook"
url = "https://example.com/hook"
secret = ["env:HOOK", "env:HOOK2"]
allow_private = ["10.1.2.0/24"]
"""


def toml(value: object) -> str:
    """A value as TOML writes it on one line; a string as JSON does, which now and then is not TOML
    either."""
    match value:
        case bool():
            return str(value).lower()
        case dict():
            return "{" + ", ".join(f"{toml(str(k))} = {toml(v)}" for k, v in value.items()) + "}"
        case list():
            return f"[{', '.join(map(toml, value))}]"
        case str():
            return json.dumps(value)
        case _:
            return str(value)


WORDS: Final = (
    [
        "",
        "off",
        "*",
        "1/day",
        "(a",
        "10/8",
        "\\",
        "env:KEY",
        "env:",
        "file:x",
        "file:\0",
        "file:..",
    ],
    ["127.0.0.1:99999", "[::1]:80", "sqlite:", "sqlite:////", "http://["],
    ["https://[::1]:0", "http://a:\u0663", "https://a.example.com:443", "https://A.example.com"],
)
words = st.sampled_from([word for some in WORDS for word in some])
values = st.recursive(
    st.none().map(str) | st.booleans() | st.integers() | st.floats() | words | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=5,
)


def places(tree: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where something stands in a file."""
    yield path
    children = tree.items() if isinstance(tree, dict) else ()
    for key, inner in [*children, *(enumerate(tree) if isinstance(tree, list) else ())]:
        yield from places(inner, (*path, key))


def replaced(tree: Any, path: tuple[str | int, ...], value: object) -> Any:
    """The same file with something else in one place."""
    if not path:
        return value
    copy: Any = dict(tree) if isinstance(tree, dict) else list(tree)
    copy[path[0]] = replaced(tree[path[0]], path[1:], value)
    return copy


BASE: Final[dict[str, Any]] = tomllib.loads(WHOLE)


def use(read: settings.Settings) -> None:
    """What a server does with them at its start."""
    assert read.server.address[1] <= settings.MAX_PORT
    for site in read.sites.values():
        site.signing_keys()
        site.redaction()
        for origin in site.origins:
            re.compile(settings.origin_pattern(origin))
            assert origin.isascii()
    for upstream in read.upstreams().values():
        assert upstream.name
        if isinstance(upstream, settings.Webhook):
            assert upstream.signing_keys()
            upstream.private_networks()


@given(place=st.sampled_from([*places(BASE)][1:]), value=values)
@hypothesis.settings(deadline=None, derandomize=True, max_examples=400)
def test_any_value_anywhere_is_read_or_refused(place: tuple[str | int, ...], value: object) -> None:
    """Nothing but a `SettingsError`, or settings that can be used."""
    tree = replaced(BASE, place, value)
    text = "\n".join(f"{toml(key)} = {toml(inner)}" for key, inner in tree.items())
    with contextlib.suppress(SettingsError):
        use(settings.parse(text, Path("/etc"), ENVIRONMENT))


@given(st.text(max_size=200))
@example("a = " + "[" * 2_000)
@example("a = " + "9" * 5_000)
@example("a = 0001-01-01T00:00:00+23:59")
@hypothesis.settings(deadline=None, derandomize=True)
def test_any_text_is_refused(text: str) -> None:
    """Text by chance is no settings file, whatever it does to the parser."""
    with pytest.raises(SettingsError):
        settings.parse(text, Path("/etc"), ENVIRONMENT)
