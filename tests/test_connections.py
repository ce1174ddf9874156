"""Slow and hostile connections: the server answers once or closes, and never waits for ever.

The deadlines are short, so that a test can wait for them; clients that dribble never stop by
themselves.
"""

import asyncio
import json
import re
import socket
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.raw import ALIVE, WAIT, Raw, parse_answers, serving_raw, statuses
from thumbseal.claims import PassClaims
from thumbseal.ids import new_id
from thumbseal.keys import Keys, Kind
from thumbseal.tokens import Tokens

QUICK: Final[dict[str, Any]] = {"header_seconds": 0.4, "request_seconds": 0.8, "idle_seconds": 0.6}
ASK: Final = b'{"messages":[]}'
POST: Final = b"POST /v1/feedback HTTP/1.1\r\nHost: x\r\n"
SECOND: Final = b"GET /second HTTP/1.1\r\nHost: x\r\n\r\n"  # answered with 404, if at all
LENGTH: Final = b"Content-Length: 15\r\n"
CHUNKED: Final = b"Transfer-Encoding: chunked\r\n"
CHUNKS: Final = b"f\r\n" + ASK + b"\r\n0\r\n\r\n"


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Raw]:
    """One server for all: what one connection does must not harm the next."""
    with serving_raw(tmp_path_factory.mktemp("log"), **QUICK) as server:
        yield server


def told(coroutine: Coroutine[Any, Any, bytes]) -> bytes:
    return asyncio.run(coroutine)


def check_refusal(answer: bytes, status: int, code: str, *, retry: bool) -> None:
    """The one answer is a refusal in the form of all errors, which any page may read."""
    ((found, body),) = parse_answers(answer)
    assert (found, json.loads(body)["error"]["code"]) == (status, code)
    assert json.loads(body)["error"]["retry"] is retry
    assert b"\r\nconnection: close\r\n" in answer
    assert answer.count(b"\r\naccess-control-allow-origin: *\r\n") == 1


@pytest.mark.parametrize(
    ("start", "bit"),
    [
        (b"GET /livez HTTP/1.1\r\nHost: x\r\nX: ", b"a"),
        (b"GET /livez HTTP/1.1\r\nHost: x\r\n", b"X: a\r\n"),
        (b"GET /", b"a"),
        (b"G", b""),
        (b"GET /livez\r\n", b""),  # HTTP/0.9
        (POST + LENGTH + b"\r\n", b" "),
        (POST + LENGTH + b"\r\n", b""),
        (POST + CHUNKED + b"\r\n", b"1\r\n \r\n"),
        (POST + CHUNKED + b"\r\n1;", b"a"),
        (POST + CHUNKED + b"\r\n1\r\n \r\n0\r\n", b"X: a\r\n"),
    ],
)
def test_a_request_that_dribbles_is_closed_at_its_deadline(
    raw: Raw, start: bytes, bit: bytes
) -> None:
    """More bytes move no deadline, neither of the header nor of the body."""
    if b"Content-Length" in start:
        start = start.replace(b"15", b"60000")
    answer = told(raw.dribbled(start, bit))
    check_refusal(answer, 408, "request_timeout", retry=True)


@pytest.mark.parametrize(("start", "answers"), [(b"", []), (ALIVE, [200]), (ALIVE * 2, [200, 200])])
@pytest.mark.parametrize("bit", [b"", b"\r\n"])
def test_a_connection_without_a_request_is_closed(
    raw: Raw, start: bytes, answers: list[int], bit: bytes
) -> None:
    """Silence, before the first request or after one, and empty lines are nothing to wait for."""
    assert statuses(told(raw.dribbled(start, bit))) == answers


def test_a_client_that_does_not_read_is_cut(raw: Raw) -> None:
    """Who asks for more and more and takes no answer has his connection cut."""

    async def ask() -> None:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        with client:
            await loop.sock_connect(client, ("127.0.0.1", raw.port))
            async with asyncio.timeout(WAIT):
                while True:
                    await loop.sock_sendall(client, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 8)

    with pytest.raises((ConnectionResetError, BrokenPipeError)):
        asyncio.run(ask())


# What is sent, and the statuses of all answers until the connection is closed. The second request
# is there to be smuggled: it may be answered only where both sides must agree where it begins.
CORPUS: Final[dict[str, tuple[bytes, list[int]]]] = {
    # One request, spelled well.
    "a length": (POST + LENGTH + b"\r\n" + ASK + SECOND, [200, 404]),
    "chunks": (POST + CHUNKED + b"\r\n" + CHUNKS + SECOND, [200, 404]),
    "a chunk's extension": (POST + CHUNKED + b"\r\n" + CHUNKS.replace(b"f", b"f;a=b", 1), [200]),
    "a chunk's zeros": (POST + CHUNKED + b"\r\n" + CHUNKS.replace(b"f", b"000f", 1), [200]),
    "chunks in capitals": (POST + CHUNKED.replace(b"c", b"C") + b"\r\n" + CHUNKS, [200]),
    "a trailer": (POST + CHUNKED + b"\r\n" + CHUNKS[:-2] + b"X: y\r\n\r\n" + SECOND, [200, 404]),
    "a whole URL": (ALIVE.replace(b"/livez", b"http://other.example.com/livez"), [200]),
    "empty lines first": (b"\r\n\r\n" + ALIVE, [200]),
    "HTTP/1.0": (b"GET /livez HTTP/1.0\r\n\r\n" + SECOND, [200]),
    "the last one": (ALIVE[:-2] + b"Connection: close\r\n\r\n" + SECOND, [200]),
    "the last one, and garbage": (ALIVE[:-2] + b"Connection: close\r\n\r\n\0\xff", [200]),
    # Two lengths.
    "length, then chunks": (POST + LENGTH + CHUNKED + b"\r\n" + CHUNKS + SECOND, [400]),
    "chunks, then length": (POST + CHUNKED + LENGTH + b"\r\n" + CHUNKS + SECOND, [400]),
    "two lengths": (POST + LENGTH + b"Content-Length: 0\r\n\r\n" + ASK + SECOND, [400]),
    "the same length twice": (POST + LENGTH * 2 + b"\r\n" + ASK + SECOND, [400]),
    "a list of lengths": (POST + b"Content-Length: 15, 15\r\n\r\n" + ASK + SECOND, [400]),
    "a length in a trailer": (
        POST + CHUNKED + b"\r\n" + CHUNKS[:-2] + LENGTH + b"\r\n" + ASK + SECOND, [400],
    ),
    # Lengths that are none.
    "a plus": (POST + b"Content-Length: +15\r\n\r\n" + ASK + SECOND, [400]),
    "less than nothing": (POST + b"Content-Length: -1\r\n\r\n" + ASK + SECOND, [400]),
    "a length in hex": (POST + b"Content-Length: 0xf\r\n\r\n" + ASK + SECOND, [400]),
    "an empty length": (POST + b"Content-Length: \r\n\r\n" + ASK + SECOND, [400]),
    "a length past 64 bits": (POST + b"Content-Length: 18446744073709551631\r\n\r\n" + ASK, [400]),
    "a chunk past 64 bits": (POST + CHUNKED + b"\r\n1000000000000000f\r\n" + ASK, [400]),
    "a chunk that is no number": (POST + CHUNKED + b"\r\nx\r\n" + ASK + SECOND, [400]),
    "a chunk less than nothing": (POST + CHUNKED + b"\r\n-1\r\n" + ASK + SECOND, [400]),
    "a chunk longer than it says": (POST + CHUNKED + b"\r\n1\r\n" + ASK + b"\r\n0\r\n\r\n", [400]),
    "a chunk's line ends with LF": (POST + CHUNKED + b"\r\nf\n" + ASK + b"\n0\n\n" + SECOND, [400]),
    "a chunk's data ends with LF": (POST + CHUNKED + b"\r\nf\r\n" + ASK + b"\n0\r\n\r\n", [400]),
    "a CR in a chunk's extension": (POST + CHUNKED + b"\r\nf;\ra\r\n" + ASK + SECOND, [400]),
    "a LF in a chunk's extension": (POST + CHUNKED + b"\r\nf;\na\r\n" + ASK + SECOND, [400]),
    # Codings that another might not see, or see otherwise.
    "two codings": (POST + CHUNKED + CHUNKED + b"\r\n" + CHUNKS + SECOND, [400]),
    "a coding before chunks": (
        POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + CHUNKS + SECOND, [400],
    ),
    "a coding after chunks": (
        POST + b"Transfer-Encoding: chunked, identity\r\n\r\n" + CHUNKS + SECOND, [400],
    ),
    "another coding": (POST + b"Transfer-Encoding: identity\r\n\r\n" + CHUNKS + SECOND, [400]),
    "almost chunked": (POST + b"Transfer-Encoding: xchunked\r\n\r\n" + CHUNKS + SECOND, [400]),
    "chunked in quotes": (POST + b'Transfer-Encoding: "chunked"\r\n\r\n' + CHUNKS + SECOND, [400]),
    "a tab in chunked": (POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n" + CHUNKS, [400]),
    "an empty coding": (POST + b"Transfer-Encoding:\r\n\r\n" + CHUNKS + SECOND, [400]),
    "a space before the colon": (POST + b"Transfer-Encoding : chunked\r\n\r\n" + CHUNKS, [400]),
    "chunks in HTTP/1.0": (
        POST.replace(b"1.1", b"1.0") + CHUNKED + b"\r\n" + CHUNKS + SECOND, [400],
    ),
    # Lines.
    "a folded header": (POST + b"X: a\r\n b\r\n" + LENGTH + b"\r\n" + ASK + SECOND, [400]),
    "a folded coding": (POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n" + CHUNKS, [400]),
    "a space before the first header": (b"GET /livez HTTP/1.1\r\n Host: x\r\n\r\n", [400]),
    "lines that end with LF": (ALIVE.replace(b"\r\n", b"\n") + SECOND, [400]),
    "a header that ends with LF": (POST + b"X: a\nContent-Length: 15\r\n\r\n" + ASK, [400]),
    "a CR in a header": (POST + b"X: a\rContent-Length: 15\r\n\r\n" + ASK + SECOND, [400]),
    "U+0000 in a header": (POST + b"X: a\0b\r\n\r\n" + SECOND, [400]),
    "U+0000 in a name": (POST + b"X\0: a\r\n\r\n" + SECOND, [400]),
    "a name in brackets": (POST + b"X(: a\r\n\r\n" + SECOND, [400]),
    "no name": (POST + b": a\r\n\r\n" + SECOND, [400]),
    "no colon": (POST + b"X\r\n\r\n" + SECOND, [400]),
    # Request lines.
    "an unknown method": (b"SMUGGLE /livez HTTP/1.1\r\nHost: x\r\n\r\n" + SECOND, [400]),
    "a method in small letters": (b"get /livez HTTP/1.1\r\nHost: x\r\n\r\n" + SECOND, [400]),
    "a method that no route takes": (b"DELETE /livez HTTP/1.1\r\nHost: x\r\n\r\n", [405]),
    "a tunnel": (b"CONNECT example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n" + SECOND, [400]),
    "everything": (b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", [404]),
    "a whole URL without a path": (ALIVE.replace(b"/livez", b"http://x"), [400]),
    "no path": (b"GET HTTP/1.1\r\nHost: x\r\n\r\n", [400]),
    "two spaces": (b"GET  /livez HTTP/1.1\r\nHost: x\r\n\r\n", [200]),
    "a space in the path": (b"GET /livez x HTTP/1.1\r\nHost: x\r\n\r\n", [400]),
    "bytes over 127 in the path": (b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n", [400]),
    "a control in the path": (b"GET /\x01 HTTP/1.1\r\nHost: x\r\n\r\n", [400]),
    "HTTP/2's preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [400]),
    "HTTP/2.0 as text": (ALIVE.replace(b"1.1", b"2.0") + SECOND, [400]),
    "HTTP/0.9 with a version": (ALIVE.replace(b"1.1", b"0.9") + SECOND, [400]),
    "HTTP/1.9": (ALIVE.replace(b"1.1", b"1.9") + SECOND, [400]),
    "HTTP/11": (ALIVE.replace(b"1.1", b"11") + SECOND, [400]),
    "another protocol": (ALIVE.replace(b"HTTP/", b"ICE/"), [400]),
    "HTTP/0.9": (b"GET /livez\r\n", [408]),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", [400]),
    "SSH": (b"SSH-2.0-OpenSSH_9.9\r\n", [400]),
    "zeros": (b"\0" * 1_000, [400]),
    # Hosts.
    "no host": (b"GET /livez HTTP/1.1\r\n\r\n" + SECOND, [400]),
    "two hosts": (b"GET /livez HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n" + SECOND, [400]),
    "two hosts in HTTP/1.0": (b"GET /livez HTTP/1.0\r\nHost: x\r\nHost: y\r\n\r\n", [400]),
    # Sizes.
    "a huge header": (ALIVE[:-2] + b"X: " + b"a" * 20_000 + b"\r\n\r\n" + SECOND, [431]),
    "a huge header without an end": (ALIVE[:-2] + b"X: " + b"a" * 400_000, [431]),
    "a huge name": (ALIVE[:-2] + b"a" * 20_000 + b": x\r\n\r\n" + SECOND, [431]),
    "many headers": (ALIVE[:-2] + b"X: a\r\n" * 5_000 + b"\r\n" + SECOND, [431]),
    "a huge path": (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n" + SECOND, [431]),
    "a huge trailer": (
        POST + CHUNKED + b"\r\n" + CHUNKS[:-2] + b"X: " + b"a" * 400_000, [431],
    ),
    "a huge chunk's extension": (POST + CHUNKED + b"\r\nf;" + b"a" * 400_000, [431]),
    # What is asked for besides.
    "another protocol, please": (
        ALIVE[:-2] + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n" + SECOND, [200],
    ),
    "a websocket": (
        ALIVE[:-2] + b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", [200],
    ),
    "an expectation that is none": (ALIVE[:-2] + b"Expect: a lot\r\n\r\n", [200]),
    # Pipelines: every request has its one answer, in order, and a bad one is the last.
    "three in a row": (ALIVE * 3 + SECOND, [200, 200, 200, 404]),
    "a bad one behind a good one": (POST + LENGTH + b"\r\n" + ASK + b"\0" + SECOND, [200, 400]),
    "a bad body behind a good one": (
        POST + LENGTH + b"\r\n" + ASK + POST + CHUNKED + b"\r\nx\r\n" + SECOND, [200, 400],
    ),
    "a late one behind a good one": (POST + LENGTH + b"\r\n" + ASK + b"GET /", [200, 408]),
    # Bodies that their route does not take.
    "a body for a page": (ALIVE[:-2] + LENGTH + b"\r\n" + ASK + SECOND, [200, 404]),
    "half a body for a page": (ALIVE[:-2] + b"Content-Length: 9000\r\n\r\n" + SECOND, [200]),
    "a compressed body": (
        POST + LENGTH + b"Content-Encoding: gzip\r\n\r\n" + ASK + SECOND, [415, 404],
    ),
    "a body that says it is too large": (
        POST + b"Content-Length: 100000000000\r\n\r\n" + ASK, [413],
    ),
}  # fmt: skip


def test_every_request_has_one_answer_or_none(raw: Raw) -> None:
    """Requests that are none, or can be read in two ways, end in one clear refusal and a closed
    connection; what is behind them is never read as a request."""

    async def ask() -> list[bytes]:
        return await asyncio.gather(*(raw.told(sent) for sent, _ in CORPUS.values()))

    got = {name: statuses(each) for name, each in zip(CORPUS, asyncio.run(ask()), strict=True)}
    assert got == {name: expected for name, (_, expected) in CORPUS.items()}
    assert raw.said("request_failed") == []


def test_cuts_make_no_difference(tmp_path: Path) -> None:
    """Byte by byte or at once, the answers are the same. Nothing but what is sent decides: the
    deadlines are far away, and who is told that no more is read stops sending, as RFC 9112 9.6
    has it. A body that its route does not take may be answered before its end, or after it and
    then with what is behind it: there only the first answer is sure."""

    async def send(writer: asyncio.StreamWriter, sent: bytes) -> None:
        for at in range(len(sent)):
            writer.write(sent[at : at + 1])
            await writer.drain()

    async def ask(raw: Raw, sent: bytes) -> bytes:
        answer = b""
        async with asyncio.timeout(WAIT), raw.connect() as (reader, writer):
            sending = asyncio.create_task(send(writer, sent))
            while block := await reader.read(65_536):
                answer += block
                if b"\r\nconnection: close\r\n" in answer:
                    sending.cancel()
            sending.cancel()
        return answer

    async def ask_all(raw: Raw) -> list[bytes]:
        return await asyncio.gather(*(ask(raw, CORPUS[name][0]) for name in short))

    short = [name for name, (sent, got) in CORPUS.items() if len(sent) < 300 and 408 not in got]
    with serving_raw(tmp_path, idle_seconds=2) as raw:
        answers = asyncio.run(ask_all(raw))
    got = {name: statuses(each) for name, each in zip(short, answers, strict=True)}
    unsure = {name for name in ("a body for a page", "a compressed body") if len(got[name]) == 1}
    assert got == {name: CORPUS[name][1][: 1 if name in unsure else None] for name in short}


def test_a_full_house_answers_503_and_lets_the_next_in(tmp_path: Path) -> None:
    """Past the cap there is an answer, not a wait; whoever leaves makes room."""

    async def crowd(raw: Raw) -> None:
        async with asyncio.timeout(WAIT), raw.connect() as (_, first), raw.connect() as (_, second):
            first.write(b"GET")
            second.write(b"GET")
            while statuses(answer := await raw.told(ALIVE)) == [200]:
                pass  # until both have been seen to begin
            check_refusal(answer, 503, "unavailable", retry=True)
            assert b"\r\nretry-after: " in answer
            first.close()
            while statuses(await raw.told(ALIVE)) != [200]:
                pass
        assert raw.said("connections_full")[0]["connections"] == 2

    with serving_raw(tmp_path, max_connections=2, idle_seconds=0.2) as raw:
        asyncio.run(crowd(raw))


def test_what_is_refused_before_it_is_a_request_is_counted(tmp_path: Path) -> None:
    """Each refusal at the door once, by its code, beside those of requests."""
    with serving_raw(tmp_path, header_seconds=0.2) as raw:
        huge = b"X: " + b"a" * 20_000
        starts = (b"NO HTTP\r\n\r\n", SECOND[:-2] + huge + b"\r\n\r\n", b"GET /", SECOND[:-2])
        for start in starts:
            told(raw.told(start))
        keys = Keys.derive([(tmp_path / "site.key").read_text()])
        now = int(time.time())
        passed = Tokens("support", keys).mint_pass(
            Kind.BACKEND, PassClaims(new_id(), now, now + 60)
        )
        ask = f"GET /metrics HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {passed}\r\n"
        answer = told(raw.told(ask.encode(), b"Connection: close\r\n\r\n"))
    counted = re.findall(rb'thumbseal_requests_refused_total{code="(\w+)"} (\S+)', answer)
    assert dict(counted) == {
        b"bad_request": b"1.0",
        b"header_too_large": b"1.0",
        b"request_timeout": b"2.0",
    }


def test_an_idle_connection_makes_room_for_a_new_one(tmp_path: Path) -> None:
    """Whoever holds connections without a request does not keep others out."""

    async def crowd(raw: Raw) -> None:
        async with (
            asyncio.timeout(WAIT),
            raw.connect() as (first, _),
            raw.connect() as (second, asking),
            raw.connect() as (third, too),
        ):
            too.write(ALIVE)
            assert (await third.readline()).startswith(b"HTTP/1.1 200 ")
            assert await first.read() == b""
            asking.write(ALIVE)
            assert (await second.readline()).startswith(b"HTTP/1.1 200 ")
        assert raw.said("connections_full") == []

    with serving_raw(tmp_path, max_connections=2) as raw:
        asyncio.run(crowd(raw))


def test_too_few_files_are_told_at_the_start(tmp_path: Path) -> None:
    """A limit of the system that leaves fewer connections stands in the line of the start, and
    holds: nothing fails for want of a file."""

    async def crowd(raw: Raw) -> None:
        async with asyncio.timeout(WAIT):
            got = await asyncio.gather(*(raw.told(ALIVE) for _ in range(600)))
        assert {tuple(statuses(each)) for each in got} <= {(200,), (503,), ()}

    with serving_raw(tmp_path, files=400, idle_seconds=0.5) as raw:
        (line,) = raw.said("serving")
        assert line["connections"] == 400 - 256 - 128
        assert "LimitNOFILE" in line["remedy"]
        asyncio.run(crowd(raw))
        assert statuses(told(raw.told(ALIVE))) == [200]
        assert {each["event"] for each in raw.lines} <= {"serving", "connections_full"}
