"""The answer's own message on its way back to the page, which puts thumbs under it.

A page that records nothing itself needs nothing but the token: as `data-thumbseal-message`. It goes
into a header, or into the stream, and never into a URL.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from thumbseal.backend.site import HEADER, Message

EVENT: Final = "thumbseal-message"  # of server-sent events
PART: Final = "data-thumbseal-message"  # of the AI SDK's stream


def headers_of(answer: Message) -> dict[str, str]:
    """The header that hands a message to the page. Nobody but its reader may keep the answer.

    A page of another origin reads it if you expose it: ``Access-Control-Expose-Headers``.
    """
    return {HEADER: answer.token, "Cache-Control": "no-store"}


def json_of(answer: Message, body: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON body with the message beside what it says: ``{"thumbseal": {"id", "token"}}``."""
    return {**body, "thumbseal": _told(answer)}


def sse_of(answer: Message) -> str:
    """A server-sent event named ``thumbseal-message`` whose data is ``{"id", "token"}``."""
    return f"event: {EVENT}\ndata: {json.dumps(_told(answer))}\n\n"


def ai_sdk_of(answer: Message) -> str:
    """A data part of the AI SDK's UI message stream, of type ``data-thumbseal-message``; the page
    finds it in ``message.parts``. The answer has the header ``x-vercel-ai-ui-message-stream: v1``.
    """
    part = {"type": PART, "id": answer.id, "data": _told(answer)}
    return f"data: {json.dumps(part)}\n\n"


def _told(answer: Message) -> dict[str, str]:
    return {"id": answer.id, "token": answer.token}
