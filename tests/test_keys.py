"""Keys: only good ones are taken, and what an application holds signs threads and messages only."""

import traceback
from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thumbseal.errors import SettingsError
from thumbseal.keys import KEY_BYTES, MAX_KEYS, Keys, Kind, decode, encode, new_key

BAD_KEYS = {
    "empty": "",
    "a word": "changeme",
    "16 bytes": encode(bytes(range(16))),
    "31 bytes": encode(bytes(range(31))),
    "33 bytes": encode(bytes(range(33))),
    "zeros": encode(bytes(KEY_BYTES)),
    "a repeated word": encode(b"changeme" * 4),
    "fifteen distinct bytes": encode(bytes(range(15)) * 2 + b"\0\1"),
    "not ASCII": "ä" * 43,
    "hexadecimal": "0123456789abcdef" * 4,
}


def test_a_new_key_is_good_and_never_the_same() -> None:
    """A fresh key is 32 random bytes in 43 characters, good for a site, and no two are alike."""
    made = {new_key() for _ in range(100)}
    assert len(made) == 100
    assert {len(key) for key in made} == {43}
    for key in made:
        Keys.derive([key])


@pytest.mark.parametrize("name", BAD_KEYS)
def test_a_bad_key_is_refused_without_being_shown(name: str) -> None:
    """A short, misspelt or example key stops the start, and the error does not print it."""
    key = BAD_KEYS[name]
    with pytest.raises(SettingsError) as caught:
        Keys.derive([new_key(), key])
    told = "".join(traceback.format_exception(caught.value))
    assert "32 random bytes" in told
    assert not key or key not in told


@pytest.mark.parametrize("count", [0, MAX_KEYS + 1])
def test_a_site_has_one_to_three_keys(count: int) -> None:
    """No key at all, or more than rotation needs, is refused."""
    with pytest.raises(SettingsError, match="1 to 3"):
        Keys.derive([new_key() for _ in range(count)])


def test_every_kind_has_a_subkey_of_its_own() -> None:
    """The subkeys of two kinds or two keys are never the same, nor the key itself, nor random."""
    first, second = new_key(), new_key()
    keys = Keys.derive([first, second])
    subkeys = [subkey for of_kind in keys.subkeys.values() for subkey in of_kind]
    assert len(set(subkeys)) == len(Kind) * 2
    assert not {decode(first), decode(second)} & set(subkeys)
    assert keys == Keys.derive([first, second])


def test_an_app_gets_thread_and_message_subkeys_alone() -> None:
    """What `for_app` exports holds the thread and message subkeys in order, and nothing else."""
    keys = Keys.derive([new_key(), new_key(), new_key()])
    app = Keys.of_app(keys.for_app())
    assert set(app.subkeys) == {Kind.THREAD, Kind.MESSAGE}
    assert all(app.subkeys[kind] == keys.subkeys[kind] for kind in app.subkeys)
    for kind in (Kind.BACKEND, Kind.REPLAY):
        for subkey in keys.subkeys[kind]:
            assert encode(subkey) not in keys.for_app()


def test_the_site_key_cannot_be_read_from_an_app_key() -> None:
    """No site key stands in the app's export, in any spelling."""
    site_key = new_key()
    exported = Keys.derive([site_key]).for_app()
    assert site_key not in exported
    assert decode(site_key).hex() not in exported
    assert b64encode(decode(site_key)).decode() not in exported


def _app_key() -> str:
    return Keys.derive([new_key()]).for_app()


BAD_APP_KEYS = {
    "empty": "",
    "a site key": new_key(),
    "another version": _app_key().replace("app1", "app2"),
    "no message keys": _app_key().rpartition(":")[0],
    "a group too many": _app_key() + ":" + new_key(),
    "an empty group": "app1::",
    "cut": _app_key()[:-2],
}


@pytest.mark.parametrize("name", BAD_APP_KEYS)
def test_a_bad_app_key_is_refused_without_being_shown(name: str) -> None:
    """A string that `for_app` did not make is refused, and the error does not print it."""
    with pytest.raises(SettingsError) as caught:
        Keys.of_app(BAD_APP_KEYS[name])
    told = "".join(traceback.format_exception(caught.value))
    assert not any(part in told for part in BAD_APP_KEYS[name].split(":") if len(part) > 8)


def test_keys_are_never_printed() -> None:
    """`repr`, `str` and formatting of keys say that they are redacted, and nothing more."""
    keys = Keys.derive([new_key()])
    for shown in (repr(keys), str(keys), f"{keys}", repr([keys]), repr({"keys": keys})):
        assert "Keys([redacted])" in shown
        assert not any(encode(sub) in shown or repr(sub) in shown for sub in keys.subkeys[Kind(17)])


@given(st.binary(max_size=200))
def test_encoding_is_base64url_without_padding(raw: bytes) -> None:
    """Bytes survive the way there and back, and the text has letters, digits, - and _ alone."""
    text = encode(raw)
    assert decode(text) == raw
    assert text.isascii()
    assert all(each.isalnum() or each in "-_" for each in text)
