"""Middleware for WSGI: Flask, and whatever else speaks it.

`app.wsgi_app = ThumbsealMiddleware(app.wsgi_app, site)`; then `thumbseal.current_message()` is the
page's message, and the model's calls belong to it, those of a streamed body too.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from thumbseal.backend.offering import REFUSAL, REFUSED, Bad, Desk
from thumbseal.backend.parent import Parent, parent
from thumbseal.backend.site import HEADER, Site

Environ = dict[str, Any]
App = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]
MESSAGE: Final = "thumbseal.message"
_NAME: Final = "HTTP_" + HEADER.upper().replace("-", "_")


class ThumbsealMiddleware:
    """Wraps an application; the message stands in the environ as ``thumbseal.message`` too. See
    `offering.Desk` for ``bad``."""

    def __init__(self, app: App, site: Site, bad: Bad = "ignore") -> None:
        self._app = app
        self._desk = Desk(site, bad)

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        offer = self._desk.offer(environ.get(_NAME))
        if offer.refused:
            headers = [("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-store")]
            start_response(f"{REFUSED} Bad Request", headers)
            return [REFUSAL.encode()]
        environ[MESSAGE] = offer.message
        around = parent(offer.message)
        with around:
            body = self._app(environ, start_response)
        return _Body(body, around)


class _Body:
    """A body of which every part is made under its parent."""

    def __init__(self, body: Iterable[bytes], around: Parent) -> None:
        self._body = body
        self._around = around

    def __iter__(self) -> Iterator[bytes]:
        return self._around(_each)(self._body)

    def close(self) -> None:
        close = getattr(self._body, "close", None)
        if close is not None:
            with self._around:
                close()


def _each(body: Iterable[bytes]) -> Iterator[bytes]:
    yield from body
