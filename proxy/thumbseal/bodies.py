"""Bodies: what the three routes of a chat page are asked, parsed as strictly as events are."""

import re
from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import Meta, Struct

from thumbseal import parsing
from thumbseal.errors import BadRequest
from thumbseal.events import Name, Time, Token

MAX_BACKEND_BODY: Final = 1024 * 1024
MAX_BATCH: Final = 50
MAX_WANT: Final = 32
MAX_ASKED: Final = 200  # messages in one read-back: a long conversation on one screen

Ref = Annotated[str, Meta(pattern=r"\A~.", max_length=512)]  # see `events.is_ref`
Want = Annotated[int, Meta(ge=0, le=MAX_WANT)]


class Entrance(Struct, frozen=True, forbid_unknown_fields=True):
    """How a page enters a thread while it sends events: by its token, else as the actor of an
    earlier one, else as somebody new. Where a server has one site, nobody need name it."""

    site: Name | None = None
    thread: Token | None = None
    from_: Token | None = msgspec.field(default=None, name="from")
    id: Name | None = None


class Envelope(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of ``POST /v1/events``; each event is judged on its own. A thread is named by its
    live ``token``, or by ``open``. ``refs`` are names for messages that the page wants tokens of,
    ``read`` message tokens whose feedback it asks for."""

    sent_at: Time
    events: list[msgspec.Raw]
    token: Token | None = None
    open: Entrance | None = None
    want: Want = 0
    refs: Annotated[list[Ref], Meta(max_length=MAX_BATCH)] = []
    read: Annotated[list[Token], Meta(max_length=MAX_ASKED)] = []


class Opening(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of ``POST /v1/threads``; ``user`` is a backend's to give."""

    site: Name | None = None
    thread: Token | None = None
    from_: Token | None = msgspec.field(default=None, name="from")
    id: Name | None = None
    want: Want = 8
    user: Annotated[str, Meta(min_length=1, max_length=64)] | None = None


class Question(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of ``POST /v1/feedback``."""

    messages: Annotated[list[Token], Meta(max_length=MAX_ASKED)]


T = TypeVar("T")
ENVELOPE: Final = msgspec.json.Decoder(Envelope)
OPENING: Final = msgspec.json.Decoder(Opening)
QUESTION: Final = msgspec.json.Decoder(Question)
_ESCAPE: Final = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(?P<lone>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)


def parse_body(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """A request's body as its class.

    Raises:
        BadRequest: not JSON, not UTF-8, nested without end, or not of the right shape.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        text, field = parsing.explained(error)
        raise BadRequest(text, field=field) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"The body is not JSON in UTF-8: {error}.") from error


def parse_envelope(body: bytes) -> Envelope:
    """The body of ``POST /v1/events``. A lone surrogate spoils its own event only: a page makes
    one whenever it cuts a text inside an emoji, and the decoder refuses the whole body for it.

    Raises:
        BadRequest: see `parse_body`.
    """
    try:
        return parse_body(body, ENVELOPE)
    except BadRequest:
        marked = _ESCAPE.sub(lambda found: rb"\u0000" if found["lone"] else found[0], body)
        if marked == body:
            raise
        return parse_body(marked, ENVELOPE)
