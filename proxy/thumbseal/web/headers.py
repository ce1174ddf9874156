"""Headers of a request, found without the detours of a mapping that knows every spelling: a server
has written their names in lower case (ASGI), and a request asks for half a dozen of them."""

from starlette.types import Scope


def header(scope: Scope, name: bytes) -> str | None:
    """The first header of this name, in lower case; None without one."""
    for key, value in scope["headers"]:
        if key == name:
            found: str = value.decode("latin-1")
            return found
    return None


def headers(scope: Scope, name: bytes) -> list[str]:
    """All headers of this name, in lower case."""
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]
