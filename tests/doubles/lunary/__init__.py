"""A Lunary that runs in the tests, as observed on Lunary's open-source backend a86d6986.

    double = LunaryDouble()
    with serve(double) as url:
        ...                                  # Authorization: Bearer {PROJECT.private_key}
    double.exchanges(thread_id)              # what is stored
    double.journal, double.effects           # what was asked, and what came of it
    double.faults.plan(Cut(), Hang(), None)  # what goes wrong next; None is an honest answer

Time is a `VirtualClock`: nothing waits and no limit ends until a test calls ``clock.advance``.
"""

from .clock import Clock, SystemClock, VirtualClock
from .double import LunaryDouble
from .faults import (
    HTML_PAGE,
    Alter,
    Answer,
    Cut,
    Endless,
    Fault,
    Faults,
    Hang,
    Instead,
    Outage,
    Received,
)
from .ingest import Effect
from .rows import OTHER_PROJECT, PROJECT, Project, Run, User
from .values import derive_uuid

__all__ = [
    "HTML_PAGE",
    "OTHER_PROJECT",
    "PROJECT",
    "Alter",
    "Answer",
    "Clock",
    "Cut",
    "Effect",
    "Endless",
    "Fault",
    "Faults",
    "Hang",
    "Instead",
    "LunaryDouble",
    "Outage",
    "Project",
    "Received",
    "Run",
    "SystemClock",
    "User",
    "VirtualClock",
    "derive_uuid",
]
