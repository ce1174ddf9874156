"""The rules of a settings file that a type cannot say."""

import re
from collections.abc import Callable
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from thumbseal.errors import SettingsError
from thumbseal.settings.values import Server, Settings, Upstream, Webhook, address

SITE_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
MAX_PORT: Final = 65_535
SCHEMES: Final = ("http", "https")
_ORIGIN: Final = re.compile(
    r"https?://(\*\.)?[a-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:]+\](:[0-9]{1,5})?"
)
# What resolvers take for an address (127.1, 0x7f000001), so it must be one, spelled as one.
_NUMERIC: Final = re.compile(r"(^|\.)([0-9]+|0x[0-9a-f]*)\.?$")


def check(settings: Settings) -> None:
    """Let pass what can be used.

    Raises:
        SettingsError: something cannot; the text names its place.
    """
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


def check_server(server: Server) -> None:
    """Let pass a server's addresses and its log.

    Raises:
        SettingsError: one of them is none.
    """
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
