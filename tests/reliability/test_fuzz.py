"""R25: whatever is asked, the answer is one that `/openapi.json` promises, and no fault of ours.

``make fuzz`` goes on for as long as one likes, each batch with a seed of its own.
"""

import os
from collections.abc import Callable
from typing import Any, Final

import pytest
from schemathesis.core.failures import FailureGroup

from tests.fuzz.__main__ import tell
from tests.fuzz.driving import Driver, read_document
from tests.proxy import Proxy, make_settings, running
from tests.reliability.conftest import Report

CASES: Final = 700  # a quarter of a minute; the 5,000 of R25 are `make fuzz SECONDS=120`
SEED: Final = int(os.environ.get("THUMBSEAL_SEED") or 25)  # fixed: what is new in a run is the code


@pytest.fixture
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A proxy without limits in time, whose tokens are good for as long as the test runs."""
    with running(make_settings(tmp_path_factory.mktemp("log"), limits="off")) as running_proxy:
        yield running_proxy


def test_every_answer_is_one_that_the_document_promises(proxy: Proxy, report: Report) -> None:
    """No 5xx, no status, type, header or form that is not described; what is wrong by the
    document is refused and what is right is taken, and all of it got behind the tokens."""
    document = read_document(proxy)
    driver = Driver(proxy, read_document(proxy), SEED)
    driver.drive(CASES)
    figures = driver.judge.figures
    report({"seed": SEED, **tell(figures)})
    assert figures.cases >= CASES * 0.9
    for path, place in document["paths"].items():
        for method, operation in place.items():
            seen = figures.answers[f"{method.upper()} {path}"]
            assert seen[min(operation["responses"])] > 0, f"{path} was never answered well"
    assert min(figures.events[code] for code in ("accepted", "duplicate", "bad_event")) > 1


def _undocumented(document: dict[str, Any]) -> None:
    del document["paths"]["/v1/threads"]["post"]["responses"]["401"]


def _narrower_answer(document: dict[str, Any]) -> None:
    document["components"]["schemas"]["Opened"]["properties"]["expires"] = {"type": "string"}


def _wider_body(document: dict[str, Any]) -> None:
    document["components"]["schemas"]["Opening"]["properties"]["more"] = {"type": "boolean"}


@pytest.mark.parametrize("lie", [_undocumented, _narrower_answer, _wider_body])
def test_a_document_that_lies_is_found_out(
    proxy: Proxy, lie: Callable[[dict[str, Any]], None]
) -> None:
    """The judge can fail: over a status that is not described, an answer of another form, and a
    body that was refused."""
    document = read_document(proxy)
    lie(document)
    with pytest.raises((FailureGroup, AssertionError)):
        Driver(proxy, document, SEED).drive(CASES // 2)
