"""The HTTP client of one upstream: no redirects, no proxies of the environment, nothing compressed
(an answer must not unfold), and no address that the guard does not let through."""

from collections.abc import AsyncIterator, Sequence
from typing import Final

import httpcore2
import httpx2

from thumbseal import __version__
from thumbseal.upstreams.guard import Guard, Network, Resolve

CONNECT: Final = 5.0  # seconds
CONNECTIONS: Final = 16
KEEP_ALIVE: Final = 5.0  # seconds; Lunary closes its side after as long
# What a call can fail with before there is an answer; the core's errors are not the client's.
FAILURES: Final = (
    httpx2.HTTPError,
    httpcore2.NetworkError,
    httpcore2.ProtocolError,
    httpcore2.TimeoutException,
    TimeoutError,
)
# Nothing was sent, so nothing in it can be the cause.
UNREACHED: Final = (httpcore2.ConnectError, httpcore2.ConnectTimeout, httpcore2.PoolTimeout)


def make_client(
    deadline: float, private: Sequence[Network] = (), resolve: Resolve | None = None
) -> httpx2.AsyncClient:
    """A client for calls of up to ``deadline`` seconds, to public addresses and to those of
    ``private``; ``resolve`` stands for the machine's name service."""
    return httpx2.AsyncClient(
        transport=_Transport(Guard(private, resolve)),
        timeout=httpx2.Timeout(deadline, connect=CONNECT),
        headers={"Accept-Encoding": "identity", "User-Agent": f"Thumbseal/{__version__}"},
        trust_env=False,
    )


class _Transport(httpx2.AsyncBaseTransport):
    """httpx2's own transport takes no network of ours; its core does."""

    def __init__(self, guard: Guard) -> None:
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=httpx2.create_ssl_context(trust_env=False),
            max_connections=CONNECTIONS,
            keepalive_expiry=KEEP_ALIVE,
            network_backend=guard,
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        assert isinstance(request.stream, httpx2.AsyncByteStream)  # noqa: S101  an async client's
        url = request.url
        asked = httpcore2.Request(
            method=request.method,
            url=httpcore2.URL(
                scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
            ),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        answer = await self._pool.handle_async_request(asked)
        return httpx2.Response(
            answer.status,
            headers=answer.headers,
            stream=_Body(answer),
            extensions=answer.extensions,
        )

    async def aclose(self) -> None:
        await self._pool.aclose()


class _Body(httpx2.AsyncByteStream):
    """The core's answer as the client's stream."""

    def __init__(self, answer: httpcore2.Response) -> None:
        self._answer = answer

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._answer.aiter_stream().__aiter__()

    async def aclose(self) -> None:
        await self._answer.aclose()
