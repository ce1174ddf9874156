"""The page of one conversation, as it happened."""

from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from thumbseal.conversation import Conversation, fold
from thumbseal.errors import NotFound
from thumbseal.ids import ThreadId
from thumbseal.index import Summary
from thumbseal.index.filter import Filter, parse_filter
from thumbseal.log import Receipt, StoredThread
from thumbseal.replay.entrance import Entrance
from thumbseal.replay.ground import Ground
from thumbseal.replay.pages import render
from thumbseal.replay.scene import Entry, set_scene
from thumbseal.replay.session import Viewer
from thumbseal.replay.threads import listed
from thumbseal.settings import Upstream

GONE: Final = "There is no such thread, or it was erased, or its time is over."


class ConversationPage:
    """The route of one conversation."""

    def __init__(self, entrance: Entrance, ground: Ground) -> None:
        self._entrance = entrance
        self._ground = ground

    def routes(self) -> list[Route]:
        path = "/replay/threads/{site}/{thread}"
        return [Route(path, self._entrance.shown(self.show), methods=["GET"])]

    async def show(self, request: Request, viewer: Viewer) -> Response:
        """``GET /replay/threads/SITE/THREAD``: the conversation; a query string is the filter of
        the list that it was found in, and the place there."""
        site, thread = request.path_params["site"], ThreadId(request.path_params["thread"])
        stored = await self._ground.log.read(site, thread) if site in viewer.sites else None
        if stored is None:
            raise NotFound(GONE)
        told = fold(stored.events, Conversation(stored.thread, stored.user))
        upstreams = self._ground.upstreams.items()
        names = {name: each for name, each in upstreams if name.startswith(f"{site}/")}
        wanted = parse_filter(request.query_params.multi_items())
        scene = set_scene(stored.events, told, await self._receipts(names, site, stored))
        return render(
            request,
            "conversation",
            viewer=viewer,
            site=site,
            thread=stored.thread,
            user=stored.user,
            scene=scene,
            messages=len(told.turns),
            link=_linker(names, stored.thread),
            query=wanted.query(),
            following=await self._following(viewer, wanted, request.query_params.get("after")),
            listed=lambda each: listed(wanted, each),
        )

    async def _following(self, viewer: Viewer, wanted: Filter, after: str | None) -> Summary | None:
        """The next thread of the list that somebody comes from."""
        if not after:
            return None
        now = self._ground.now
        found = await self._ground.index.find(viewer.sites, wanted, now, after, limit=1)
        return found.threads[0] if found.threads else None

    async def _receipts(
        self, names: Mapping[str, Upstream], site: str, stored: StoredThread
    ) -> dict[str, dict[int, Receipt]]:
        return {
            upstream.name: await self._ground.log.receipts(name, site, stored.thread)
            for name, upstream in names.items()
        }


def _linker(
    upstreams: Mapping[str, Upstream], thread: str
) -> Callable[[Entry], list[tuple[str, str]]]:
    """What gives a message's pages upstream, as (name, address), where the settings have any."""
    known = [(each.name, each.link) for each in upstreams.values() if each.link]

    def link(entry: Entry) -> list[tuple[str, str]]:
        ids = {"{message}": entry.id, "{exchange}": entry.exchange, "{thread}": thread}
        return [(name, _filled(pattern, ids)) for name, pattern in known]

    return link


def _filled(pattern: str, ids: Mapping[str, str]) -> str:
    for name, value in ids.items():
        pattern = pattern.replace(name, quote(value, safe=""))
    return pattern
