"""Erasure: what was erased here is erased at the upstreams that can, until they have done it."""

import time
from typing import Final

import structlog
from msgspec import structs

from thumbseal import retry, settings
from thumbseal.ids import ThreadId
from thumbseal.log import Deletion, Erasure, Log
from thumbseal.upstreams import Erasing, UpstreamDown

LIMIT: Final = 10  # deletions at once: each is a request, and deliveries want their turn, too


def order(
    name: str,
    site: settings.Site,
    *,
    thread: ThreadId | None = None,
    user: str | None = None,
    at: int | None = None,
) -> Erasure:
    """What it means to erase a thread, or all of a user's, at a site; ``at`` (ms) is now."""
    names = {f"{name}/{upstream.name}": upstream.erases for upstream in site.upstreams}
    return Erasure(
        site=name,
        at=int(time.time() * 1000) if at is None else at,
        thread=thread,
        user=user,
        upstreams=tuple(names),
        deletions=tuple(each for each, erases in names.items() if erases),
    )


async def carry_out(log: Log, name: str, upstream: object, now: int, jitter: float) -> int:
    """The number of deletions that were due at an upstream; ``now`` in ms.

    Those that failed, and what would have come after them, wait for their next try. Call it while
    nothing else is under way there: what is on its way would bring the thread back.
    """
    if not isinstance(upstream, Erasing):
        return 0
    due = await log.deletions(name, now, LIMIT)
    for number, deletion in enumerate(due):
        try:
            await upstream.erase(deletion.thread)
        except UpstreamDown as error:
            structlog.get_logger().warning("not_erased", upstream=name, reason=str(error))
            for rest in due[number:]:
                await log.settle_deletion(_postponed(rest, error, now, jitter), done=False)
            break
        await log.settle_deletion(deletion, done=True)
    return len(due)


def _postponed(deletion: Deletion, error: UpstreamDown, now: int, jitter: float) -> Deletion:
    attempts = deletion.attempts + 1
    wait = retry.delay(attempts, jitter, error.after)
    return structs.replace(
        deletion, attempts=attempts, next_at=now + int(wait * 1000), reason=str(error)
    )
