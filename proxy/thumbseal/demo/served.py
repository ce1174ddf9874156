"""The demo as one application: page, bot, proxy and the list of what was recorded."""

from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from thumbseal.demo.page import chat_routes
from thumbseal.demo.recorded import render_recorded, view
from thumbseal.keys import new_key
from thumbseal.log import Log
from thumbseal.settings import Secret, Server, Settings, Site
from thumbseal.web.embed import PAGE_HEADERS

SITE: Final = "demo"
SHOWN: Final = 50
PAGES: Final = (
    {"href": "chat", "title": "Chat"},
    {"href": "recorded", "title": "Recorded"},
    {"href": "replay", "title": "Replay"},
)


def demo_settings(port: int, data: Path) -> Settings:
    """Settings that need nothing: a site whose key and log lie in ``data``, made if missing."""
    data.mkdir(parents=True, exist_ok=True)
    key = data / "demo.key"
    if not key.exists():
        key.touch(mode=0o600)
        key.write_text(new_key())
    hosts = ("127.0.0.1", "localhost")
    site = Site(
        keys=[Secret(key.read_text())],
        origins=[f"http://{host}:{port}" for host in hosts],
        reasons=("Wrong", "Not helpful", "Hard to read"),
    )
    server = Server(listen=f"127.0.0.1:{port}", log=f"sqlite://{(data / 'log.db').absolute()}")
    return Settings(server, {SITE: site})


def demo_routes(log: Log) -> list[BaseRoute]:
    """The demo's pages beside the proxy's own."""

    async def recorded(request: Request) -> Response:
        threads = await log.recent(SITE, SHOWN)
        return HTMLResponse(render_recorded([view(each) for each in threads]), 200, PAGE_HEADERS)

    return [*chat_routes(), Route("/recorded", recorded)]
