"""Ids and roles: how a thread, a message and an actor are named, and who may choose the name."""

import hashlib
import time
import uuid
from os import urandom
from typing import Final, Literal, NewType

ThreadId = NewType("ThreadId", str)
MessageId = NewType("MessageId", str)
ActorId = NewType("ActorId", str)
Role = Literal["user", "assistant", "tool", "system"]

_RANDOM_BYTES: Final = 10
_SPELLED_LENGTH: Final = 36
_NAMESPACE: Final = uuid.UUID("3f0ff0c8-8f2c-4ad9-9f42-6ae0b3a1d6c5")


def new_id(now_ms: int | None = None) -> str:
    """A fresh id for a thread, a message or an actor: 48 bits of milliseconds, 80 random bits.

    Spelled as a UUID but with no version bits: its 32 hex digits serve as a W3C trace id, and
    ratio samplers look at bits that UUIDv7 fixes.
    """
    return new_ids(1, now_ms)[0]


def new_ids(count: int, now_ms: int | None = None) -> list[str]:
    """As many fresh ids at a time; the system is asked for random bits once."""
    ms = int(time.time() * 1000) if now_ms is None else now_ms
    start, bits = (ms & (1 << 48) - 1).to_bytes(6), urandom(_RANDOM_BYTES * count)
    places = range(0, len(bits), _RANDOM_BYTES)
    return [spell_id(start + bits[place : place + _RANDOM_BYTES]) for place in places]


def spell_id(packed: bytes) -> str:
    """The id of these 16 bytes, as a UUID is spelled. Without a `uuid.UUID`: a token has three."""
    digits = packed.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def pack_id(id_: str) -> bytes:
    """The 16 bytes of an id.

    Raises:
        ValueError: it is not spelled as one.
    """
    if len(id_) != _SPELLED_LENGTH:
        raise ValueError("not an id")
    return bytes.fromhex(id_.replace("-", ""))


def named_thread(site: str, name: str, actor: str | None = None) -> ThreadId:
    """The thread that an application's own name stands for.

    With an ``actor`` (a browser's name) the same name gives every actor a thread of her own, so
    no page can name its way into somebody else's. A backend's name that is a UUID is the id.
    """
    if actor is not None:
        return ThreadId(str(uuid.uuid5(uuid.UUID(actor), f"{site}\n{name}")))
    try:
        return ThreadId(str(uuid.UUID(name)))
    except ValueError:
        return ThreadId(str(uuid.uuid5(_NAMESPACE, f"{site}\n{name}")))


def named_message(thread: ThreadId, ref: str) -> MessageId:
    """The message that a page's own word for it stands for in one thread: the same for the same
    word, so that sending it again names nothing new, and no id that exists elsewhere.

    All 128 bits come from the hash, which suits ratio samplers as well as random ones.
    """
    digest = hashlib.sha256(f"{thread}\n{ref}".encode()).digest()
    return MessageId(str(uuid.UUID(bytes=digest[:16])))


def python_id(id_: str, key: str) -> str:
    """How Lunary's SDK for Python spells an id: hashed with the key that it was given."""
    return str(uuid.UUID(hashlib.sha256(f"{id_}{key}".encode()).hexdigest()[:32]))


def actor_of(site: str, user: str) -> ActorId:
    """The actor of a vouched user: the same in every thread and on every device."""
    return ActorId(str(uuid.uuid5(_NAMESPACE, f"{site}\nuser\n{user}")))
