"""The sites of a running server: their tokens, and the origins that may speak for them."""

import re
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from msgspec import Struct

from thumbseal import settings
from thumbseal.errors import Forbidden, SiteUnknown, Unauthorized
from thumbseal.tokens import START, Tokens, starts_of


class ServedSite(Struct, frozen=True):
    """One site with what is needed to answer for it."""

    name: str
    policy: settings.Site
    tokens: Tokens
    origins: re.Pattern[str]

    def check_origin(self, origin: str | None) -> None:
        """Let pass a page of this site, or a caller that is no page at all.

        The origin is no proof of anything: a token is. It keeps other sites' pages out.

        Raises:
            Forbidden: the page's origin is not listed.
        """
        if origin is not None and not self.origins.fullmatch(origin):
            raise Forbidden(
                f"The origin {origin[:200]!r} is not one of the site {self.name!r}. "
                "Add it to `origins` in its settings."
            )


class Sites:
    """All sites of a server, by name and by the tag inside a token."""

    def __init__(self, configured: settings.Settings, *, dev: bool = False) -> None:
        extra = _own_origins(configured.server, dev=dev)
        self._by_name = {
            name: _served(name, site, extra) for name, site in configured.sites.items()
        }
        self._by_start = {
            start: site for name, site in self._by_name.items() for start in starts_of(name)
        }

    @property
    def all(self) -> Mapping[str, ServedSite]:
        return self._by_name

    @property
    def origins(self) -> str:
        """A regular expression of every origin of any site, for CORS."""
        return "|".join(f"(?:{site.origins.pattern})" for site in self._by_name.values())

    def named(self, name: str | None) -> ServedSite:
        """The site of this name; without one, the only site there is.

        Raises:
            SiteUnknown: no such site, or no name where there are several.
        """
        if name is None and len(self._by_name) == 1:
            return next(iter(self._by_name.values()))
        if name not in self._by_name:
            wanted = "Name a site" if name is None else f"There is no site {name[:64]!r}"
            raise SiteUnknown(f"{wanted}; the settings list them.", field="site")
        return self._by_name[name]

    def of_tokens(self, tokens: Sequence[str]) -> ServedSite:
        """The site of the first token that names one: a bad vote must not fail its neighbours.

        Raises:
            Unauthorized: none of them does.
        """
        for token in tokens:
            if (site := self._by_start.get(token[:START])) is not None:
                return site
        raise Unauthorized

    def of_token(self, token: str) -> ServedSite:
        """The site whose keys must verify this token.

        Raises:
            Unauthorized: no site of this server made it.
        """
        return self.of_tokens([token])


def _served(name: str, site: settings.Site, extra: list[str]) -> ServedSite:
    patterns = [settings.origin_pattern(origin) for origin in [*site.origins, *extra]]
    # Without any origin nothing matches: a pattern that cannot.
    pattern = re.compile("|".join(patterns) if patterns else r"(?!)")
    return ServedSite(name, site, Tokens(name, site.signing_keys()), pattern)


def _own_origins(server: settings.Server, *, dev: bool) -> list[str]:
    """A page served beside the proxy is always welcome; ``null`` (a file) only in development."""
    own = ["null"] if dev else []
    if server.public_url:
        parts = urlsplit(server.public_url)
        own.append(f"{parts.scheme}://{parts.netloc}")
    return own
