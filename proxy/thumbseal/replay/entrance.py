"""The entrance: logging in by a code, logging out, and who is let through."""

import re
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import parse_qsl, quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from thumbseal.codes import read_code, spell_code
from thumbseal.replay.ground import Ground
from thumbseal.replay.pages import HEADERS, Headers, render, root_of
from thumbseal.replay.session import MAX_SITES, Sessions, Viewer

Endpoint = Callable[[Request], Awaitable[Response]]
Page = Callable[[Request, Viewer], Awaitable[Response]]
HOME: Final = "../replay"
MAX_FORM: Final = 1_024  # bytes
_NEXT: Final = re.compile(r"(threads(/[\w-]+/[\w-]+)?|live)(\?[\w=&%+.~-]*)?", re.ASCII)


class Entrance:
    """The routes of logging in and out."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._sessions = Sessions(ground)

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
        if wait := self._ground.attempts.wait(self._ground.address_of(request)):
            return self._form(request, "often", 429, {"Retry-After": str(wait)})
        code = spell_code((await _read_form(request)).get("code", ""))
        now = self._ground.clock()
        sites = read_code(code, self._ground.keys, now)
        if not sites or not self._ground.attempts.use(code, now):
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
        wanted = f"{path}?{request.url.query}" if request.url.query else path
        query = f"?next={quote(wanted, safe='')}" if _NEXT.fullmatch(wanted) else ""
        return RedirectResponse(f"{root_of(request)}replay/login{query}", 303, HEADERS)

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
        return origin in (self._ground.origin, f"http://{host}", f"https://{host}")


async def _read_form(request: Request) -> dict[str, str]:
    """A small form's fields; a body that is none has none."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM:
            return {}
    return dict(parse_qsl(body.decode("utf-8", "replace")))
