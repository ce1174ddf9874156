"""Runs as the reading routes show them."""

from collections.abc import Sequence

from .rows import Run, User
from .values import PostgresError, Value, write_date


def format_run(run: Run, users: Sequence[User]) -> dict[str, Value]:
    """A run as one JSON object; each of its messages carries an added empty ``enrichments``."""
    return {
        "id": run.id,
        "projectId": run.project_id,
        "type": run.type,
        "name": run.name,
        "createdAt": write_date(run.created_at),
        "endedAt": write_date(run.ended_at),
        "parentRunId": run.parent_run_id,
        "tags": run.tags,
        "input": _enrich(run.input),
        "output": _enrich(run.output),
        "feedback": run.feedback,
        "metadata": run.metadata,
        "params": run.params or {},
        "status": run.status,
        "error": run.error,
        "user": _format_user(run.user, users),
    }


def _enrich(value: Value) -> Value:
    if isinstance(value, list):
        return [_enrich(item) if isinstance(item, dict) else item for item in value]
    return {**value, "enrichments": []} if isinstance(value, dict) else value


def _format_user(number: int | None, users: Sequence[User]) -> dict[str, Value] | None:
    for user in users:
        if user.number == number:
            return {
                "id": user.number,
                "externalId": user.external_id,
                "createdAt": write_date(user.created_at),
                "lastSeen": write_date(user.last_seen),
                "props": user.props,
            }
    return None


def children(runs: Sequence[Run], parent_id: str, kind: str) -> list[Run]:
    """The rows of one type right under another, oldest first."""
    found = [run for run in runs if run.parent_run_id == parent_id and run.type == kind]
    return sorted(found, key=lambda run: run.created_at)


def summarize_thread(thread: Run, runs: Sequence[Run]) -> dict[str, Value]:
    """What the thread list adds; raises `PostgresError` for an exchange that is not in arrays."""
    rows = children(runs, thread.id, "chat")
    messages = [message for row in rows for message in _elements(row.input, row.output)]
    return {
        "feedbacks": [row.feedback for row in rows],
        "firstMessage": messages[0] if messages else None,
        "messagesCount": len(messages),
    }


def _elements(*columns: Value) -> list[Value]:
    for column in columns:
        if column is not None and not isinstance(column, list):
            kind = "an object" if isinstance(column, dict) else "a scalar"
            raise PostgresError(f"cannot extract elements from {kind}")
    return [message for column in columns for message in column or []]


def select(runs: Sequence[Run], project_id: str, query: dict[str, str]) -> list[Run]:
    """The runs that a list or a count asks for, newest first."""
    kind, parent_id = query.get("type", "llm"), query.get("parentRunId")
    found = [
        run
        for run in runs
        if run.project_id == project_id
        and run.type == kind
        and parent_id in (None, run.parent_run_id)
    ]
    return sorted(found, key=lambda run: run.created_at, reverse=True)


def related(runs: Sequence[Run], run_id: str) -> list[Run]:
    """A run and everything under it, oldest first."""
    known = {run_id}
    while True:
        grown = known | {run.id for run in runs if run.parent_run_id in known}
        if grown == known:
            break
        known = grown
    return sorted((run for run in runs if run.id in known), key=lambda run: run.created_at)
