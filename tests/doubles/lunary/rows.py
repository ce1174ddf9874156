"""The database: one table of runs, one of users, and the errors they raise."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace

from .values import (
    PostgresError,
    Value,
    check_array,
    check_json,
    check_text,
    check_time,
    check_uuid,
)


@dataclass(frozen=True)
class Project:
    """A project and its two keys, all UUIDs."""

    id: str
    public_key: str
    private_key: str


PROJECT = Project(
    id="a0000000-0000-4000-8000-000000000001",
    public_key="b0000000-0000-4000-8000-000000000001",
    private_key="c0000000-0000-4000-8000-000000000001",
)
OTHER_PROJECT = Project(
    id="a0000000-0000-4000-8000-000000000002",
    public_key="b0000000-0000-4000-8000-000000000002",
    private_key="c0000000-0000-4000-8000-000000000002",
)


@dataclass(frozen=True)
class User:
    """A row of external users; times in milliseconds since 1970."""

    number: int
    external_id: str
    project_id: str
    created_at: int
    last_seen: int | None
    props: Value


@dataclass(frozen=True)
class Run:
    """A row of runs: a thread, an exchange (type chat), a custom event, an llm run; times in ms.

    ``number`` counts the rows in the order of their insertion.
    """

    id: str
    number: int
    project_id: str
    created_at: int
    type: Value = None
    ended_at: int | None = None
    parent_run_id: str | None = None
    user: int | None = None
    name: str | None = None
    tags: Value = None
    input: Value = None
    output: Value = None
    feedback: Value = None
    metadata: Value = None
    params: Value = None
    error: Value = None
    status: str | None = None


UUIDS = ("id", "parent_run_id")
TEXTS = ("type", "name")
TIMES = ("created_at", "ended_at")
JSONS = ("input", "output", "feedback", "metadata", "params", "error")


def _check(values: dict[str, Value]) -> dict[str, Value]:
    """The values of a row as the database takes them; raises `PostgresError`."""
    for column in UUIDS:
        if values.get(column) is not None:
            values = {**values, column: check_uuid(values[column])}
    for column in TEXTS:
        check_text(values.get(column))
    for column in TIMES:
        check_time(values.get(column))
    for column in JSONS:
        check_json(values.get(column))
    check_array(values.get("tags"))
    return values


class Database:
    """Rows that change statement by statement, with no transaction around them.

    ``answers_left`` counts the events that it still takes before it goes down; None is for ever.
    """

    def __init__(self, projects: Sequence[Project]) -> None:
        self.projects = projects
        self.answers_left: int | None = None
        self._runs: dict[str, Run] = {}
        self._users: dict[tuple[str, str], User] = {}
        self._inserted = 0

    def runs(self) -> list[Run]:
        """All rows, in the order of their insertion."""
        return sorted(self._runs.values(), key=lambda run: run.number)

    def users(self) -> list[User]:
        return list(self._users.values())

    def use(self) -> None:
        """Count one event's work; raises `PostgresError` once the database is down."""
        if self.answers_left == 0:
            raise PostgresError("write CONNECTION_CLOSED 127.0.0.1:5432")
        if self.answers_left is not None:
            self.answers_left -= 1

    def find(self, run_id: str) -> Run | None:
        return self._runs.get(check_uuid(run_id))

    def find_project(self, key: str) -> Project | None:
        """The project that a key or a project id names."""
        key = check_uuid(key)
        for project in self.projects:
            if key in (project.id, project.public_key, project.private_key):
                return project
        return None

    def latest_child(self, parent_id: str) -> Run | None:
        """The row with the highest ``created_at``; of equal ones the first, which is no order."""
        parent_id = check_uuid(parent_id)
        children = [run for run in self._runs.values() if run.parent_run_id == parent_id]
        return max(children, key=lambda run: (run.created_at, -run.number), default=None)

    def insert(self, values: dict[str, Value]) -> Run:
        values = {"id": str(uuid.uuid4()), **_check(values)}
        if values.get("created_at") is None:
            raise PostgresError(
                'null value in column "created_at" of relation "run" violates not-null constraint'
            )
        self._refuse_duplicate(values["id"])
        self._refuse_orphan(values.get("parent_run_id"))
        self._inserted += 1
        run = Run(number=self._inserted, **values)
        self._runs[run.id] = run
        return run

    def update(self, run_id: str, values: dict[str, Value]) -> bool:
        """Change a row, its id included, which its children follow. Tells whether it differs."""
        old = self.find(run_id)
        if old is None:
            return False
        new = replace(old, **_check(values))
        if new.id != old.id:
            self._refuse_duplicate(new.id)
            del self._runs[old.id]
            for child in self._children(old.id):
                self._runs[child.id] = replace(child, parent_run_id=new.id)
        self._runs[new.id] = new
        return new != old

    def delete(self, run_id: str) -> None:
        """Remove a row and everything under it."""
        for child in self._children(run_id):
            self.delete(child.id)
        del self._runs[run_id]

    def upsert_user(self, user: User) -> User:
        """Insert a user, or replace the last time and the props of the one with that name."""
        check_text(user.external_id)
        check_json(user.props)
        check_time(user.last_seen)
        key = (user.project_id, user.external_id)
        old = self._users.get(key)
        kept = old or replace(user, number=len(self._users) + 1)
        self._users[key] = replace(kept, last_seen=user.last_seen, props=user.props)
        return self._users[key]

    def _children(self, run_id: str) -> list[Run]:
        return [run for run in self._runs.values() if run.parent_run_id == run_id]

    def _refuse_duplicate(self, run_id: str) -> None:
        if run_id in self._runs:
            raise PostgresError('duplicate key value violates unique constraint "run_pkey"')

    def _refuse_orphan(self, parent_id: str | None) -> None:
        if parent_id is not None and parent_id not in self._runs:
            raise PostgresError(
                'insert or update on table "run" violates foreign key constraint '
                '"run_parent_run_id_fkey"'
            )
