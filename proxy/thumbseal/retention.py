"""Retention: threads that have had their time leave the log, hour by hour."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

import structlog

from thumbseal import settings
from thumbseal.errors import LogError
from thumbseal.log import Log, Retention

EVERY: Final = 3_600.0  # seconds: what is measured in days is not in a hurry
DAY_MS: Final = 24 * 3600 * 1000


def rules(configured: settings.Settings) -> dict[str, Retention]:
    """Each site's rule, by the site's name."""
    return {name: _rule(name, site) for name, site in configured.sites.items()}


async def run(log: Log, by_site: Mapping[str, Retention], clock: Callable[[], float]) -> None:
    """Remove what is due, for ever; returns only by cancellation."""
    logger = structlog.get_logger()
    while True:
        try:
            removed = await log.expire(by_site, int(clock() * 1000))
        except LogError as error:
            logger.error("log_failed", error=str(error))
        else:
            if removed.threads:
                logger.info("expired", threads=removed.threads, events=removed.events)
        await asyncio.sleep(EVERY)


def _rule(name: str, site: settings.Site) -> Retention:
    longest = site.max_retention_days
    return Retention(
        site.retention_days * DAY_MS,
        None if longest is None else longest * DAY_MS,
        tuple(f"{name}/{upstream.name}" for upstream in site.upstreams),
    )
