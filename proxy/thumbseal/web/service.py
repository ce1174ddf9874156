"""A running application whose settings may change under it."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack

from starlette.types import ASGIApp, Receive, Scope, Send

from thumbseal.errors import ThumbsealError
from thumbseal.settings import Settings

Forwarding = Callable[[Settings], AbstractAsyncContextManager[None]]


class Service:
    """An ASGI application over one log. ``make_app`` builds it for given settings, ``forwarding``
    has their upstreams served while it lasts; ``reloaded`` is told whether new ones are in force,
    ``refused`` the code of what a connection refuses before it is a request, and ``leaves`` that
    nobody may be kept waiting any more.
    """

    def __init__(
        self,
        make_app: Callable[[Settings], ASGIApp],
        forwarding: Forwarding,
        reloaded: Callable[[bool], None],
        refused: Callable[[str], None],
        leaves: Callable[[], None],
    ) -> None:
        self._make_app = make_app
        self._forwarding = forwarding
        self._reloaded = reloaded
        self._refused = refused
        self._leaves = leaves
        self._app: ASGIApp
        self._settings: Settings | None = None
        self._at_work = AsyncExitStack()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    def count_refusal(self, code: str) -> None:
        """Note what a connection has refused."""
        self._refused(code)

    def leave(self) -> None:
        """Keep nobody waiting from now on: the server is about to end."""
        self._leaves()

    async def use(self, configured: Settings) -> None:
        """Go by these settings from now on; requests under way end as they began.

        Raises:
            ThumbsealError: they cannot be used, and those before are still in force.
        """
        app, before = self._make_app(configured), self._settings
        # Two forwarders of one upstream would send everything twice: the old ones end first.
        await self.close()
        try:
            await self._at_work.enter_async_context(self._forwarding(configured))
        except BaseException:
            if before is not None:
                await self._at_work.enter_async_context(self._forwarding(before))
            raise
        self._app, self._settings = app, configured

    async def reread(self, read: Callable[[], Settings]) -> Settings:
        """Read settings again and go by them from now on.

        Raises:
            ThumbsealError: they cannot be read or used, and those before are still in force.
        """
        try:
            changed = read()
            await self.use(changed)
        except ThumbsealError:
            self._reloaded(False)
            raise
        self._reloaded(True)
        return changed

    async def close(self) -> None:
        """End what is at work."""
        await self._at_work.aclose()
        self._at_work = AsyncExitStack()
