"""A page: a template filled with facts, under the strictest policy that works."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import Response

Headers = Mapping[str, str]
HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; "
    "img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def render(
    request: Request, name: str, status: int = 200, headers: Headers | None = None, **facts: Any
) -> Response:
    """The page of a template. ``root`` is what `root_of` says; ``headers`` are further ones."""
    html = _TEMPLATES.get_template(f"{name}.html.jinja").render(root=root_of(request), **facts)
    return Response(html, status, {**HEADERS, **(headers or {})}, "text/html")


def root_of(request: Request) -> str:
    """What leads from a page to the server's root, so that links hold also where a proxy in front
    puts a path before it."""
    return "../" * (request.url.path.count("/") - 1) or "./"


def place_of(site: str, thread: str, message: str = "") -> str:
    """What leads on from ``/replay/`` to a conversation, or to a message in it."""
    page = f"threads/{quote(site, safe='')}/{quote(thread, safe='')}"
    return f"{page}#m-{quote(message, safe='')}" if message else page


def moment(ms: int) -> datetime:
    """A time in ms since 1970, in UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC)


def _day(ms: int) -> str:
    return f"{moment(ms).day} {moment(ms):%b %Y}"


def _minute(ms: int) -> str:
    return f"{_day(ms)}, {moment(ms):%H:%M}"


def _clock(ms: int) -> str:
    return f"{moment(ms):%H:%M:%S}"


def _iso(ms: int) -> str:
    return moment(ms).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _many(number: int, noun: str, nouns: str = "") -> str:
    return f"{number:,} {noun if number == 1 else nouns or noun + 's'}"


_TEMPLATES: Final = Environment(
    loader=PackageLoader("thumbseal.replay"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters |= {
    "clock": _clock, "day": _day, "minute": _minute, "iso": _iso, "many": _many, "place": place_of,
}  # fmt: skip
