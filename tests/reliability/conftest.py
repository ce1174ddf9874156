"""What every reliability test has: a seed that can be given, and a line for its figures."""

import json
import os
import random
import sys
from collections.abc import Callable, Mapping

import pytest

Report = Callable[[Mapping[str, object]], None]


@pytest.fixture
def seed() -> int:
    """A new seed, or the one in ``THUMBSEAL_SEED``: it decides the script and the kill times."""
    return int(os.environ.get("THUMBSEAL_SEED") or random.SystemRandom().randrange(2**32))


@pytest.fixture
def report(capsys: pytest.CaptureFixture[str]) -> Report:
    """Writes a test's figures as one JSON line, also when it passes."""

    def write(figures: Mapping[str, object]) -> None:
        with capsys.disabled():
            sys.stdout.write(f"\n{json.dumps(figures)}\n")

    return write
