"""One HTTP call to an upstream, with what can go wrong told apart. Answers are untrusted."""

import asyncio
from collections.abc import Collection
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

import httpx2
from msgspec import Struct

from thumbseal import __version__, retry
from thumbseal.upstreams import UpstreamDown

CONNECT: Final = 5.0  # seconds
DEADLINE: Final = 30.0  # for a whole call: Lunary may think 5 s about each of a few orphans
MAX_ANSWER: Final = 1024 * 1024
LONGEST_WAIT: Final = retry.LONGEST_ASKED
UNWANTED: Final = frozenset({401, 402, 403, 404})
# Nothing was sent, so nothing in it can be the cause.
_UNREACHED: Final = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)


class Answer(Struct, frozen=True):
    """What an upstream said: a 2xx, or a 4xx that speaks of this request alone."""

    status: int
    body: bytes

    @property
    def ok(self) -> bool:
        return self.status < 300


async def call(
    client: httpx2.AsyncClient, request: httpx2.Request, answers: Collection[int] = ()
) -> Answer:
    """The answer to a request, read up to 1 MiB; ``answers`` are further statuses that say
    something of this request.

    Raises:
        UpstreamDown: no answer, an endless one, a redirect, 408, 425, 429, 5xx, or a status that
            says the upstream does not know us.
    """
    try:
        async with asyncio.timeout(DEADLINE):
            status, wait, body = await _exchange(client, request)
    except (httpx2.HTTPError, TimeoutError) as error:
        reason = f"no answer: {type(error).__name__}"
        raise UpstreamDown(reason, whole=isinstance(error, _UNREACHED)) from error
    if status in UNWANTED and status not in answers:
        raise UpstreamDown(f"status {status}: check its URL and key", refused=True)
    if status in (408, 425, 429) or (not 200 <= status < 300 and not 400 <= status < 500):
        whole = status == 429 or wait is not None
        raise UpstreamDown(f"status {status}", wait, whole=whole)
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
) -> tuple[int, float | None, bytes]:
    answer = await client.send(request, stream=True)
    try:
        body = bytearray()
        async for chunk in answer.aiter_raw():
            body += chunk
            if len(body) > MAX_ANSWER:
                raise UpstreamDown("the answer has no end")
        # A date is meant by the upstream's own clock, which need not be ours.
        wait = retry_after(answer.headers.get("retry-after"), _moment(answer.headers.get("date")))
        return answer.status_code, wait, bytes(body)
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
    moment = _moment(date)
    return float("nan") if moment is None else (moment - now).total_seconds()


def _moment(date: str | None) -> datetime | None:
    """The time that an HTTP date names; None for what is none."""
    try:
        moment = parsedate_to_datetime(date or "")
    except (ValueError, OverflowError):  # the latter for a year or a zone of many digits
        return None
    return moment.replace(tzinfo=moment.tzinfo or UTC)
