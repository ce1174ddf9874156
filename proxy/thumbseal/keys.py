"""Keys: a site's signing keys, and the subkeys that an application's backend may hold."""

import hmac
from binascii import a2b_base64, b2a_base64
from collections.abc import Mapping, Sequence
from enum import IntEnum
from os import urandom
from typing import Final, NamedTuple, Self

from thumbseal.errors import SettingsError

KEY_BYTES: Final = 32
MAX_KEYS: Final = 3  # each further key costs a verification; rotation needs two at a time
MIN_DISTINCT_BYTES: Final = 16  # of 32; random bytes practically never have fewer

_APP_PREFIX: Final = "app1"
_TO_URL: Final = bytes.maketrans(b"+/", b"-_")
_FROM_URL: Final = bytes.maketrans(b"-_", b"+/")
_PADDING: Final = (b"", b"===", b"==", b"=")


class Kind(IntEnum):
    """A kind of token; its value is the payload's first byte: version 1, then the kind."""

    THREAD = 0x11
    MESSAGE = 0x12
    BACKEND = 0x13
    REPLAY = 0x14


_APP_KINDS: Final = (Kind.THREAD, Kind.MESSAGE)


def new_key() -> str:
    """A fresh site key: 32 random bytes, base64url without padding (43 characters)."""
    return encode(urandom(KEY_BYTES))


class Keys(NamedTuple):
    """The subkeys of one site by kind, oldest first, the last one signs. Never printed.

    A site's own keys have every kind; an application's have only threads and messages.
    """

    subkeys: Mapping[Kind, tuple[bytes, ...]]

    def __repr__(self) -> str:
        return "Keys([redacted])"

    @classmethod
    def derive(cls, site_keys: Sequence[str]) -> Self:
        """The subkeys of a site's keys.

        Raises:
            SettingsError: no key, too many, or one that is short, misspelt or not random.
        """
        if not 1 <= len(site_keys) <= MAX_KEYS:
            raise SettingsError(f"A site takes 1 to {MAX_KEYS} keys, oldest first.")
        secrets_ = [_key_bytes(key) for key in site_keys]
        return cls({kind: tuple(_subkey(secret, kind) for secret in secrets_) for kind in Kind})

    def for_app(self) -> str:
        """What an application's backend holds, as one string: it mints and verifies thread and
        message tokens offline, and can make no other kind."""
        groups = (".".join(map(encode, self.subkeys[kind])) for kind in _APP_KINDS)
        return ":".join((_APP_PREFIX, *groups))

    @classmethod
    def of_app(cls, exported: str) -> Self:
        """The keys that `for_app` exported.

        Raises:
            SettingsError: the string is not such an export.
        """
        prefix, *groups = exported.split(":")
        if prefix != _APP_PREFIX or len(groups) != len(_APP_KINDS):
            raise SettingsError("An app key looks like 'app1:…:…'; make one with `keys app`.")
        keys = (tuple(map(_key_bytes, group.split("."))) for group in groups)
        return cls(dict(zip(_APP_KINDS, keys, strict=True)))


def _subkey(secret: bytes, kind: Kind) -> bytes:
    # The derivation itsdangerous calls "hmac", done once here instead of at every signature.
    return hmac.digest(secret, f"thumbseal.{kind.name.lower()}.v1".encode(), "sha256")


def _key_bytes(key: str) -> bytes:
    try:
        raw = decode(key)
    except ValueError:
        raw = b""
    if len(raw) != KEY_BYTES or len(set(raw)) < MIN_DISTINCT_BYTES:
        raise SettingsError(
            "A key is 32 random bytes in base64url (43 characters), not a word or an example. "
            "`thumbseal init` writes a settings file with a fresh one."
        )
    return raw


def encode(raw: bytes) -> str:
    """Base64url without padding."""
    return b2a_base64(raw, newline=False).translate(_TO_URL, b"=").decode()


def decode(text: str) -> bytes:
    """The bytes of base64url without padding; stray characters are dropped, so compare."""
    return a2b_base64(text.encode().translate(_FROM_URL) + _PADDING[len(text) % 4])
