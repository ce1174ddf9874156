"""The middlewares: each framework's request has the page's message, and nothing else passes."""

import json
from typing import Final

import httpx2
import pytest

import thumbseal
from tests.backend.applications import APPS
from thumbseal.backend import answers, wsgi
from thumbseal.backend.site import HEADER
from thumbseal.keys import Keys, new_key

SITE: Final = thumbseal.Site("support", Keys.derive([new_key()]).for_app())
STRANGER: Final = thumbseal.Site("support", Keys.derive([new_key()]).for_app())


def ask(url: str, token: str | None = None) -> httpx2.Response:
    headers = {} if token is None else {HEADER: token}
    return httpx2.get(url, headers=headers, trust_env=False)


def token_of(site: thumbseal.Site) -> thumbseal.Message:
    return site.mint_message(site.open_thread())


@pytest.mark.parametrize("app", APPS)
def test_a_request_has_its_message_and_no_other(app: str) -> None:
    """In a handler, in a thread of the framework's and in a stream the message is the page's; the
    next request without one has none."""
    message = token_of(SITE)
    none = {"offered": "none", "current": "none"}
    with APPS[app](SITE, "ignore") as url:
        for path in ("/", "/thread"):
            found = ask(url + path, message.token).json()
            assert found == {"offered": message.id, "current": message.id}
            assert ask(url + path).json() == none
            assert ask(url + path, token_of(STRANGER).token).json() == none
        assert ask(url + "/stream", message.token).text.split() == [message.id] * 3
        assert ask(url + "/stream").text.split() == ["none"] * 3


@pytest.mark.parametrize("app", APPS)
def test_a_bad_message_is_refused_where_the_application_says_so(app: str) -> None:
    """With ``bad="refuse"`` a forged message is a 400 that tells what to do and shows no token; a
    request with none, or with a good one, passes."""
    forged = token_of(STRANGER).token
    with APPS[app](SITE, "refuse") as url:
        answer = ask(url, forged)
        assert answer.status_code == 400
        assert "Reload" in answer.text
        assert forged not in answer.text + str(answer.headers)
        assert ask(url).status_code == ask(url, token_of(SITE).token).status_code == 200


def test_there_are_two_answers_to_a_bad_message() -> None:
    """A misspelt choice stops the start of the application."""
    with pytest.raises(thumbseal.SettingsError, match="'ignore' or 'refuse'"):
        wsgi.ThumbsealMiddleware(lambda environ, start: [], SITE, "refused")  # type: ignore[arg-type]


def test_an_answers_message_goes_back_in_every_form() -> None:
    """Header, JSON, server-sent event and the AI SDK's part hold the same token, one a line where
    lines count."""
    answer = token_of(SITE)
    told = {"id": answer.id, "token": answer.token}
    assert answers.headers_of(answer) == {HEADER: answer.token, "Cache-Control": "no-store"}
    assert answers.json_of(answer, {"text": "A"}) == {"text": "A", "thumbseal": told}
    event, data, *end = answers.sse_of(answer).split("\n")
    assert (event, end) == ("event: thumbseal-message", ["", ""])
    assert json.loads(data.removeprefix("data: ")) == told
    data, *end = answers.ai_sdk_of(answer).split("\n")
    part = json.loads(data.removeprefix("data: "))
    assert part == {"type": "data-thumbseal-message", "id": answer.id, "data": told}
    assert end == ["", ""]
