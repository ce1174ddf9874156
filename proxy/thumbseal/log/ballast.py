"""Ballast: room on the disk that is given up when there is none, so that what frees room can go on.

A full disk would deadlock a log in SQLite: deleting needs room, too. So a file of some megabytes
lies beside it. Whoever meets the full disk unlinks it; from then on nothing that grows the log is
taken, but deliveries are settled and rows removed. Once there is room again, the file comes back.
"""

import os
import shutil
import sqlite3
from pathlib import Path
from typing import Final

SIZE: Final = 2 * 1024 * 1024  # bytes: enough for the journal of many small transactions
CHUNK: Final = bytes(64 * 1024)


class Ballast:
    """``full`` says that the ballast was given up and could not be taken again yet."""

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(f"{path.name}.ballast")
        self.full = False

    def take(self) -> None:
        """Have the ballast, if there is room for it and as much again."""
        if self._path.exists() and self._path.stat().st_size == SIZE:
            self.full = False
            return
        if not self._has_room():
            return
        try:
            with self._path.open("wb") as file:
                for _ in range(SIZE // len(CHUNK)):
                    file.write(CHUNK)  # written, not sparse: it must really take its room
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            self._path.unlink(missing_ok=True)
        else:
            self.full = False

    def give_up(self) -> bool:
        """Make room; whether there was any to make."""
        self.full = True
        try:
            self._path.unlink()
        except OSError:  # it is not there, or nothing can be changed on this disk
            return False
        return True

    def leaves_room(self) -> bool:
        """Whether others may write beside the log. What the ballast gave up is not theirs:
        deliveries could not be settled any more."""
        return self._path.exists() or self._has_room()

    def _has_room(self) -> bool:
        return shutil.disk_usage(self._path.parent).free >= 2 * SIZE


def is_full(error: BaseException) -> bool:
    """Whether an error says that there is no room: also where SQLite could not extend its index
    of the journal, which is an input/output error."""
    code = getattr(error, "sqlite_errorcode", None)
    return code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_IOERR_WRITE)
