"""What several commands share: how they fail, where the settings are, how secrets are written."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Final, ParamSpec

import click

from thumbseal import settings
from thumbseal.errors import SettingsError, ThumbsealError
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


def write_private(path: Path, text: str) -> None:
    """Write a new file that nobody else may read.

    Raises:
        SettingsError: it is there already, or cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600, exist_ok=False)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"Cannot write {path}: {error.strerror}.") from error
