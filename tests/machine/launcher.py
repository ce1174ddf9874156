"""The server as it is started for a power cut; with ``normal`` its log does not sync each commit.

That is the control: a harness that finds nothing wrong with it finds nothing.
"""

import sqlite3
import sys
from pathlib import Path

from thumbseal.cli import main
from thumbseal.log import opening, sqlite


def connect_carelessly(path: Path) -> sqlite3.Connection:
    """A connection that trusts the disk to write soon."""
    connection = opening.connect(path)
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection


if __name__ == "__main__":
    if sys.argv.pop(1) == "normal":
        sqlite.connect = connect_carelessly  # type: ignore[attr-defined]
    main()
