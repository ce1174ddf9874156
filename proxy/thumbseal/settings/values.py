"""What stands in ``thumbseal.toml``, as frozen values."""

import re
from base64 import b64decode
from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal

from msgspec import Meta, Struct

from thumbseal.errors import SettingsError
from thumbseal.ids import Role
from thumbseal.keys import Keys
from thumbseal.patterns import Kind, Rule, compile_rules

SQLITE: Final = "sqlite:"
_WHSEC: Final = "whsec_"
_WHSEC_BYTES: Final = range(24, 65)
MAX_PATTERNS: Final = 32


class Secret:
    """A value that nothing prints; `reveal` is the one way to it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def __repr__(self) -> str:
        return "[redacted]"

    def reveal(self) -> str:
        return self._value


class Secrets:
    """One secret or several, written as one reference or a list of them; the first is the oldest.

    Raises:
        ValueError: there is none.
    """

    def __init__(self, *values: Secret) -> None:
        if not values:
            raise ValueError("list at least one")
        self._values = values

    def __iter__(self) -> Iterator[Secret]:
        return iter(self._values)


PatternName = Annotated[str, Meta(pattern=r"\A[a-z0-9_-]{1,32}\Z")]
Days = Annotated[int, Meta(ge=1, le=36_500)]
UpstreamName = Annotated[str, Meta(min_length=1, max_length=64)]
Seconds = Annotated[float, Meta(gt=0, le=3_600)]
Rate = Annotated[str, Meta(pattern=r"\A(off|[1-9][0-9]{0,8}/(second|minute|hour|day))\Z")]
Start = Literal["all", "now"]  # where an upstream begins that no server has met


def address(listen: str) -> tuple[str, int]:
    """Host and port of a listener."""
    host, _, port = listen.rpartition(":")
    return host.strip("[]"), int(port)


class Server(Struct, frozen=True, forbid_unknown_fields=True):
    """Where the server listens, what the world calls it, and where its log lies: an absolute
    ``sqlite:///PATH``, or ``sqlite:PATH`` beside the settings file; it grows to ``log_max_mib``.
    ``metrics`` is a listener for them alone, ``lines`` how its log lines look, and
    ``trusted_proxies`` how many entries of X-Forwarded-For are those of own proxies. A request's
    header and the whole of it may take so many seconds to come, and the next one to begin."""

    listen: str = "127.0.0.1:8300"
    public_url: str | None = None
    log: str = "sqlite:thumbseal.db"
    metrics: str | None = None
    lines: Literal["auto", "json", "console"] = "auto"
    log_max_mib: Annotated[int, Meta(ge=1)] | None = None
    trusted_proxies: Annotated[int, Meta(ge=0, le=8)] = 0
    header_seconds: Seconds = 10
    request_seconds: Seconds = 30
    idle_seconds: Seconds = 75
    max_connections: Annotated[int, Meta(ge=1, le=1_000_000)] = 12_000

    @property
    def address(self) -> tuple[str, int]:
        return address(self.listen)

    @property
    def log_path(self) -> Path:
        return Path(self.log.removeprefix(SQLITE).removeprefix("//"))


class Lunary(Struct, frozen=True, forbid_unknown_fields=True, tag="lunary", tag_field="kind"):
    """A Lunary server; ``key`` is the project's private key.

    ``ids`` is "python" where a backend uses Lunary's Python SDK, which names runs by a hash of
    their id and its own key: ``sdk_key``, if that is another than ``key``. With ``record`` false
    only votes are sent, each to the run of its message's id. ``link`` is where a person finds a
    message there: an address with ``{message}``, ``{exchange}`` or ``{thread}`` in it.
    """

    erases: ClassVar[bool] = True

    name: UpstreamName
    key: Secret
    url: str = "https://api.lunary.ai"
    ids: Literal["raw", "python"] = "raw"
    sdk_key: Secret | None = None
    record: bool = True
    requests_per_minute: Annotated[int, Meta(ge=1, le=100_000)] = 140
    start: Start = "all"
    link: str | None = None


class Webhook(Struct, frozen=True, forbid_unknown_fields=True, tag="webhook", tag_field="kind"):
    """A receiver of Standard Webhooks; a ``secret`` is ``whsec_`` and base64 of 24 to 64 bytes, and
    of several all sign. ``allow_private`` lists addresses or networks that are not public;
    ``payload`` is what a request holds: one event, or the conversation as it stands."""

    erases: ClassVar[bool] = False

    name: UpstreamName
    url: str
    secret: Secrets
    allow_private: tuple[str, ...] = ()
    payload: Literal["event", "conversation"] = "event"
    start: Start = "all"
    link: str | None = None

    def signing_keys(self) -> list[bytes]:
        """The bytes of each secret.

        Raises:
            SettingsError: one is not a secret.
        """
        return [_signing_key(secret.reveal()) for secret in self.secret]

    def private_networks(self) -> list[IPv4Network | IPv6Network]:
        """The networks of ``allow_private``.

        Raises:
            SettingsError: one is not a network.
        """
        try:
            return [ip_network(text) for text in self.allow_private]
        except ValueError as error:
            raise SettingsError(
                f"{error}. Write an address or a network, as in 10.1.2.3 or 10.1.2.0/24."
            ) from error


def _signing_key(secret: str) -> bytes:
    try:
        key = b64decode(secret.removeprefix(_WHSEC), validate=True)
    except ValueError:
        key = b""
    if not secret.startswith(_WHSEC) or len(key) not in _WHSEC_BYTES:
        raise SettingsError("A webhook secret is 'whsec_' and base64 of 24 to 64 random bytes.")
    return key


Upstream = Lunary | Webhook


class Limits(Struct, frozen=True, cache_hash=True, forbid_unknown_fields=True):
    """How much browsers may say at a site: a number by second, minute, hour or day, or "off".
    Custom events and changes of a thread count as messages. An address may be an office's, and
    stand for hundreds of people."""

    messages_per_actor: Rate = "120/minute"
    messages_per_thread: Rate = "240/minute"
    messages_per_address: Rate = "1200/minute"
    messages_per_site: Rate = "60000/minute"
    feedback_per_actor: Rate = "120/minute"
    feedback_per_thread: Rate = "240/minute"
    feedback_per_address: Rate = "1200/minute"
    feedback_per_site: Rate = "60000/minute"
    openings_per_address: Rate = "600/minute"
    openings_per_site: Rate = "60000/minute"
    reads_per_address: Rate = "1200/minute"
    reads_per_site: Rate = "60000/minute"


class Site(Struct, frozen=True, forbid_unknown_fields=True):
    """One chat application: its signing keys, its origins, its policy, its upstreams."""

    keys: Annotated[list[Secret], Meta(min_length=1)]
    origins: list[str] = []
    browser_roles: tuple[Role, ...] = ("user", "assistant", "tool")
    reasons: tuple[Annotated[str, Meta(min_length=1, max_length=64)], ...] = ()
    retention_days: Days = 90
    max_retention_days: Days | None = None
    redact: tuple[Kind, ...] = ()
    redact_patterns: Annotated[dict[PatternName, str], Meta(max_length=MAX_PATTERNS)] = {}
    limits: Limits | Literal["off"] = Limits()
    upstreams: list[Upstream] = []

    def signing_keys(self) -> Keys:
        return Keys.derive([key.reveal() for key in self.keys])

    def redaction(self) -> tuple[Rule, ...]:
        """What is taken out of an event before it is stored.

        Raises:
            SettingsError: a pattern cannot be used.
        """
        return compile_rules(self.redact, self.redact_patterns)


class Replay(Struct, frozen=True, forbid_unknown_fields=True):
    """The pages for people: a log-in by ``code``, or ``off`` for no pages at all; and how long it
    holds."""

    login: Literal["code", "off"] = "code"
    session_hours: Annotated[int, Meta(ge=1, le=720)] = 12


class Settings(Struct, frozen=True):
    """The whole file."""

    server: Server
    sites: dict[str, Site]
    replay: Replay = Replay()

    def upstreams(self) -> dict[str, Upstream]:
        """Every site's upstreams, by "site/name"."""
        return {
            f"{name}/{upstream.name}": upstream
            for name, site in self.sites.items()
            for upstream in site.upstreams
        }


def origin_pattern(entry: str) -> str:
    """The regular expression of one entry of ``origins``; ``https://*.example.org`` stands for
    any subdomain."""
    return re.escape(entry).replace(r"\*", r"[a-z0-9-]+(?:\.[a-z0-9-]+)*")
