"""Two applications behind one server, told apart by the port or by the path."""

from starlette.types import ASGIApp, Receive, Scope, Send


class Doors:
    """Two applications behind one server: what comes in at ``port`` is for the ``own`` one."""

    def __init__(self, public: ASGIApp, own: ASGIApp, port: int) -> None:
        self._public = public
        self._own = own
        self._port = port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        here = scope.get("server") or (None, None)
        await (self._own if here[1] == self._port else self._public)(scope, receive, send)


class Wing:
    """An application, and another one at a ``path`` and below it."""

    def __init__(self, public: ASGIApp, wing: ASGIApp, path: str) -> None:
        self._public = public
        self._wing = wing
        self._path = path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"] if scope["type"] == "http" else ""
        inside = path == self._path or path.startswith(f"{self._path}/")
        await (self._wing if inside else self._public)(scope, receive, send)
