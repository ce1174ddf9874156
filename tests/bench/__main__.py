"""``make bench``: the ratios that the design aims at, each side by side with its floor.

A measurement, not a test: nothing here passes or fails. Every ratio is the median of rounds in
which the floor and the product take turns, both served alike on one core, the load from another.
"by CPU" is the ratio of what a unit costs either server, which a busy machine disturbs less.
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

from tests.bench.comparison import Comparison, Side, busy, compare, middle, p99_ms
from tests.bench.forwarding import RATE, UPSTREAM, drain, follow
from tests.bench.generator import Expected
from tests.bench.history import SITE, write_history
from tests.bench.machine import Cores, Served, describe, serving
from tests.bench.traffic import ORIGIN, write_requests
from tests.indexed import follow as follow_log
from thumbseal.keys import Keys, new_key
from thumbseal.settings import Limits
from thumbseal.tokens import Tokens

ROOT: Final = Path(__file__).parents[2]
RESULTS: Final = ROOT / "bench.json"
BATCH: Final = 20
DRAINED: Final = 50_000  # events that go out while their pace is measured
PACED: Final = 10.0  # seconds of events at a steady pace
ECHO: Final = Expected(b"200")

_SETTINGS: Final = """\
[server]
listen = "127.0.0.1:0"
log = "sqlite:log.db"

[sites.{site}]
keys = ["file:../site.key"]
origins = ["{origin}"]
retention_days = 3650

[sites.{site}.limits]
{limits}
"""
# So high that nothing is refused, and counted all the same.
_LIMITS: Final = "".join(f'{name} = "900000000/minute"\n' for name in Limits.__struct_fields__)


@dataclass(frozen=True)
class Figure:
    """A row that is no comparison of two servers."""

    name: str
    told: str
    target: str
    met: bool
    figures: dict[str, Any]


class Bench:
    """The servers of one run, and the comparisons between them."""

    def __init__(self, folder: Path, options: argparse.Namespace, cores: Cores) -> None:
        self._folder = folder
        self._rounds: int = options.rounds
        self._requests: int = options.requests
        self._rows: int = options.rows
        self._cores = cores
        key = new_key()
        (folder / "site.key").write_text(key, "utf-8")
        self._tokens = Tokens(SITE, Keys.derive([key]))

    def against_echo(self) -> Iterator[Comparison]:
        """One message a request, and many."""
        single = partial(self._against_echo, batch=1, requests=self._requests)
        with self._echo() as echo, self._product("empty") as product:
            what = "one message, durable, to an echo of it (p99 to be ≤ 50 ms)"
            yield single("single", what, 0.40, echo, product, want=0)
            yield single("topped up", "the same with one blank", None, echo, product, want=1)
            yield self._against_echo(
                "batch",
                f"events in batches of {BATCH} with {BATCH} blanks, to echoes of a batch",
                2.5,
                echo,
                product,
                want=BATCH,
                batch=BATCH,
                requests=self._requests // 5,
            )

    def against_empty(self) -> Comparison:
        """One message a request, on a log with a history and on one without."""
        (self._folder / "full").mkdir()
        log = self._folder / "full" / "log.db"
        write_history(log, self._rows)
        follow_log(log)  # what is measured is a long log, not the making of its index
        what = f"one message with {self._rows:,} events stored, to an empty log"
        with self._product("new") as empty, self._product("full") as full:
            write = self._writer(self._requests, 1, 0)
            floor, value = (Side(served, write, _stored(1)) for served in (empty, full))
            return compare("growth", what, 0.9, floor, value, self._rounds)

    def forwarding(self, ingest: float) -> Iterator[Figure]:
        """What waits in the full log goes out; then how late an event comes. ``ingest`` is what one
        process takes in, in requests a second."""
        drained = drain(partial(self._product, "full"), min(self._rows, DRAINED))
        ratio = drained.rate / ingest
        yield Figure(
            "forwarding",
            f"{drained.rate:,.0f}/s, {ratio:.2f} of what one process takes in one by one",
            "≥ 1.00",
            ratio >= 1,
            asdict(drained),
        )
        yield Figure(
            "pending",
            f"ready after {drained.ready:.2f} s, at most {drained.memory / 1e6:.0f} MB of memory"
            f" with {self._rows:,} events that wait",
            "≤ 2 s, 150 MB",
            drained.ready <= 2 and drained.memory <= 150e6,
            asdict(drained),
        )
        write = self._writer(int(PACED * RATE), 1, 0)
        lag = follow(partial(self._product, "lag"), write, _stored(1))
        yield Figure(
            "lag",
            f"p99 {lag.p99 * 1000:.0f} ms, p50 {lag.median * 1000:.0f} ms at {RATE:,.0f} events/s"
            f" (answers p99 {lag.answer_p99 * 1000:.0f} ms)",
            "≤ 250 ms",
            lag.p99 <= 0.25,
            asdict(lag),
        )

    def _against_echo(
        self,
        name: str,
        what: str,
        target: float | None,
        echo: Served,
        product: Served,
        *,
        want: int,
        batch: int,
        requests: int,
    ) -> Comparison:
        write = self._writer(requests, batch, want)
        floor = Side(echo, write, ECHO)
        return compare(
            name, what, target, floor, Side(product, write, _stored(batch), batch), self._rounds
        )

    def _writer(self, requests: int, batch: int, want: int) -> Callable[[], Sequence[bytes]]:
        return partial(write_requests, self._tokens, requests, batch, want)

    @contextmanager
    def _echo(self) -> Iterator[Served]:
        with serving("tests.bench.echo", cores=self._cores) as served:
            yield served

    @contextmanager
    def _product(self, name: str, upstream: int | None = None) -> Iterator[Served]:
        """The product over a log of this name, made if it is not there; ``upstream`` is the port of
        a Lunary."""
        folder = self._folder / name
        folder.mkdir(exist_ok=True)
        settings = folder / "thumbseal.toml"
        text = _SETTINGS.format(site=SITE, origin=ORIGIN, limits=_LIMITS)
        if upstream is not None:
            text += UPSTREAM.format(site=SITE, port=upstream)
        settings.write_text(text, "utf-8")
        arguments = ("serve", "--config", str(settings))
        with serving("thumbseal", *arguments, cores=self._cores) as served:
            yield served


def _stored(events: int) -> Expected:
    """An answer that says of every event that it is on disk."""
    return Expected(b"202", b'"accepted"', events)


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=options.data) as name:
        folder = Path(name)
        machine = describe(folder)
        for key, value in machine.items():
            print(f"{key:18} {value}")
        print(f"{'rounds':18} {options.rounds} of {options.requests:,} requests, 64 connections\n")
        print(HEAD)
        bench = Bench(folder, options, Cores.choose())
        done = [_printed(each) for each in bench.against_echo()]
        done.append(_printed(bench.against_empty()))
        others = [_told(each) for each in bench.forwarding(middle(done[0].value))]
    results = [each.figures for each in done]
    at = datetime.now(UTC).isoformat(timespec="seconds")
    if options.against:
        _print_changes(results, json.loads(options.against.read_text("utf-8"))["results"])
    kept = {"at": at, "machine": machine, "results": results, "others": list(map(asdict, others))}
    options.json.write_text(json.dumps(kept, indent=1), "utf-8")
    print(f"\nThe figures of every round are in {options.json}.")


def _print_changes(new: Sequence[Mapping[str, Any]], old: Sequence[Mapping[str, Any]]) -> None:
    """What became of each row's ratios since an older run."""
    before = {row["name"]: row for row in old}
    for row in new:
        if (then := before.get(row["name"])) is not None:
            pairs = ((name, then[name], row[name]) for name in ("ratio", "cpu_ratio"))
            told = (f"{name} {_ratio(a)} before, now {_ratio(b)}" for name, a, b in pairs)
            print(f"{row['name']:10} {', '.join(told)}")


HEAD: Final = (
    f"{'':10} {'floor/s':>9} {'value/s':>9} {'ratio':>6} {'by CPU':>7} {'target':>7} {'met':>4}"
    f" {'p99 ms':>7} {'servers busy':>14}"
)


def _printed(comparison: Comparison) -> Comparison:
    target = "-" if comparison.target is None else f"≥ {comparison.target:.2f}"
    shares = [_percent(busy(side)) for side in (comparison.floor, comparison.value)]
    met = {None: "-", True: "yes", False: "no"}[comparison.met]
    print(
        f"{comparison.name:10} {middle(comparison.floor):9,.0f} {middle(comparison.value):9,.0f}"
        f" {comparison.ratio:6.2f} {_ratio(comparison.cpu_ratio):>7} {target:>7} {met:>4}"
        f" {p99_ms(comparison.value):7.1f} {' and '.join(shares):>14}   {comparison.what}",
        flush=True,
    )
    return comparison


def _told(figure: Figure) -> Figure:
    met = "yes" if figure.met else "no"
    print(f"{figure.name:10} {figure.told}   target {figure.target}, met: {met}", flush=True)
    return figure


def _ratio(ratio: float | None) -> str:
    return "?" if ratio is None else f"{ratio:.2f}"


def _percent(share: float | None) -> str:
    return "?" if share is None else f"{share:.0%}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each side (default 5)")
    parser.add_argument(
        "--requests", type=int, default=10_000, help="requests in a round (default 10000)"
    )
    parser.add_argument(
        "--rows", type=int, default=1_000_000, help="events stored before growth is measured"
    )
    parser.add_argument("--json", type=Path, default=RESULTS, help="where to keep the figures")
    parser.add_argument("--against", type=Path, help="the figures of an older run, to compare")
    parser.add_argument("--data", type=Path, default=ROOT, help="a folder on the disk to measure")
    return parser.parse_args()


if __name__ == "__main__":
    main()
