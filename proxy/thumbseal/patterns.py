"""Patterns: where a text names a person or a thing that must not be stored. Pure.

Every pattern runs on RE2, in time linear in the text, so neither an operator's pattern nor a
hostile text can make one run away. A pattern finds candidates; where a shape alone says too
little (a card number, an address), a check decides.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from ipaddress import ip_address
from typing import Any, Final, Literal

import re2
from msgspec import Struct

from thumbseal.errors import SettingsError

Kind = Literal["email", "card", "phone", "ip"]
Span = tuple[int, int]
Check = Callable[[str, Span], Iterator[Span]]

MAX_PATTERN: Final = 1_000  # characters
MAX_MEMORY: Final = 1 << 20  # bytes for one compiled pattern
CARD_DIGITS: Final = range(13, 20)
CARD_STARTS: Final = range(2, 7)  # the first digit of Amex, Diners, JCB, Visa, Mastercard, Discover
PHONE_DIGITS: Final = range(7, 16)

_SPACE: Final = "\u0020\u00a0\u2007\u2009\u202f"
_DASH: Final = "\u2010\u2011\u2012\u2013-"
_LOCAL: Final = r"[\p{L}\p{N}.!#$%'*+^_`{|}~-]+"
_EMAIL: Final = _LOCAL + r"(?:@|%40)[\p{L}\p{N}-]+(?:\.[\p{L}\p{N}-]+)+"
# Groups of three digits and more: a date or a time is none, and no window begins inside a group.
_CARD: Final = rf"\p{{Nd}}{{3,}}(?:[{_SPACE}.{_DASH}]\p{{Nd}}{{3,}})*"
_GAP: Final = rf"[{_SPACE}./(){_DASH}]"
_PHONE: Final = "|".join(
    (
        rf"(?:\+|00)[{_SPACE}]?\(?[1-9](?:{_GAP}{{0,3}}\p{{Nd}}){{6,14}}",  # with its country
        rf"\(?0[1-9](?:{_GAP}{{0,3}}\p{{Nd}}){{6,11}}",  # with its area
        rf"(?:1[{_SPACE}.{_DASH}])?\(?[2-9]\p{{Nd}}{{2}}\)?[{_SPACE}.{_DASH}]{{1,2}}"
        rf"\p{{Nd}}{{3}}[{_SPACE}.{_DASH}]\p{{Nd}}{{4}}",  # of North America
    )
)
_IP: Final = r"[0-9A-Fa-f:]*:[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*|\d{1,3}(?:\.\d{1,3}){3}"


class Rule(Struct, frozen=True):
    """What is looked for: ``name`` takes its place, as ``[name]``."""

    name: str
    pattern: Any  # re2 says no types
    check: Check

    def spans(self, text: str) -> Iterator[Span]:
        """Where it stands in a text, from left to right."""
        for found in self.pattern.finditer(text):
            yield from self.check(text, found.span())

    def redact(self, text: str) -> str:
        """The text with each find replaced by the name. The same text gives the same."""
        parts, end = [], 0
        for start, stop in self.spans(text):
            parts += [text[end:start], f"[{self.name}]"]
            end = stop
        return "".join([*parts, text[end:]]) if parts else text


def compile_rules(kinds: Sequence[Kind], own: Mapping[str, str]) -> tuple[Rule, ...]:
    """The rules of a site, in the order in which they are tried: its own come first.

    Raises:
        SettingsError: a pattern of its own cannot be used.
    """
    mine = [Rule(name, _compiled(name, pattern), _whole) for name, pattern in own.items()]
    return (*mine, *(_RULES[kind] for kind in _RULES if kind in kinds))


def _compiled(name: str, pattern: str) -> Any:
    if len(pattern) > MAX_PATTERN:
        raise SettingsError(f"{name}: a pattern has at most {MAX_PATTERN} characters")
    try:
        compiled = re2.compile(pattern, _options())
    except re2.error as error:
        reason = error.args[0] if error.args else "it cannot be read"
        reason = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else reason
        raise SettingsError(f"{name}: {reason}. The syntax is RE2's: no lookaround.") from error
    if compiled.search("") is not None:
        raise SettingsError(f"{name}: the pattern matches an empty text, so it matches everywhere")
    return compiled


def _options(memory: int = MAX_MEMORY) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = memory
    return options


def _whole(text: str, span: Span) -> Iterator[Span]:
    if span[0] < span[1]:
        yield span


def _cards(text: str, span: Span) -> Iterator[Span]:
    """The card numbers in a run of digit groups; each begins and ends with a group."""
    if text[max(span[0] - 1, 0) : span[0]] == "+":  # a telephone number may pass for one
        return
    groups = [(found.start(), found.end()) for found in _DIGITS.finditer(text, *span)]
    digits = [[int(digit) for digit in text[start:end]] for start, end in groups]
    at = 0
    while at < len(groups):
        window = _card(digits, at)
        if window:
            yield groups[at][0], groups[at + window - 1][1]
        at += window or 1


def _card(groups: Sequence[Sequence[int]], at: int) -> int:
    """How many groups from this one on are one card number; 0 if none is."""
    if groups[at][0] not in CARD_STARTS:
        return 0
    digits: list[int] = []
    for count, group in enumerate(groups[at : at + CARD_DIGITS.stop // 3], 1):
        digits += group
        if len(digits) in CARD_DIGITS and _luhn(digits):
            return count
    return 0


def _luhn(digits: Sequence[int]) -> bool:
    return (sum(digits[-1::-2]) + sum(_DOUBLED[digit] for digit in digits[-2::-2])) % 10 == 0


def _phones(text: str, span: Span) -> Iterator[Span]:
    """The longest number that ends with a group: a number may follow that is none of it."""
    start, _ = span
    for end in reversed([found.end() for found in _DIGITS.finditer(text, *span)]):
        digits = sum(letter.isdecimal() for letter in text[start:end])
        if digits in PHONE_DIGITS and _alone(text, (start, end)):
            if not _DATE.fullmatch(text, start, end):
                yield start, end
            return


def _addresses(text: str, span: Span) -> Iterator[Span]:
    start, end = span
    while end > start and text[end - 1] in ".:" and text[end - 2 : end] != "::":
        end -= 1
    found = text[start:end]
    if _alone(text, (start, end)) and _is_address(found):
        yield start, end


def _is_address(text: str) -> bool:
    """Whether it is an address, and not a name in a program such as ``A::B``."""
    try:
        address = ip_address(text)
    except ValueError:
        return False
    return address.version == 4 or any(letter.isdigit() for letter in text)


def _alone(text: str, span: Span) -> bool:
    """Whether neither a letter nor a digit, nor a dot and a digit, stands beside it."""
    before, after = text[max(span[0] - 2, 0) : span[0]], text[span[1] : span[1] + 2]
    return not (
        before[-1:].isalnum()
        or after[:1].isalnum()
        or (before[-1:] == "." and before[:1].isdecimal())
        or (after[:1] == "." and after[1:].isdecimal())
    )


_DOUBLED: Final = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
_DIGITS: Final = re.compile(r"\d+")
_DATE: Final = re.compile(rf"\d{{1,2}}([./{_DASH}])\d{{1,2}}\1(\d{{2}}){{1,2}}")
# Addresses before phone numbers: both may be digits and dots, and the first know their form.
_RULES: Final[Mapping[Kind, Rule]] = {
    "email": Rule("email", re2.compile(_EMAIL, _options()), _whole),
    "card": Rule("card", re2.compile(_CARD, _options()), _cards),
    "ip": Rule("ip", re2.compile(_IP, _options()), _addresses),
    "phone": Rule("phone", re2.compile(_PHONE, _options()), _phones),
}
