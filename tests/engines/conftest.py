"""The three engines, a fresh profile and a fresh origin for each test, and what always holds."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from glob import glob
from pathlib import Path
from typing import Final

import pytest

from tests.engines.chromium import Chromium
from tests.engines.firefox import Firefox
from tests.engines.host import hosting
from tests.engines.page import Engine
from tests.engines.stage import Stage, staged
from tests.engines.webkit import WebKit

START: Final[dict[str, Callable[..., Engine]]] = {
    "chromium": Chromium,
    "firefox": Firefox,
    "webkit": WebKit,
}
# What each engine needs: a command's name or a pattern of its path, and Debian's package.
NEEDS: Final = {
    "chromium": {"chromium": "chromium"},
    "firefox": {"firefox-esr": "firefox-esr"},
    "webkit": {
        "WebKitWebDriver": "webkit2gtk-driver",
        "/usr/lib/*/webkit2gtk-4.*/MiniBrowser": "webkit2gtk-driver",
        "Xvfb": "xvfb",
    },
}


@pytest.fixture(scope="session", params=list(START))
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """One browser for all tests."""
    needs = NEEDS[request.param]
    found = {each: shutil.which(each) or next(iter(glob(each)), None) for each in needs}
    if missing := sorted({needs[each] for each, path in found.items() if path is None}):
        pytest.fail(
            f"The engine {request.param} is not installed. On Debian: "
            f"apt-get install -y --no-install-recommends {' '.join(missing)}",
            pytrace=False,
        )
    commands = [path for each, path in found.items() if each != "Xvfb"]
    browser = START[request.param](*commands)
    yield browser
    browser.close()


MakeStage = Callable[..., Stage]


@pytest.fixture
def make_stage(engine: Engine, tmp_path: Path) -> Iterator[MakeStage]:
    """Makes a stage whose site has the settings given; holds it to what every page may expect."""
    made: list[Stage] = []
    with ExitStack() as stack:
        host = stack.enter_context(hosting())
        profile = engine.open_profile()

        def make(**site: object) -> Stage:
            made.append(stack.enter_context(staged(profile, host, tmp_path, **site)))
            return made[-1]

        yield make
        profile.close()
    for stage in made:
        assert not [each for each in stage.traffic.requests if each.method == "OPTIONS"]
    assert not host.errors


@pytest.fixture
def stage(make_stage: MakeStage) -> Stage:
    """A stage with the usual settings."""
    return make_stage()
