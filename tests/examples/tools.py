"""Programs of the system that tests run, and the packages of Debian that have them."""

import os
import shutil
from typing import Final

PATH: Final = f"{os.environ['PATH']}{os.pathsep}/usr/sbin"


def tool(name: str, package: str) -> str:
    """Where a program is. A test without it fails: nothing is skipped."""
    found = shutil.which(name, path=PATH)
    assert found, f"{name} is not installed: apt-get install --no-install-recommends {package}"
    return found
