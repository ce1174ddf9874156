"""Prometheus metrics: what happens is counted as it does, where things are is read from the log.

A backend token sees its own site and what belongs to none; the metrics' own listener, which
answers nobody from outside, sees all.
"""

import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Final

from msgspec import Struct
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Histogram,
    generate_latest,
)
from prometheus_client import Metric as Family
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.samples import Sample
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from thumbseal.errors import Unauthorized
from thumbseal.log import Counts, Log, Verdict
from thumbseal.log.salvage import quarantined
from thumbseal.web import access
from thumbseal.web.operations import TEXT, Answer, Described, Operation
from thumbseal.web.passes import site_of
from thumbseal.web.sites import Sites

SYNC_BUCKETS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
REQUEST_BUCKETS: Final = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
REST: Final = 19  # counting a long log rests so many times as long as it took: 5 % of a reader

_METRICS: Final = Operation(
    "readMetrics",
    (Answer("The figures, in Prometheus' text format.", media=(TEXT,)),),
    (Unauthorized,),
    bearers=("backend",),
)


class Place(Struct, frozen=True):
    """An upstream of a site, and where the site's events are there."""

    site: str
    upstream: str
    counts: Counts
    lag: float


class Standing(Struct, frozen=True):
    """How much is stored, by site, and where it is."""

    stored: dict[str, int] = {}
    places: list[Place] = []


class Counters:
    """What is counted from the start of a server to its end, whatever its settings become."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._events = Counter(
            "thumbseal_events",
            "Events received, by what became of them.",
            ("site", "status", "code"),
            registry=self._registry,
        )
        self._requests = Histogram(
            "thumbseal_request_duration_seconds",
            "Requests, by route and status.",
            ("method", "route", "status"),
            buckets=REQUEST_BUCKETS,
            registry=self._registry,
        )
        self._refused = Counter(
            "thumbseal_requests_refused",
            "Requests refused as a whole, by code.",
            ("code",),
            registry=self._registry,
        )
        self._syncs = Histogram(
            "thumbseal_log_fsync_seconds",
            "Commits of the log, each on disk at its end.",
            buckets=SYNC_BUCKETS,
            registry=self._registry,
        )
        self._reloads = Counter(
            "thumbseal_settings_reloads",
            "Settings read again: in use, or refused and the old ones kept.",
            ("result",),
            registry=self._registry,
        )
        # The library looks a combination of labels up under a lock, and checks them each time.
        self._request = cache(self._requests.labels)
        self._event = cache(self._events.labels)
        for result in ("used", "refused"):  # so that the first one refused is an increase
            self._reloads.labels(result)

    def count_request(self, request: access.Request) -> None:
        self._request(request.method, request.route, request.status).observe(request.seconds)
        if request.code:
            self.count_refusal(request.code)

    def count_refusal(self, code: str) -> None:
        """One that never became a request is counted here alone."""
        self._refused.labels(code).inc()

    def count_events(self, site: str, verdicts: Sequence[Verdict]) -> None:
        for verdict in set(verdicts):
            self._event(site, verdict.status, verdict.code or "").inc(verdicts.count(verdict))

    def count_commit(self, seconds: float) -> None:
        self._syncs.observe(seconds)

    def count_reload(self, used: bool) -> None:
        self._reloads.labels("used" if used else "refused").inc()

    def collect(self) -> Iterable[Family]:
        return self._registry.collect()


class Metrics:
    """All metrics of one server with its present sites; ``clock`` gives epoch seconds."""

    def __init__(
        self, counters: Counters, sites: Sites, log: Log, path: Path, clock: Callable[[], float]
    ) -> None:
        self._counters = counters
        self._sites = sites
        self._log = log
        self._path = path
        self._clock = clock
        self._standing = Rested(self._stand)

    def routes(self) -> list[Described]:
        """``/metrics`` for holders of a backend token."""
        return [Described("/metrics", self._answer_backend, _METRICS)]

    def own_routes(self) -> list[Route]:
        """``/metrics`` for whoever reaches the metrics' own listener."""
        return [Route("/metrics", self._answer_all)]

    async def _answer_backend(self, request: Request) -> Response:
        """``GET /metrics``: figures of the token's site, for Prometheus."""
        authorization = request.headers.get("authorization")
        if authorization is None:
            raise Unauthorized
        site = site_of(self._sites, authorization, self._log, self._clock())
        return await self._answer(site.name)

    async def _answer_all(self, request: Request) -> Response:
        return await self._answer(None)

    async def _answer(self, site: str | None) -> Response:
        gauges = [*_place_gauges(await self._standing.get()), *await self._disk_gauges()]
        text = generate_latest(_Seen([*self._counters.collect(), *gauges], site))
        return Response(text, headers={"Cache-Control": "no-store"}, media_type=CONTENT_TYPE_LATEST)

    async def _stand(self) -> Standing:
        now = self._clock()
        places, stored = [], {}
        for site, served in self._sites.all.items():
            stored[site] = (await self._log.counts(f"{site}/", site)).accepted
            for upstream in served.policy.upstreams:
                name = f"{site}/{upstream.name}"
                counts = await self._log.counts(name, site)
                lag = await self._lag(name, site, now)
                places.append(Place(site, upstream.name, counts, lag))
        return Standing(stored, places)

    async def _lag(self, upstream: str, site: str, now: float) -> float:
        oldest = await self._log.oldest_undelivered(upstream, site)
        return 0.0 if oldest is None else max(now - oldest / 1000, 0.0)

    async def _disk_gauges(self) -> list[Family]:
        free, size, aside = await asyncio.to_thread(_measure, self._path)
        return [
            _gauge("thumbseal_log_disk_free_bytes", "Free on the disk of the log.", free),
            _gauge("thumbseal_log_size_bytes", "The log's file and what is not yet in it.", size),
            _gauge(
                "thumbseal_log_quarantined_files",
                "Damaged logs that were put aside and not deleted yet.",
                aside,
            ),
        ]


class Rested:
    """What takes long to find out, found out anew only after a rest in proportion."""

    def __init__(self, find: Callable[[], Awaitable[Standing]]) -> None:
        self._find = find
        self._known = Standing()
        self._next = 0.0
        self._turn = asyncio.Lock()

    async def get(self) -> Standing:
        async with self._turn:
            began = time.monotonic()
            if began >= self._next:
                self._known = await self._find()
                now = time.monotonic()
                self._next = now + REST * (now - began)
            return self._known


class _Seen:
    """Families as one site may see them; a registry to `generate_latest`."""

    def __init__(self, families: Iterable[Family], site: str | None) -> None:
        self._families = families
        self._site = site

    def collect(self) -> Iterator[Family]:
        for family in self._families:
            kept = [each for each in family.samples if self._shows(each)]
            if kept:
                seen = Family(family.name, family.documentation, family.type)
                seen.samples = kept
                yield seen

    def _shows(self, sample: Sample) -> bool:
        # When a counter was made is no news: all are as old as the process.
        mine = self._site is None or sample.labels.get("site") in (None, self._site)
        return mine and not sample.name.endswith("_created")


def _place_gauges(standing: Standing) -> list[Family]:
    """Where the events are, computed from the log: the states of an upstream add up to what was
    accepted."""
    names = ("site", "upstream")
    stored = GaugeMetricFamily("thumbseal_stored_events", "Events in the log.", labels=("site",))
    lag = GaugeMetricFamily(
        "thumbseal_upstream_lag_seconds",
        "Age of the oldest event that is pending or held.",
        labels=names,
    )
    states = {
        state: GaugeMetricFamily(f"thumbseal_upstream_{state}_events", text, labels=names)
        for state, text in {
            "delivered": "Events that the upstream has.",
            "pending": "Events not tried yet.",
            "held": "Events that wait after a failure, or for their message.",
            "dead": "Events refused for good.",
        }.items()
    }
    for site, accepted in standing.stored.items():
        stored.add_metric([site], accepted)
    for place in standing.places:
        labels = [place.site, place.upstream]
        lag.add_metric(labels, place.lag)
        for state, family in states.items():
            family.add_metric(labels, getattr(place.counts, state))
    return [stored, lag, *states.values()]


def _gauge(name: str, text: str, value: float) -> Family:
    return GaugeMetricFamily(name, text, value=value)


def _measure(path: Path) -> tuple[int, int, int]:
    """Free bytes on the disk of a log, the bytes of its files, and the damaged logs beside it."""
    files = (path, path.with_name(f"{path.name}-wal"))
    size = sum(each.stat().st_size for each in files if each.exists())
    return shutil.disk_usage(path.parent).free, size, len(quarantined(path))
