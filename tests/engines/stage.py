"""Everything that a test needs in one place: a browser, a host page, the real proxy."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests.engines.host import Host
from tests.engines.page import Page, Profile, until
from tests.engines.traffic import Traffic, drop
from tests.proxy import Clock, Proxy, make_settings, running, said
from thumbseal.conversation import Conversation

Blank = dict[str, str]
#: How many events this browser has not seen acknowledged.
QUEUED: Final = "Object.keys(localStorage).filter((key) => key.includes(':q.')).length"


class Stage:
    """A host's pages in a browser, and the proxy on another origin behind its `Traffic`. The
    proxy's clock runs with the browser's, and can be set forward."""

    def __init__(
        self, profile: Profile, host: Host, proxy: Proxy, traffic: Traffic, clock: "Ahead"
    ) -> None:
        self.profile = profile
        self.host = host
        self.proxy = proxy
        self.traffic = traffic
        self.clock = clock

    def tag(self, attributes: str = "defer") -> str:
        """The script tag that people paste."""
        return f'<script src="{self.proxy.url}/widget.js?site=support" {attributes}></script>'

    def open(self, body: str = "", *, script: str | None = None, **page: str) -> Page:
        """A new tab with a page of this body that embeds the widget, loaded; `Host.put` names the
        rest."""
        tag = self.tag() if script is None else script
        return self.visit(self.host.put(body, head=tag + page.pop("head", ""), **page))

    def visit(self, url: str) -> Page:
        """A new tab at a URL, loaded."""
        page = Page(self.profile.open_tab())
        page.goto(url)
        return page

    def answer(self, text: str = "Open Settings.", **asked: Any) -> Blank:
        """An answer that is recorded already: its id, and its token for the page."""
        opened = self.proxy.open(**asked)
        blank: Blank = opened["messages"][0]
        (result,) = self.proxy.record(opened["thread"]["token"], said(blank, "assistant", text))
        assert result["status"] == "accepted"
        return blank

    def opinion(self, answer: Blank) -> dict[str, Any] | None:
        """What the log says of an answer's feedback now."""
        (state,) = self.proxy.feedback(answer["token"])
        opinion: dict[str, Any] | None = state["feedback"]
        return opinion

    def holds(self, answer: Blank, **opinion: Any) -> None:
        """Return once the log says this of an answer."""
        until(lambda: (self.opinion(answer) or {}) == opinion, f"{opinion} is in the log")

    def records(self, *contents: Any) -> Conversation:
        """The only conversation, as soon as this is what was said in it, in this order."""
        until(lambda: len(self.contents()) >= len(contents), f"{len(contents)} messages are there")
        assert self.contents() == list(contents), self.contents()
        (conversation,) = self.proxy.conversations()
        return conversation

    def marks(self) -> int:
        """How many changes of opinion the log holds."""
        conversations = self.proxy.conversations()
        ratings = [rating for each in conversations for rating in each.ratings.values()]
        return sum(len(rating.marks) for rating in ratings)

    def contents(self) -> list[Any]:
        """What was said in all conversations, thread by thread."""
        turns = [turn for each in self.proxy.conversations() for turn in each.turns]
        return [turn.message.content for turn in turns]

    @contextmanager
    def offline(self) -> Iterator[None]:
        """The network is gone meanwhile; the server cannot be reached either, see `Profile`."""
        with self.traffic.failing("/v1/", drop):
            self.profile.set_offline(True)
            yield
        self.profile.set_offline(False)


class Ahead(Clock):
    """The time of day, and what a test adds to it."""

    def __init__(self) -> None:
        super().__init__(0)

    def __call__(self) -> float:
        return time.time() + self.now


@contextmanager
def staged(profile: Profile, host: Host, folder: Path, **site: Any) -> Iterator[Stage]:
    """A stage; ``site`` are settings of the proxy's one site, ``support``."""
    clock = Ahead()
    settings = make_settings(folder, origins=[host.url], **{"limits": "off", **site})
    with running(settings, clock) as proxy:
        traffic = Traffic(proxy.journal._app)
        proxy.journal._app = traffic
        yield Stage(profile, host, proxy, traffic, clock)


def marked(answer: Blank, text: str = "Open Settings.", **attributes: str) -> str:
    """A chat's message element with its signed token."""
    more = "".join(f' {name}="{value}"' for name, value in attributes.items())
    return f'<p data-thumbseal-message="{answer["token"]}"{more}>{text}</p>'
