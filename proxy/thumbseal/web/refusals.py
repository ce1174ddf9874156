"""What is said at the door: answers to what is no request, or not yet one.

They are the same for everybody and say nothing about anybody, so a page of any origin may read
them: whoever has not read the header cannot judge where it comes from.
"""

from http import HTTPStatus
from typing import Final

from msgspec import Struct

from thumbseal.errors import (
    BadRequest,
    HeaderTooLarge,
    RequestError,
    RequestTimeout,
    Unavailable,
)
from thumbseal.web.problems import encode

MAX_HEAD: Final = 16_384  # bytes of a request's line and header


class Refusal(Struct, frozen=True):
    """An answer as it goes over the wire, and the code that it is counted by."""

    code: str
    answer: bytes


def _refusal(error: RequestError, more: str = "") -> Refusal:
    body, status = encode(error), HTTPStatus(error.status)
    head = (
        f"HTTP/1.1 {status} {status.phrase}\r\ncontent-type: application/json\r\n"
        "access-control-allow-origin: *\r\ncache-control: no-store\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n{more}\r\n"
    )
    return Refusal(error.code, head.encode() + body)


BAD: Final = _refusal(BadRequest("This is no HTTP request."))
LATE: Final = _refusal(RequestTimeout("The request took too long to arrive."))
HUGE: Final = _refusal(HeaderTooLarge(f"The header is over {MAX_HEAD} bytes."))
FULL: Final = _refusal(
    Unavailable("The server has all the connections that it can take. Try again later."),
    "retry-after: 5\r\naccess-control-expose-headers: retry-after\r\n",
)
