"""The entrance: logging in by a code, logging out, and who is let through."""

import re
import time
from collections.abc import Awaitable, Callable, Mapping
from math import ceil
from typing import Final
from urllib.parse import parse_qsl, quote

from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from thumbseal.codes import WINDOW, read_code, spell_code
from thumbseal.keys import Keys
from thumbseal.replay.pages import HEADERS, Headers, render
from thumbseal.replay.session import MAX_SITES, Sessions, Viewer

Endpoint = Callable[[Request], Awaitable[Response]]
Page = Callable[[Request, Viewer], Awaitable[Response]]
HOME: Final = "../replay"
MAX_FORM: Final = 1_024  # bytes
_NEXT: Final = re.compile(r"(threads(/[\w-]+/[\w-]+)?|live)(\?[\w=&%+.~-]*)?", re.ASCII)
_PER_ADDRESS: Final = parse("10 per 10 minute")
_IN_ALL: Final = parse("1000 per 10 minute")


class Attempts:
    """How often somebody tried to log in, and which codes were used. They outlive a change of the
    settings, and no restart."""

    def __init__(self) -> None:
        self._windows = FixedWindowRateLimiter(MemoryStorage())
        self._used: dict[str, float] = {}

    def wait(self, address: str | None) -> int:
        """Count an attempt; the seconds to wait before the next one, 0 if it may be made."""
        windows = [(_IN_ALL, "all"), (_PER_ADDRESS, f"from {address}")][: 2 if address else 1]
        stats = [
            self._windows.get_window_stats(rate, name)
            for rate, name in windows
            if not self._windows.hit(rate, name)
        ]
        return max((ceil(max(each.reset_time - time.time(), 1)) for each in stats), default=0)

    def use(self, code: str, now: float) -> bool:
        """Whether a code is used for the first time."""
        self._used = {each: until for each, until in self._used.items() if until > now}
        if code in self._used:
            return False
        self._used[code] = now + 2 * WINDOW
        return True


class Entrance:
    """The routes of logging in and out. ``address_of`` tells where a request came from, where that
    can be known; ``origin`` is the server's own, if the settings say so."""

    def __init__(
        self,
        sessions: Sessions,
        keys: Mapping[str, Keys],
        attempts: Attempts,
        clock: Callable[[], float],
        address_of: Callable[[Request], str | None],
        origin: str | None,
    ) -> None:
        self._sessions = sessions
        self._keys = keys
        self._attempts = attempts
        self._clock = clock
        self._address_of = address_of
        self._origin = origin

    def routes(self) -> list[Route]:
        return [
            Route("/replay/login", self.ask, methods=["GET"]),
            Route("/replay/login", self.log_in, methods=["POST"]),
            Route("/replay/logout", self.shown(self.log_out), methods=["POST"]),
        ]

    def shown(self, page: Page) -> Endpoint:
        """A page for those who are logged in; others are led to the form."""

        async def answer(request: Request) -> Response:
            viewer = self._sessions.read(request)
            if viewer is not None:
                return await page(request, viewer)
            if request.headers.get("sec-fetch-site") == "cross-site" and request.method == "GET":
                # A strict cookie does not come along with a link from elsewhere, but with the
                # same page asked for by itself.
                return Response(None, 200, HEADERS | {"Refresh": "0"})
            return self._lead_in(request)

        return answer

    async def ask(self, request: Request) -> Response:
        """``GET /replay/login``: the form."""
        return self._form(request)

    async def log_in(self, request: Request) -> Response:
        """``POST /replay/login``: a code for a session."""
        if not self._is_own(request):
            return self._form(request, "elsewhere", 403)
        if wait := self._attempts.wait(self._address_of(request)):
            return self._form(request, "often", 429, {"Retry-After": str(wait)})
        code = spell_code((await _read_form(request)).get("code", ""))
        now = self._clock()
        sites = read_code(code, self._keys, now)
        if not sites or not self._attempts.use(code, now):
            return self._form(request, "wrong", 403)
        if len(sites) > MAX_SITES:
            return self._form(request, "many", 403)
        wanted = request.query_params.get("next", "")
        response = RedirectResponse(wanted if _NEXT.fullmatch(wanted) else HOME, 303, HEADERS)
        self._sessions.open(sites, response)
        return response

    async def log_out(self, request: Request, viewer: Viewer) -> Response:
        """``POST /replay/logout``: end the session, here and wherever its cookie was copied to."""
        form = await _read_form(request)
        if not self._is_own(request) or not viewer.owns(form.get("word", "")):
            return render(request, "refused", status=403)
        response = RedirectResponse("login", 303, HEADERS)
        await self._sessions.end(viewer, response)
        return response

    def _lead_in(self, request: Request) -> Response:
        path = request.url.path.removeprefix("/replay").lstrip("/")
        root = "../" * (request.url.path.count("/") - 1)
        wanted = f"{path}?{request.url.query}" if request.url.query else path
        query = f"?next={quote(wanted, safe='')}" if _NEXT.fullmatch(wanted) else ""
        return RedirectResponse(f"{root}replay/login{query}", 303, HEADERS)

    def _form(
        self, request: Request, fault: str = "", status: int = 200, headers: Headers | None = None
    ) -> Response:
        return render(request, "login", status, headers, fault=fault, sites=MAX_SITES)

    def _is_own(self, request: Request) -> bool:
        """Whether a form was sent from a page of this server: browsers say so by themselves."""
        site = request.headers.get("sec-fetch-site")
        if site is not None:
            return site == "same-origin"
        # Compared as it stands: an origin from anywhere may be too odd to be parsed.
        origin, host = request.headers.get("origin", ""), request.headers.get("host")
        return origin in (self._origin, f"http://{host}", f"https://{host}")


async def _read_form(request: Request) -> dict[str, str]:
    """A small form's fields; a body that is none has none."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM:
            return {}
    return dict(parse_qsl(body.decode("utf-8", "replace")))
