"""What the backend makes of an event and of a chat message, before it touches the database."""

import math

from .rows import Run
from .values import (
    UNDEFINED,
    Value,
    clean_metadata,
    defined,
    ensure_uuid,
    get,
    read_date,
    spread,
    spread_object,
    to_camel,
    truthy,
)

COLUMN_OF_ROLE = {
    "user": "input",
    "system": "input",
    "assistant": "output",
    "tool": "output",
    "bot": "output",
}


def clean(event: Value) -> dict[str, Value]:
    """The event that its rules see: camel-cased, with UUIDs and a time in ms or UNDEFINED."""
    fields = spread_object(to_camel(event))
    moment = read_date(get(fields, "timestamp"))
    name = get(fields, "name")
    tags = get(fields, "tags")
    cleaned = {
        **fields,
        "timestamp": UNDEFINED if math.isnan(moment) else int(moment),
        "runId": ensure_uuid(get(fields, "runId")),
        "parentRunId": ensure_uuid(get(fields, "parentRunId")),
        "name": name if isinstance(name, str) else UNDEFINED,
        "tags": [tags] if isinstance(tags, str) else tags,
        "metadata": clean_metadata(get(fields, "metadata")),
    }
    return defined(cleaned)


def core_message(message: Value) -> dict[str, Value]:
    """What is kept of a message; ``tool_calls``, ``name`` and all else are dropped."""
    metadata = get(message, "metadata")
    return defined(
        {
            "role": get(message, "role"),
            "content": get(message, "content"),
            "metadata": metadata if truthy(metadata) else get(message, "extra"),
        }
    )


def place(previous: Run | None, role: Value, core: Value) -> tuple[bool, dict[str, Value]]:
    """Whether a message merges into the thread's latest run, and what it makes of input or output.

    Raises `JavaScriptError` where that run has an output that is no list.
    """
    column = COLUMN_OF_ROLE.get(role) if isinstance(role, str) else None
    if column is None:
        return False, {}
    answered = previous is not None and truthy(previous.output)
    if previous is None or previous.type == "custom-event" or (column == "input" and answered):
        return False, {column: [core]}
    return True, {column: [*spread(getattr(previous, column)), core]}
