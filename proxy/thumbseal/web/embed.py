"""What a page embeds: the widget's script with a site's settings, and ready-made tags.

The widget's code is never read as a template: Jinja puts one JSON value beside it.
"""

from importlib.resources import files
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from thumbseal import __version__
from thumbseal.errors import NotFound, SiteUnknown
from thumbseal.web.operations import Answer, Described, Operation, Parameter
from thumbseal.web.scripts import FRESH, IMMUTABLE, MEDIA, Script, hash_file, make_script
from thumbseal.web.sites import ServedSite, Sites
from thumbseal_widget import Release

SCRIPT: Final = "widget.js"
PAGE_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; "
    "img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_TEMPLATES: Final = Environment(
    loader=PackageLoader("thumbseal.web"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.policies["json.dumps_kwargs"] = {"separators": (",", ":")}


class Tags(Struct, frozen=True):
    """What to paste for one site.

    ``moving`` follows this server's version. ``pinned`` runs the bytes that it names or nothing:
    it stops with the next version, until it is pasted anew.
    """

    moving: str
    pinned: str
    csp: str


class PinnedFile(Struct, frozen=True):
    """Where a file of this version lies, and its hash for Subresource Integrity."""

    url: str
    integrity: str


class Embedding(Struct, frozen=True):
    """The answer of `GET /embed.json`: for each site the tag that follows this server's version,
    and the one that runs these bytes only; and each file of this version."""

    version: str
    sites: dict[str, str]
    pinned: dict[str, str]
    files: dict[str, PinnedFile]


_EMBED: Final = Operation("describeEmbedding", (Answer("The tags.", body=Embedding),))
_CACHED: Final = Parameter("If-None-Match", "header", "The ETag of what the caller has.")
_AS_BEFORE: Final = Answer("As before.", 304, (), headers=("ETag",))
_WIDGET: Final = Operation(
    "getWidget",
    (Answer("The script.", media=("text/javascript",), headers=("ETag",)), _AS_BEFORE),
    (SiteUnknown,),
    parameters=(Parameter("site", "query", "The site, if there are several."), _CACHED),
)
_PINNED: Final = Operation(
    "getPinnedFile",
    (Answer("The file.", media=MEDIA, headers=("ETag",)), _AS_BEFORE),
    (NotFound,),
    parameters=(
        Parameter("digest", "path", "The version, as `embed.json` names it."),
        Parameter("name", "path", "A file as `embed.json` names it, folder included."),
        _CACHED,
    ),
)


def describe_tags(sites: Sites, base: str, release: Release) -> dict[str, Tags]:
    """The tags of each site, for a server that browsers call ``base``."""
    return {name: _tags(name if len(sites.all) > 1 else "", base, release) for name in sites.all}


def _tags(site: str, base: str, release: Release) -> Tags:
    """The tags of a site; of the only one, if it need not be named."""
    query, chosen = (f"?site={site}", f' data-site="{site}"') if site else ("", "")
    url = f"{base}/w/{release.digest}/{SCRIPT}"
    sure = f'integrity="{hash_file(release.files[SCRIPT])}" crossorigin'
    # Without its path: in a policy, a path that ends in no slash means that one file.
    parts = urlsplit(base)
    origin = f"{parts.scheme}://{parts.netloc}"
    return Tags(
        moving=f'<script src="{base}/{SCRIPT}{query}" defer></script>',
        pinned=f'<script src="{url}" {sure}{chosen} defer></script>',
        csp=f"script-src {origin}; connect-src {origin}",
    )


class Embed:
    """The routes that serve the widget; rendered once, at start-up."""

    def __init__(
        self,
        sites: Sites,
        public_url: str | None,
        pages: list[dict[str, str]],
        release: Release,
    ) -> None:
        self._sites = sites
        self._public_url = public_url.rstrip("/") if public_url else None
        self._pages = pages
        self._release = release
        self._pinned = {
            name: make_script(name, file, _map_of(name, release, ""))
            for name, file in release.files.items()
        }
        self._scripts = {
            name: self._start(_settings(site, self._public_url)) for name, site in sites.all.items()
        }

    def _start(self, settings: dict[str, Any]) -> Script:
        call = _TEMPLATES.get_template("widget.js.jinja").render(settings=settings).encode()
        source_map = _map_of(SCRIPT, self._release, f"w/{self._release.digest}/")
        return make_script(SCRIPT, self._release.start(call), source_map)

    def routes(self) -> list[BaseRoute]:
        static = Path(str(files("thumbseal.web") / "static"))
        return [
            Route("/", self.index),
            Described("/embed.json", self.describe, _EMBED),
            Described("/widget.js", self.widget, _WIDGET),
            Described("/w/{digest}/{name:path}", self.pinned, _PINNED),
            Mount("/static", StaticFiles(directory=static)),
        ]

    async def widget(self, request: Request) -> Response:
        """``GET /widget.js?site=NAME``: the script with the site's settings."""
        site = self._sites.named(request.query_params.get("site"))
        return self._scripts[site.name].answer(request, FRESH)

    async def pinned(self, request: Request) -> Response:
        """``GET /w/DIGEST/widget.js``: the same bytes wherever this version runs."""
        script = self._pinned.get(request.path_params["name"])
        if request.path_params["digest"] != self._release.digest or script is None:
            raise NotFound("No such version of the widget; `embed.json` names the one served.")
        return script.answer(request, IMMUTABLE)

    async def describe(self, request: Request) -> Response:
        """``GET /embed.json``: version, tags for each site, each file's address and SRI hash."""
        base = self._base(request)
        tags = describe_tags(self._sites, base, self._release)
        pinned = f"{base}/w/{self._release.digest}"
        described = Embedding(
            __version__,
            {name: each.moving for name, each in tags.items()},
            {name: each.pinned for name, each in tags.items()},
            {
                name: PinnedFile(f"{pinned}/{name}", script.integrity)
                for name, script in self._pinned.items()
            },
        )
        headers = {"Cache-Control": "no-cache", "Access-Control-Allow-Origin": "*"}
        return Response(msgspec.json.encode(described), 200, headers, "application/json")

    async def index(self, request: Request) -> Response:
        """``GET /``: what this is, and what to paste where."""
        tags = describe_tags(self._sites, self._base(request), self._release)
        shown = [
            {"name": name, "tags": tags[name], "origins": site.policy.origins}
            for name, site in self._sites.all.items()
        ]
        page = _TEMPLATES.get_template("index.html.jinja")
        html = page.render(sites=shown, version=__version__, pages=self._pages)
        return Response(html, headers=PAGE_HEADERS, media_type="text/html")

    def _base(self, request: Request) -> str:
        return self._public_url or str(request.base_url).rstrip("/")


def _settings(site: ServedSite, public_url: str | None) -> dict[str, Any]:
    """What the script reads of them, no more: without ``server`` it asks where it came from."""
    told = {"site": site.name, "policy": {"reasons": site.policy.reasons}}
    return {**told, "server": public_url} if public_url else told


def _map_of(name: str, release: Release, folder: str) -> str | None:
    return f"{folder}{name}.map" if f"{name}.map" in release.files else None
