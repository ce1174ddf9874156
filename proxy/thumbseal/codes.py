"""Login codes: what an operator reads in a terminal and types into a form of the replay pages.

A code proves that whoever made it holds the keys of the sites that it opens. So the server and a
command beside it agree on codes without a file between them, and nothing secret is stored.
"""

import hashlib
import hmac
import secrets
from collections.abc import Iterator, Mapping
from typing import Final

from thumbseal.keys import Keys, Kind

WINDOW: Final = 300  # seconds; a code lives through the window it was made in and the next one
NONCE: Final = 4  # characters that are random, so that each code can be used once
PROOF: Final = 8  # characters that prove: 40 bits, beside a limit of attempts
LENGTH: Final = NONCE + PROOF
_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's: no two are mistaken
_READ: Final = str.maketrans("OIL", "011", " -\u2010\u2011\u2012\u2013")


def make_code(sites: Mapping[str, Keys], now: float) -> str:
    """A code that opens these sites, in three groups of four; ``now`` in epoch seconds."""
    nonce = "".join(secrets.choice(_ALPHABET) for _ in range(NONCE))
    code = nonce + _proof(sites, nonce, int(now // WINDOW))
    return "-".join(code[at : at + 4] for at in range(0, LENGTH, 4))


def spell_code(typed: str) -> str:
    """What was typed, as codes are spelled: without spaces and dashes, in capitals."""
    return typed.upper().translate(_READ)


def read_code(code: str, sites: Mapping[str, Keys], now: float) -> tuple[str, ...]:
    """The sites that a code in its spelling opens now; none if it is not one."""
    if len(code) != LENGTH or not set(code) <= set(_ALPHABET):
        return ()
    nonce, proof = code[:NONCE], code[NONCE:]
    window = int(now // WINDOW)
    opened: tuple[str, ...] = ()
    for group in _groups(sites):
        for each in (window, window - 1):
            # Every proof is compared, so that the time says nothing.
            if hmac.compare_digest(_proof(group, nonce, each), proof):
                opened = tuple(group)
    return opened


def _groups(sites: Mapping[str, Keys]) -> Iterator[Mapping[str, Keys]]:
    """What one code can open: a single site, or all of them."""
    for name, keys in sites.items():
        yield {name: keys}
    yield sites


def _proof(sites: Mapping[str, Keys], nonce: str, window: int) -> str:
    """Made with the newest key of each site."""
    key = b"".join(sites[name].subkeys[Kind.REPLAY][-1] for name in sorted(sites))
    said = f"login code {' '.join(sorted(sites))} {nonce} {window}".encode()
    digest = hmac.digest(hashlib.sha256(key).digest(), said, "sha256")
    number = int.from_bytes(digest)
    return "".join(_ALPHABET[number >> 5 * at & 31] for at in range(PROOF))
