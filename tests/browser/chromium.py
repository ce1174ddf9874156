"""The Chromium that the tests drive: an installed one, else one that this module installs.

`python -m tests.browser.chromium` sees to it that there is one, and says which.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from playwright.sync_api import sync_playwright

#: Names this module to look at first, for a machine with more than one browser.
VARIABLE = "THUMBSEAL_CHROMIUM"

COMMANDS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MAC_APPLICATIONS = (
    Path("/Applications/Chromium.app/Contents/MacOS/Chromium"),
    Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"),
)

# No sandbox: Chromium refuses to start one as root. The rest keeps it from calling home.
FLAGS = (
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class BrowserMissing(Exception):
    """No browser is installed, and none could be."""


def find() -> Path | None:
    """The first browser that starts, or None."""
    return next((path for path in _candidates() if _starts(path)), None)


@cache
def executable() -> Path:
    """The browser to drive; raises BrowserMissing where there is none.

    Call it outside an event loop: where only Playwright's own build is left, Playwright is asked.
    """
    path = find()
    if path is None:
        raise BrowserMissing("No Chromium and no Chrome here: run `make test`, which installs one.")
    return path


def main() -> int:
    if not _see_to_driver():
        _say("Playwright does not start here. On Debian and Ubuntu: apt-get install libatomic1")
        return 1
    path = _see_to_browser()
    if path is None:
        _say(f"No browser starts here. Install Chromium, or name one in {VARIABLE}.")
        return 1
    _say(f"Browser: {path}")
    return 0


def _see_to_driver() -> bool:
    # The Node.js inside Playwright's wheel needs a library that small systems lack.
    if _driver_starts(quiet=True):
        return True
    _apt_install("libatomic1")
    return _driver_starts()


def _see_to_browser() -> Path | None:
    if path := find():
        return path
    _say("No Chromium and no Chrome found.")
    if not _apt_install("chromium", "fonts-dejavu-core"):
        _say("Installing the build that Playwright brings ...")
        _run(sys.executable, "-m", "playwright", "install", "chromium")
    return find()


def _candidates() -> Iterator[Path]:
    if named := os.environ.get(VARIABLE):
        yield Path(named)
        return
    yield from (Path(found) for name in COMMANDS if (found := shutil.which(name)))
    yield from MAC_APPLICATIONS
    yield _playwright_build()


def _playwright_build() -> Path:
    with sync_playwright() as playwright:
        return Path(playwright.chromium.executable_path)


def _starts(path: Path) -> bool:
    # Ubuntu has a `chromium-browser` that only says which snap to install, and a downloaded build
    # may lack a system library: being there is not enough.
    return path.is_file() and _run(path, "--version", quiet=True)


def _driver_starts(*, quiet: bool = False) -> bool:
    return _run(sys.executable, "-m", "playwright", "--version", quiet=quiet)


def _apt_install(*packages: str) -> bool:
    """Install Debian's packages; False where that is not allowed or fails."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return False
    _say(f"Installing {' and '.join(packages)} with apt-get ...")
    return _run("apt-get", "update", "-qq") and _run(
        "apt-get", "install", "-qy", "--no-install-recommends", *packages
    )


def _run(*command: str | Path, quiet: bool = False) -> bool:
    output = subprocess.DEVNULL if quiet else None
    ended = subprocess.run(
        command, check=False, stdin=subprocess.DEVNULL, stdout=output, stderr=output
    )
    return ended.returncode == 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
