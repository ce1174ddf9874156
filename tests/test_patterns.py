"""What a site takes out of texts: found in each usual spelling, and nothing else with it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thumbseal.errors import SettingsError
from thumbseal.patterns import CARD_DIGITS, Kind, compile_rules
from thumbseal.redaction import redact_text

ALL: tuple[Kind, ...] = ("email", "card", "phone", "ip")
RULES = compile_rules(ALL, {})


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("write to a.b+c@exa-mple.co.uk.", "write to [email]."),
        ("<mailto:ärger@müller.de>", "<mailto:[email]>"),
        ("?user=ann%40example.com&x=1", "?user=[email]&x=1"),
        ("a@b.co,c@d.org", "[email],[email]"),
        ("4111111111111111", "[card]"),
        ("pay 4111 1111 1111 1111 2026 please", "pay [card] 2026 please"),
        ("order 12345 4111-1111-1111-1111", "order 12345 [card]"),
        ("3782 822463 10005, 5555.5555.5555.4444", "[card], [card]"),
        ("٤١١١١١١١١١١١١١١١", "[card]"),
        ("+49 30 1234567", "[phone]"),
        ("Tel:+4915112345678", "Tel:[phone]"),
        ("0044 20 7946 0018 or (555) 123-4567", "[phone] or [phone]"),
        ("030/1234567; 01 23 45 67 89; 1-212-555-0100", "[phone]; [phone]; [phone]"),
        ("+49 30 1234567 20261, 0171 1234567 12345678", "[phone] 20261, [phone] 12345678"),
        ("10.0.0.1:8080 and 192.168.1.254.", "[ip]:8080 and [ip]."),
        ("[2001:db8::1]:443, ::1, ::ffff:10.0.0.1", "[[ip]]:443, [ip], [ip]"),
        ("2001:0db8:85a3:0000:0000:8a2e:0370:7334 said", "[ip] said"),
    ],
)
def test_what_names_a_person_is_taken_out(text: str, left: str) -> None:
    """Each usual spelling is found whole, and what stands around it stays."""
    assert redact_text(text, RULES) == left


@pytest.mark.parametrize(
    "text",
    [
        "me@localhost, @ann, a @ b",
        "4111111111111112",  # Luhn says no
        "1790000000000 1000000000008",  # no card begins with 1
        "2026-11-27 23:59:59.123456, 01.02.2026, 11/27/26",
        "0.123456789 and 3.14159265358979",
        "v1.2.3, 1.2.3.4.5, 300.1.1.1",
        "std::vector<A::B>, 12:30:45, aa:bb:cc:dd:ee:ff, ::",
        "00000000-0000-0000-0000-000000000001",
        "1,234,567.00 EUR, 50000 steps, chapter 7.12",
        "",
    ],
)
def test_what_only_looks_alike_stays(text: str) -> None:
    """Dates, times, versions, ids, prices and code are left as they are."""
    assert redact_text(text, RULES) == text


def test_only_what_the_site_asked_for_is_taken_out() -> None:
    """Each kind works alone."""
    text = "a@b.co 4111111111111111 +49 30 1234567 10.0.0.1"
    found = [redact_text(text, compile_rules([kind], {})).count("[") for kind in ALL]
    assert found == [1, 1, 1, 1]
    assert redact_text(text, ()) == text


def test_a_sites_own_patterns_come_first() -> None:
    """An order number that looks like a card is what the site calls it."""
    rules = compile_rules(["card"], {"order": r"\bORD-[0-9]{4}\b|\b4111[0-9]{12}\b"})
    assert redact_text("ORD-1234 4111111111111111 ORD-12345", rules) == "[order] [order] ORD-12345"


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("(", "missing"),
        ("(?=lookahead)", "lookaround"),
        (r"(a)\1", "RE2"),
        ("a*", "matches an empty text"),
        ("x" * 1_001, "1000 characters"),
        ("((((a{1,100}){1,100}){1,100}){1,100})", "RE2"),
    ],
)
def test_a_pattern_that_cannot_be_used_is_named(pattern: str, words: str) -> None:
    """The error says which one and why; none prints to stderr by itself."""
    with pytest.raises(SettingsError, match=words) as caught:
        compile_rules([], {"mine": pattern})
    assert str(caught.value).startswith("mine: ")


@given(st.lists(st.integers(0, 9), min_size=12, max_size=18), st.sampled_from("23456"))
def test_every_card_number_is_found(digits: list[int], first: str) -> None:
    """Whatever its digits: with the right check digit it goes, with each wrong one it stays."""
    known = first + "".join(map(str, digits[:-1]))
    assert len(known) + 1 in CARD_DIGITS
    numbers = [f"{known}{check}" for check in range(10)]
    rules = compile_rules(["card"], {})
    assert sorted(redact_text(number, rules) == "[card]" for number in numbers) == [False] * 9 + [
        True
    ]


@given(st.text(alphabet="0123456789 .:-+()@a", max_size=60))
def test_redacting_twice_changes_nothing_more(text: str) -> None:
    """A redacted text has nothing left to find."""
    for kind in ALL:
        rules = compile_rules([kind], {})
        once = redact_text(text, rules)
        assert redact_text(once, rules) == once
