"""Fixtures that most tests share."""

from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.indexed import await_followers
from tests.proxy import Proxy, make_settings, running

# An example may take as long as a busy machine makes it: no test is a matter of time.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


@pytest.fixture
def anyio_backend() -> str:
    """The only event loop that the server runs on."""
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def nobody_left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """However the servers of the tests have ended, no process of theirs outlives them."""
    yield
    await_followers(tmp_path_factory.getbasetemp(), 0)


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    """A running proxy with one site, ``support``, and no upstream."""
    with running(make_settings(tmp_path)) as running_proxy:
        yield running_proxy
