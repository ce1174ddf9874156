"""The list of threads: a filter that lives in the URL, and what it shows taken out as a file."""

from typing import Final

from msgspec import structs
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from thumbseal.errors import NotFound
from thumbseal.export import Format
from thumbseal.export.streaming import stream
from thumbseal.index import Summary
from thumbseal.index.filter import Filter, parse_filter
from thumbseal.index.query import SORTING
from thumbseal.replay.entrance import Entrance
from thumbseal.replay.ground import Ground
from thumbseal.replay.pages import HEADERS, render
from thumbseal.replay.session import Viewer

_FOLDED: Final = ("reason", "tag", "user", "role", "source", "until", "site")  # see the template
_FILES: Final[dict[str, tuple[Format, str, str]]] = {
    "jsonl": ("jsonl", "conversations.jsonl", "application/jsonl"),
    "csv": ("csv", "rated-messages.csv", "text/csv"),
    "pairs": ("pairs", "preference-pairs.jsonl", "application/jsonl"),
}


def listed(wanted: Filter, thread: Summary) -> str:
    """The query string of a thread's page for who comes from this list: what is next there."""
    return wanted.behind(SORTING[wanted.order].place(thread))


class ThreadsPage:
    """The routes of the list."""

    def __init__(self, entrance: Entrance, ground: Ground) -> None:
        self._entrance = entrance
        self._ground = ground

    def routes(self) -> list[Route]:
        shown = self._entrance.shown
        return [
            Route("/replay/threads", shown(self.show), methods=["GET"]),
            Route("/replay/export.{kind}", shown(self.export), methods=["GET"]),
        ]

    async def show(self, request: Request, viewer: Viewer) -> Response:
        """``GET /replay/threads``: the threads of a filter, a page of them."""
        wanted = parse_filter(request.query_params.multi_items())
        found = await self._ground.index.find(
            viewer.sites, wanted, self._ground.now, request.query_params.get("after", "")
        )
        query, fields = wanted.query(), structs.asdict(wanted)
        return render(
            request,
            "threads",
            viewer=viewer,
            sites=[(site, site) for site in viewer.sites],
            wanted=fields,
            others=any(fields[name] for name in _FOLDED),
            query=query,
            threads=found.threads,
            after=found.after,
            beyond=wanted.behind(found.after or ""),
            listed=lambda each: listed(wanted, each),
            progress=await self._ground.index.progress(),
        )

    async def export(self, request: Request, viewer: Viewer) -> Response:
        """``GET /replay/export.jsonl``, ``.csv`` and ``.pairs``: what a filter shows, as a file of
        any size. ``browser=yes`` takes pairs also from messages that a page has recorded."""
        kind = request.path_params["kind"]
        if kind not in _FILES:
            raise NotFound("There is no such export.")
        format_, name, media = _FILES[kind]
        chunks = stream(
            self._ground.log,
            self._ground.index,
            viewer.sites,
            parse_filter(request.query_params.multi_items()),
            format_,
            self._ground.now,
            include_browser=request.query_params.get("browser") == "yes",
        )
        more = {"Content-Disposition": f'attachment; filename="{name}"'}
        return StreamingResponse(chunks, 200, HEADERS | more, media)
