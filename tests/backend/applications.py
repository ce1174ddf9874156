"""One small chatbot in four settings: it says which message it was asked about, and where."""

import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, make_server

import django
import flask
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import JsonResponse, StreamingHttpResponse
from django.test import override_settings
from django.urls import path
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

import thumbseal
from tests.doubles.serving import serve
from thumbseal.backend import asgi, wsgi
from thumbseal.backend.offering import Bad

Run = Callable[[thumbseal.Site, Bad], AbstractContextManager[str]]


def here() -> str:
    message = thumbseal.current_message()
    return message.id if message else "none"


def offered(message: thumbseal.Message | None) -> dict[str, str]:
    return {"offered": message.id if message else "none", "current": here()}


def streamed() -> Iterator[str]:
    for _ in range(3):
        yield here() + "\n"


async def streamed_async() -> AsyncIterator[str]:
    for each in streamed():
        yield each


@contextmanager
def fastapi_app(site: thumbseal.Site, bad: Bad) -> Iterator[str]:
    app = FastAPI()
    app.add_middleware(asgi.ThumbsealMiddleware, site=site, bad=bad)

    @app.get("/")
    async def answer(request: Request) -> dict[str, str]:
        return offered(request.state.thumbseal_message)

    @app.get("/thread")  # FastAPI runs it in a thread
    def answer_in_thread() -> dict[str, str]:
        return offered(thumbseal.current_message())

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        return StreamingResponse(streamed())

    with serve(app) as url:
        yield url


@contextmanager
def flask_app(site: thumbseal.Site, bad: Bad) -> Iterator[str]:
    app = flask.Flask("tests")
    app.wsgi_app = wsgi.ThumbsealMiddleware(app.wsgi_app, site, bad)  # type: ignore[method-assign]

    @app.get("/")
    @app.get("/thread")
    def answer() -> dict[str, str]:
        return offered(flask.request.environ[wsgi.MESSAGE])

    @app.get("/stream")
    def stream() -> flask.Response:
        return flask.Response(streamed())

    with serve_wsgi(app) as url:
        yield url


def _answer(request: Any) -> Any:
    return JsonResponse(offered(request.thumbseal_message))


async def _answer_async(request: Any) -> Any:
    return JsonResponse(offered(request.thumbseal_message))


def _stream(request: Any) -> Any:
    return StreamingHttpResponse(streamed())


async def _stream_async(request: Any) -> Any:
    return StreamingHttpResponse(streamed_async())


class _SyncUrls:
    urlpatterns: Final = [path("", _answer), path("thread", _answer), path("stream", _stream)]


class _AsyncUrls:
    urlpatterns: Final = [
        path("", _answer_async),
        path("thread", _answer),
        path("stream", _stream_async),
    ]


@contextmanager
def django_app(site: thumbseal.Site, bad: Bad, urls: Any) -> Iterator[None]:
    if not settings.configured:
        middleware = ["thumbseal.backend.django.ThumbsealMiddleware"]
        settings.configure(ALLOWED_HOSTS=["*"], MIDDLEWARE=middleware, USE_TZ=True)
        django.setup(set_prefix=False)
    with override_settings(ROOT_URLCONF=urls, THUMBSEAL={"site": site, "bad": bad}):
        yield


@contextmanager
def django_wsgi_app(site: thumbseal.Site, bad: Bad) -> Iterator[str]:
    with django_app(site, bad, _SyncUrls), serve_wsgi(WSGIHandler()) as url:
        yield url


@contextmanager
def django_asgi_app(site: thumbseal.Site, bad: Bad) -> Iterator[str]:
    with django_app(site, bad, _AsyncUrls):
        handler = ASGIHandler()
        requests: list[Future[None]] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":  # Django knows no lifespan
                request: Future[None] = Future()
                requests.append(request)
                try:
                    await handler(scope, receive, send)
                finally:
                    request.set_result(None)

        with serve(app) as url:
            yield url
            # A client has its answer before Django has done with the request, and Django leaves the
            # body's file open where a server that ends cancels it.
            assert not wait(requests, timeout=60).not_done


APPS: Final[dict[str, Run]] = {
    "FastAPI": fastapi_app,
    "Flask": flask_app,
    "Django by WSGI": django_wsgi_app,
    "Django by ASGI": django_asgi_app,
}


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serve_wsgi(app: Any) -> Iterator[str]:
    """A WSGI application on a loopback socket."""
    with make_server("127.0.0.1", 0, app, handler_class=_Quiet) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
