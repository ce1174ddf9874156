"""Commands that make tokens and keys."""

import time
from pathlib import Path
from typing import Final

import click

from thumbseal import settings
from thumbseal.bodies import Opening
from thumbseal.cli.options import config_option, explained, named_site, site_option
from thumbseal.codes import make_code
from thumbseal.errors import SettingsError
from thumbseal.ids import new_id
from thumbseal.keys import Kind, new_key
from thumbseal.log import Barriers
from thumbseal.replay.session import MAX_SITES
from thumbseal.tokens import BACKEND_LIFE, PassClaims
from thumbseal.web.opening import open_thread, opened
from thumbseal.web.sites import Sites

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
    served = Sites(configured)
    chosen = [served.named(site)] if site else list(served.all.values())
    if len(chosen) > MAX_SITES:
        raise SettingsError(f"A code opens at most {MAX_SITES} sites. Choose one with --site.")
    click.echo(make_code({each.name: each.policy.signing_keys() for each in chosen}, time.time()))


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
def keys_new() -> None:
    """Print a fresh site key."""
    click.echo(new_key())
