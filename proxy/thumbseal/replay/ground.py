"""The ground of the pages: what each of them is made from."""

import asyncio
from collections.abc import Callable, Mapping

from msgspec import Struct
from starlette.requests import Request

from thumbseal.index.asking import Index
from thumbseal.keys import Keys
from thumbseal.log import Log
from thumbseal.replay.attempts import Attempts
from thumbseal.settings import Upstream
from thumbseal.tokens import Tokens


class Ground(Struct, frozen=True):
    """What the pages stand on: where they read, whom they let in, and how they are reached.
    ``origin`` is the server's own, where the settings name it; ``upstreams`` are by "site/name";
    ``leaving`` is set when the server is about to end."""

    log: Log
    index: Index
    tokens: Mapping[str, Tokens]
    keys: Mapping[str, Keys]
    upstreams: Mapping[str, Upstream]
    attempts: Attempts
    leaving: asyncio.Event
    clock: Callable[[], float]
    address_of: Callable[[Request], str | None]
    origin: str | None
    session_seconds: int

    @property
    def now(self) -> int:
        """The time in ms."""
        return int(self.clock() * 1000)
