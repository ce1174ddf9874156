"""Asking the index: what pages and exports want to know."""

import asyncio
from collections.abc import Collection
from pathlib import Path

from thumbseal.index import Answer, Changes, Overview, Page, Progress
from thumbseal.index.filter import Filter


class Index:
    """The index beside the log at ``log_path``. ``sites`` are always those that the asking person
    may see. Every method raises `thumbseal.errors.LogError` where the file cannot be read."""

    def __init__(self, log_path: Path) -> None:
        self._path = log_path

    async def find(
        self, sites: Collection[str], wanted: Filter, now: int, after: str = "", limit: int = 50
    ) -> Page:
        """The threads of a filter in its order, those behind ``after``, which is from the page
        before; one that is not is the beginning. ``now`` in ms."""
        raise NotImplementedError

    async def overview(self, sites: Collection[str], wanted: Filter, now: int) -> Overview:
        """What the threads of a filter come to; thumbs count by when they were given."""
        raise NotImplementedError

    async def worst(
        self, sites: Collection[str], wanted: Filter, now: int, limit: int = 10
    ) -> list[Answer]:
        """The answers with the worst opinions given in the filter's time: more downs than ups
        first, then the lowest score, then the newest."""
        raise NotImplementedError

    async def changes(
        self, sites: Collection[str], wanted: Filter, now: int, after: int, limit: int = 50
    ) -> Changes:
        """The threads with an event past ``after``; begin with `progress().done`."""
        raise NotImplementedError

    async def progress(self) -> Progress:
        """How far the index is."""
        raise NotImplementedError

    def watch(self) -> asyncio.Event:
        """An event that is set whenever the index has moved on; clear it before you ask. Hand it
        back with `unwatch`."""
        raise NotImplementedError

    def unwatch(self, watcher: asyncio.Event) -> None:
        """Set it no more."""
        raise NotImplementedError
