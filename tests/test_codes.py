"""Login codes: whoever holds the keys makes them, and nobody else."""

from hypothesis import given
from hypothesis import strategies as st

from thumbseal.codes import WINDOW, make_code, read_code, spell_code
from thumbseal.keys import Keys, new_key

KEYS = {name: Keys.derive([new_key()]) for name in ("help", "shop", "support")}
TIMES = st.integers(0, 2**33)


@given(now=TIMES, names=st.sampled_from([["shop"], sorted(KEYS)]))
def test_a_code_opens_what_it_was_made_for(now: int, names: list[str]) -> None:
    """Also at the end of its time, and in small letters without dashes."""
    code = make_code({name: KEYS[name] for name in names}, now)
    for typed in (code, code.lower().replace("-", ""), f" {code.replace('-', ' ')} "):
        assert sorted(read_code(spell_code(typed), KEYS, now)) == names
    assert sorted(read_code(spell_code(code), KEYS, now + WINDOW)) == names
    assert read_code(spell_code(code), KEYS, now + 2 * WINDOW) == ()
    assert read_code(spell_code(code), KEYS, now - WINDOW) == ()


@given(now=TIMES, at=st.integers(0, 11), other=st.sampled_from("0123456789ABCDEFGHJKMNPQRSTVWXYZ"))
def test_another_character_is_another_code(now: int, at: int, other: str) -> None:
    code = spell_code(make_code(KEYS, now))
    changed = code[:at] + other + code[at + 1 :]
    assert bool(read_code(changed, KEYS, now)) == (changed == code)


@given(typed=st.text(max_size=40))
def test_whatever_is_typed_is_read(typed: str) -> None:
    assert read_code(spell_code(typed), KEYS, 0) == ()


def test_letters_that_look_like_digits_are_read_as_those() -> None:
    assert spell_code("oil0-1\u2013q") == "0110" + "1Q"


def test_other_keys_make_other_codes() -> None:
    """Also one of the sites alone does not open the others, nor do some of them."""
    others = {name: Keys.derive([new_key()]) for name in KEYS}
    assert read_code(spell_code(make_code(others, 0)), KEYS, 0) == ()
    some = {name: KEYS[name] for name in ("help", "shop")}
    assert read_code(spell_code(make_code(some, 0)), KEYS, 0) == ()


def test_two_codes_differ() -> None:
    """So that one that was used leaves the others good."""
    assert len({make_code(KEYS, 0) for _ in range(50)}) > 40
