"""What JavaScript and PostgreSQL make of the values in an event."""

import hashlib
import math
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

# A JSON value, or UNDEFINED.
Value = Any


class LunaryError(Exception):
    """Raw error text from the backend, as its answers carry it."""


class JavaScriptError(LunaryError):
    """Thrown by the backend's own code."""


class PostgresError(LunaryError):
    """Raised by the database."""


class _Undefined:
    def __bool__(self) -> bool:
        return False


# A field that is absent, where null is something else.
UNDEFINED: Final = _Undefined()

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
YEAR_10000 = 253_402_300_800_000
JAVASCRIPT_MAX_DATE = 8.64e15
ISO_DATE = re.compile(
    r"\d{4}-\d\d(-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?)?", re.ASCII
)
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)
SNAKE_OR_KEBAB = re.compile(r"[-_]([a-zA-Z])")


def truthy(value: Value) -> bool:
    """JavaScript's truth: an empty array or object is true."""
    return isinstance(value, dict | list) or bool(value)


def get(value: Value, key: str) -> Value:
    """A property, UNDEFINED where the value has none of that name."""
    return value.get(key, UNDEFINED) if isinstance(value, dict) else UNDEFINED


def defined(values: dict[str, Value]) -> dict[str, Value]:
    return {key: value for key, value in values.items() if value is not UNDEFINED}


def spread(value: Value) -> list[Value]:
    """What ``[...(value || [])]`` gives; raises `JavaScriptError` for what cannot be iterated."""
    if not truthy(value):
        return []
    if isinstance(value, list | str):
        return list(value)
    raise JavaScriptError("Spread syntax requires ...iterable[Symbol.iterator] to be a function")


def spread_object(value: Value) -> dict[str, Value]:
    """What ``{...value}`` gives: a string or an array goes in by index, a number not at all."""
    if isinstance(value, str | list):
        return {str(index): item for index, item in enumerate(value)}
    return dict(value) if isinstance(value, dict) else {}


def to_camel(value: Value) -> Value:
    """Rewrite every key at every depth from snake or kebab to camel; strings are untouched."""
    if isinstance(value, list):
        return [to_camel(item) for item in value]
    if isinstance(value, dict):
        return {
            SNAKE_OR_KEBAB.sub(lambda found: found[1].upper(), key): to_camel(item)
            for key, item in value.items()
        }
    return value


def clean_metadata(value: Value) -> Value:
    """Keep scalars and arrays of scalars, one level deep."""
    if not truthy(value):
        return UNDEFINED
    return {key: item for key, item in spread_object(value).items() if _is_flat(item)}


def _is_flat(value: Value) -> bool:
    items = value if isinstance(value, list) else [value]
    return all(isinstance(item, str | int | float | bool) for item in items)


def read_date(value: Value) -> float:
    """What ``new Date(value)`` holds: milliseconds since 1970, NaN where it cannot be read.

    A time without a zone is the server's, which is UTC here.
    """
    if value is None:
        return 0.0
    if isinstance(value, int | float):
        number = float(value)
        return float(math.trunc(number)) if abs(number) <= JAVASCRIPT_MAX_DATE else math.nan
    if isinstance(value, str) and ISO_DATE.fullmatch(value):
        return _read_iso_date(value)
    return math.nan


def _read_iso_date(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text if len(text) > len("2026-01") else f"{text}-01")
    except ValueError:
        return math.nan
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return float((moment - EPOCH) // timedelta(milliseconds=1))


def write_date(milliseconds: int | None) -> str | None:
    """The ISO text of a stored time, as answers carry it."""
    if milliseconds is None:
        return None
    moment = EPOCH + timedelta(milliseconds=milliseconds)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def derive_uuid(seed: str) -> str:
    """The id that stands for a string of any length but 36."""
    digits = hashlib.sha256(seed.encode("utf-8", "replace")).hexdigest()
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:32]}"


def ensure_uuid(value: Value) -> Value:
    """Any non-empty string as an id; what has 36 characters is taken as it is, good or bad."""
    if not isinstance(value, str):
        return UNDEFINED
    length = len(value.encode("utf-16-le", "surrogatepass")) // 2
    return value if length in (0, 36) else derive_uuid(value)


def check_uuid(value: str) -> str:
    """An id as PostgreSQL stores it, in lower case; raises `PostgresError`."""
    if not UUID.fullmatch(value):
        raise PostgresError(f'invalid input syntax for type uuid: "{value}"')
    return value.lower()


def check_time(milliseconds: int | None) -> None:
    """Raise `PostgresError` for a time that the database cannot read."""
    if milliseconds is not None and milliseconds >= YEAR_10000:
        raise PostgresError("invalid input syntax for type timestamp with time zone")


def check_array(value: Value) -> None:
    """Raise `PostgresError` unless the value may stand in a text[] column."""
    if value is not None and not isinstance(value, list):
        raise PostgresError(f'malformed array literal: "{value}"')


def check_text(value: Value) -> None:
    """Raise `PostgresError` for a text that the database cannot hold."""
    if isinstance(value, str) and "\0" in value:
        raise PostgresError('invalid byte sequence for encoding "UTF8": 0x00')


def check_json(value: Value) -> None:
    """Raise `PostgresError` for a U+0000 or a lone surrogate anywhere in the value."""
    for text in _strings(value):
        if "\0" in text:
            raise PostgresError("unsupported Unicode escape sequence")
        if any("\ud800" <= character <= "\udfff" for character in set(text)):
            raise PostgresError("invalid input syntax for type json")


def _strings(value: Value) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
    elif isinstance(value, dict):
        yield from value
        for item in value.values():
            yield from _strings(item)
