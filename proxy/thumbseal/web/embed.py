"""What a page embeds: the widget's script with a site's settings, and ready-made tags.

The widget's code is never read as a template: Jinja puts one JSON value beside it.
"""

import hashlib
from base64 import b64encode
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

import thumbseal_widget
from thumbseal import __version__
from thumbseal.errors import NotFound
from thumbseal.web.sites import ServedSite, Sites

JAVASCRIPT: Final = "text/javascript; charset=utf-8"
# Any page may load the script, also one that isolates itself (COEP); what it may *do* is another
# question, answered by origins and tokens.
SCRIPT_HEADERS: Final = {
    "Access-Control-Allow-Origin": "*",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "X-Content-Type-Options": "nosniff",
}
FRESH: Final = "public, max-age=300, stale-while-revalidate=86400, stale-if-error=604800"
IMMUTABLE: Final = "public, max-age=31536000, immutable"
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


class Script(Struct, frozen=True):
    """Bytes to serve, with the names that their content gives them."""

    body: bytes

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.body).hexdigest()[:16]

    @property
    def integrity(self) -> str:
        return "sha384-" + b64encode(hashlib.sha384(self.body).digest()).decode()

    def answer(self, request: Request, caching: str) -> Response:
        etag = f'"{self.digest}"'
        headers = {**SCRIPT_HEADERS, "Cache-Control": caching, "ETag": etag}
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers=headers)
        return Response(self.body, headers=headers, media_type=JAVASCRIPT)


class Embed:
    """The routes that serve the widget; rendered once, at start-up."""

    def __init__(self, sites: Sites, public_url: str | None, pages: list[dict[str, str]]) -> None:
        self._sites = sites
        self._public_url = public_url.rstrip("/") if public_url else None
        self._pages = pages
        body = thumbseal_widget.script()
        self._scripts = {
            name: _render(body, _settings(site, self._public_url))
            for name, site in sites.all.items()
        }
        pinned = {"widget.js": _render(body, {}), "widget.mjs": Script(_module())}
        self._pinned = {(script.digest, name): script for name, script in pinned.items()}

    def routes(self) -> list[BaseRoute]:
        static = Path(str(files("thumbseal.web") / "static"))
        return [
            Route("/", self.index),
            Route("/embed.json", self.describe),
            Route("/widget.js", self.widget),
            Route("/w/{digest}/{name}", self.pinned),
            Mount("/static", StaticFiles(directory=static)),
        ]

    async def widget(self, request: Request) -> Response:
        """``GET /widget.js?site=NAME``: the script with the site's settings."""
        site = self._sites.named(request.query_params.get("site"))
        return self._scripts[site.name].answer(request, FRESH)

    async def pinned(self, request: Request) -> Response:
        """``GET /w/HASH/widget.js``: the same bytes wherever this version runs."""
        key = (request.path_params["digest"], request.path_params["name"])
        if key not in self._pinned:
            raise NotFound("No such version of the widget; `embed.json` names the one served.")
        return self._pinned[key].answer(request, IMMUTABLE)

    async def describe(self, request: Request) -> Response:
        """``GET /embed.json``: version, hashes, and a tag for each site."""
        base = self._base(request)
        described = {
            "version": __version__,
            "sites": {name: _tag(base, name, self._sites) for name in self._sites.all},
            "files": {
                name: {"url": f"{base}/w/{digest}/{name}", "integrity": script.integrity}
                for (digest, name), script in self._pinned.items()
            },
        }
        headers = {"Cache-Control": "no-cache", "Access-Control-Allow-Origin": "*"}
        return Response(msgspec.json.encode(described), 200, headers, "application/json")

    async def index(self, request: Request) -> Response:
        """``GET /``: what this is, and what to paste where."""
        base = self._base(request)
        shown = [
            {
                "name": name,
                "tag": _tag(base, name, self._sites),
                "csp": f"script-src {base}; connect-src {base}",
                "origins": site.policy.origins,
            }
            for name, site in self._sites.all.items()
        ]
        page = _TEMPLATES.get_template("index.html.jinja")
        html = page.render(sites=shown, version=__version__, pages=self._pages)
        return Response(html, headers=PAGE_HEADERS, media_type="text/html")

    def _base(self, request: Request) -> str:
        return self._public_url or str(request.base_url).rstrip("/")


def _render(body: str, settings: dict[str, Any]) -> Script:
    template = _TEMPLATES.get_template("widget.js.jinja")
    return Script(template.render(version=__version__, body=body, settings=settings).encode())


def _settings(site: ServedSite, public_url: str | None) -> dict[str, Any]:
    policy = {"browser_roles": site.policy.browser_roles, "reasons": site.policy.reasons}
    return {"site": site.name, "server": public_url, "policy": policy}


def _tag(base: str, name: str, sites: Sites) -> str:
    query = "" if len(sites.all) == 1 else f"?site={name}"
    return f'<script src="{base}/widget.js{query}" defer></script>'


def _module() -> bytes:
    return f"/*! Thumbseal {__version__} | Apache-2.0 */\n{thumbseal_widget.module()}".encode()
