"""Fixtures that most tests share."""

from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.proxy import Proxy, make_settings, running

# An example may take as long as a busy machine makes it: no test is a matter of time.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


@pytest.fixture
def anyio_backend() -> str:
    """The only event loop that the server runs on."""
    return "asyncio"


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    """A running proxy with one site, ``support``, and no upstream."""
    with running(make_settings(tmp_path)) as running_proxy:
        yield running_proxy
