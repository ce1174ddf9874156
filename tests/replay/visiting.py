"""People who look at the replay pages of a running proxy."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import httpx2
from msgspec import structs

from tests.proxy import Proxy, said, voted
from thumbseal.codes import make_code
from thumbseal.settings import Replay, Settings

PATIENCE = 10.0  # seconds


def code_of(proxy: Proxy, *names: str) -> str:
    """A login code for these sites; for all of them without a name."""
    sites = {name: proxy.settings.sites[name] for name in names or proxy.settings.sites}
    return make_code({name: each.signing_keys() for name, each in sites.items()}, proxy.clock())


def with_replay(settings: Settings, **replay: Any) -> Settings:
    return structs.replace(settings, replay=Replay(**replay))


class Visitor:
    """A browser without JavaScript: it keeps cookies and says where a form stood."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        # The live page's question is held for some seconds.
        self.http = httpx2.Client(base_url=proxy.url, trust_env=False, timeout=60)

    def __enter__(self) -> "Visitor":
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def send(
        self, path: str, headers: dict[str, str] | None = None, **form: str
    ) -> httpx2.Response:
        """A form of the server's own pages, as a browser sends it."""
        own = {"Origin": self.proxy.url, "Sec-Fetch-Site": "same-origin"}
        return self.http.post(path, data=form, headers=own | (headers or {}))

    def log_in(self, *names: str) -> "Visitor":
        answer = self.send("/replay/login", code=code_of(self.proxy, *names))
        assert answer.status_code == 303, answer.text
        return self

    def see(self, path: str, status: int = 200) -> str:
        """A page's text."""
        answer = self.http.get(path)
        assert answer.status_code == status, answer.text
        return answer.text

    def await_page(self, path: str, true: Callable[[str], bool]) -> str:
        """The page, as soon as the index is so far that this holds."""
        end = time.monotonic() + PATIENCE
        while not true(html := self.see(path)):
            assert time.monotonic() < end, html
        return html


def talk(
    proxy: Proxy,
    *texts: str,
    tags: Sequence[str] = (),
    pause: float = 0,
    **opinion: Any,
) -> dict[str, Any]:
    """A thread of questions and answers in turn, and what is thought of the last one. ``pause``
    are seconds between two messages, which lie before now."""
    thread = proxy.open()
    blanks = thread["messages"][: len(texts)]
    events: list[dict[str, Any]] = [{"type": "thread", "tags": list(tags)}] if tags else []
    for number, (blank, text) in enumerate(zip(blanks, texts, strict=True)):
        at = proxy.ms - int((len(texts) - number) * pause * 1000)
        events.append(said(blank, ("user", "assistant")[number % 2], text, at=at))
    if opinion:
        events.append(voted(blanks[-1], **opinion))
    results = proxy.record(thread["thread"]["token"], *events)
    assert {each["status"] for each in results} == {"accepted"}, results
    return thread
