"""Signed tokens: what a browser or a backend may do, in one string that needs no look-up.

Four kinds, one mechanism: a packed payload in base64url, a dot, and an HMAC-SHA-256 made with a
subkey of the site's key. The kind stands in the payload's first byte and picks the subkey, so a
token of one kind never passes for another. This is the only file that signs or verifies.

A token is a bearer secret: it belongs in a request's body or in the ``Authorization`` header,
never in a URL, a log or an error.
"""

import hashlib
import hmac
import re
import struct
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final, Literal

from thumbseal.claims import (
    MAX_USER_BYTES,
    MESSAGE_LIFE,
    Grant,
    MessageClaims,
    PassClaims,
    ThreadClaims,
    is_live,
)
from thumbseal.errors import TokenError
from thumbseal.ids import ActorId, MessageId, ThreadId, new_id, pack_id, spell_id
from thumbseal.keys import Keys, Kind, decode, encode

START: Final = 12  # characters of a token that tell its kind and its site
REMEMBERED: Final = 4096  # thread tokens whose claims are kept, of under a kilobyte each
MAX_TOKEN: Final = 512  # far over the longest real one; nothing longer is even looked at
_BLOCK: Final = 64  # bytes of SHA-256; a subkey is shorter

# The signature is 32 bytes in base64url without padding.
_SPELLING: Final = re.compile(r"([A-Za-z0-9_-]{34,})\.([A-Za-z0-9_-]{43})", re.ASCII)
_THREAD: Final = struct.Struct(">B8s16s16sBIII")
_MESSAGE: Final = struct.Struct(">B8s16s16s16sII")
_PASS: Final = struct.Struct(">B8s16sII")


def site_tag(site: str) -> bytes:
    """Eight bytes that name a site inside a token (the name itself would make it too long)."""
    return hashlib.sha256(site.encode()).digest()[:8]


def starts_of(site: str) -> list[str]:
    """What every token of a site begins with, `START` characters for each kind: good for picking
    the keys to verify it with, no more."""
    return [encode(bytes([kind]) + site_tag(site)) for kind in Kind]


def tag_of(token: str) -> bytes:
    """The site tag a token *claims*: good for picking the keys to verify it with, no more."""
    _halves(token)
    return decode(token[:START])[1:]


def kind_of(token: str) -> int:
    """The kind that a token *claims* to be of, which begins as a site's tokens do."""
    return decode(token[:4])[0]


class Tokens:
    """Mints and verifies the tokens of one site.

    ``site`` is the site's name; ``keys`` may lack kinds (an application's), which then can be
    neither made nor read. Every ``now`` is in epoch seconds.
    """

    def __init__(self, site: str, keys: Keys) -> None:
        self.site = site
        self.tag = site_tag(site)
        self._signers = {
            kind: tuple(map(_Signer, reversed(subkeys))) for kind, subkeys in keys.subkeys.items()
        }  # newest first: that one signs
        # A page sends the same thread token with everything that it says in a day.
        self._read_genuine = lru_cache(REMEMBERED)(self._read_thread)

    def mint_thread(self, claims: ThreadClaims) -> str:
        """A thread token.

        Raises:
            TokenError: the user is longer than 64 bytes of UTF-8, or holds U+0000.
        """
        user = (claims.user or "").encode()
        _check_user(user)
        packed = _THREAD.pack(
            Kind.THREAD,
            self.tag,
            pack_id(claims.thread),
            pack_id(claims.actor),
            claims.grant,
            claims.issued,
            claims.first_issued,
            claims.expires,
        )
        return self._sign(Kind.THREAD, packed + user)

    def mint_message(self, claims: MessageClaims) -> str:
        """A message token: at most 140 characters."""
        thread, message, actor, issued, expires = claims
        return self._mint_messages(thread, actor, issued, expires, [message])[0]

    def mint_pass(self, kind: Literal[Kind.BACKEND, Kind.REPLAY], claims: PassClaims) -> str:
        """A backend token or a replay session."""
        return self._sign(
            kind, _PASS.pack(kind, self.tag, pack_id(claims.id), claims.issued, claims.expires)
        )

    def backend_tokens(self, claims: PassClaims) -> list[str]:
        """The backend token of these claims, as each of the site's keys signs it."""
        kind = Kind.BACKEND
        packed = _PASS.pack(kind, self.tag, pack_id(claims.id), claims.issued, claims.expires)
        return [signer.sign(packed) for signer in reversed(self._signers_of(kind))]

    def blank(
        self, thread: ThreadId, actor: ActorId, now: float, message: MessageId | None = None
    ) -> tuple[MessageId, str]:
        """A message id of a thread, a fresh one unless it is given, and its token."""
        message = message or MessageId(new_id(int(now * 1000)))
        return message, self.blanks(thread, actor, now, [message])[0]

    def blanks(
        self, thread: ThreadId, actor: ActorId, now: float, messages: Iterable[str]
    ) -> list[str]:
        """A token for each of these messages of a thread."""
        issued = int(now)
        return self._mint_messages(thread, actor, issued, issued + MESSAGE_LIFE, messages)

    def read_thread(self, token: str, now: float) -> ThreadClaims:
        """The claims of a live thread token.

        Raises:
            TokenError: anything about it is not right; the text never says what.
        """
        claims = self.read_expired_thread(token)
        _check_live(claims, now)
        return claims

    def read_expired_thread(self, token: str) -> ThreadClaims:
        """The claims of a genuine thread token of any age: to renew it, or to know its actor."""
        return self._read_genuine(token)

    def _read_thread(self, token: str) -> ThreadClaims:
        payload = self._verify(Kind.THREAD, token)
        if len(payload) < _THREAD.size:
            raise TokenError("not a thread token")
        _, _, thread, actor, grant, issued, first, expires = _THREAD.unpack_from(payload)
        user = _check_user(payload[_THREAD.size :])
        return ThreadClaims(
            ThreadId(spell_id(thread)),
            ActorId(spell_id(actor)),
            user,
            Grant(grant),
            issued,
            first,
            expires,
        )

    def read_message(self, token: str, now: float) -> MessageClaims:
        """The claims of a live message token.

        Raises:
            TokenError: anything about it is not right.
        """
        payload = self._verify(Kind.MESSAGE, token)
        if len(payload) != _MESSAGE.size:
            raise TokenError("not a message token")
        _, _, thread, message, actor, issued, expires = _MESSAGE.unpack(payload)
        claims = MessageClaims(
            ThreadId(_respell(thread)),
            MessageId(spell_id(message)),
            ActorId(_respell(actor)),
            issued,
            expires,
        )
        _check_live(claims, now)
        return claims

    def read_pass(
        self, kind: Literal[Kind.BACKEND, Kind.REPLAY], token: str, now: float
    ) -> PassClaims:
        """The claims of a live backend token or replay session.

        Raises:
            TokenError: anything about it is not right.
        """
        payload = self._verify(kind, token)
        if len(payload) != _PASS.size:
            raise TokenError("not a pass")
        _, _, id_, issued, expires = _PASS.unpack(payload)
        claims = PassClaims(spell_id(id_), issued, expires)
        _check_live(claims, now)
        return claims

    def _mint_messages(
        self,
        thread: ThreadId,
        actor: ActorId,
        issued: int,
        expires: int,
        messages: Iterable[str],
    ) -> list[str]:
        kind, tag, its, whose = Kind.MESSAGE, self.tag, pack_id(thread), pack_id(actor)
        sign = self._signers_of(kind)[0].sign
        return [
            sign(_MESSAGE.pack(kind, tag, its, pack_id(each), whose, issued, expires))
            for each in messages
        ]

    def _sign(self, kind: Kind, payload: bytes) -> str:
        return self._signers_of(kind)[0].sign(payload)

    def _verify(self, kind: Kind, token: str) -> bytes:
        """The payload. Signatures are made over its text and compared as text: a token has one
        spelling, or a list of revoked ones would be walked around."""
        text, signature = _halves(token)
        for signer in self._signers_of(kind):
            if hmac.compare_digest(signature, signer.signature(text)):
                break
        else:
            raise TokenError("the signature does not match")
        payload = decode(text)
        if payload[0] != kind or payload[1:9] != self.tag:
            raise TokenError("a token of another kind or site")
        return payload

    def _signers_of(self, kind: Kind) -> Sequence["_Signer"]:
        signers = self._signers.get(kind)
        if signers is None:
            raise TokenError(f"These keys make and read no {kind.name.lower()} token.")
        return signers


class _Signer:
    """HMAC-SHA-256 (RFC 2104) that takes in its key once: for a text as short as a token's that is
    half of the work, and what Python's own class does around it is half of the rest."""

    def __init__(self, key: bytes) -> None:
        block = key.ljust(_BLOCK, b"\0")
        self._inner = hashlib.sha256(bytes(each ^ 0x36 for each in block))
        self._outer = hashlib.sha256(bytes(each ^ 0x5C for each in block))

    def sign(self, payload: bytes) -> str:
        text = encode(payload)
        return f"{text}.{self.signature(text)}"

    def signature(self, text: str) -> str:
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(text.encode())
        outer.update(inner.digest())
        return encode(outer.digest())


# Messages come by the dozen from one thread and one actor.
_respell: Final = lru_cache(REMEMBERED)(spell_id)


def _halves(token: str) -> tuple[str, str]:
    """Payload and signature, both as text."""
    found = _SPELLING.fullmatch(token) if len(token) <= MAX_TOKEN else None
    if found is None:
        raise TokenError("not spelled as a token")
    return found[1], found[2]


def _check_user(raw: bytes) -> str | None:
    """The user of a thread token. An app's backend signs tokens too, so reading checks as well."""
    if not raw:
        return None
    try:
        if len(raw) <= MAX_USER_BYTES and b"\0" not in raw:
            return raw.decode()
    except UnicodeDecodeError:
        pass
    raise TokenError(f"A user id takes at most {MAX_USER_BYTES} bytes of UTF-8 and no U+0000.")


def _check_live(claims: ThreadClaims | MessageClaims | PassClaims, now: float) -> None:
    if not is_live(claims, now):
        raise TokenError("outside its time")
