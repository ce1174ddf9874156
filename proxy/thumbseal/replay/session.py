"""Sessions: a cookie of signed passes, one for each site that its person may see.

Each pass is signed with its site's own key, so that rotating a key or revoking tokens works site
by site. All passes of a cookie have one id, which logging out bars.
"""

import hashlib
import hmac
from collections.abc import Iterable
from typing import Final

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from thumbseal.claims import PassClaims
from thumbseal.errors import TokenError
from thumbseal.ids import new_id
from thumbseal.keys import Kind
from thumbseal.log.barriers import Barrier
from thumbseal.replay.ground import Ground
from thumbseal.tokens import tag_of

MAX_SITES: Final = 40  # passes of 88 characters, and browsers keep 4,096 bytes of a cookie
_NAME: Final = "thumbseal-replay"
_BETWEEN: Final = "~"  # stands in no pass


class Viewer(Struct, frozen=True):
    """Who looks: the sites that may be seen, the session's id, and the word that a form of hers
    must say so that it is known to be hers."""

    sites: tuple[str, ...]
    id: str
    word: str

    def owns(self, word: str) -> bool:
        """Whether a form's word is this session's."""
        return hmac.compare_digest(self.word.encode(), word.encode())


class Sessions:
    """Opens, reads and ends sessions over the sites' tokens."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._by_tag = {each.tag: each for each in ground.tokens.values()}
        self._secure = (ground.origin or "").startswith("https:")
        self._cookie = f"__Secure-{_NAME}" if self._secure else _NAME

    def open(self, sites: Iterable[str], response: Response) -> None:
        """Set a new session's cookie. It has no path of its own: a browser keeps it for the folder
        of the log-in, whatever path a proxy in front has put before that."""
        now = int(self._ground.clock())
        claims = PassClaims(new_id(now * 1000), now, now + self._ground.session_seconds)
        passes = [self._ground.tokens[site].mint_pass(Kind.REPLAY, claims) for site in sites]
        self._set(response, _BETWEEN.join(passes), self._ground.session_seconds)

    def read(self, request: Request) -> Viewer | None:
        """Who looks, if any of the cookie's passes is good."""
        cookie = request.cookies.get(self._cookie, "")
        found = dict(filter(None, map(self._read_pass, cookie.split(_BETWEEN)[:MAX_SITES])))
        if not found:
            return None
        word = hashlib.sha256(f"form {cookie}".encode()).hexdigest()[:32]
        return Viewer(tuple(sorted(found)), next(iter(found.values())), word)

    def _read_pass(self, token: str) -> tuple[str, str] | None:
        """A good pass's site and id."""
        try:
            tokens = self._by_tag.get(tag_of(token))
            claims = tokens and tokens.read_pass(Kind.REPLAY, token, self._ground.clock())
        except TokenError:
            return None
        if not tokens or not claims:
            return None
        if self._ground.log.barriers.refuse(tokens.site, claims.issued, token=claims.id):
            return None
        return tokens.site, claims.id

    async def end(self, viewer: Viewer, response: Response) -> None:
        """Bar the session at each of its sites, and have the browser forget it."""
        for site in viewer.sites:
            await self._ground.log.bar(Barrier(site, "token", viewer.id, int(self._ground.clock())))
        self._set(response, "", 0)

    def _set(self, response: Response, value: str, life: int) -> None:
        response.set_cookie(
            self._cookie,
            value,
            max_age=life,
            path=None,
            secure=self._secure,
            httponly=True,
            samesite="strict",
        )
