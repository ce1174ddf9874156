"""What a process costs, as Linux counts it."""

import os
from pathlib import Path
from typing import Final

MIB: Final = 1024 * 1024


def peak(pid: int) -> int:
    """The most bytes of memory that a process has had, since it began or since a `Cost` of it."""
    return _status(pid, "VmHWM")


def cpu(pid: int) -> float:
    """The seconds of a processor that a process has used."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / float(os.sysconf("SC_CLK_TCK"))


def _status(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


class Cost:
    """What a process has read, and by how much its memory has grown at most, since then."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._folder = Path(f"/proc/{pid}")
        (self._folder / "clear_refs").write_text("5")  # the peak begins anew
        self._read, self._held = self._bytes(), self.held()

    def read(self) -> int:
        """Bytes, of sockets and files alike."""
        return self._bytes() - self._read

    def grown(self) -> int:
        """Bytes of memory."""
        return peak(self._pid) - self._held

    def held(self) -> int:
        """Bytes of memory it has now."""
        return _status(self._pid, "VmRSS")

    def files(self) -> int:
        """How many it has open."""
        return sum(1 for _ in (self._folder / "fd").iterdir())

    def _bytes(self) -> int:
        return int((self._folder / "io").read_text().split()[1])
