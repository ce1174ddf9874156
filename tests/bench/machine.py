"""What the figures were measured on, and the cores and processes used for it."""

import json
import os
import platform
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import IO, Final
from urllib.parse import urlsplit

from tests.machine.cost import cpu

PACKAGES: Final = ("starlette", "uvicorn", "uvloop", "httptools", "msgspec")
SYNCS: Final = 200
STILL: Final = 0.5  # seconds without work after which there is none left
TOLD: Final = Path("/proc/self/stat")
POLL: Final = 0.05  # seconds between looks at what a server has said
PAGE: Final = b"\0" * 4096


def describe(folder: Path) -> dict[str, object]:
    """Versions, cores, load, and what a sync costs in ``folder``."""
    return {
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
        "sqlite": sqlite3.sqlite_version,
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "load_average": [round(each, 2) for each in os.getloadavg()],
        "fdatasync_p50_ms": round(time_sync(folder) * 1000, 3),
    }


def time_sync(folder: Path) -> float:
    """The median seconds of an fdatasync after a write of 4 KiB."""
    path, took = folder / "sync", []
    with path.open("wb", buffering=0) as file:
        for _ in range(SYNCS):
            file.write(PAGE)
            began = time.perf_counter()
            getattr(os, "fdatasync", os.fsync)(file.fileno())
            took.append(time.perf_counter() - began)
    path.unlink()
    return median(took)


@dataclass(frozen=True)
class Cores:
    """The server's and the generator's core; both None where there are not two to choose from."""

    server: int | None = None
    generator: int | None = None

    @classmethod
    def choose(cls) -> "Cores":
        if sys.platform != "linux":
            return cls()
        free = sorted(os.sched_getaffinity(0))
        return cls(free[0], free[1]) if len(free) > 1 else cls()


def pin(core: int | None, process: int = 0) -> None:
    """Keep a process, if not this one, and those it starts from now on, on one core."""
    if sys.platform == "linux" and core is not None:
        os.sched_setaffinity(process, {core})


@dataclass(frozen=True)
class Served:
    """A server process and the port it serves on."""

    process: subprocess.Popen[str]
    port: int
    cores: Cores

    def cpu(self) -> float | None:
        """The seconds of CPU that it and its children have used so far; None where the system does
        not tell."""
        return sum(map(cpu, self.family())) if TOLD.exists() else None

    def settle(self) -> None:
        """Return once it has done what was left to do after its answers. Its children leave its
        core to it from now on, as they would on a machine that does nothing else."""
        for child in self.family()[1:]:
            pin(self.cores.generator, child)
        before = None
        while (now := self.cpu()) != before:
            before = now
            time.sleep(STILL)

    def family(self) -> list[int]:
        """It and its children, by their ids."""
        if not TOLD.exists():
            return [self.process.pid]
        tasks = Path(f"/proc/{self.process.pid}/task").iterdir()
        children = [child for task in tasks for child in (task / "children").read_text().split()]
        return [self.process.pid, *map(int, children)]


@contextmanager
def serving(module: str, *arguments: str, cores: Cores) -> Iterator[Served]:
    """A Python module that serves in a process of its own, on the server's core."""
    pin(cores.server)
    command = [sys.executable, "-m", module, *arguments]
    # A file takes a line for each request without end; a pipe that nobody reads would stop it.
    # Opened to append: looking at it must not move where the server writes.
    with tempfile.TemporaryFile("a+") as said:
        process = subprocess.Popen(command, stderr=said, text=True)
        pin(cores.generator)
        try:
            yield Served(process, _port(process, said), cores)
        finally:
            process.terminate()
            process.wait()


def _port(process: subprocess.Popen[str], said: IO[str]) -> int:
    """The port from the line that says where it serves."""
    while process.poll() is None:
        said.seek(0)
        for line in said.readlines():
            if line.startswith("{") and line.endswith("\n"):
                told = json.loads(line)
                if told.get("event") == "serving":
                    return int(urlsplit(told["url"]).netloc.rpartition(":")[2])
        time.sleep(POLL)
    said.seek(0)
    raise RuntimeError(f"The server did not start:\n{said.read()}")
