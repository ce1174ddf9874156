"""What each kind of event does to the database, statement by statement."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from .clock import Clock
from .messages import core_message, place
from .rows import Database, Run, User
from .values import UNDEFINED, JavaScriptError, Value, defined, get, spread_object, truthy

ORPHAN_SECONDS = 5


@dataclass(frozen=True)
class Registration:
    """One event; ``changed`` collects the ids of the rows that differ because of it.

    Between its statements other requests get their turn, and race.
    """

    database: Database
    clock: Clock
    project_id: str
    event: dict[str, Value]
    changed: list[str]

    async def register(self) -> None:
        if self._get("type") == "log":
            return self._check_log()
        project_id = self._target_project()
        user = self._upsert_user(project_id)
        kind = self._get("event")
        rule = self._rules().get(kind) if isinstance(kind, str) else None
        if rule is not None:
            await rule(project_id, user)
        return None

    def _rules(self) -> dict[str, Callable[[str, int | None], Awaitable[None]]]:
        return {
            "start": self._start,
            "end": self._end,
            "error": self._fail,
            "feedback": self._give_feedback,
            "chat": self._chat,
            "custom-event": self._custom_event,
            "update": self._replace_metadata,
        }

    def _get(self, key: str) -> Value:
        return get(self.event, key)

    def _either(self, key: str, other: str) -> Value:
        return self._get(key) if truthy(self._get(key)) else self._get(other)

    def _check_log(self) -> None:
        if self._get("parentRunId") is UNDEFINED or self._get("event") is UNDEFINED:
            raise JavaScriptError("parentRunId and eventName must be defined")

    def _target_project(self) -> str:
        """``appId`` overrides the project of the key; an unknown one falls back to it."""
        app_id = self._get("appId")
        project = self.database.find_project(app_id) if isinstance(app_id, str) else None
        return project.id if project else self.project_id

    def _upsert_user(self, project_id: str) -> int | None:
        name = self._get("userId")
        if not isinstance(name, str) or self._get("event") in ("end", "error"):
            return None
        now = int(self.clock.now() * 1000)
        seen, props = self._get("timestamp"), self._get("userProps")
        user = User(
            number=0,
            external_id=name,
            project_id=project_id,
            created_at=now,
            last_seen=None if seen is UNDEFINED else seen,
            props=None if props is UNDEFINED else props,
        )
        return self.database.upsert_user(user).number

    # The statements.

    async def _find(self, run_id: Value) -> Run | None:
        await asyncio.sleep(0)
        return None if run_id is UNDEFINED else self.database.find(run_id)

    async def _find_patiently(self, run_id: Value) -> Run | None:
        """A run that may be on its way: look, wait, look once more."""
        found = await self._find(run_id)
        if found is None:
            await self.clock.sleep(ORPHAN_SECONDS)
            found = await self._find(run_id)
        return found

    async def _insert(self, **values: Value) -> None:
        await asyncio.sleep(0)
        self._insert_now(values)

    async def _update(self, run_id: Value, **values: Value) -> None:
        await asyncio.sleep(0)
        self._update_now(run_id, values)

    def _insert_now(self, values: dict[str, Value]) -> None:
        run = self.database.insert(defined(values))
        self.changed.append(run.id)

    def _update_now(self, run_id: Value, values: dict[str, Value]) -> None:
        values = defined(values)
        if run_id is not UNDEFINED and self.database.update(run_id, values):
            self.changed.append(str(values.get("id", run_id)))

    async def _upsert_thread(self, project_id: str, **values: Value) -> None:
        """Insert the thread, or replace what the event says of it: one statement, no race."""
        thread_id = self._get("parentRunId")
        if not isinstance(thread_id, str):
            raise JavaScriptError("No parent run ID provided")
        await asyncio.sleep(0)
        tags = self._get("threadTags")
        values["tags"] = None if tags is UNDEFINED else tags
        if self.database.find(thread_id):
            return self._update_now(thread_id, values)
        arrival = int(self.clock.now() * 1000)
        return self._insert_now(
            {
                "id": thread_id,
                "type": "thread",
                "project_id": project_id,
                "created_at": arrival,
                "metadata": self._get("threadMetadata"),
                **values,
            }
        )

    # The rules, one for each kind of event.

    async def _start(self, project_id: str, user: int | None) -> None:
        run_id, parent_id = self._get("runId"), self._get("parentRunId")
        if parent_id:
            parent = await self._find_patiently(parent_id)
            if parent is None:
                parent_id = UNDEFINED
            elif parent.user is not None:
                user = parent.user
        present = await self._find(run_id)
        if present is not None and present.id == run_id:
            raise JavaScriptError("Run with this ID already exists in the database.")
        tags = self._get("tags")
        await self._insert(
            id=run_id,
            project_id=project_id,
            created_at=self._get("timestamp"),
            type=self._get("type"),
            parent_run_id=parent_id,
            user=user,
            name=self._get("name"),
            tags=tags if truthy(tags) else get(self._get("metadata"), "tags"),
            input=self._get("input"),
            metadata=self._get("metadata"),
            params=self._either("params", "extra"),
            status="started",
        )

    async def _end(self, _project_id: str, _user: int | None) -> None:
        run_id, given = self._get("runId"), self._get("input")
        look = self._find_patiently if self._get("type") == "llm" else self._find
        run = await look(run_id)
        if run is None:
            return
        output, metadata = self._get("output"), self._get("metadata")
        await self._update(
            run_id,
            ended_at=self._get("timestamp"),
            input=given if truthy(given) else UNDEFINED,
            output=str(output).lower() if isinstance(output, bool) else output,
            metadata={**(run.metadata or {}), **metadata} if metadata else UNDEFINED,
            status="success",
        )

    async def _fail(self, _project_id: str, _user: int | None) -> None:
        await self._update(
            self._get("runId"),
            ended_at=self._get("timestamp"),
            status="error",
            error=self._get("error"),
        )

    async def _give_feedback(self, _project_id: str, _user: int | None) -> None:
        run = await self._find(self._get("runId"))
        given = {
            **spread_object(self._get("feedback")),
            **spread_object(self._get("extra")),
        }
        if run is not None and given:
            await self._update(run.id, feedback={**(run.feedback or {}), **given})

    async def _replace_metadata(self, _project_id: str, _user: int | None) -> None:
        if self._get("type") == "llm":
            await self._update(self._get("runId"), metadata=self._get("metadata") or {})

    async def _custom_event(self, project_id: str, _user: int | None) -> None:
        await self._upsert_thread(project_id, user=None)
        await self._insert(
            id=self._get("runId"),
            project_id=project_id,
            created_at=self._get("timestamp"),
            ended_at=self._get("timestamp"),
            type="custom-event",
            parent_run_id=self._get("parentRunId"),
            name=self._get("name"),
            metadata=self._get("metadata"),
        )

    async def _chat(self, project_id: str, user: int | None) -> None:
        message = self._message()
        core = core_message(message)
        await self._upsert_thread(project_id, user=user, input=core)
        await asyncio.sleep(0)
        previous = self.database.latest_child(self._get("parentRunId"))
        if previous and truthy(get(message, "isRetry")):
            raise JavaScriptError('column "sibling_run_id" of relation "run" does not exist')
        merges, content = place(previous, get(message, "role"), core)
        shared = {
            "id": self._get("runId"),
            "project_id": project_id,
            "tags": get(message, "tags"),
            "metadata": core.get("metadata", UNDEFINED),
            "user": UNDEFINED if user is None else user,
            "feedback": self._get("feedback"),
            "ended_at": self._get("timestamp"),
            **content,
        }
        if previous and merges:
            return await self._update(previous.id, **shared)
        return await self._insert(
            type="chat",
            parent_run_id=self._get("parentRunId"),
            created_at=self._get("timestamp"),
            **shared,
        )

    def _message(self) -> Value:
        message = self._get("message")
        if message is None or message is UNDEFINED:
            written = "null" if message is None else "undefined"
            raise JavaScriptError(
                f"Cannot destructure property 'role' of 'run.message' as it is {written}."
            )
        return message
