"""Tokens: a token says what it said when it was signed, in its time, to its site, or nothing."""

import hashlib
import hmac
import random
import string
import traceback
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from itsdangerous import Signer

from thumbseal.claims import (
    EVERY_ROLE,
    MAX_USER_BYTES,
    MESSAGE_LIFE,
    Grant,
    MessageClaims,
    PassClaims,
    ThreadClaims,
)
from thumbseal.errors import TokenError
from thumbseal.ids import ActorId, MessageId, ThreadId, new_id
from thumbseal.keys import Keys, Kind, decode, encode, new_key
from thumbseal.tokens import MAX_TOKEN, Tokens, tag_of

NOW: Final = 1_790_000_000
TTL: Final = 1_000
SEED: Final = 20261122
ALPHABET: Final = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
KEY: Final = new_key()
TOKENS: Final = Tokens("support", Keys.derive([KEY]))


def an_id() -> str:
    return new_id(NOW * 1000)


def thread_claims(user: str | None = None, grant: Grant = EVERY_ROLE) -> ThreadClaims:
    return ThreadClaims(ThreadId(an_id()), ActorId(an_id()), user, grant, NOW, NOW, NOW + TTL)


def minted(tokens: Tokens, kind: Kind) -> str:
    """A token of any kind that lives from NOW to NOW + TTL."""
    match kind:
        case Kind.THREAD:
            return tokens.mint_thread(thread_claims())
        case Kind.MESSAGE:
            ids = ThreadId(an_id()), MessageId(an_id()), ActorId(an_id())
            return tokens.mint_message(MessageClaims(*ids, NOW, NOW + TTL))
        case Kind.BACKEND | Kind.REPLAY:
            return tokens.mint_pass(kind, PassClaims(an_id(), NOW, NOW + TTL))


def read(tokens: Tokens, kind: Kind, token: str, now: float = NOW) -> Any:
    """The claims of a token that is said to be of this kind."""
    match kind:
        case Kind.THREAD:
            return tokens.read_thread(token, now)
        case Kind.MESSAGE:
            return tokens.read_message(token, now)
        case Kind.BACKEND | Kind.REPLAY:
            return tokens.read_pass(kind, token, now)


def good(tokens: Tokens, kind: Kind, token: str, now: float = NOW) -> bool:
    try:
        read(tokens, kind, token, now)
    except TokenError:
        return False
    return True


def _changes(token: str, chance: random.Random) -> Iterator[str]:
    """The token with one character changed, dropped or put in, at every place."""
    for place, old in enumerate(token):
        before, after = token[:place], token[place + 1 :]
        near = ALPHABET[(ALPHABET.find(old) + 1) % len(ALPHABET)]
        for new in (near, chance.choice(ALPHABET), old.swapcase(), "=", ".", "é", "\n", "\0"):
            if new != old:
                yield before + new + after
        yield before + after
        yield before + chance.choice("A=\udc80 ") + token[place:]
    yield from (token + tail for tail in ("=", "==", "A", ".", "\n", " ", "é"))


def test_every_single_character_change_of_200_tokens_is_refused() -> None:
    """Whatever one character of a token is changed to, wherever, the token is refused."""
    chance = random.Random(SEED)
    kinds = [Kind(kind) for kind in Kind] * 50
    tried, passed = 0, []
    for kind in kinds:
        token = minted(TOKENS, kind)
        assert good(TOKENS, kind, token)
        for changed in _changes(token, chance):
            tried += 1
            if good(TOKENS, kind, changed):
                passed.append((token, changed))
    assert not passed
    assert tried > 200 * 80 * 8


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize(
    ("offset", "lives"),
    [
        (-61, False),
        (-60, True),
        (-1, True),
        (0, True),
        (TTL, True),
        (TTL + 60, True),
        (TTL + 61, False),
    ],
)
def test_a_token_lives_from_issue_to_expiry_with_a_minute_both_ways(
    kind: Kind, offset: int, lives: bool
) -> None:
    """A clock that is a minute off is forgiven, a second more is not, before and after."""
    assert good(TOKENS, kind, minted(TOKENS, kind), NOW + offset) is lives


def test_an_expired_thread_token_still_tells_its_claims_for_renewal() -> None:
    """`read_expired_thread` looks at everything but the time."""
    claims = thread_claims("u_42")
    token = TOKENS.mint_thread(claims)
    assert TOKENS.read_expired_thread(token) == claims
    with pytest.raises(TokenError):
        TOKENS.read_expired_thread(minted(TOKENS, Kind.MESSAGE))


@pytest.mark.parametrize("said", Kind)
@pytest.mark.parametrize("kind", Kind)
def test_a_token_of_one_kind_never_passes_for_another(kind: Kind, said: Kind) -> None:
    """Of the sixteen pairs of kinds only the four equal ones are read."""
    assert good(TOKENS, said, minted(TOKENS, kind)) is (kind is said)


@pytest.mark.parametrize("kind", Kind)
def test_a_token_is_good_for_one_site_and_its_keys_only(kind: Kind) -> None:
    """Another site refuses it even where it has the same key, and so does another key."""
    token = minted(TOKENS, kind)
    assert not good(Tokens("sales", Keys.derive([KEY])), kind, token)
    assert not good(Tokens("support", Keys.derive([new_key()])), kind, token)
    assert tag_of(token) == TOKENS.tag


def test_keys_rotate_in_three_steps_without_one_refusal() -> None:
    """While two servers stand one step apart, each reads what the other signs, of every kind."""
    old, new = new_key(), new_key()
    steps = [[old], [new, old], [old, new], [new]]
    servers = [Tokens("support", Keys.derive(keys)) for keys in steps]
    for one, next_ in pairwise(servers):
        for kind in Kind:
            assert good(next_, kind, minted(one, kind))
            assert good(one, kind, minted(next_, kind))
    for kind in Kind:
        assert not good(servers[3], kind, minted(servers[1], kind)), "the old key was dropped"


def test_an_app_mints_threads_and_messages_and_no_other_kind() -> None:
    """App keys sign and read what the site reads, and refuse to make or read any pass."""
    app = Tokens("support", Keys.of_app(Keys.derive([KEY]).for_app()))
    for kind in (Kind.THREAD, Kind.MESSAGE):
        assert good(TOKENS, kind, minted(app, kind))
        assert good(app, kind, minted(TOKENS, kind))
    for kind in (Kind.BACKEND, Kind.REPLAY):
        assert not good(app, kind, minted(TOKENS, kind))
        with pytest.raises(TokenError, match="make and read no"):
            minted(app, kind)


@pytest.mark.parametrize("forged", [Kind.BACKEND, Kind.REPLAY])
@pytest.mark.parametrize("held", [Kind.THREAD, Kind.MESSAGE])
def test_an_apps_subkey_signs_no_pass_by_hand_either(held: Kind, forged: Kind) -> None:
    """A backend or replay payload signed with what an app holds is refused by the site."""
    genuine = decode(minted(TOKENS, forged).partition(".")[0])
    for subkey in Keys.of_app(Keys.derive([KEY]).for_app()).subkeys[held]:
        token = _signed(subkey, genuine)
        assert not good(TOKENS, forged, token)
        assert not any(good(TOKENS, kind, token) for kind in Kind)


def _signed(subkey: bytes, payload: bytes) -> str:
    signer = Signer([subkey], key_derivation="none", digest_method=hashlib.sha256)
    return signer.sign(encode(payload)).decode()


BAD_PAYLOADS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "another version": lambda payload: bytes([payload[0] + 0x10]) + payload[1:],
    "cut short": lambda payload: payload[:-1],
    "cut to its head": lambda payload: payload[:25],
    "too long for a user": lambda payload: payload + b"x" * (MAX_USER_BYTES + 1),
    "a user that is not UTF-8": lambda payload: payload + b"\xff",
    "a user with U+0000": lambda payload: payload + b"a\0b",
}


@pytest.mark.parametrize("name", BAD_PAYLOADS)
@pytest.mark.parametrize("kind", [Kind.THREAD, Kind.MESSAGE])
def test_a_well_signed_payload_of_the_wrong_form_is_refused(kind: Kind, name: str) -> None:
    """An app signs by itself; what it signs is read as strictly as anything else."""
    payload = decode(minted(TOKENS, kind).partition(".")[0])
    (subkey,) = Keys.derive([KEY]).subkeys[kind]
    assert good(TOKENS, kind, _signed(subkey, payload))
    assert not good(TOKENS, kind, _signed(subkey, BAD_PAYLOADS[name](payload)))


@pytest.mark.parametrize("kind", Kind)
def test_one_token_has_one_spelling(kind: Kind) -> None:
    """Other texts that decode to the same bytes, by stray bits, padding or space, are refused."""
    token = minted(TOKENS, kind)
    payload, _, signature = token.partition(".")
    spellings = [
        f"{payload}.{signature[:-1]}{last}"
        for last in ALPHABET
        if last != signature[-1] and decode(signature[:-1] + last) == decode(signature)
    ]
    spellings += [
        f"{payload[:-1]}{last}.{signature}"
        for last in ALPHABET
        if last != payload[-1] and decode(payload[:-1] + last) == decode(payload)
    ]
    assert len(spellings) >= 3, "a signature of 32 bytes leaves two bits unused"
    spellings += [f"{payload}=.{signature}", f"{payload}.{signature}=", f" {token}", f"{token}\n"]
    assert not any(good(TOKENS, kind, spelling) for spelling in spellings)


def test_tokens_are_short() -> None:
    """A message token has at most 140 characters, and the longest thread token is let in."""
    _, token = TOKENS.blank(ThreadId(an_id()), ActorId(an_id()), NOW)
    assert len(token) <= 140
    longest = TOKENS.mint_thread(thread_claims("x" * MAX_USER_BYTES))
    assert len(longest) < MAX_TOKEN
    assert good(TOKENS, Kind.THREAD, longest)


@pytest.mark.parametrize("user", ["x" * 65, "ü" * 33, "a\0b"])
def test_a_user_that_does_not_fit_is_refused_at_minting(user: str) -> None:
    """A user id has at most 64 bytes of UTF-8 and no U+0000."""
    with pytest.raises(TokenError, match="64 bytes"):
        TOKENS.mint_thread(thread_claims(user))


users = st.none() | st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=64
).filter(lambda user: len(user.encode()) <= MAX_USER_BYTES)


@given(
    thread=st.uuids(),
    actor=st.uuids(),
    user=users,
    grant=st.integers(0, 15).map(Grant),
    issued=st.integers(0, 2**32 - 1),
    life=st.integers(0, 2**31),
)
@settings(deadline=None, derandomize=True)
def test_thread_claims_survive_signing(
    thread: object, actor: object, user: str | None, grant: Grant, issued: int, life: int
) -> None:
    """What was signed is what is read, whatever the ids, the user, the roles and the times."""
    expires = min(issued + life, 2**32 - 1)
    ids = ThreadId(str(thread)), ActorId(str(actor))
    claims = ThreadClaims(*ids, user, grant, issued, issued, expires)
    assert TOKENS.read_thread(TOKENS.mint_thread(claims), issued) == claims


moments = st.integers(0, 2**32 - 1)


@given(ids=st.tuples(st.uuids(), st.uuids(), st.uuids()), issued=moments, life=moments)
@settings(deadline=None, derandomize=True)
def test_claims_of_messages_and_passes_survive_signing(
    ids: tuple[object, object, object], issued: int, life: int
) -> None:
    """So do those of the other kinds; and a token says it in one spelling."""
    thread, message, actor = map(str, ids)
    expires = min(issued + life, 2**32 - 1)
    said = MessageClaims(ThreadId(thread), MessageId(message), ActorId(actor), issued, expires)
    token = TOKENS.mint_message(said)
    assert TOKENS.read_message(token, issued) == said
    assert TOKENS.mint_message(TOKENS.read_message(token, issued)) == token
    passes = PassClaims(message, issued, expires)
    passed = TOKENS.mint_pass(Kind.BACKEND, passes)
    assert TOKENS.read_pass(Kind.BACKEND, passed, issued) == passes
    passed = TOKENS.mint_pass(Kind.REPLAY, passes)
    assert TOKENS.read_pass(Kind.REPLAY, passed, issued) == passes


SIZES: Final = (24, 45, 48, 56, 109, 110)  # those that are right, and some that are not


@given(
    kind=st.sampled_from(Kind),
    head=st.sampled_from([True, True, True, False]),
    rest=st.sampled_from(SIZES).flatmap(lambda size: st.binary(min_size=size, max_size=size)),
)
@settings(deadline=None, derandomize=True, max_examples=300)
def test_whatever_an_app_signs_is_read_whole_or_refused(
    kind: Kind, head: bool, rest: bytes
) -> None:
    """Any payload under a right signature is refused as a token, or is one that we would sign in
    these very letters: no two payloads say the same."""
    (subkey,) = Keys.derive([KEY]).subkeys[kind]
    token = _signed(subkey, bytes([kind]) + TOKENS.tag + rest if head else rest)
    try:
        claims = read(TOKENS, kind, token, _issued(kind, rest))
    except TokenError:
        return
    match claims:
        case ThreadClaims():
            again = TOKENS.mint_thread(claims)
        case MessageClaims():
            again = TOKENS.mint_message(claims)
        case _ if kind is Kind.BACKEND:
            again = TOKENS.mint_pass(Kind.BACKEND, claims)
        case _:
            again = TOKENS.mint_pass(Kind.REPLAY, claims)
    assert again == token


def _issued(kind: Kind, rest: bytes) -> int:
    """When the payload says that it was issued, so that its time is no reason to refuse it."""
    place = {Kind.THREAD: 33, Kind.MESSAGE: 48}.get(kind, 16)
    return int.from_bytes(rest[place : place + 4], "big")


@given(st.text(max_size=600) | st.text(ALPHABET + ".=", min_size=60, max_size=600))
@settings(deadline=None, derandomize=True)
def test_no_text_is_a_token_by_chance(text: str) -> None:
    """Reading any text as any kind of token ends in a refusal, never in another error."""
    assert not any(good(TOKENS, kind, text) for kind in Kind)


def test_blank_messages_are_named_by_their_time_and_chance() -> None:
    """A blank's id starts with its milliseconds, its token lives 90 days, and no two are alike."""
    thread, actor = ThreadId(an_id()), ActorId(an_id())
    blanks = [TOKENS.blank(thread, actor, NOW + 0.25) for _ in range(1_000)]
    assert len({message for message, _ in blanks}) == 1_000
    for message, token in blanks[:10]:
        claims = TOKENS.read_message(token, NOW)
        assert claims == MessageClaims(thread, message, actor, NOW, NOW + MESSAGE_LIFE)
        assert int(message.replace("-", "")[:12], 16) == NOW * 1000 + 250


@pytest.mark.parametrize("kind", Kind)
def test_secrets_are_in_no_text_that_an_error_or_a_repr_gives(kind: Kind) -> None:
    """Neither keys nor a good signature stand in `repr`, in `str` or in a refusal's traceback."""
    keys = Keys.derive([KEY])
    token = minted(TOKENS, kind)
    payload, _, signature = token.partition(".")
    secrets = [KEY, signature, *(encode(sub) for subs in keys.subkeys.values() for sub in subs)]
    secrets += [repr(sub) for subs in keys.subkeys.values() for sub in subs]
    told = [repr(TOKENS), str(TOKENS), repr(keys)]
    for bad, now in (
        (token, NOW + 2 * TTL),
        (token + "=", NOW),
        (_flipped(payload, signature), NOW),
    ):
        with pytest.raises(TokenError) as caught:
            read(TOKENS, kind, bad, now)
        told += ["".join(traceback.format_exception(caught.value)), repr(caught.value)]
    assert not [secret for secret in secrets for text in told if secret in text]


def _flipped(payload: str, signature: str) -> str:
    """The token with a payload that its signature does not fit."""
    other = "A" if payload[20] != "A" else "B"
    return f"{payload[:20]}{other}{payload[21:]}.{signature}"


@pytest.mark.parametrize("kind", Kind)
def test_signatures_are_compared_in_constant_time(
    kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No answer comes sooner because a forged signature begins right: the whole of it is compared,
    by the one function that takes the same time for all."""
    compared: list[tuple[int, int]] = []
    honest = hmac.compare_digest

    def noted(one: bytes, other: bytes) -> bool:
        compared.append((len(one), len(other)))
        return honest(one, other)

    monkeypatch.setattr("hmac.compare_digest", noted)
    payload, _, signature = minted(TOKENS, kind).partition(".")
    for spoilt in range(0, len(signature), 7):
        letter = "A" if signature[spoilt] != "A" else "B"
        forged = f"{payload}.{signature[:spoilt]}{letter}{signature[spoilt + 1 :]}"
        with pytest.raises(TokenError):
            read(TOKENS, kind, forged)
    assert compared == [(len(signature), len(signature))] * len(range(0, len(signature), 7))
