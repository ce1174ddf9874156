"""The address that a request comes from, as far as it can be known."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final

import structlog
from starlette.requests import Request

from thumbseal.web.headers import headers

NETWORK: Final = 64  # bits: what one household or one rented server has of IPv6
SEEN: Final = 8192  # addresses that are remembered
_logger: Final = structlog.get_logger()


class Addresses:
    """``hops`` is how many proxies in front add to ``X-Forwarded-For``; what stands farther left
    than those anybody may have written."""

    def __init__(self, hops: int) -> None:
        self._hops = hops
        self._warned = False

    def of(self, request: Request) -> str | None:
        """The caller's IPv4 address or IPv6 /64 network. None where it would be that of a proxy,
        and so everybody's: a peer on the own network while no proxy is trusted."""
        client: tuple[str, int] | None = request.scope["client"]
        peer = client[0] if client else ""
        given = ",".join(headers(request.scope, b"x-forwarded-for"))
        told = [entry.strip() for entry in given.split(",") if entry]
        if self._hops and told:
            peer = told[-min(self._hops, len(told))]
        elif _is_own(peer):
            if told:
                self._warn()
            return None
        return _network(peer)

    def _warn(self) -> None:
        if not self._warned:
            _logger.warning(
                "proxy_not_trusted",
                remedy="Set server.trusted_proxies to how many proxies stand in front of this "
                "server: until then no limit by address holds.",
            )
        self._warned = True


@lru_cache(SEEN)
def _is_own(text: str) -> bool:
    """Whether it is no address that everybody may have."""
    address = _parsed(text)
    return address is not None and not address.is_global


@lru_cache(SEEN)
def _network(text: str) -> str | None:
    address = _parsed(text)
    if isinstance(address, IPv6Address):
        return str(IPv6Network((address, NETWORK), strict=False))
    return None if address is None else str(address)


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
