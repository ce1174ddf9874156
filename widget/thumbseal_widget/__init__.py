"""The browser side of Thumbseal, as files that a server hands out."""

from thumbseal_widget.joiner import JoinError
from thumbseal_widget.releases import File, Release, release, script

__all__ = ["File", "JoinError", "Release", "release", "script"]
