"""Which addresses an upstream may have, checked where the connection is made.

A name is resolved here, each address is judged, and the connection goes to that very address: a
name that changes its mind between a check and the connection (DNS rebinding), or that spells an
address in another way (``2130706433``, ``0x7f.1``, ``::ffff:127.0.0.1``), gains nothing.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Final

import httpcore2

from thumbseal.upstreams import UpstreamDown

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

ANYWHERE: Final[tuple[Network, ...]] = (ip_network("0.0.0.0/0"), ip_network("::/0"))
# Where a cloud's machines learn their secrets, link-local (which is where most of them lie), "this
# host", multicast and broadcast: no upstream is there, and no setting allows them.
NEVER: Final[tuple[Network, ...]] = tuple(
    map(
        ip_network,
        (
            "0.0.0.0/8",
            "169.254.0.0/16",
            "224.0.0.0/4",
            "255.255.255.255/32",
            "100.100.100.200/32",  # Alibaba Cloud
            "168.63.129.16/32",  # Azure
            "192.0.0.192/32",  # Oracle Cloud
            "::/128",
            "fe80::/10",
            "ff00::/8",
            "fd00:ec2::/32",  # AWS
            "fd20:ce::/32",  # Google Cloud
        ),
    )
)
_GLOBAL_IPV6: Final = ip_network("2000::/3")  # all that was ever given out
_NAT64: Final = (ip_network("64:ff9b::/96"), ip_network("64:ff9b:1::/48"))
_COMPATIBLE: Final = ip_network("::/96")
_ISATAP: Final = (0x00005EFE, 0x02005EFE)


class Guard(httpcore2.AsyncNetworkBackend):
    """A network for connections to public addresses, and to those that ``private`` lists."""

    def __init__(self, private: Sequence[Network], resolve: Resolve | None = None) -> None:
        self._private = private
        self._resolve = resolve or _resolve
        self._network = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  the interface's
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """A connection to the first address of the name that may be used and answers.

        Raises:
            UpstreamDown: it has none that may be used.
        """
        try:
            async with asyncio.timeout(timeout):
                found = await self._resolve(host, port)
        except TimeoutError as error:
            raise httpcore2.ConnectTimeout("the name server does not answer") from error
        except (OSError, UnicodeError) as error:
            raise httpcore2.ConnectError(f"no such name: {error}") from error
        usable = self._usable(host, found)
        share = None if timeout is None else timeout / len(usable)
        for address in usable[:-1]:
            try:
                return await self._network.connect_tcp(
                    address, port, share, local_address, socket_options
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                continue
        return await self._network.connect_tcp(
            usable[-1], port, share, local_address, socket_options
        )

    async def sleep(self, seconds: float) -> None:
        await self._network.sleep(seconds)

    def _usable(self, host: str, found: Sequence[str]) -> list[str]:
        usable = [text for text in found if permitted(ip_address(text), self._private)]
        if not usable:
            spoken = ", ".join(found) or "no address"
            raise UpstreamDown(
                f"{host} is {spoken}: not a public address. If it is yours, list it in "
                "`allow_private`; link-local and metadata addresses are never allowed.",
                refused=True,
            )
        return usable


def permitted(address: Address, private: Sequence[Network]) -> bool:
    """Whether a connection may go there: to what is public or listed in ``private``, and never
    to `NEVER`. An address that carries another one inside must pass with both."""
    for each in (address, *_inside(address)):
        if _in(each, NEVER) or not (_public(each) or _in(each, private)):
            return False
    return True


def _public(address: Address) -> bool:
    if isinstance(address, IPv4Address):
        return address.is_global
    if address.ipv4_mapped or address in _NAT64[0]:
        return True  # judged by the address inside
    return address in _GLOBAL_IPV6 and address.is_global


def _inside(address: Address) -> Iterator[IPv4Address]:
    """The IPv4 addresses that an IPv6 one is a way to."""
    if isinstance(address, IPv4Address):
        return
    number = int(address)
    isatap = number >> 32 & 0xFFFFFFFF in _ISATAP
    compatible = address in _COMPATIBLE and number > 1
    if address.ipv4_mapped or isatap or compatible or _in(address, _NAT64):
        yield IPv4Address(number & 0xFFFFFFFF)
    if address.sixtofour:
        yield address.sixtofour
    if address.teredo:
        yield from address.teredo


def _in(address: Address, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks)


async def _resolve(host: str, port: int) -> Sequence[str]:
    """The addresses of a name, as the machine's own resolver spells and orders them."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))
