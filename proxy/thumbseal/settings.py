"""Settings: ``thumbseal.toml`` as frozen values.

A secret is written as a reference, ``env:NAME`` or ``file:PATH``, and is resolved here; its value
is never printed, neither by ``repr`` nor in an error.
"""

import re
import tomllib
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal, TypeVar
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct

from thumbseal.environment import ENVIRONMENT
from thumbseal.errors import SettingsError
from thumbseal.ids import Role
from thumbseal.keys import Keys
from thumbseal.patterns import Kind, Rule, compile_rules

SQLITE: Final = "sqlite:"
SITE_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_WHSEC: Final = "whsec_"
_WHSEC_BYTES: Final = range(24, 65)
MAX_PORT: Final = 65_535
MAX_PATTERNS: Final = 32
SCHEMES: Final = ("http", "https")
_ORIGIN: Final = re.compile(
    r"https?://(\*\.)?[a-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:]+\](:[0-9]{1,5})?"
)

# What resolvers take for an address (127.1, 0x7f000001), so it must be one, spelled as one.
_NUMERIC: Final = re.compile(r"(^|\.)([0-9]+|0x[0-9a-f]*)\.?$")


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


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    sites: dict[str, dict[str, Any]]
    server: Server = Server()
    replay: Replay = Replay()


T = TypeVar("T")


def read(path: Path, environment: Mapping[str, str] = ENVIRONMENT) -> Settings:
    """The settings of a file.

    Raises:
        SettingsError: the file cannot be read, or something in it cannot be used; the text names
            the place and what to write there.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"Cannot read {path}: {error}. `thumbseal init` writes a settings file."
        ) from error
    try:
        return parse(text, path.parent, environment)
    except SettingsError as error:
        raise SettingsError(f"{path}: {error}") from error


def parse(text: str, folder: Path, environment: Mapping[str, str]) -> Settings:
    """The settings of a TOML text; ``file:`` references are relative to ``folder``."""

    def resolve(kind: type, value: object) -> object:
        references = value if kind is Secrets and isinstance(value, list) else [value]
        secrets = (_secret(str(each), folder, environment) for each in references)
        if kind is Secrets:
            return Secrets(*secrets)
        if kind is Secret:
            return next(secrets)
        raise NotImplementedError

    def convert(value: object, kind: type[T], place: str) -> T:
        try:
            return msgspec.convert(value, kind, dec_hook=resolve)
        except msgspec.ValidationError as error:
            what, _, path = str(error).partition(" - at `$")
            where = f"{place}{path}".strip("`.") or "the file"
            raise SettingsError(f"{where}: {what}") from error

    try:
        file = convert(tomllib.loads(text), _File, "")
    except (ValueError, RecursionError) as error:  # not only TOML's own errors
        raise SettingsError(f"not TOML: {error}") from error
    sites = {name: convert(site, Site, f"sites.{name}") for name, site in file.sites.items()}
    _check_server(file.server)
    log = f"{SQLITE}//{(folder / file.server.log_path).absolute()}"
    settings = Settings(msgspec.structs.replace(file.server, log=log), sites, file.replay)
    _check(settings)
    return settings


def address(listen: str) -> tuple[str, int]:
    """Host and port of a listener."""
    host, _, port = listen.rpartition(":")
    return host.strip("[]"), int(port)


def origin_pattern(entry: str) -> str:
    """The regular expression of one entry of ``origins``; ``https://*.example.org`` stands for
    any subdomain."""
    return re.escape(entry).replace(r"\*", r"[a-z0-9-]+(?:\.[a-z0-9-]+)*")


def _secret(reference: str, folder: Path, environment: Mapping[str, str]) -> Secret:
    scheme, _, rest = reference.partition(":")
    if scheme == "env":
        if not environment.get(rest):
            raise ValueError(f"the environment has no {rest}; set it, or refer to another")
        return Secret(environment[rest])
    if scheme == "file":
        try:
            return Secret((folder / rest).read_text(encoding="utf-8").strip())
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"cannot read the file {rest}: {type(error).__name__}") from error
    raise ValueError("write a secret as env:NAME or file:PATH, never itself")


def _check(settings: Settings) -> None:
    if not settings.sites:
        raise SettingsError("sites: name at least one, as in [sites.support]")
    for name, site in settings.sites.items():
        place = f"sites.{name}"
        check_site_name(name)
        _placed(f"{place}.keys", site.signing_keys)
        _placed(f"{place}.redact_patterns", site.redaction)
        for origin in site.origins:
            if not _ORIGIN.fullmatch(origin) or not _sendable(origin):
                raise SettingsError(
                    f"{place}.origins: {origin!r} is not an origin. Write scheme and host in lower "
                    "case, as in https://chat.example.com, no path, and no port that goes without "
                    "saying."
                )
        if (site.max_retention_days or site.retention_days) < site.retention_days:
            raise SettingsError(f"{place}.max_retention_days: it is the longer of the two")
        _check_upstreams(place, site.upstreams)


def _placed(place: str, check: Callable[[], object]) -> None:
    """A check whose error says where."""
    try:
        check()
    except SettingsError as error:
        raise SettingsError(f"{place}: {error}") from error


def check_site_name(name: str) -> None:
    """Let pass what may name a site: in a file, a URL and a token.

    Raises:
        SettingsError: it is anything else.
    """
    if not SITE_NAME.fullmatch(name):
        raise SettingsError(f"sites.{name}: a name is up to 64 of a-z, 0-9, - and _")


def _sendable(origin: str) -> bool:
    """Whether a browser ever sends it: it leaves out the port that is its scheme's own."""
    _, _, port = origin.rpartition(":")
    own = {"https": 443, "http": 80}[origin.partition(":")[0]]
    return not port.isdigit() or (int(port) in range(1, MAX_PORT + 1) and int(port) != own)


def _check_server(server: Server) -> None:
    _check_listener("server.listen", server.listen, "127.0.0.1:8300")
    if server.metrics is not None:
        _check_listener("server.metrics", server.metrics, "127.0.0.1:9464")
        if address(server.metrics)[1] in (0, server.address[1]):
            raise SettingsError("server.metrics: give it a port of its own, as in 127.0.0.1:9464")
    if server.public_url is not None:
        _check_url("server.public_url", server.public_url)
    if not re.fullmatch(r"sqlite:(///)?[^/\0][^\0]*", server.log):
        raise SettingsError(
            "server.log: write sqlite:///var/lib/thumbseal/log.db, or sqlite:log.db for a file "
            "beside the settings. SQLite is the engine there is."
        )


def _check_listener(place: str, listen: str, example: str) -> None:
    if not re.fullmatch(r".+:[0-9]{1,5}", listen) or address(listen)[1] > MAX_PORT:
        raise SettingsError(f"{place}: write HOST:PORT, as in {example}")


def _check_upstreams(place: str, upstreams: list[Upstream]) -> None:
    names = [upstream.name for upstream in upstreams]
    if len(set(names)) < len(names):
        raise SettingsError(f"{place}.upstreams: two have the same name; it names their progress")
    for upstream in upstreams:
        at = f"{place}.upstreams.{upstream.name}"
        _check_url(f"{at}.url", upstream.url)
        if upstream.link is not None:
            _check_url(f"{at}.link", upstream.link)
        if isinstance(upstream, Webhook):
            _placed(f"{at}.secret", upstream.signing_keys)
            _placed(f"{at}.allow_private", upstream.private_networks)


def _check_url(place: str, url: str) -> None:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in SCHEMES and parts.hostname and parts.port != 0
        if _NUMERIC.search(parts.hostname or ""):
            ip_address(parts.hostname or "")
    except ValueError:
        usable = False
    if not usable:
        raise SettingsError(f"{place}: {url!r} is not an http(s) URL")
    if parts.username or parts.password:
        raise SettingsError(f"{place}: no name or password in a URL, it ends up in logs")
