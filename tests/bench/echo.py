"""The floor: a bare Starlette that answers a POST with its own body, served as the product is.

``python -m tests.bench.echo`` writes its address as the product's server does.
"""

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from thumbseal.web.serving import bind, run, serve


async def echo(request: Request) -> Response:
    return Response(await request.body())


@asynccontextmanager
async def open_echo() -> AsyncIterator[ASGIApp]:
    yield Starlette(routes=[Route("/v1/events", echo, methods=["POST"])])


def main() -> None:
    listening = bind("127.0.0.1", 0)
    line = {"event": "serving", "url": f"http://127.0.0.1:{listening.getsockname()[1]}"}
    run(
        serve(
            open_echo(), [listening], lambda: print(json.dumps(line), file=sys.stderr, flush=True)
        )
    )


if __name__ == "__main__":
    main()
