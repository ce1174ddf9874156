"""The readers of a SQLite log: a few threads, each with a connection of its own."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from thumbseal.errors import LogDamaged, LogError
from thumbseal.log.opening import FAILURES, connect, is_damage

READERS: Final = 2

T = TypeVar("T")


class Readers:
    """Runs read-only work on the log at ``path``."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pool = ThreadPoolExecutor(READERS, "thumbseal-read")
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []

    async def do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """The result of ``work``, all of it in one snapshot.

        Raises:
            LogDamaged: the file is not what SQLite wrote.
            LogError: the disk refused, or the log is closed.
        """

        def run() -> T:
            connection = self._connection()
            connection.execute("BEGIN")
            try:
                return work(connection)
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, run)
        except FAILURES as error:
            kind = LogDamaged if is_damage(error) else LogError
            raise kind(f"The log cannot be read: {error}.") from error
        except RuntimeError as error:  # the pool was shut down
            raise LogError("The log is closed.") from error

    async def close(self) -> None:
        """Finish what is under way."""
        await asyncio.to_thread(self._pool.shutdown)
        for connection in self._connections:
            connection.close()

    def _connection(self) -> sqlite3.Connection:
        if not hasattr(self._local, "connection"):
            self._local.connection = connect(self._path)
            self._local.connection.execute("PRAGMA query_only = ON")
            self._connections.append(self._local.connection)
        connection: sqlite3.Connection = self._local.connection
        return connection
