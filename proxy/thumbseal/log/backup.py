"""A copy of a log as it is at one moment, also while a server writes to it."""

import sqlite3
from contextlib import closing
from pathlib import Path

from thumbseal.errors import LogError
from thumbseal.log import opening


def copy(path: Path, target: Path) -> int:
    """Copy the log at ``path`` into a new file, for its owner's eyes alone; its size in bytes.

    Raises:
        LogError: there is no log, it is damaged, or the copy cannot be written.
    """
    with opening.beside(path) as log:
        try:
            target.touch(mode=0o600, exist_ok=False)
        except OSError as error:
            raise LogError(f"Cannot write {target}: {error.strerror}.") from error
        try:
            with closing(sqlite3.connect(target)) as file:
                log.backup(file)
                _check(file)
                # One file, with no journal beside it, is what people copy elsewhere.
                file.execute("PRAGMA journal_mode = DELETE")
        except (sqlite3.Error, LogError) as error:
            target.unlink()
            raise LogError(f"The log was not copied to {target}: {error}.") from error
    return target.stat().st_size


def _check(file: sqlite3.Connection) -> None:
    (verdict,) = file.execute("PRAGMA integrity_check(1)").fetchone()
    if verdict != "ok":
        raise LogError(f"it is damaged ({verdict})")
