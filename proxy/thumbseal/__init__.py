"""A proxy between a chat UI in a browser and the place where a team looks at its conversations.

What is named here is for that chat's own backend: `Site` makes and reads tokens offline.
"""

from thumbseal.backend.site import Message, Site, Thread
from thumbseal.errors import SettingsError, ThumbsealError, TokenError

__all__ = ["Message", "SettingsError", "Site", "Thread", "ThumbsealError", "TokenError"]
__version__ = "0.1.0"
