"""One HTTP call to an upstream, with what can go wrong told apart. Answers are untrusted."""

import asyncio
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

import httpx2
from msgspec import Struct

from thumbseal import __version__
from thumbseal.upstreams import UpstreamDown

CONNECT: Final = 5.0  # seconds
DEADLINE: Final = 30.0  # for a whole call: Lunary may think 5 s about each of a few orphans
MAX_ANSWER: Final = 1024 * 1024
LONGEST_WAIT: Final = 3600.0  # seconds; a larger Retry-After is a mistake or an attack
UNWANTED: Final = frozenset({401, 402, 403, 404})


class Answer(Struct, frozen=True):
    """What an upstream said: a 2xx, or a 4xx that speaks of this request alone."""

    status: int
    body: bytes

    @property
    def ok(self) -> bool:
        return self.status < 300


async def call(client: httpx2.AsyncClient, request: httpx2.Request) -> Answer:
    """The answer to a request, read up to 1 MiB.

    Raises:
        UpstreamDown: no answer, an endless one, a redirect, 408, 425, 429, 5xx, or a status that
            says the upstream does not know us.
    """
    try:
        async with asyncio.timeout(DEADLINE):
            status, wait, body = await _exchange(client, request)
    except (httpx2.HTTPError, TimeoutError) as error:
        raise UpstreamDown(f"no answer: {type(error).__name__}") from error
    if status in UNWANTED:
        raise UpstreamDown(f"status {status}: check its URL and key", refused=True)
    if status in (408, 425, 429) or (not 200 <= status < 300 and not 400 <= status < 500):
        raise UpstreamDown(f"status {status}", retry_after(wait))
    return Answer(status, body)


def make_client() -> httpx2.AsyncClient:
    """A client for upstreams: no redirects, no proxies of the environment, nothing compressed
    (an answer must not unfold)."""
    return httpx2.AsyncClient(
        timeout=httpx2.Timeout(DEADLINE, connect=CONNECT),
        headers={"Accept-Encoding": "identity", "User-Agent": f"Thumbseal/{__version__}"},
        trust_env=False,
    )


async def _exchange(
    client: httpx2.AsyncClient, request: httpx2.Request
) -> tuple[int, str | None, bytes]:
    answer = await client.send(request, stream=True)
    try:
        body = bytearray()
        async for chunk in answer.aiter_raw():
            body += chunk
            if len(body) > MAX_ANSWER:
                raise UpstreamDown("the answer has no end")
        return answer.status_code, answer.headers.get("retry-after"), bytes(body)
    finally:
        await answer.aclose()


def retry_after(header: str | None, now: datetime | None = None) -> float | None:
    """The seconds a ``Retry-After`` asks for: 0 to one hour; None for one that cannot be read."""
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        seconds = _seconds_until(header, now or datetime.now(UTC))
    # A NaN is no number to wait for, and compares with nothing.
    return min(max(seconds, 0.0), LONGEST_WAIT) if seconds == seconds else None


def _seconds_until(date: str, now: datetime) -> float:
    try:
        moment = parsedate_to_datetime(date)
    except (ValueError, OverflowError):  # the latter for a year or a zone of many digits
        return float("nan")
    return (moment.replace(tzinfo=moment.tzinfo or UTC) - now).total_seconds()
