"""Batches on their way into the database, and what became of each event."""

import math
from dataclasses import dataclass
from functools import cmp_to_key

from .clock import Clock
from .messages import clean
from .registration import Registration
from .rows import Database
from .values import UNDEFINED, JavaScriptError, LunaryError, Value, defined, get, read_date

Result = dict[str, Value]


@dataclass(frozen=True)
class Effect:
    """What one event did: the answer it got, and the ids of the rows that differ because of it."""

    event: Value
    success: bool
    error: str | None
    changed: tuple[str, ...]


@dataclass(frozen=True)
class Ingestion:
    """The way of batches into one database; every event leaves its `Effect`."""

    database: Database
    clock: Clock
    effects: list[Effect]

    async def process(self, project_id: str, events: Value) -> list[Result]:
        """Apply a batch in the order of its timestamps and give a result for each event.

        Raises `JavaScriptError` for a null among the events.
        """
        batch = events if isinstance(events, list) else [events]
        if None in batch:
            raise JavaScriptError("Cannot read properties of null (reading 'timestamp')")
        ordered = sorted(batch, key=cmp_to_key(_by_timestamp))
        return [await self._process_one(project_id, event) for event in ordered]

    async def _process_one(self, project_id: str, event: Value) -> Result:
        if isinstance(event, list) and len(event) == 1:
            event = event[0]
        changed: list[str] = []
        error = None
        try:
            self.database.use()
            await Registration(
                self.database, self.clock, project_id, clean(event), changed
            ).register()
        except LunaryError as failure:
            error = str(failure)
        self.effects.append(Effect(event, error is None, error, tuple(changed)))
        result = {"id": get(event, "runId"), "success": error is None, "error": error or UNDEFINED}
        return defined(result)


def _by_timestamp(one: Value, other: Value) -> int:
    difference = read_date(get(one, "timestamp")) - read_date(get(other, "timestamp"))
    return 0 if math.isnan(difference) else (difference > 0) - (difference < 0)
