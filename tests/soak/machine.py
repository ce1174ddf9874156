"""The server of a soak, and what it takes of the machine."""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from thumbseal.keys import new_key

ORIGIN: Final = "https://chat.example.com"
UPSTREAM: Final = ("support/hook", "support")
MIB: Final = 1024 * 1024
# What a quarter of a soak may take more than an earlier one, as noise: an allocator's arenas, a
# journal that was read while it was cut.
NOISE: Final = {"memory": 8 * MIB, "journal": 4 * MIB, "files": 4}
_SETTINGS: Final = """\
[server]
listen = "127.0.0.1:0"
log = "sqlite:log.db"

[sites.support]
keys = ["file:site.key"]
origins = ["{origin}"]
limits = "off"

[[sites.support.upstreams]]
name = "hook"
kind = "webhook"
url = "{url}"
secret = "file:hook.secret"
allow_private = ["127.0.0.1"]
"""


@dataclass(frozen=True)
class Sample:
    """What a server takes at a moment: bytes of memory, bytes of its journal, open files."""

    memory: int
    journal: int
    files: int


class Served:
    """A server process over a folder."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path, url: str) -> None:
        self.url = url
        self.log = folder / "log.db"
        self._process = process

    def sample(self) -> Sample:
        assert self._process.poll() is None, "the server has ended by itself"
        files = Path(f"/proc/{self._process.pid}/fd")
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        return Sample(
            pages * os.sysconf("SC_PAGE_SIZE"),
            self.log.with_name("log.db-wal").stat().st_size,
            len(list(files.iterdir())),
        )


@contextmanager
def serving(folder: Path, upstream: str) -> Iterator[Served]:
    """A server with this webhook; what it says goes into a file beside its log."""
    settings = folder / "thumbseal.toml"
    settings.write_text(_SETTINGS.format(origin=ORIGIN, url=upstream), "utf-8")
    (folder / "site.key").write_text(new_key(), "utf-8")
    (folder / "hook.secret").write_text("whsec_" + "c" * 40, "utf-8")
    lines = folder / "lines.json"
    command = [sys.executable, "-m", "thumbseal", "serve", "--config", str(settings)]
    with lines.open("wb") as out:
        process = subprocess.Popen(command, stderr=out)
    try:
        yield Served(process, folder, _url(process, lines))
    finally:
        process.terminate()
        process.wait()


def _url(process: subprocess.Popen[bytes], lines: Path) -> str:
    while process.poll() is None:
        for line in lines.read_text("utf-8").splitlines():
            if '"serving"' in line:
                return str(json.loads(line)["url"])
    raise RuntimeError("The server did not start:\n" + lines.read_text("utf-8"))


def growth(samples: Sequence[Sample]) -> dict[str, int]:
    """What the last quarter takes more than the second one, by the median of each. The first is
    for warming up."""
    quarter = len(samples) // 4
    earlier, later = samples[quarter : 2 * quarter], samples[-quarter:]
    return {
        name: round(_median(later, name) - _median(earlier, name))
        for name in Sample.__dataclass_fields__
    }


def _median(samples: Sequence[Sample], name: str) -> float:
    return float(statistics.median(getattr(sample, name) for sample in samples))
