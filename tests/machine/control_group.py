"""A control group of Linux, in which processes get so much memory and no more."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from uuid import uuid4

_ROOT: Final = Path("/sys/fs/cgroup")


class ControlGroup:
    """A group of either version; ``join`` is a file that a process writes its id into."""

    def __init__(self, folder: Path, limit: str, killed: str) -> None:
        self._folder = folder
        self.join = folder / "cgroup.procs"
        self._limit = folder / limit
        self._killed = folder / killed

    def allow(self, size: int) -> None:
        """Bytes of memory, the cache of its files included."""
        self._limit.write_text(str(size))

    def killed(self) -> int:
        """How many of its processes were killed for want of memory."""
        lines = (line.split() for line in self._killed.read_text().splitlines())
        return next(int(value) for name, value in lines if name == "oom_kill")


@contextmanager
def control_group() -> Iterator[ControlGroup]:
    """A fresh group, which takes root; fails where the system has no memory controller."""
    name = f"thumbseal-{uuid4().hex[:8]}"
    if (_ROOT / "memory").is_dir():
        folder, files = _ROOT / "memory" / name, ("memory.limit_in_bytes", "memory.oom_control")
    else:
        assert "memory" in (_ROOT / "cgroup.controllers").read_text(), "no memory controller"
        (_ROOT / "cgroup.subtree_control").write_text("+memory")
        folder, files = _ROOT / name, ("memory.max", "memory.events")
    folder.mkdir()
    try:
        yield ControlGroup(folder, *files)
    finally:
        folder.rmdir()
