"""The overview: what the threads of a filter come to, and their worst answers."""

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct, structs
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from thumbseal.index import Answer
from thumbseal.index.filter import Filter, parse_filter
from thumbseal.replay.charts import reason_bars, tag_bars, thumbs_chart
from thumbseal.replay.entrance import Entrance
from thumbseal.replay.ground import Ground
from thumbseal.replay.pages import place_of, render
from thumbseal.replay.session import Viewer

USUAL: Final = "7d"
SPANS: Final = (("7d", "7 days"), ("30d", "30 days"), ("90d", "90 days"), ("", "All time"))
COMMENTS: Final = 2  # of one answer; the rest stands in its conversation
COMMENTED: Final = 5
_TIMES: Final = ("since", "until", "order")


class Shown(Struct, frozen=True):
    """An answer in a list. ``link`` leads from the server's root to it in its conversation,
    ``more`` counts the comments that are left out."""

    answer: Answer
    link: str
    comments: tuple[str, ...]
    more: int


class Span(Struct, frozen=True):
    """A time to choose: its name, the query that asks for it, whether it is shown now."""

    name: str
    query: str
    current: bool


class OverviewPage:
    """The route of the overview."""

    def __init__(self, entrance: Entrance, ground: Ground) -> None:
        self._entrance = entrance
        self._ground = ground

    def routes(self) -> list[Route]:
        return [Route("/replay", self._entrance.shown(self.show), methods=["GET"])]

    async def show(self, request: Request, viewer: Viewer) -> Response:
        """``GET /replay``: the last seven days, unless the query says another time."""
        wanted = _wanted(request.query_params)
        figures = await self._ground.index.overview(viewer.sites, wanted, self._ground.now)
        return render(
            request,
            "overview",
            viewer=viewer,
            wanted=wanted,
            query=wanted.query(),
            spans=[_span(wanted, *each) for each in SPANS],
            narrowed=_narrowed(wanted),
            everything=_query_of(Filter(since=wanted.since, until=wanted.until)),
            figures=figures,
            chart=thumbs_chart(figures),
            tags=tag_bars(figures.tags),
            reasons=reason_bars(figures.reasons),
            worst=[_shown(answer) for answer in figures.worst],
            commented=[_shown(answer) for answer in figures.commented[:COMMENTED]],
            progress=await self._ground.index.progress(),
        )


def _wanted(query: Mapping[str, Any]) -> Filter:
    """The filter of a query; one that names no time means the usual one, an empty name all."""
    wanted = parse_filter(query.items())
    if "since" in query or "until" in query:
        return wanted
    return structs.replace(wanted, since=USUAL)


def _query_of(wanted: Filter) -> str:
    """The query that this page reads as this filter."""
    query = wanted.query()
    return query if wanted.since or wanted.until else "&".join(filter(None, ["since=", query]))


def _span(wanted: Filter, since: str, name: str) -> Span:
    query = _query_of(structs.replace(wanted, since=since, until=""))
    return Span(name, query, (wanted.since, wanted.until) == (since, ""))


def _narrowed(wanted: Filter) -> list[tuple[str, str]]:
    """What the filter asks for beside a time, as names and values."""
    asked = structs.asdict(wanted).items()
    return [(name, value) for name, value in asked if value and name not in _TIMES]


def _shown(answer: Answer) -> Shown:
    link = f"replay/{place_of(answer.site, answer.thread, answer.message)}"
    return Shown(answer, link, answer.comments[:COMMENTS], max(0, len(answer.comments) - COMMENTS))
