"""A floor and a value measured in turns, and their ratio."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from tests.bench.generator import Expected, Load, generate
from tests.bench.machine import Served


@dataclass(frozen=True)
class Round:
    """One round of one side: units a second, the load, and the seconds of CPU that the server
    used for it, also after its answers; None where the system does not tell."""

    rate: float
    load: Load
    server_cpu: float | None

    @property
    def busy(self) -> float | None:
        """The share of its core that the server took."""
        return None if self.server_cpu is None else self.server_cpu / self.load.seconds

    @property
    def cost(self) -> float | None:
        """The seconds of CPU that a unit cost the server."""
        return None if self.busy is None else self.busy / self.rate


@dataclass(frozen=True)
class Side:
    """A server with what is sent to it; ``write`` makes a round's requests, ``worth`` says how
    many units one of them is."""

    served: Served
    write: Callable[[], Sequence[bytes]]
    expected: Expected
    worth: int = 1

    def measure(self) -> Round:
        requests = self.write()
        before = self.served.cpu()
        load = generate(self.served.port, requests, self.expected)
        self.served.settle()
        after = self.served.cpu()
        used = None if before is None or after is None else after - before
        return Round(load.rate * self.worth, load, used)


@dataclass(frozen=True)
class Comparison:
    """Rounds of a floor and a value, in the order measured; ``target`` is the ratio aimed at."""

    name: str
    what: str
    target: float | None
    floor: Sequence[Round]
    value: Sequence[Round]

    @property
    def ratio(self) -> float:
        """The median of the rounds' ratios: what slows both of a round does not count."""
        pairs = zip(self.floor, self.value, strict=True)
        return median(value.rate / floor.rate for floor, value in pairs)

    @property
    def cpu_ratio(self) -> float | None:
        """The same from what a unit cost the server: whatever else ran meanwhile, it ran on its
        own time. Where the server had its core to itself, it equals the ratio."""
        pairs = zip(self.floor, self.value, strict=True)
        costs = [(floor.cost, value.cost) for floor, value in pairs]
        ratios = [floor / value for floor, value in costs if floor and value]
        return median(ratios) if ratios else None

    @property
    def met(self) -> bool | None:
        """Whether the ratio is what it is to be; None where nothing is aimed at."""
        return None if self.target is None else self.ratio >= self.target

    @property
    def figures(self) -> dict[str, Any]:
        return {
            **asdict(self),
            "ratio": self.ratio,
            "cpu_ratio": self.cpu_ratio,
            "met": self.met,
            "floor_rate": middle(self.floor),
            "value_rate": middle(self.value),
            "value_p99_ms": p99_ms(self.value),
        }


def compare(
    name: str, what: str, target: float | None, floor: Side, value: Side, rounds: int
) -> Comparison:
    """Both sides in turns; a first round of each warms up and does not count."""
    pairs = [(floor.measure(), value.measure()) for _ in range(rounds + 1)][1:]
    return Comparison(name, what, target, [pair[0] for pair in pairs], [pair[1] for pair in pairs])


def middle(rounds: Sequence[Round]) -> float:
    """Units a second."""
    return median(each.rate for each in rounds)


def p99_ms(rounds: Sequence[Round]) -> float:
    return median(each.load.latency_p99 for each in rounds) * 1000


def busy(rounds: Sequence[Round]) -> float | None:
    """The server's share of its core."""
    shares = [each.busy for each in rounds if each.busy is not None]
    return median(shares) if shares else None
