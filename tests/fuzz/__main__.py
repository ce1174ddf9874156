"""`make fuzz SECONDS=600`: batches of cases, each with a seed of its own, until that is over."""

import argparse
import json
import logging
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import structlog

from tests.fuzz.driving import Driver, read_document
from tests.fuzz.judging import Figures
from tests.proxy import make_settings, running

BATCH: Final = 1_000  # cases with one log and one seed


def main(arguments: Sequence[str] | None = None) -> None:
    """Fuzz for so long, and write a line of figures for each batch."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="how long to go on")
    parser.add_argument("--seed", type=int, help="try this one batch again")
    asked = parser.parse_args(arguments)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    end, cases = time.monotonic() + asked.seconds, 0
    while True:
        seed = random.SystemRandom().randrange(2**32) if asked.seed is None else asked.seed
        print(f"seed {seed}", flush=True)
        figures = fuzz(seed, BATCH)
        cases += figures.cases
        print(f"{json.dumps(tell(figures))}\n{cases} cases in all", flush=True)
        if asked.seed is not None or time.monotonic() > end:
            return


def fuzz(seed: int, cases: int) -> Figures:
    """About so many cases for a proxy with an empty log.

    Raises:
        FailureGroup, AssertionError: an answer is not as the document says.
    """
    with tempfile.TemporaryDirectory() as folder:
        with running(make_settings(Path(folder), limits="off")) as proxy:
            driver = Driver(proxy, read_document(proxy), seed)
            driver.drive(cases)
        return driver.judge.figures


def tell(figures: Figures) -> dict[str, object]:
    """The figures in one line."""
    statuses = sum(figures.answers.values(), start=type(figures.events)())
    return {
        "test": "fuzz",
        "cases": figures.cases,
        "statuses": dict(sorted(statuses.items())),
        "events": dict(figures.events.most_common()),
    }


if __name__ == "__main__":
    main()
