"""A server in 256 MiB with a million events that wait: R30 of the reliability catalogue.

An upstream takes them as fast as they come while the index reads the whole log; then the server is
started once more. Times are printed, and judged nowhere but where they would be a fault.
"""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx2
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.bench.history import write_history
from tests.doubles.serving import serve
from tests.indexed import await_followers
from tests.machine.control_group import ControlGroup, control_group
from tests.machine.cost import MIB, peak
from tests.raw import Raw, running_raw
from tests.reliability.conftest import Report
from thumbseal.keys import new_key

EVENTS: Final = int(os.environ.get("THUMBSEAL_PENDING", "1000000"))
ALLOWED: Final = 256 * MIB
READY: Final = 5.0  # seconds
DELIVERED: Final = 1_000  # events, before it is started again
PATIENCE: Final = 120.0
SETTINGS: Final = """\
[server]
listen = "127.0.0.1:0"
log = "sqlite:log.db"
lines = "json"

[sites.support]
keys = ["file:site.key"]
origins = ["https://chat.example.com"]
retention_days = 3650

[[sites.support.upstreams]]
name = "hook"
kind = "webhook"
url = "{url}"
secret = "file:hook.secret"
allow_private = ["127.0.0.1"]
"""


class Receiver:
    """A webhook's receiver that takes everything at once, and counts."""

    def __init__(self) -> None:
        self.taken = 0
        self._changed = threading.Condition()
        self.app = Starlette(routes=[Route("/", self._take, methods=["POST"])])

    async def _take(self, request: Request) -> Response:
        await request.body()
        with self._changed:
            self.taken += 1
            self._changed.notify_all()
        return Response(status_code=204)

    def wait(self, count: int) -> None:
        """Return once so many were taken."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.taken >= count, PATIENCE), self.taken


@contextmanager
def serving_within(folder: Path, group: ControlGroup) -> Iterator[tuple[Raw, float]]:
    """A server in the group, and the seconds until it was ready."""
    inside = ["/bin/sh", "-c", f'echo $$ > {group.join} && exec "$@"', "sh"]
    began = time.monotonic()
    with running_raw(folder / "thumbseal.toml", inside) as raw:
        answer = httpx2.get(f"http://127.0.0.1:{raw.port}/readyz", trust_env=False)
        assert answer.text == "ready"
        yield raw, time.monotonic() - began


def test_a_million_events_wait_in_256_mib(tmp_path: Path, report: Report) -> None:
    write_history(tmp_path / "log.db", EVENTS)
    (tmp_path / "site.key").write_text(new_key())
    (tmp_path / "hook.secret").write_text("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    receiver = Receiver()
    figures: dict[str, Any] = {"test": "ceiling", "pending": EVENTS, "allowed_mib": ALLOWED // MIB}
    with serve(receiver.app) as url, control_group() as group:
        (tmp_path / "thumbseal.toml").write_text(SETTINGS.format(url=url))
        group.allow(ALLOWED)
        for start in ("first", "second"):
            before = receiver.taken
            with serving_within(tmp_path, group) as (raw, ready):
                receiver.wait(before + DELIVERED)
                (index,) = await_followers(tmp_path, 1)
                figures |= {
                    f"{start}_ready_after": round(ready, 2),
                    f"{start}_peak_mib": round(peak(raw.process.pid) / MIB),
                    f"{start}_index_peak_mib": round(peak(index) / MIB),
                }
            assert group.killed() == 0
            assert ready < READY
    report({**figures, "delivered": receiver.taken})
