"""Every error of Thumbseal, grouped by who can mend it.

    ThumbsealError
    ├── SettingsError        the operator: the settings file or the environment
    ├── LogError             the operator: the log's file or its disk
    │   ├── LogBusy          another server holds it
    │   ├── LogFull          there is no room for more events
    │   ├── LogOverloaded    more events wait for the disk than it writes within a moment
    │   └── LogDamaged       the file is not what was written
    ├── TokenError           the caller: a token that is not good here
    ├── Unreachable          an application's backend: no answer from Thumbseal
    └── RequestError         the caller: a request refused as a whole
        ├── BadRequest       400  the body is not what the route takes
        ├── Unauthorized     401  one answer for every bad token, so that nothing can be probed
        ├── Forbidden        403  this origin may not speak for this site
        ├── NotFound         404
        │   └── SiteUnknown  404  no site of this name
        ├── MethodNotAllowed 405
        ├── RequestTimeout   408  it took too long to arrive
        ├── TooLarge         413
        ├── UnsupportedBody  415  a compressed body
        ├── TooMany          429  over a limit; after a while again
        ├── HeaderTooLarge   431
        ├── Internal         500  nobody foresaw it; the server's log tells of it
        ├── Unavailable      503  try again later
        └── StorageFull      507  try again later: the server has no room

A class knows its status and its code; one handler turns the tree into the wire form
``{"error": {"code", "message", "field"?, "retry"}}``.
"""

from typing import ClassVar


class ThumbsealError(Exception):
    """The base of all; its text says what to do."""


class SettingsError(ThumbsealError):
    """The settings cannot be used; the text names the place and the remedy."""


class LogError(ThumbsealError):
    """The log cannot be opened or written."""


class LogBusy(LogError):
    """Another server process owns this log."""


class LogFull(LogError):
    """The log takes no more events: the disk is full, or the log has its largest size."""


class LogOverloaded(LogError):
    """More events wait to be written than the disk takes within a moment; it passes by itself."""


class LogDamaged(LogError):
    """The log's file is damaged; a server puts it aside and goes on with what can be read."""


class TokenError(ThumbsealError):
    """A token is forged, misspelt, of another kind or site, or outside its time."""


class Unreachable(ThumbsealError):
    """An application's backend asked Thumbseal and got no answer, or none that it can read."""


class RequestError(ThumbsealError):
    """A request refused as a whole; nothing of it was stored.

    ``code`` is stable and documented, ``field`` names the part of the body,
    ``retry`` says whether the same request can succeed later.
    """

    status: ClassVar[int] = 400
    code: ClassVar[str] = "bad_request"
    retry: ClassVar[bool] = False

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field


class BadRequest(RequestError):
    """400: the body is not what the route takes."""


class Unauthorized(RequestError):
    """401: always the same words, whatever was wrong with the token."""

    status = 401
    code = "token_invalid"

    def __init__(self) -> None:
        super().__init__("The token is not valid here. Open the thread again.")


class Forbidden(RequestError):
    """403: the page's origin is not one of the site's."""

    status = 403
    code = "origin_refused"


class NotFound(RequestError):
    """404: no such path."""

    status = 404
    code = "not_found"


class SiteUnknown(NotFound):
    """404: no site of this name, or no name where there are several sites."""

    code = "site_unknown"


class MethodNotAllowed(RequestError):
    """405: the path is right, the method is not."""

    status = 405
    code = "method_not_allowed"


class RequestTimeout(RequestError):
    """408: the request took too long to arrive."""

    status = 408
    code = "request_timeout"
    retry = True


class TooLarge(RequestError):
    """413: the body is over the limit of this route."""

    status = 413
    code = "too_large"


class UnsupportedBody(RequestError):
    """415: compressed bodies are refused, so that none can unfold in memory."""

    status = 415
    code = "unsupported_body"


class TooMany(RequestError):
    """429: over a limit of the site; ``wait`` is in seconds."""

    status = 429
    code = "rate_limited"
    retry = True

    def __init__(self, wait: int) -> None:
        super().__init__("Too much at once. Send it again after the time in Retry-After.")
        self.wait = wait


class HeaderTooLarge(RequestError):
    """431: the request's header is over its limit."""

    status = 431
    code = "header_too_large"


class Internal(RequestError):
    """500: something that nobody foresaw; the server's log tells of it."""

    status = 500
    code = "internal"
    retry = True

    def __init__(self) -> None:
        super().__init__("Something went wrong here. It is logged.")


class Unavailable(RequestError):
    """503: the log cannot be written, or there are too many connections, at the moment."""

    status = 503
    code = "unavailable"
    retry = True


class StorageFull(RequestError):
    """507: the log has no room for events at the moment."""

    status = 507
    code = "storage_full"
    retry = True
