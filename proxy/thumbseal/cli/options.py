"""What several commands share: how they fail, where the settings are, which site is meant."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Final, ParamSpec

import click

from thumbseal import settings
from thumbseal.errors import ThumbsealError
from thumbseal.web.sites import ServedSite, Sites

DEFAULT_FILE: Final = "thumbseal.toml"
P = ParamSpec("P")


def explained(command: Callable[P, None]) -> Callable[P, None]:
    """A command whose errors end it with one line and status 1."""

    @wraps(command)
    def run_it(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except ThumbsealError as error:
            raise click.ClickException(str(error)) from error

    return run_it


config_option = click.option(
    "--config",
    type=click.Path(path_type=Path),
    default=DEFAULT_FILE,
    show_default=True,
    envvar="THUMBSEAL_CONFIG",
    show_envvar=True,
    help="The settings file.",
)
site_option = click.option("--site", help="The site's name; may be left out where there is one.")


def named_site(config: Path, name: str | None) -> ServedSite:
    return Sites(settings.read(config)).named(name)


def many(number: int, noun: str) -> str:
    """A number of things as a person reads it."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
