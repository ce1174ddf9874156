"""Settings: ``thumbseal.toml`` as frozen values."""

from thumbseal.settings.checks import MAX_PORT, check_site_name
from thumbseal.settings.file import parse, read
from thumbseal.settings.values import (
    Limits,
    Lunary,
    Replay,
    Secret,
    Secrets,
    Server,
    Settings,
    Site,
    Start,
    Upstream,
    Webhook,
    address,
    origin_pattern,
)

__all__ = [
    "MAX_PORT",
    "Limits",
    "Lunary",
    "Replay",
    "Secret",
    "Secrets",
    "Server",
    "Settings",
    "Site",
    "Start",
    "Upstream",
    "Webhook",
    "address",
    "check_site_name",
    "origin_pattern",
    "parse",
    "read",
]
