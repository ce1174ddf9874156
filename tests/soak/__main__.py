"""`make soak HOURS=24`: people talk for hours, the receiver is not always well, and at the end the
figures must be right to the event, and memory, journal and open files no more than before."""

import argparse
import asyncio
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from random import Random, SystemRandom
from typing import Any, Final

import httpx2

from tests.doubles.serving import serve
from tests.reliability.conservation import check_conservation
from tests.soak.machine import MIB, NOISE, ORIGIN, UPSTREAM, Sample, Served, growth, serving
from tests.soak.receiver import Receiver
from thumbseal.log import Counts

PAGES: Final = 8
REQUESTS: Final = 10  # in a thread
BATCH: Final = 2  # events in a request
PERIOD: Final = 5.0  # seconds between two samples
LOOK: Final = 60.0  # seconds between two looks at promise 2
DRAIN: Final = 600.0  # seconds
HEADERS: Final = {"Origin": ORIGIN, "Content-Type": "text/plain"}


class Page:
    """Somebody who opens a thread, talks, and opens the next one."""

    def __init__(self, http: httpx2.AsyncClient, pause: float) -> None:
        self._http = http
        self._pause = pause
        self.acknowledged = 0

    async def run(self, until: float) -> None:
        while time.monotonic() < until:
            opened = await self._post("/v1/threads", {"site": "support", "want": REQUESTS * BATCH})
            blanks = iter(opened["messages"])
            for number in range(REQUESTS):
                events = [
                    {
                        "type": "message",
                        "id": uuid.uuid4().hex,
                        "at": _ms(),
                        "message": next(blanks)["token"],
                        "role": "user",
                        "content": f"{number * BATCH + place} of {REQUESTS * BATCH}",
                    }
                    for place in range(1, BATCH + 1)
                ]
                body = {"token": opened["thread"]["token"], "sent_at": _ms(), "events": events}
                answer = await self._post("/v1/events", body)
                assert [each["status"] for each in answer["results"]] == ["accepted"] * BATCH
                self.acknowledged += BATCH
                await asyncio.sleep(self._pause)

    async def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = await self._http.post(path, json=body, headers=HEADERS)
        assert answer.status_code in (200, 202), answer.text
        return dict(answer.json())


def _ms() -> int:
    return int(time.time() * 1000)


async def soak(served: Served, seconds: float, rate: float) -> tuple[int, list[Sample]]:
    """The events that were acknowledged, and a sample each few seconds."""
    samples: list[Sample] = []
    until = time.monotonic() + seconds
    async with httpx2.AsyncClient(base_url=served.url, trust_env=False, timeout=60) as http:
        pages = [Page(http, PAGES * BATCH / rate) for _ in range(PAGES)]
        async with asyncio.TaskGroup() as group:
            for page in pages:
                group.create_task(page.run(until))
            next_look = time.monotonic() + LOOK
            while time.monotonic() < until:
                await asyncio.sleep(PERIOD)
                samples.append(served.sample())
                if time.monotonic() >= next_look:
                    next_look += LOOK
                    counts = await asyncio.to_thread(check_conservation, served.log, *UPSTREAM)
                    print(_line(samples[-1], counts, until - time.monotonic()), flush=True)
    return sum(page.acknowledged for page in pages), samples


def _line(sample: Sample, counts: Counts, left: float) -> str:
    return (
        f"{counts.accepted:>10,} accepted  {counts.delivered:>10,} delivered"
        f"  {counts.pending + counts.held:>6,} wait  {sample.memory / MIB:6.1f} MiB"
        f"  journal {sample.journal / MIB:5.1f} MiB  {sample.files:>3} files"
        f"  {max(left, 0) / 60:6.0f} min left"
    )


def drained(served: Served) -> Counts:
    """The figures, once nothing waits any more."""
    until = time.monotonic() + DRAIN
    while True:
        counts = check_conservation(served.log, *UPSTREAM)
        if not counts.pending + counts.held or time.monotonic() > until:
            return counts
        time.sleep(1.0)


def report(
    acknowledged: int, counts: Counts, receiver: Receiver, samples: Sequence[Sample]
) -> bool:
    """Print what came of it; whether all of it is as it must be."""
    grown = growth(samples)
    print(f"{acknowledged:,} acknowledged; {counts}")
    print(f"receiver: {dict(receiver.counts)}, {receiver.unfinished} threads unfinished")
    told = ", ".join(f"{name} {value:,}" for name, value in grown.items())
    print(f"grown from the second quarter to the last: {told}")
    exact = (
        acknowledged == counts.accepted == counts.delivered == receiver.counts["received"]
        and not receiver.unfinished
        and not receiver.counts["disordered"]
    )
    flat = all(value <= NOISE[name] for name, value in grown.items())
    print("exact" if exact else "NOT EXACT", "and flat" if flat else "and NOT FLAT")
    return exact and flat


def main() -> None:
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--hours", type=float, default=24.0, help="how long; 24 unless given")
    parser.add_argument("--rate", type=float, default=50.0, help="events a second; 50")
    parser.add_argument("--seed", type=int, default=SystemRandom().getrandbits(32))
    options = parser.parse_args()
    print(f"seed {options.seed}, {options.hours:g} hours at {options.rate:g} events a second")
    receiver = Receiver(Random(options.seed))
    with (
        tempfile.TemporaryDirectory(prefix=".soak-") as folder,
        serve(receiver) as url,
        serving(Path(folder), url) as served,
    ):
        acknowledged, samples = asyncio.run(soak(served, options.hours * 3600, options.rate))
        counts = drained(served)
    sys.exit(not report(acknowledged, counts, receiver, samples))


if __name__ == "__main__":
    main()
