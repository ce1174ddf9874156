"""Middleware for Django, synchronous and asynchronous.

In the settings: `MIDDLEWARE = ["thumbseal.backend.django.ThumbsealMiddleware", …]`. The site comes
from the environment, or is `THUMBSEAL = {"site": Site(…), "bad": "refuse"}`. Then
`request.thumbseal_message` or `thumbseal.current_message()` is the page's message, and the model's
calls belong to it, those of a streamed answer too.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Final

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.http import HttpResponse

from thumbseal.backend.offering import REFUSAL, REFUSED, Desk, Offer
from thumbseal.backend.parent import parent
from thumbseal.backend.site import HEADER, Message, Site

SETTING: Final = "THUMBSEAL"


class ThumbsealMiddleware:
    """Wraps the next handler."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        given = dict(getattr(settings, SETTING, {}))
        self._desk = Desk(given.pop("site", None) or Site.from_env(), **given)
        self._get_response = get_response
        self._asynchronous = iscoroutinefunction(get_response)
        if self._asynchronous:
            markcoroutinefunction(self)

    def __call__(self, request: Any) -> Any:
        offer = self._desk.offer(request.headers.get(HEADER))
        request.thumbseal_message = offer.message
        if self._asynchronous:
            return self._answer_async(request, offer)
        if offer.refused:
            return _refusal()
        with parent(offer.message):
            return _around(self._get_response(request), offer.message)

    async def _answer_async(self, request: Any, offer: Offer) -> Any:
        if offer.refused:
            return _refusal()
        with parent(offer.message):
            return _around(await self._get_response(request), offer.message)


def _around(response: Any, message: Message | None) -> Any:
    """The answer, whose stream is made under the parent."""
    if message is not None and response.streaming:
        each = _each_async if response.is_async else _each
        response.streaming_content = parent(message)(each)(response.streaming_content)
    return response


def _each(content: Iterator[Any]) -> Iterator[Any]:
    yield from content


async def _each_async(content: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for part in content:
        yield part


def _refusal() -> Any:
    return HttpResponse(REFUSAL, status=REFUSED, content_type="text/plain; charset=utf-8")
