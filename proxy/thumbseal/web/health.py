"""Health: whether the process lives, and whether it can take events. One word each."""

from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from thumbseal.errors import LogError
from thumbseal.log import Log


def routes(log: Log) -> list[Route]:
    """``/livez`` and ``/readyz``. An upstream that is down makes neither of them fail."""

    async def live(request: Request) -> PlainTextResponse:
        return PlainTextResponse("alive")

    async def ready(request: Request) -> PlainTextResponse:
        try:
            await log.check()
        except LogError:
            return PlainTextResponse("unready", 503)
        return PlainTextResponse("ready")

    return [Route("/livez", live), Route("/readyz", ready)]
