"""``python -m tests.bench.backend``: what Thumbseal costs a chatbot's backend.

Importing, minting and verifying beside their targets, and a message recorded, and a whole request
answered, while the server is up, down, slow or refusing. Medians; nothing here passes or fails.
"""

import logging
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import Final

import httpx2
import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

import thumbseal
from tests.doubles.serving import serve, wait_for_disconnect
from tests.proxy import make_settings, running
from thumbseal.backend import answers, asgi
from thumbseal.keys import Keys, new_key

TIMES: Final = 5_000
REQUESTS: Final = 500
STARTS: Final = 9
SAID: Final = {"role": "user", "content": "How do I reset my password?"}


def main() -> None:
    quiet = structlog.make_filtering_bound_logger(logging.CRITICAL)
    structlog.configure(wrapper_class=quiet)
    logging.getLogger("thumbseal").setLevel(logging.CRITICAL)
    site = thumbseal.Site("support", Keys.derive([new_key()]).for_app())
    thread = site.open_thread()
    token = site.mint_message(thread).token
    _say("import thumbseal", _import_ms(), "ms", "≤ 60")
    _say("mint a message", median(_spans(lambda: site.mint_message(thread))) * 1e6, "µs", "≤ 15")
    _say("verify a message", median(_spans(lambda: site.verify(token))) * 1e6, "µs", "≤ 15")
    for name, state in STATES.items():
        with state() as (url, keyed):
            client = thumbseal.Client(url, keyed or site)
            tracked = client.open_thread()
            spans = _spans(lambda tracked=tracked: tracked.track_message(SAID))  # type: ignore[misc]
            if keyed:
                client.flush(60)
            more = _request_ms(client)
            if keyed:
                client.flush(60)
        worst = quantiles(spans, n=100)[-1] * 1e3
        _say(f"track, {name}", median(spans) * 1e3, "ms", "≤ 1", f"p99 {worst:.2f} ms")
        _say(f"request, {name}", more, "ms", "≤ 1", "more than without Thumbseal")


def _request_ms(client: thumbseal.Client) -> float:
    """What the middleware, an answer that is recorded and its message add to a request, by turns
    with the same application without them."""
    thread = client.site.open_thread()
    headers = {"x-thumbseal-message": client.site.mint_message(thread).token}

    async def chat(request: Request) -> Response:
        question = thumbseal.current_message()
        if question is None:
            return Response(SAID["content"])
        answer = client.thread_of(question).track_message(SAID, reply_to=question)
        return Response(SAID["content"], headers=answers.headers_of(answer))

    plain = Starlette(routes=[Route("/", chat)])
    with (
        serve(plain) as without,
        serve(asgi.ThumbsealMiddleware(plain, client.site)) as around,
        httpx2.Client(trust_env=False, headers=headers) as http,
    ):
        pairs = [(_span(http, without), _span(http, around)) for _ in range(REQUESTS)]
    return (median(b for _, b in pairs) - median(a for a, _ in pairs)) * 1e3


def _span(http: httpx2.Client, url: str) -> float:
    began = time.perf_counter()
    http.get(url)
    return time.perf_counter() - began


def _import_ms() -> float:
    """Processor time over an interpreter that loads nothing: a busy machine disturbs it less."""
    pairs = [(_start_s("import thumbseal"), _start_s("pass")) for _ in range(STARTS)]
    return median(loaded - bare for loaded, bare in pairs) * 1e3


def _start_s(code: str) -> float:
    began = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True)
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ended.ru_utime + ended.ru_stime - began.ru_utime - began.ru_stime


def _spans(deed: Callable[[], object]) -> list[float]:
    """Seconds that each of many calls takes."""
    found = []
    for _ in range(TIMES):
        began = time.perf_counter()
        deed()
        found.append(time.perf_counter() - began)
    return found


State = Iterator[tuple[str, thumbseal.Site | None]]


@contextmanager
def _up() -> State:
    with (
        tempfile.TemporaryDirectory() as folder,
        running(make_settings(Path(folder)), time.time) as it,
    ):
        yield (
            it.url,
            thumbseal.Site("support", it.settings.sites["support"].signing_keys().for_app()),
        )


@contextmanager
def _down() -> State:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    yield f"http://127.0.0.1:{port}", None


@contextmanager
def _slow() -> State:
    async def hang(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await receive()
            await wait_for_disconnect(receive)

    with serve(hang) as url:
        yield url, None


@contextmanager
def _refusing() -> State:
    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 503, "headers": []})
            await send({"type": "http.response.body", "body": b""})

    with serve(refuse) as url:
        yield url, None


STATES: Final = {"up": _up, "down": _down, "slow": _slow, "refusing": _refusing}


def _say(what: str, value: float, unit: str, target: str, more: str = "") -> None:
    print(f"{what:18} {value:8.3f} {unit}  (to be {target})  {more}", flush=True)


if __name__ == "__main__":
    main()
