"""The guard on connections: what an upstream's name may turn out to be."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from ipaddress import ip_address, ip_network
from typing import Final
from urllib.parse import urlsplit

import pytest
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from tests.doubles.serving import serve
from thumbseal.upstreams import UpstreamDown
from thumbseal.upstreams.calls import Answer, call
from thumbseal.upstreams.guard import ANYWHERE, permitted
from thumbseal.upstreams.network import make_client

PUBLIC: Final = (
    "93.184.215.14",
    "1.1.1.1",
    "2606:4700:4700::1111",
    "::ffff:1.1.1.1",
    "64:ff9b::101:101",
    "2002:101:101::1",
)
# What belongs to somebody's own network, in all its spellings: only where a setting lists it.
PRIVATE: Final = {
    "127.0.0.1": "127.0.0.0/8",
    "127.255.255.254": "127.0.0.0/8",
    "10.1.2.3": "10.0.0.0/8",
    "172.31.0.1": "172.16.0.0/12",
    "192.168.1.1": "192.168.0.0/16",
    "100.64.0.1": "100.64.0.0/10",
    "198.18.0.1": "198.18.0.0/15",
    "192.0.2.1": "192.0.2.0/24",
    "240.0.0.1": "240.0.0.0/4",
    "::1": "::1/128",
    "fd12:3456::1": "fd00::/8",
    "fec0::1": "fec0::/10",
    "100::1": "100::/64",
    "2001:db8::1": "2001:db8::/32",
    "4000::1": "4000::/3",
    "::ffff:127.0.0.1": "127.0.0.0/8",
    "::ffff:10.0.0.1": "10.0.0.0/8",
    "64:ff9b::7f00:1": "127.0.0.0/8",
    "2002:a00:1::1": "10.0.0.0/8",
}
NEVER: Final = (
    "169.254.169.254",
    "169.254.0.1",
    "fe80::1",
    "fe80::1%eth0",
    "fd00:ec2::254",
    "fd20:ce::254",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "0.0.0.0",  # noqa: S104
    "0.1.2.3",
    "::",
    "224.0.0.1",
    "ff02::1",
    "255.255.255.255",
    "::ffff:169.254.169.254",
    "::ffff:0.0.0.0",
    "::169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::a9fe:a9fe",
    "2002:a9fe:a9fe::1",
    "2001:db8::5efe:a9fe:a9fe",
    "2001:0:a9fe:a9fe::1",
)


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_let_through(address: str) -> None:
    """What anybody may reach needs no setting."""
    assert permitted(ip_address(address), [])


@pytest.mark.parametrize("address", PRIVATE)
def test_a_private_address_needs_a_setting(address: str) -> None:
    """One's own networks, loopback included, are reached where they are listed, and only those."""
    own = ip_network(PRIVATE[address])
    others = [ip_network(each) for each in {*PRIVATE.values()} if each != PRIVATE[address]]
    assert not permitted(ip_address(address), [])
    assert not permitted(ip_address(address), others)
    assert permitted(ip_address(address), [own])


@pytest.mark.parametrize("address", NEVER)
def test_some_addresses_are_never_let_through(address: str) -> None:
    """Metadata, link-local, multicast and "this host" are no upstream's, whatever is listed and
    whatever they hide in."""
    assert not permitted(ip_address(address), ANYWHERE)


# Connections.


class Room:
    """A server that counts who came; each answer ends its connection."""

    def __init__(self) -> None:
        self.visits: list[str] = []
        self.answer: Callable[[], Response] = lambda: Response(headers={"connection": "close"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.visits.append(Request(scope).headers["host"])
        await self.answer()(scope, receive, send)


@pytest.fixture
def room() -> Room:
    return Room()


@pytest.fixture
def port(room: Room) -> Iterator[int]:
    with serve(room) as url:
        yield urlsplit(url).port or 0


class Names:
    """A name service that says another thing each time."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = iter(answers)

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        return next(self._answers)


async def visit(
    urls: Sequence[str], private: Sequence[str], names: Names | None = None
) -> list[Answer | UpstreamDown]:
    """What calls to these URLs, one after the other, came to."""
    networks = [ip_network(each) for each in private]
    results: list[Answer | UpstreamDown] = []
    async with make_client(10, networks, names) as client:
        for url in urls:
            try:
                results.append(await call(client, client.build_request("POST", url)))
            except UpstreamDown as error:
                results.append(error)
    return results


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f.1",
        "0x7f000001",
        "0177.1",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "localhost",
        "LOCALHOST",
        "0",
        "0.0.0.0",  # noqa: S104
    ],
)
def test_loopback_is_private_however_it_is_spelled(room: Room, port: int, host: str) -> None:
    """Nothing connects to this machine under any of its names, and the error says what to do."""
    (result,) = asyncio.run(visit([f"http://{host}:{port}/"], []))
    assert isinstance(result, UpstreamDown)
    assert result.refused
    assert "allow_private" in str(result)
    assert room.visits == []


def test_a_listed_address_is_reached(room: Room, port: int) -> None:
    """What the settings list is connected to, under the name that the URL has."""
    (result,) = asyncio.run(visit([f"http://localhost:{port}/"], ["127.0.0.1"]))
    assert result == Answer(200)
    assert room.visits == [f"localhost:{port}"]


def test_a_name_that_changes_its_mind_is_caught(room: Room, port: int) -> None:
    """Each connection resolves and judges anew: rebinding a name after the first one is no way
    in."""
    url = f"http://hook.example.com:{port}/"
    names = Names(["127.0.0.1"], ["127.0.0.2"], ["169.254.169.254"], ["127.0.0.1"])
    first, *rebound, last = asyncio.run(visit([url] * 4, ["127.0.0.1"], names))
    assert first == last == Answer(200)
    assert [isinstance(each, UpstreamDown) and each.refused for each in rebound] == [True, True]
    assert len(room.visits) == 2


def test_of_several_addresses_only_good_ones_are_tried(room: Room, port: int) -> None:
    """A name may have addresses that are not allowed, or not there: the next one is taken."""
    url = f"http://hook.example.com:{port}/"
    names = Names(["169.254.169.254", "10.0.0.1", "127.0.0.3", "127.0.0.1"])
    (result,) = asyncio.run(visit([url], ["127.0.0.1", "127.0.0.3"], names))
    assert result == Answer(200)


def test_a_name_without_an_address_is_not_reached() -> None:
    """A name service that knows nothing, or nothing yet, is waited for."""

    class Nobody(Names):
        async def __call__(self, host: str, port: int) -> Sequence[str]:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    (result,) = asyncio.run(visit(["http://hook.example.com/"], [], Nobody()))
    assert isinstance(result, UpstreamDown)
    assert (result.whole, result.refused) == (True, False)


# Time and size (research R8). The test moves the client's clock; nobody sleeps.


class Fast(asyncio.SelectorEventLoop):
    """A loop whose time the other side moves on."""

    ahead = 0.0

    def time(self) -> float:
        return super().time() + self.ahead

    def pass_time(self, seconds: float) -> None:
        self.ahead += seconds


def trickle(room: Room, port: int, seconds: float, *, wants_body: bool) -> Answer | UpstreamDown:
    """What a call comes to whose server lets so much time pass after each byte it sends, two
    thousand times."""
    loop = Fast()

    async def drip() -> AsyncIterator[bytes]:
        for _ in range(300):
            yield b" "
            loop.call_soon_threadsafe(loop.pass_time, seconds)
            await asyncio.sleep(0.001)  # the client's turn

    async def ask() -> Answer | UpstreamDown:
        async with make_client(1e9, [ip_network("127.0.0.1")]) as client:
            request = client.build_request("POST", f"http://127.0.0.1:{port}/")
            try:
                return await call(client, request, wants_body=wants_body)
            except UpstreamDown as error:
                return error

    room.answer = lambda: StreamingResponse(drip())
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(ask())


def test_an_answer_that_trickles_ends_with_the_deadline(room: Room, port: int) -> None:
    """A byte a second keeps no call alive: after 30 s it counts as no answer."""
    result = trickle(room, port, 1.0, wants_body=True)
    assert isinstance(result, UpstreamDown)
    assert "TimeoutError" in str(result)


def test_a_slow_but_whole_answer_is_read(room: Room, port: int) -> None:
    """What comes within the deadline counts, however small its pieces."""
    assert trickle(room, port, 0.001, wants_body=True) == Answer(200, b" " * 300)


def test_a_trickle_that_nobody_wants_is_left(room: Room, port: int) -> None:
    """Where the status says all, a slow body is left after a second, and is no failure."""
    assert trickle(room, port, 1.0, wants_body=False) == Answer(200)
