"""What an application's backend makes and reads without a network, and what it cannot make."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from click.testing import CliRunner

import thumbseal
from tests.proxy import START, Clock, Proxy, said, voted
from thumbseal.backend.site import PAGE_ROLES
from thumbseal.claims import MESSAGE_LIFE, THREAD_LIFE
from thumbseal.cli import main
from thumbseal.ids import actor_of, named_thread
from thumbseal.keys import Keys, Kind, new_key

#: What takes long to load, or is of the server alone.
SERVERS: Final = ("starlette", "httpx2", "httpcore2", "jinja2", "uvicorn", "sqlite3", "limits")


def site_of(proxy: Proxy) -> thumbseal.Site:
    """The proxy's site by what its application holds."""
    key = proxy.settings.sites["support"].signing_keys().for_app()
    return thumbseal.Site("support", key, clock=proxy.clock)


@pytest.fixture
def site() -> thumbseal.Site:
    return thumbseal.Site("support", Keys.derive([new_key()]).for_app(), clock=Clock())


def test_importing_it_loads_nothing_of_the_server() -> None:
    """An application that imports thumbseal gets neither Starlette, httpx nor Jinja with it, nor
    what takes long to load and only the clients need."""
    code = "import json, sys, thumbseal; print(json.dumps(sorted(sys.modules)))"
    loaded = json.loads(subprocess.check_output([sys.executable, "-c", code]))
    assert "thumbseal.tokens" in loaded
    assert [name for name in loaded if name.partition(".")[0] in SERVERS] == []
    assert not {"thumbseal.settings", "thumbseal.log", "thumbseal.web"} & set(loaded)
    assert not {"inspect", "msgspec", "ssl"} & set(loaded)


def test_a_page_records_and_votes_with_what_was_made_offline(proxy: Proxy) -> None:
    """A thread and a message made with the application's key are good at the server: the page
    records as a browser, votes, and is the user that was vouched for."""
    site = site_of(proxy)
    thread = site.open_thread(user="u_42")
    answer = site.mint_message(thread)
    blank = {"token": answer.token}
    assert (
        proxy.record(thread.token, said(blank, "assistant", "A"), voted(blank, thumb="up"))
        == [{"status": "accepted"}] * 2
    )
    (told,) = proxy.conversations()
    assert (told.thread, told.user) == (thread.id, "u_42")
    ((turn,), (rating,)) = told.turns, told.ratings.values()
    assert (turn.message.message, turn.source) == (answer.id, "browser")
    assert rating.opinion.thumb == "up"
    assert thread.actor == actor_of("support", "u_42")


def test_a_page_writes_no_more_roles_than_it_was_given(proxy: Proxy) -> None:
    """``roles`` are all that a page's token writes, and system is not among them by itself."""
    site = site_of(proxy)
    for roles, refused in ((("user",), "assistant"), (PAGE_ROLES, "system")):
        thread = site.open_thread(roles=roles)
        event = said({"token": site.mint_message(thread).token}, refused, "A")
        (result,) = proxy.record(thread.token, event)
        assert result["code"] == "role_refused"


def test_a_message_of_the_page_is_verified(proxy: Proxy) -> None:
    """A blank that the server gave a page is read as its message; an answer minted beside it lies
    in the same thread, as the same person's."""
    opened = proxy.open()
    question = site_of(proxy).verify(opened["messages"][0]["token"])
    assert question.id == opened["messages"][0]["id"]
    assert question.thread == opened["thread"]["id"]
    assert question.trace_id == question.id.replace("-", "")
    answer = site_of(proxy).mint_message(question)
    assert (answer.thread, answer.actor) == (question.thread, question.actor)
    assert answer.id != question.id
    (result,) = proxy.record(opened["thread"]["token"], said({"token": answer.token}, "user", "Q"))
    assert result == {"status": "accepted"}


def test_what_is_no_message_of_the_site_is_refused(site: thumbseal.Site) -> None:
    """Another site's message, a thread's token, a changed one and nonsense raise a TokenError that
    does not show them."""
    other = thumbseal.Site("support", Keys.derive([new_key()]).for_app(), clock=Clock())
    thread = site.open_thread()
    good = site.mint_message(thread).token
    bad = [other.mint_message(other.open_thread()).token, thread.token, good[:-1], "", "x" * 600]
    for token in bad:
        with pytest.raises(thumbseal.TokenError) as caught:
            site.verify(token)
        assert not token or token not in str(caught.value)


def test_a_message_lives_ninety_days() -> None:
    """Past them, and a minute for clocks that differ, it is refused."""
    key, clock = Keys.derive([new_key()]).for_app(), Clock()
    site = thumbseal.Site("support", key, clock=clock)
    token = site.mint_message(site.open_thread()).token
    clock.now = START + MESSAGE_LIFE + 60
    assert site.verify(token).token == token
    clock.now += 1
    with pytest.raises(thumbseal.TokenError):
        site.verify(token)


def test_the_same_name_is_the_same_thread(site: thumbseal.Site) -> None:
    """A thread that is opened by the application's own name is resumed by it, and lives a day."""
    first, second = site.open_thread("order-7"), site.open_thread("order-7")
    assert first.id == second.id == named_thread("support", "order-7")
    assert first.expires == START + THREAD_LIFE
    assert site.open_thread().id != site.open_thread().id


def test_a_user_that_fits_no_token_is_refused(site: thumbseal.Site) -> None:
    """A user id has at most 64 bytes; an é takes two."""
    assert site.open_thread(user="é" * 32).user == "é" * 32
    with pytest.raises(thumbseal.TokenError, match="64 bytes"):
        site.open_thread(user="é" * 33)


def test_an_application_makes_no_other_tokens() -> None:
    """Its keys have neither of the kinds that speak for an operator."""
    key = Keys.derive([new_key()]).for_app()
    assert set(Keys.of_app(key).subkeys) == {Kind.THREAD, Kind.MESSAGE}


def test_nothing_prints_a_token(site: thumbseal.Site) -> None:
    """A thread, a message and a site can be logged."""
    thread = site.open_thread(user="u_42")
    message = site.mint_message(thread)
    shown = f"{thread} {message!r} {[site, thread, message]}"
    assert message.id in shown
    for token in (thread.token, message.token):
        assert token not in shown


def test_the_environment_names_the_site(tmp_path: Path) -> None:
    """What `thumbseal keys app` prints is what THUMBSEAL_APP_KEY takes."""
    file = tmp_path / "thumbseal.toml"
    runner = CliRunner()
    origin = "https://chat.example.com"
    made = runner.invoke(main, ["init", str(tmp_path), "--site", "support", "--origin", origin])
    assert made.exit_code == 0, made.output
    key = runner.invoke(main, ["keys", "app", "--config", str(file)]).output
    environment = {"THUMBSEAL_SITE": "support", "THUMBSEAL_APP_KEY": key}
    site = thumbseal.Site.from_env(environment)
    answer = site.mint_message(site.open_thread())
    assert site.verify(answer.token) == answer


@pytest.mark.parametrize("missing", ["THUMBSEAL_SITE", "THUMBSEAL_APP_KEY"])
def test_what_the_environment_lacks_is_named(missing: str) -> None:
    """Whoever starts an application without a setting reads which, and where it comes from."""
    environment = {"THUMBSEAL_SITE": "support", "THUMBSEAL_APP_KEY": "x"}
    del environment[missing]
    with pytest.raises(thumbseal.SettingsError, match=f"no {missing}.*keys app"):
        thumbseal.Site.from_env(environment)


def test_a_sites_own_key_is_no_application_key() -> None:
    """The wrong key is refused with what to do, and is not printed."""
    key = new_key()
    with pytest.raises(thumbseal.SettingsError, match="keys app") as caught:
        thumbseal.Site("support", key)
    assert key not in str(caught.value)
