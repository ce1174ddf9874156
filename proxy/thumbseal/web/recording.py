"""Recording: what every route that takes events stands on."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from thumbseal import bodies, events
from thumbseal.errors import BadRequest, TooLarge, UnsupportedBody
from thumbseal.events import Message
from thumbseal.log import Alias, Draft, Log, Verdict
from thumbseal.web.address import Addresses
from thumbseal.web.headers import header
from thumbseal.web.judging import Authority
from thumbseal.web.limits import Kind, Limiter
from thumbseal.web.sites import ServedSite, Sites

NO_STORE: Final = (b"cache-control", b"no-store")
JSON: Final = (b"content-type", b"application/json")


class Told(Response):
    """An answer in JSON, already encoded, that nobody is to keep."""

    def init_headers(self, headers: Mapping[str, str] | None = None) -> None:
        length = b"content-length", str(len(self.body)).encode()
        self.raw_headers = [length, JSON, NO_STORE]


class Recorder:
    """One log and its sites; ``clock`` gives epoch seconds, ``count`` is told what became of a
    site's events."""

    def __init__(
        self,
        sites: Sites,
        log: Log,
        clock: Callable[[], float],
        count: Callable[[str, Sequence[Verdict]], None],
        limiter: Limiter,
        addresses: Addresses,
    ) -> None:
        self.sites = sites
        self.log = log
        self.clock = clock
        self._count = count
        self._limiter = limiter
        self._addresses = addresses

    def check(self, request: Request, site: ServedSite, kind: Kind) -> None:
        """Count a request that brings no event.

        Raises:
            TooMany: there is no room for it.
        """
        self._limiter.check(site, kind, self._addresses.of(request))

    async def store(
        self,
        request: Request,
        authority: Authority,
        judged: Sequence[Draft | Verdict],
        aliases: Sequence[Alias] = (),
    ) -> list[Verdict]:
        """A verdict for each, once what is good, and within the limits, is on disk. ``aliases``
        are noted with it, a page's for what is stored of its messages alone.

        Raises:
            TooMany: all of it is over a limit.
            LogError: the log cannot take it.
        """
        site = authority.site
        admitted = self._limiter.admit(site, self._addresses.of(request), judged)
        drafts = [each for each in admitted if isinstance(each, Draft)]
        names = _names(aliases, drafts) if aliases else ()
        stored = iter(await self.log.append(site.name, drafts, authority.received_at, names))
        verdicts = [next(stored) if isinstance(each, Draft) else each for each in admitted]
        self._count(site.name, verdicts)
        return verdicts


def _names(aliases: Sequence[Alias], drafts: Sequence[Draft]) -> list[Alias]:
    """Those that are noted."""
    said = {each.entry.message for each in drafts if isinstance(each.entry, Message)}
    return [each for each in aliases if not each.page or each.item in said]


async def read_body(request: Request) -> bytes:
    """The body, read no further than its limit: a declared length may lie."""
    scope = request.scope
    if header(scope, b"content-encoding") not in (None, "identity"):
        raise UnsupportedBody("Send the body as it is, not compressed.")
    backend = header(scope, b"authorization") is not None
    limit = bodies.MAX_BACKEND_BODY if backend else events.MAX_BODY
    if int(header(scope, b"content-length") or 0) > limit:
        raise TooLarge(f"The body is over {limit} bytes.")
    chunks: list[bytes] = []
    size, more = 0, True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":  # a page that closes; nobody reads the answer
            raise BadRequest("The body ended early.")
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        more = message.get("more_body", False)
        if size > limit:
            raise TooLarge(f"The body is over {limit} bytes.")
    return b"".join(chunks)
