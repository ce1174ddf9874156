"""The site that embeds the widget: pages on an origin of their own."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from tests.doubles.serving import serve
from tests.engines.page import until

# Beacons, because a page may have broken its own `fetch`, and may be gone in a moment.
_WATCH: Final = """<script>
addEventListener("error", (event) => navigator.sendBeacon("/errors", event.message));
addEventListener("unhandledrejection", (event) => navigator.sendBeacon("/errors", event.reason));
</script>"""
_USED: Final[set[str]] = set()


class Host:
    """Pages by path. ``visits`` are the paths asked for; ``told`` is what pages post to ``/told``,
    ``errors`` what scripts in them threw and nobody caught, and ``violations`` what browsers
    reported of their content security policy."""

    def __init__(self) -> None:
        self.url = ""
        self.visits: list[str] = []
        self.told: list[str] = []
        self.errors: list[str] = []
        self.violations: list[dict[str, Any]] = []
        self._pages: dict[str, tuple[str, dict[str, str]]] = {}

    def put(self, body: str, *, path: str = "/", head: str = "", **headers: str) -> str:
        """The URL of a page. One with a content security policy is not watched for errors: that
        takes an inline script."""
        watch = "" if "Content_Security_Policy" in headers else _WATCH
        html = f"<!doctype html><html lang=en><title>Host</title>{watch}{head}<body>{body}"
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        self._pages[path] = (html, {"Cache-Control": "no-store", **sent})
        return self.url + path

    def wait(self, path: str, visits: int) -> None:
        """Return once a path was asked for that many times."""
        until(lambda: self.visits.count(path) >= visits, f"{visits} visits to {path}")

    def routes(self) -> list[Route]:
        return [
            Route("/told", self._take(self.told), methods=["POST"]),
            Route("/errors", self._take(self.errors), methods=["POST"]),
            Route("/violations", self._take_violation, methods=["POST"]),
            Route("/{path:path}", self._page),
        ]

    async def _page(self, request: Request) -> Response:
        self.visits.append(request.url.path)
        html, headers = self._pages.get(request.url.path, ("", {}))
        return HTMLResponse(html, 200 if html else 404, headers)

    def _take(self, heard: list[str]) -> Callable[[Request], Awaitable[Response]]:
        async def take(request: Request) -> Response:
            heard.append((await request.body()).decode())
            return Response(status_code=204)

        return take

    async def _take_violation(self, request: Request) -> Response:
        self.violations.append(msgspec.json.decode(await request.body())["csp-report"])
        return Response(status_code=204)


@contextmanager
def hosting() -> Iterator[Host]:
    """A host whose origin no earlier test had: a browser's storage goes by origin."""
    while True:
        host = Host()
        with serve(Starlette(routes=host.routes())) as host.url:
            if host.url not in _USED:
                _USED.add(host.url)
                yield host
                return
