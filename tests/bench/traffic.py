"""The requests of chat pages, ready to be sent."""

import json
import time
from collections.abc import Iterator
from typing import Any, Final

from thumbseal.claims import THREAD_LIFE, Grant, ThreadClaims
from thumbseal.ids import ActorId, ThreadId, new_id
from thumbseal.tokens import Tokens

ORIGIN: Final = "https://chat.example.com"
PAGES: Final = 64  # threads that are open at the same time
LENGTH: Final = 20  # requests in a thread
# About as much as a person writes and a model answers, on average: 300 bytes.
CONTENT: Final = "How do I change the address that my invoices go to? " * 6


def write_requests(tokens: Tokens, requests: int, batch: int, want: int) -> list[bytes]:
    """Whole HTTP requests of ``batch`` message events each, every message under its own token.

    ``want`` is the number of blank tokens that the page asks for. Neighbours belong to different
    threads, as they would when many people talk at once.
    """
    written: list[bytes] = []
    while len(written) < requests:
        threads = [_Thread(tokens, want) for _ in range(PAGES)]
        written += [thread.request(batch) for _ in range(LENGTH) for thread in threads]
    return written[:requests]


class _Thread:
    """One page with its thread token."""

    def __init__(self, tokens: Tokens, want: int) -> None:
        now = int(time.time())
        self._tokens = tokens
        self._want = want
        self._thread, self._actor = ThreadId(new_id()), ActorId(new_id())
        grant = Grant.USER | Grant.ASSISTANT
        claims = ThreadClaims(self._thread, self._actor, None, grant, now, now, now + THREAD_LIFE)
        self._token = tokens.mint_thread(claims)

    def request(self, batch: int) -> bytes:
        events = list(self._events(batch))
        body = {"token": self._token, "sent_at": _ms(), "want": self._want, "events": events}
        return _http(json.dumps(body, separators=(",", ":")).encode())

    def _events(self, count: int) -> Iterator[dict[str, Any]]:
        for number in range(count):
            message, token = self._tokens.blank(self._thread, self._actor, time.time())
            yield {
                "type": "message",
                "id": message.replace("-", "")[:22],
                "at": _ms(),
                "message": token,
                "role": "assistant" if number % 2 else "user",
                "content": CONTENT,
            }


def _ms() -> int:
    return int(time.time() * 1000)


def _http(body: bytes) -> bytes:
    head = (
        "POST /v1/events HTTP/1.1\r\n"
        "Host: 127.0.0.1\r\n"
        f"Origin: {ORIGIN}\r\n"
        "Content-Type: text/plain;charset=UTF-8\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
