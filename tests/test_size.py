"""How much a page downloads. A table is printed on every run; over budget is a failure."""

import gzip
from typing import Final

import brotli
import pytest

from tests.proxy import make_settings, running
from thumbseal import __version__
from thumbseal_widget import Release
from thumbseal_widget.build import build

# Bytes after Brotli 11: the script in English, the client for pages with buttons of their own, and
# what another language adds. The client's aim is 2,048; its figure here grows for a fault alone.
WIDGET: Final = 6_144
CLIENT: Final = 3_536
LANGUAGE: Final = 400


@pytest.fixture(scope="module")
def release() -> Release:
    return build(__version__)


@pytest.fixture(scope="module")
def rendered(release: Release, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The script with a site's settings, as its pages load it."""
    configured = make_settings(
        tmp_path_factory.mktemp("log"), reasons=("Wrong", "Unsafe", "Not helpful")
    )
    with running(configured, widget=release) as proxy:
        return proxy.http.get("/widget.js").content


def small(body: bytes) -> int:
    return len(brotli.compress(body, quality=11))


def test_the_sizes_are_seen(
    release: Release, rendered: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever runs the tests sees what a change costs a page."""
    scripts = {name: file.body for name, file in release.files.items() if name[-2:] == "js"}
    with capsys.disabled():
        print(f"\n\n{'bytes':24}{'raw':>9}{'gzip':>9}{'brotli':>9}")  # noqa: T201
        for name, body in {"widget.js with settings": rendered, **scripts}.items():
            sizes = (len(body), len(gzip.compress(body)), small(body))
            print(f"{name:24}" + "".join(f"{size:9,}" for size in sizes))  # noqa: T201
    assert len(scripts) > 3


def test_the_widget_is_within_budget(rendered: bytes) -> None:
    """What every page loads, with a site's settings."""
    assert small(rendered) <= WIDGET


def test_the_client_is_within_budget(release: Release) -> None:
    """What a page with buttons of its own imports."""
    assert small(release.files["client.mjs"].body) <= CLIENT


def test_a_language_is_within_budget(release: Release) -> None:
    """No language costs its readers much more than another."""
    sizes = {n: small(f.body) for n, f in release.files.items() if n.startswith("languages/")}
    assert max(sizes.values()) <= LANGUAGE, sizes
