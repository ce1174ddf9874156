"""Fixtures that most tests share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.proxy import Proxy, make_settings, running


@pytest.fixture
def anyio_backend() -> str:
    """The only event loop that the server runs on."""
    return "asyncio"


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    """A running proxy with one site, ``support``, and no upstream."""
    with running(make_settings(tmp_path)) as running_proxy:
        yield running_proxy
