"""What these tests share: those of reliability have a seed and a line for the figures, and here a
library is compiled."""

import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.reliability.conftest import report, seed

__all__ = ["report", "seed"]

HERE: Final = Path(__file__).parent


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library between the server and its disk."""
    return _compile("shim", tmp_path_factory.mktemp("shim"))


@pytest.fixture(scope="session")
def clock_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library between the server and the time of day."""
    return _compile("clock", tmp_path_factory.mktemp("clock"))


def _compile(name: str, folder: Path) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc")
    assert compiler, "This test needs a C compiler: apt-get install gcc libc6-dev"
    library = folder / f"{name}.so"
    flags = ["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    source = HERE / f"{name}.c"
    subprocess.run([compiler, *flags, "-o", library, source, "-ldl", "-lpthread"], check=True)
    return library
