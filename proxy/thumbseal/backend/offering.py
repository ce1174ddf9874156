"""What the page's header says, for all middlewares: which message a request is about."""

from typing import Final, Literal

from msgspec import Struct

from thumbseal.backend.site import HEADER, Message, Site
from thumbseal.errors import SettingsError, TokenError

Bad = Literal["ignore", "refuse"]
REFUSED: Final = 400
REFUSAL: Final = f"The header {HEADER} holds no message of this site. Reload the page."


class Offer(Struct, frozen=True):
    """The page's message, or None; ``refused``: the application wants no such request."""

    message: Message | None
    refused: bool = False


class Desk:
    """Reads headers for one site. A ``bad`` message is one that is forged, of another site or too
    old: with "ignore" the request has no message, with "refuse" it is answered 400.

    Raises:
        SettingsError: ``bad`` is neither.
    """

    def __init__(self, site: Site, bad: Bad = "ignore") -> None:
        if bad not in ("ignore", "refuse"):
            raise SettingsError(f"bad={bad!r}: write 'ignore' or 'refuse'.")
        self._site = site
        self._refuses = bad == "refuse"

    def offer(self, token: str | None) -> Offer:
        """What the value of the header stands for."""
        if not token:
            return Offer(None)
        try:
            return Offer(self._site.verify(token))
        except TokenError:
            return Offer(None, self._refuses)
