"""The one place where the parts meet: settings in, a running application out."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final, assert_never
from urllib.parse import urlsplit

from msgspec import Struct
from starlette.applications import Starlette
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from thumbseal import __version__, indexing, retention, settings
from thumbseal.forwarder import Forwarder, steady_clock
from thumbseal.index.asking import Index
from thumbseal.log import Log
from thumbseal.log.sqlite import SqliteLog
from thumbseal.replay.attempts import Attempts
from thumbseal.replay.ground import Ground
from thumbseal.replay.routes import PATH, make_replay
from thumbseal.upstreams import Upstream
from thumbseal.upstreams.calls import DEADLINE
from thumbseal.upstreams.guard import ANYWHERE
from thumbseal.upstreams.lunary import LunaryUpstream
from thumbseal.upstreams.network import make_client
from thumbseal.upstreams.webhook import WebhookUpstream
from thumbseal.web import health
from thumbseal.web.access import HEADER, Access
from thumbseal.web.address import Addresses
from thumbseal.web.embed import Embed
from thumbseal.web.forks import Doors, Wing
from thumbseal.web.handlers import HANDLERS
from thumbseal.web.ingest import Ingest
from thumbseal.web.limits import Limiter
from thumbseal.web.lunary_api import LunaryApi
from thumbseal.web.metrics import Counters, Metrics
from thumbseal.web.openapi import OpenApi
from thumbseal.web.preflights import Preflights
from thumbseal.web.recording import Recorder
from thumbseal.web.service import Service
from thumbseal.web.sites import Sites
from thumbseal_widget import Release, release

Clock = Callable[[], float]
FINISH: Final = 5.0  # seconds for deliveries under way when the server stops


class Lasting(Struct, frozen=True):
    """What outlives a change of the settings."""

    log: Log
    index: Index
    counters: Counters
    limiter: Limiter
    attempts: Attempts
    leaving: asyncio.Event


@asynccontextmanager
async def open_app(
    configured: settings.Settings,
    *,
    clock: Clock = time.time,
    steady: Clock | None = None,
    dev: bool = False,
    more: Callable[[Log], Sequence[BaseRoute]] = lambda log: (),
    pages: Sequence[dict[str, str]] = (),
    widget: Release | None = None,
) -> AsyncIterator[Service]:
    """The ASGI application, with its log open and its forwarders at work while this lasts.

    ``steady`` is the forwarders' clock, which must not jump. ``more`` are further routes, given
    the log; ``pages`` links for the index's bar. ``widget`` is what browsers get, if not what is
    installed.

    Raises:
        LogError: the log cannot be opened.
        SettingsError: an upstream's secret is not one.
    """
    server = configured.server
    log = await SqliteLog.open(server.log_path, server.log_max_mib)
    counters = Counters()
    log.watch_commits(counters.count_commit)
    try:
        async with _indexing(log, server.log_path) as index:
            lasting = Lasting(log, index, counters, Limiter(), Attempts(), asyncio.Event())
            service = Service(
                lambda settings: build(
                    settings,
                    lasting,
                    clock=clock,
                    dev=dev,
                    more=more(log),
                    pages=pages,
                    widget=widget or release(__version__),
                ),
                lambda settings: _forwarding(settings, log, clock, steady or steady_clock()),
                counters.count_reload,
                counters.count_refusal,
                lasting.leaving.set,
            )
            try:
                await service.use(configured)
                yield service
            finally:
                await service.close()
    finally:
        await log.close()


def build(
    configured: settings.Settings,
    lasting: Lasting,
    *,
    clock: Clock,
    dev: bool,
    more: Sequence[BaseRoute],
    pages: Sequence[dict[str, str]],
    widget: Release,
) -> ASGIApp:
    """The application over an open log. CORS is outermost but for the request's line and id, so
    that a page can read every error; the pages for people stay outside of it."""
    log, counters = lasting.log, lasting.counters
    sites = Sites(configured, dev=dev)
    metrics = Metrics(counters, sites, log, configured.server.log_path, clock)
    addresses = Addresses(configured.server.trusted_proxies)
    recorder = Recorder(sites, log, clock, counters.count_events, lasting.limiter, addresses)
    routes = [
        *Ingest(recorder).routes(),
        *LunaryApi(recorder).routes(),
        *metrics.routes(),
        *Embed(sites, configured.server.public_url, list(pages), widget).routes(),
        *health.routes(log),
    ]
    routes += [*OpenApi(routes, configured.server.public_url).routes(), *more]
    inner = Starlette(routes=routes, exception_handlers=HANDLERS)
    public: ASGIApp = Preflights(inner, sites.origins, ("Retry-After", HEADER))
    if configured.replay.login != "off":
        ground = _ground(configured, lasting, sites, addresses, clock)
        public = Wing(public, make_replay(ground), PATH)
    if configured.server.metrics is None:
        return Access(public, counters.count_request)
    own = Starlette(routes=metrics.own_routes(), exception_handlers=HANDLERS)
    port = settings.address(configured.server.metrics)[1]
    return Access(Doors(public, own, port), counters.count_request)


def _ground(
    configured: settings.Settings,
    lasting: Lasting,
    sites: Sites,
    addresses: Addresses,
    clock: Clock,
) -> Ground:
    """What the pages for people stand on."""
    parts = urlsplit(configured.server.public_url or "")
    return Ground(
        log=lasting.log,
        index=lasting.index,
        tokens={name: site.tokens for name, site in sites.all.items()},
        keys={name: site.signing_keys() for name, site in configured.sites.items()},
        upstreams=configured.upstreams(),
        attempts=lasting.attempts,
        leaving=lasting.leaving,
        clock=clock,
        address_of=addresses.of,
        origin=f"{parts.scheme}://{parts.netloc}" if parts.netloc else None,
        session_seconds=configured.replay.session_hours * 3600,
    )


@asynccontextmanager
async def _indexing(log: Log, log_path: Path) -> AsyncIterator[Index]:
    """The index, following its log while this lasts."""
    index, begun = Index(log_path), asyncio.Event()
    run = indexing.run(log, index, log_path, begun)
    following = asyncio.create_task(run, name="thumbseal-index")
    try:
        await begun.wait()  # or the first page would find nothing to ask
        yield index
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await index.close()


@asynccontextmanager
async def _forwarding(
    configured: settings.Settings, log: Log, clock: Clock, steady: Clock
) -> AsyncIterator[None]:
    """The forwarders at work; at the end what is under way is settled, if that takes no longer
    than a few seconds. What is cut off then is sent again after the next start."""
    log.redact({name: site.redaction() for name, site in configured.sites.items()})
    upstreams = configured.upstreams()
    await log.meet({name: upstream.start for name, upstream in upstreams.items()})
    async with AsyncExitStack() as stack:
        forwarders = [
            Forwarder(
                name, log, await stack.enter_async_context(_upstream(upstream, clock)), steady
            )
            for name, upstream in upstreams.items()
        ]
        tasks = [asyncio.create_task(each.run(), name=each.name) for each in forwarders]
        expiring = asyncio.create_task(retention.run(log, retention.rules(configured), clock))
        try:
            yield
        finally:
            expiring.cancel()
            for each in forwarders:
                each.stop()
            if tasks:
                await asyncio.wait(tasks, timeout=FINISH)
            for task in tasks:
                task.cancel()
            await asyncio.gather(expiring, *tasks, return_exceptions=True)


@asynccontextmanager
async def _upstream(configured: settings.Upstream, clock: Clock) -> AsyncIterator[Upstream]:
    """An upstream with a client of its own, since each says where it may connect to."""
    match configured:
        case settings.Lunary():
            # A Lunary of one's own is often beside the proxy; what is never allowed stays so.
            async with make_client(DEADLINE, ANYWHERE) as client:
                yield LunaryUpstream(configured, client)
        case settings.Webhook():
            async with make_client(DEADLINE, configured.private_networks()) as client:
                yield WebhookUpstream(configured, client, clock)
        case _:
            assert_never(configured)
