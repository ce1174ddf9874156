"""Erasing at Lunary: one ``DELETE`` takes a thread with all its exchanges and votes."""

from collections.abc import Mapping
from typing import Final

import httpx2

from thumbseal.ids import ThreadId
from thumbseal.upstreams import UpstreamDown
from thumbseal.upstreams.calls import Answer, call

NOT_FOUND: Final = 404


async def erase(
    client: httpx2.AsyncClient, url: str, headers: Mapping[str, str], thread: ThreadId
) -> None:
    """Erase a thread; one that is not there is as good as erased.

    Raises:
        UpstreamDown: it may still be there.
    """

    async def ask(method: str, path: str) -> Answer:
        request = client.build_request(method, url + path, headers=dict(headers))
        return await call(client, request, answers=(NOT_FOUND,))

    answer = await ask("DELETE", f"/v1/runs/{thread}")
    if answer.status == NOT_FOUND:
        # A wrong URL says the same of every path: only one that lists threads may say it of one.
        answer = await ask("GET", "/v1/runs?type=thread&limit=1")
    if not answer.ok:
        text = f"status {answer.status} for an erased thread: check its URL and key"
        raise UpstreamDown(text, refused=answer.status == NOT_FOUND)
