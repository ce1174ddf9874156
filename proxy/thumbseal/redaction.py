"""Redaction: an event without what a site does not want to keep, before its first write. Pure.

Covered is all that people and pages write freely: content as text and in parts, tool calls,
names, tags, metadata (a claimed user, too), reasons, comments and corrections, and all that a run
brings; in JSON keys as
well as values, and whole numbers that spell a card. The same event always gives the same, so a
repeat stays a repeat.
"""

from collections.abc import Sequence
from typing import Any, Final

from msgspec import structs

from thumbseal.events import (
    MAX_COMMENT,
    MAX_CONTENT,
    MAX_NAME,
    MAX_TAG,
    AnyEntry,
    Custom,
    Feedback,
    Message,
    Run,
    ThreadChange,
)
from thumbseal.patterns import Rule

# What a field's text may not outgrow: a name in brackets can be longer than what it stands for.
_LIMITS: Final = {
    "content": MAX_CONTENT,
    "name": MAX_NAME,
    "tags": MAX_TAG,
    "reasons": MAX_TAG,
    "comment": MAX_COMMENT,
    "correction": MAX_CONTENT,
}
_FREE: Final[dict[type, tuple[str, ...]]] = {
    Message: ("content", "name", "tool_calls", "tags", "metadata"),
    ThreadChange: ("tags", "metadata"),
    Custom: ("name", "metadata"),
    Run: ("sent",),
}
_OPINION: Final = ("reasons", "comment", "correction")


def redact(entry: AnyEntry, rules: Sequence[Rule]) -> AnyEntry:
    """The entry with each find of the rules replaced by its name in brackets."""
    if not rules:
        return entry
    if isinstance(entry, Feedback):
        return structs.replace(entry, feedback=_redacted(entry.feedback, _OPINION, rules))
    redacted: AnyEntry = _redacted(entry, _FREE[type(entry)], rules)
    return redacted


def redact_text(text: str, rules: Sequence[Rule]) -> str:
    """One text, rule after rule."""
    for rule in rules:
        text = rule.redact(text)
    return text


def _redacted(value: Any, fields: Sequence[str], rules: Sequence[Rule]) -> Any:
    changed = {}
    for field in fields:
        old = getattr(value, field)
        new = _cut(_redact_json(old, rules), _LIMITS.get(field))
        if new != old:
            changed[field] = new
    return structs.replace(value, **changed) if changed else value


def _redact_json(value: Any, rules: Sequence[Rule]) -> Any:
    match value:
        case str():
            return redact_text(value, rules)
        case bool():
            return value
        case int():
            text = redact_text(str(value), rules)
            return value if text == str(value) else text
        case list() | tuple():
            return type(value)(_redact_json(each, rules) for each in value)
        case dict():
            return {
                redact_text(key, rules): _redact_json(each, rules) for key, each in value.items()
            }
        case _:
            return value


def _cut(value: Any, limit: int | None) -> Any:
    if limit is None:
        return value
    if isinstance(value, str):
        cut = value[:limit]
        return cut if len(cut) * 4 <= limit else cut.encode()[:limit].decode(errors="ignore")
    if isinstance(value, tuple):
        return tuple(_cut(each, limit) if isinstance(each, str) else each for each in value)
    return value
