"""The way to a Thumbseal server: one POST at a time, by the standard library alone.

An application gets no HTTP client from us: its own may be of another version, and importing one
takes longer than all of this.
"""

import codecs
import http.client
import ssl
import time
from contextlib import suppress
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from thumbseal.errors import SettingsError, Unreachable

CONNECT: Final = 5.0  # seconds
DEADLINE: Final = 30.0  # seconds for a whole answer, however slowly it comes
MAX_ANSWER: Final = 1024 * 1024
_CHUNK: Final = 64 * 1024

# Looking a host up loads this codec. A process that forks in the middle of that would have a child
# that never can.
codecs.lookup("idna")


class Reply(Struct, frozen=True):
    """An answer; ``retry_after`` in seconds, where it says so."""

    status: int
    body: bytes
    retry_after: float | None


class Wire:
    """Requests to the server at ``url``, one at a time over one connection. Not for two threads.

    Raises:
        SettingsError: the URL is none of http or https.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise SettingsError(
                "THUMBSEAL_URL is where the server is: https://feedback.example.com"
            )
        self._host, self._port = parts.hostname, parts.port
        self._path = parts.path.rstrip("/")
        self._secure = parts.scheme == "https"
        self._connection: http.client.HTTPConnection | None = None

    def post(self, path: str, body: Any) -> Reply:
        """What the server answers, whatever its status.

        Raises:
            Unreachable: no answer came, or not all of it in time.
        """
        content = msgspec.json.encode(body)
        try:
            return self._exchange(path, content)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise Unreachable(f"No answer from Thumbseal: {type(error).__name__}.") from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give the connection up; the next request makes a new one."""
        if self._connection is not None:
            with suppress(OSError):
                self._connection.close()
        self._connection = None

    def _exchange(self, path: str, content: bytes) -> Reply:
        if self._connection is None:
            self._connection = self._connect()
        end = time.monotonic() + DEADLINE
        headers = {"Content-Type": "text/plain;charset=UTF-8"}
        self._connection.request("POST", self._path + path, content, headers)
        with self._connection.getresponse() as response:
            body = _read(response, end)
            wait = response.headers.get("Retry-After", "")
            return Reply(response.status, body, float(wait) if wait.isdecimal() else None)

    def _connect(self) -> http.client.HTTPConnection:
        if self._secure:
            context = ssl.create_default_context()
            made: http.client.HTTPConnection = http.client.HTTPSConnection(
                self._host, self._port, timeout=CONNECT, context=context
            )
        else:
            made = http.client.HTTPConnection(self._host, self._port, timeout=CONNECT)
        made.connect()
        made.sock.settimeout(DEADLINE)
        return made


def _read(response: http.client.HTTPResponse, end: float) -> bytes:
    body = bytearray()
    while chunk := response.read1(_CHUNK):
        body += chunk
        if len(body) > MAX_ANSWER or time.monotonic() > end:
            raise http.client.HTTPException("the answer has no end")
    return bytes(body)
