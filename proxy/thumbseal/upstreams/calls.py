"""One HTTP call to an upstream, with what can go wrong told apart. Answers are untrusted."""

import asyncio
from collections.abc import Collection
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

import httpx2
from msgspec import Struct

from thumbseal import retry
from thumbseal.upstreams import UpstreamDown
from thumbseal.upstreams.network import FAILURES, UNREACHED

DEADLINE: Final = 30.0  # seconds for a whole call: Lunary may think 5 s about each orphan
MAX_ANSWER: Final = 1024 * 1024
MAX_IGNORED: Final = 16 * 1024  # bytes read of an answer that nobody wants, to keep its connection
IGNORING: Final = 1.0  # seconds given to that
LONGEST_WAIT: Final = retry.LONGEST_ASKED
UNWANTED: Final = frozenset({401, 402, 403, 404})
GONE: Final = 410


class Answer(Struct, frozen=True):
    """What an upstream said: a 2xx, or a 4xx that speaks of this request alone."""

    status: int
    body: bytes = b""

    @property
    def ok(self) -> bool:
        return self.status < 300


async def call(
    client: httpx2.AsyncClient,
    request: httpx2.Request,
    answers: Collection[int] = (),
    *,
    deadline: float = DEADLINE,
    wants_body: bool = True,
) -> Answer:
    """The answer to a request, its body read up to 1 MiB, all within ``deadline`` seconds however
    slowly it trickles. ``answers`` are further statuses that say something of this request. Where
    nobody wants the body, the status is the answer.

    Raises:
        UpstreamDown: no answer, an endless one, a redirect, 408, 425, 429, 5xx, 410, or a status
            that says the upstream does not know us.
    """
    try:
        async with asyncio.timeout(deadline):
            answer = await client.send(request, stream=True)
            try:
                body = await _read(answer) if wants_body else await _ignore(answer)
            finally:
                await answer.aclose()
    except FAILURES as error:
        reason = f"no answer: {type(error).__name__}"
        raise UpstreamDown(reason, whole=isinstance(error, UNREACHED)) from error
    status = answer.status_code
    if status == GONE:
        raise UpstreamDown(f"status {status}: the receiver wants nothing more", gone=True)
    if status in UNWANTED and status not in answers:
        raise UpstreamDown(f"status {status}: check its URL and key", refused=True)
    if status in (408, 425, 429) or (not 200 <= status < 300 and not 400 <= status < 500):
        # A date is meant by the upstream's own clock, which need not be ours.
        headers = answer.headers
        wait = retry_after(headers.get("retry-after"), _moment(headers.get("date")))
        whole = status == 429 or wait is not None
        raise UpstreamDown(f"status {status}", wait, whole=whole)
    return Answer(status, body)


async def _read(answer: httpx2.Response) -> bytes:
    body = bytearray()
    async for chunk in answer.aiter_raw():
        body += chunk
        if len(body) > MAX_ANSWER:
            raise UpstreamDown("the answer has no end")
    return bytes(body)


async def _ignore(answer: httpx2.Response) -> bytes:
    """Nothing. A short body is read to its end, so that its connection serves again; one that is
    long, slow or broken costs its connection and no more."""
    size = 0
    with suppress(*FAILURES):
        async with asyncio.timeout(IGNORING):
            async for chunk in answer.aiter_raw():
                size += len(chunk)
                if size > MAX_IGNORED:
                    break
    return b""


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
