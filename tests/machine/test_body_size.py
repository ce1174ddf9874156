"""Bodies that are too large, compressed, or not what they say: refused before they cost anything.

What a server has read is counted by the system, as is its largest size in memory.
"""

import asyncio
import gzip
import zlib
from collections.abc import Iterator
from typing import Final

import pytest

from tests.machine.cost import MIB, Cost
from tests.raw import WAIT, Raw, serving_raw, statuses
from thumbseal.events import MAX_BODY

POST: Final = b"POST /v1/events HTTP/1.1\r\nHost: x\r\n"
PIECE: Final = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
GIGABYTE: Final = 16_384  # pieces


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Raw]:
    """One server for all, warm."""
    with serving_raw(tmp_path_factory.mktemp("log")) as server:
        asyncio.run(server.told(POST + b"Content-Length: 2\r\nConnection: close\r\n\r\n{}"))
        yield server


async def _upload(raw: Raw, head: bytes, piece: bytes, pieces: int) -> tuple[bytes, int]:
    """All that comes back, and how many pieces left until then, by a client that never stops by
    itself."""
    sent = 0

    async def send() -> None:
        nonlocal sent
        while sent < pieces:
            writer.write(piece)
            await writer.drain()
            sent += 1

    async with asyncio.timeout(WAIT), raw.connect() as (reader, writer):
        writer.write(head)
        sending = asyncio.create_task(send())
        try:
            return await reader.read(), sent
        finally:
            sending.cancel()


def test_a_gigabyte_in_chunks_is_refused_at_its_start(raw: Raw) -> None:
    """An upload without a length ends within a megabyte, with an answer, and takes no memory."""
    cost = Cost(raw.process.pid)
    head = POST + b"Transfer-Encoding: chunked\r\n\r\n"
    answer, sent = asyncio.run(_upload(raw, head, PIECE, GIGABYTE))
    assert statuses(answer) == [413]
    assert sent < GIGABYTE
    assert cost.read() <= MIB
    assert cost.grown() < 5 * MIB


def test_a_length_that_is_too_large_is_refused_before_the_body(raw: Raw) -> None:
    """The answer to a declared length needs no body, and no 100 Continue invites one."""
    head = POST + b"Content-Length: %d\r\nExpect: 100-continue\r\n\r\n"
    assert statuses(asyncio.run(raw.told(head % (MAX_BODY + 1)))) == [413]


@pytest.mark.parametrize(
    ("route", "expected"), [(b"GET /livez", 200), (b"POST /nowhere", 404), (b"PUT /v1/events", 405)]
)
def test_a_body_that_nobody_wants_is_not_read(raw: Raw, route: bytes, expected: int) -> None:
    """Routes that take no body, or that are none, answer and leave it."""
    cost = Cost(raw.process.pid)
    head = route + b" HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer, sent = asyncio.run(_upload(raw, head, PIECE, GIGABYTE))
    assert statuses(answer) == [expected]
    assert sent < GIGABYTE
    assert cost.read() <= MIB


def test_a_body_longer_than_its_length_is_another_request(raw: Raw) -> None:
    """A length that is too small cuts the body there; what follows is no request."""
    sent = POST + b'Content-Length: 2\r\n\r\n{}{"site":"support"}'
    assert statuses(asyncio.run(raw.told(sent))) == [400, 400]


@pytest.fixture(scope="module")
def bomb() -> bytes:
    """A hundred thousand bytes that want to be a hundred million."""
    return gzip.compress(b"\0" * 100 * MIB)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "gzip, identity", "GZIP", "x"])
def test_a_compressed_body_is_refused_unread(raw: Raw, bomb: bytes, coding: str) -> None:
    """Whatever the coding, the answer is 415; a bomb is never unpacked."""
    assert len(bomb) > MAX_BODY
    for body in (bomb, gzip.compress(bomb), zlib.compress(b"{}"), b""):
        cost = Cost(raw.process.pid)
        head = POST + f"Content-Encoding: {coding}\r\nContent-Length: {len(body)}\r\n".encode()
        answer, _ = asyncio.run(_upload(raw, head + b"Connection: close\r\n\r\n", body, 1))
        assert statuses(answer) == [415]
        assert cost.grown() < 5 * MIB
