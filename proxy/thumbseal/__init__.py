"""A proxy between a chat UI in a browser and the place where a team looks at its conversations.

What is named here is for that chat's own backend: `Site` makes and reads tokens offline, `parent`
says to which message the model's calls belong, `Client` and `AsyncClient` record.
"""

from typing import TYPE_CHECKING, Any

from thumbseal.backend.parent import current_message, parent
from thumbseal.backend.site import Message, Site, Thread
from thumbseal.errors import SettingsError, ThumbsealError, TokenError, Unreachable

if TYPE_CHECKING:
    from thumbseal.backend.client import AsyncClient, Client, TrackedThread

__all__ = [
    "AsyncClient",
    "Client",
    "Message",
    "SettingsError",
    "Site",
    "Thread",
    "ThumbsealError",
    "TokenError",
    "TrackedThread",
    "Unreachable",
    "current_message",
    "parent",
]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """The clients are loaded when first asked for: who only verifies needs none of what sends."""
    if name in ("AsyncClient", "Client", "TrackedThread"):
        from thumbseal.backend import client

        return getattr(client, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
