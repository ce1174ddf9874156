"""Brotli put together from what was compressed before and what is only known now.

So each site's script leaves the server compressed as hard as the build could, while the server
needs no compressor and a thousand sites cost no time.
"""

from typing import Final

_MOST: Final = 65_536  # bytes of a meta-block whose length takes four nibbles
_LAST: Final = b"\x03"  # ISLAST, ISLASTEMPTY


def end_brotli(text: bytes) -> bytes:
    """What ends a flushed Brotli stream so that it also holds ``text``, which stays uncompressed.

    See RFC 7932, section 9.2: each meta-block here has ISLAST = 0, MNIBBLES = 4 (spelled 0),
    MLEN - 1 from bit 3 on, ISUNCOMPRESSED in bit 19, and is filled up to whole bytes.
    """
    parts = [text[start : start + _MOST] for start in range(0, len(text), _MOST)]
    return b"".join(_header(len(part)) + part for part in parts) + _LAST


def _header(length: int) -> bytes:
    return ((length - 1) << 3 | 1 << 19).to_bytes(3, "little")
