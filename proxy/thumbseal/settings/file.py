"""Reading ``thumbseal.toml``.

A secret is written as a reference, ``env:NAME`` or ``file:PATH``, and is resolved here; its value
is never printed, neither by ``repr`` nor in an error.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from thumbseal.environment import ENVIRONMENT
from thumbseal.errors import SettingsError
from thumbseal.settings.checks import check, check_server
from thumbseal.settings.values import SQLITE, Replay, Secret, Secrets, Server, Settings, Site


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    sites: dict[str, dict[str, Any]]
    server: Server = Server()
    replay: Replay = Replay()


T = TypeVar("T")


def read(path: Path, environment: Mapping[str, str] = ENVIRONMENT) -> Settings:
    """The settings of a file.

    Raises:
        SettingsError: the file cannot be read, or something in it cannot be used; the text names
            the place and what to write there.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"Cannot read {path}: {error}. `thumbseal init` writes a settings file."
        ) from error
    try:
        return parse(text, path.parent, environment)
    except SettingsError as error:
        raise SettingsError(f"{path}: {error}") from error


def parse(text: str, folder: Path, environment: Mapping[str, str]) -> Settings:
    """The settings of a TOML text; ``file:`` references are relative to ``folder``."""

    def resolve(kind: type, value: object) -> object:
        references = value if kind is Secrets and isinstance(value, list) else [value]
        secrets = (_secret(str(each), folder, environment) for each in references)
        if kind is Secrets:
            return Secrets(*secrets)
        if kind is Secret:
            return next(secrets)
        raise NotImplementedError

    def convert(value: object, kind: type[T], place: str) -> T:
        try:
            return msgspec.convert(value, kind, dec_hook=resolve)
        except msgspec.ValidationError as error:
            what, _, path = str(error).partition(" - at `$")
            where = f"{place}{path}".strip("`.") or "the file"
            raise SettingsError(f"{where}: {what}") from error

    try:
        file = convert(tomllib.loads(text), _File, "")
    except (ValueError, RecursionError) as error:  # not only TOML's own errors
        raise SettingsError(f"not TOML: {error}") from error
    sites = {name: convert(site, Site, f"sites.{name}") for name, site in file.sites.items()}
    check_server(file.server)
    log = f"{SQLITE}//{(folder / file.server.log_path).absolute()}"
    settings = Settings(msgspec.structs.replace(file.server, log=log), sites, file.replay)
    check(settings)
    return settings


def _secret(reference: str, folder: Path, environment: Mapping[str, str]) -> Secret:
    scheme, _, rest = reference.partition(":")
    if scheme == "env":
        if not environment.get(rest):
            raise ValueError(f"the environment has no {rest}; set it, or refer to another")
        return Secret(environment[rest])
    if scheme == "file":
        try:
            return Secret((folder / rest).read_text(encoding="utf-8").strip())
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"cannot read the file {rest}: {type(error).__name__}") from error
    raise ValueError("write a secret as env:NAME or file:PATH, never itself")
