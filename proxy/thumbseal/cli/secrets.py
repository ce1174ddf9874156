"""Commands that make tokens and keys."""

import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final
from uuid import UUID

import click

from thumbseal import settings
from thumbseal.bodies import Opening
from thumbseal.claims import BACKEND_LIFE, PassClaims
from thumbseal.cli.options import config_option, explained, named_site, site_option, write_private
from thumbseal.codes import make_code
from thumbseal.errors import SettingsError, TokenError
from thumbseal.ids import named_thread, new_id
from thumbseal.keys import Kind, new_key
from thumbseal.log.barriers import Barrier, Barriers, Scope
from thumbseal.log.beside import open_beside
from thumbseal.replay.session import MAX_SITES
from thumbseal.web.opening import open_thread, opened
from thumbseal.web.sites import ServedSite

DAY: Final = 24 * 3600
MAX_DAYS: Final = 3_650


@click.group()
def token() -> None:
    """Make tokens by hand. A token is a secret: whoever has it may use it."""


@token.command("thread")
@config_option
@site_option
@click.option("--id", "id_", help="Your own name for the thread; else a new one.")
@click.option("--user", help="The user you vouch for, at most 64 bytes.")
@explained
def token_thread(config: Path, site: str | None, id_: str | None, user: str | None) -> None:
    """Print a thread token that writes every role, and lives a day."""
    served = named_site(config, site)
    asked = Opening(site=served.name, id=id_, user=user)
    claims = open_thread(served, asked, Barriers(), time.time(), backend=True)
    click.echo(opened(served, claims).token)


@token.command("backend")
@config_option
@site_option
@click.option(
    "--days",
    type=click.IntRange(1, MAX_DAYS),
    default=BACKEND_LIFE // DAY,
    show_default=True,
    help="How long it lives.",
)
@explained
def token_backend(config: Path, site: str | None, days: int) -> None:
    """Print a backend token for server-to-server routes; its id goes to stderr."""
    served = named_site(config, site)
    now = int(time.time())
    claims = PassClaims(new_id(), now, now + days * DAY)
    click.echo(f"id {claims.id}, lives {days} days", err=True)
    click.echo(served.tokens.mint_pass(Kind.BACKEND, claims))


@token.command("revoke")
@click.argument("id_", metavar="[ID]", required=False)
@config_option
@site_option
@click.option("--thread", help="Every token of this thread, and of messages in it, for good.")
@click.option("--user", help="Every token of this user, issued until now.")
@click.option("--actor", help="Every token of this person without a name, issued until now.")
@click.option("--all", "all_", is_flag=True, help="Every token of the site, issued until now.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@explained
def token_revoke(
    config: Path, site: str | None, all_: bool, yes: bool, **named: str | None
) -> None:
    """Revoke a backend token by its ID, or other tokens. A running server notices in a second.

    The ID is what `thumbseal token backend` wrote to stderr. With - instead of it, the token
    itself is read from stdin. Pages whose tokens are revoked begin a new thread by themselves;
    a thread whose tokens are revoked is closed, and takes nothing any more.
    """
    served = named_site(config, site)
    asked = [(scope, id_) for scope, id_ in _scopes(served, all_, named) if id_ is not None]
    if len(asked) != 1:
        raise click.UsageError("Say what to revoke: an ID, --thread, --user, --actor or --all.")
    ((scope, id_),) = asked
    what = f"every token of {served.name}" if all_ else f"{scope} {id_}"
    if not yes:
        click.confirm(f"Revoke {what}? This cannot be undone", abort=True)
    with open_beside(settings.read(config).server.log_path) as log:
        log.bar(Barrier(served.name, scope, id_, int(time.time())))
    click.echo(f"Revoked {what}.")


def _scopes(
    served: ServedSite, all_: bool, named: dict[str, str | None]
) -> Iterator[tuple[Scope, str | None]]:
    thread, actor = named["thread"], named["actor"]
    yield "token", _pass_id(served, named["id_"])
    yield "thread", None if thread is None else named_thread(served.name, thread)
    yield "user", named["user"]
    yield "actor", None if actor is None else _as_uuid(actor)
    yield "site", served.name if all_ else None


def _pass_id(served: ServedSite, given: str | None) -> str | None:
    """The id of a backend token that is given as it is, or as the token itself on stdin."""
    if given != "-":
        return None if given is None else _as_uuid(given)
    secret = sys.stdin.readline().strip()
    try:
        return served.tokens.read_pass(Kind.BACKEND, secret, time.time()).id
    except TokenError as error:
        raise SettingsError(
            f"That is no backend token of {served.name} that is good now, so there is nothing to "
            "revoke."
        ) from error


def _as_uuid(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        raise click.UsageError(
            f"{text[:64]!r} is no id. It is a UUID; of a token, `thumbseal token backend` wrote it "
            "to stderr. The token itself goes to stdin, with - in the place of the id."
        ) from None


@click.command()
@config_option
@click.option("--site", help="The only site that the code opens; else all of them.")
@explained
def login(config: Path, site: str | None) -> None:
    """Print a code for the log-in of the replay pages. It works once, for at most ten minutes.

    A running server needs no restart: the code is made from the keys in the settings.
    """
    configured = settings.read(config)
    if configured.replay.login == "off":
        raise SettingsError(f"{config}: replay.login is off, so there are no pages to log in to.")
    chosen = {site: named_site(config, site).policy} if site else configured.sites
    code = login_code(chosen)
    if code is None:
        raise SettingsError(f"A code opens at most {MAX_SITES} sites. Choose one with --site.")
    click.echo(code)


def login_code(sites: Mapping[str, settings.Site]) -> str | None:
    """A code that opens these sites from now on; None if no log-in takes so many."""
    if len(sites) > MAX_SITES:
        return None
    return make_code({name: site.signing_keys() for name, site in sites.items()}, time.time())


@click.group()
def keys() -> None:
    """Signing keys."""


@keys.command("app")
@config_option
@site_option
@explained
def keys_app(config: Path, site: str | None) -> None:
    """Print what an application's backend holds: keys for thread and message tokens alone."""
    click.echo(named_site(config, site).policy.signing_keys().for_app())


@keys.command("new")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write it into this new file, readable by you alone.",
)
@explained
def keys_new(output: Path | None) -> None:
    """Print a fresh site key."""
    if output is None:
        click.echo(new_key())
        return
    write_private(output, new_key() + "\n")
    click.echo(f"Wrote {output}.")
