"""Commands about delivery, beside a running server: where events are, and another try."""

import contextlib
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, assert_never

import click
import msgspec
from msgspec import Struct

from thumbseal import settings
from thumbseal.cli.options import config_option, explained, many
from thumbseal.errors import SettingsError
from thumbseal.log.beside import Reason, Report, Stored, Undelivered, Work, open_beside
from thumbseal.log.salvage import quarantined
from thumbseal.upstreams.lunary import LunaryUpstream
from thumbseal.upstreams.webhook import WebhookUpstream

NO_UPSTREAM: Final = (
    "No site has an upstream, so nothing is forwarded yet. docs/operating.md says how to add one."
)
EVERY: Final = 2.0  # seconds between two looks
WIDEST: Final = 90
upstream_option = click.option("--upstream", help="Only this one: its name, or site/name.")


class Look(Struct, frozen=True):
    """What is where at one moment, in epoch seconds. ``alone`` are sites without an upstream,
    ``quarantined`` damaged logs beside the one at ``path``."""

    now: float
    path: Path
    reports: list[Report]
    alone: list[Stored]
    quarantined: list[str]


@click.command()
@config_option
@upstream_option
@click.option("--watch", is_flag=True, help="Look again every two seconds, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="For programs: one JSON object a look.")
@explained
def status(config: Path, upstream: str | None, watch: bool, as_json: bool) -> None:
    """Show where the events are: delivered, pending, held or dead, at each upstream; of a site that
    has none yet, how many are stored.

    Works beside a running server, and without one. Pending means not tried yet, held that a thread
    waits for its next try, dead that an upstream refused an event for good; `thumbseal retry` has
    the last two tried at once.
    """
    configured = settings.read(config)
    upstreams = _chosen(configured, upstream)
    sites = configured.sites.items()
    alone = [name for name, each in sites if not (upstream or each.upstreams)]
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            look = _look(configured.server.log_path, upstreams, alone)
            if as_json:
                text = msgspec.json.encode(_machine(look, upstreams)).decode()
            else:
                text = "\n".join(_screen(look, upstreams, config))
            if watch and not as_json:
                click.clear()
            click.echo(text)
            if not watch:
                return
            time.sleep(EVERY)


def _look(path: Path, upstreams: Mapping[str, settings.Upstream], alone: Sequence[str]) -> Look:
    now = time.time()
    with open_beside(path) as log:
        return Look(
            now,
            path,
            [
                log.report(name, name.partition("/")[0], each.start)
                for name, each in upstreams.items()
            ],
            [log.stored(site) for site in alone],
            [each.name for each in quarantined(path)],
        )


@click.command()
@config_option
@upstream_option
@click.option("--thread", help="Only this thread's.")
@click.option("--reason", help="Only what is held or dead for a reason with this text in it.")
@click.option("--list", "listing", is_flag=True, help="Try nothing: name what is held or dead.")
@explained
def retry(
    config: Path, upstream: str | None, thread: str | None, reason: str | None, listing: bool
) -> None:
    """Try what is held or dead again, now; without options, all of it.

    A running server notices within a second, one that starts later begins with it. An upstream that
    the server has paused is asked again, too.
    """
    configured = settings.read(config)
    chosen = _chosen(configured, upstream)
    if not chosen:
        raise SettingsError(NO_UPSTREAM)
    with open_beside(configured.server.log_path) as log:
        for name in chosen:
            if listing:
                for each in log.undelivered(name, thread, reason):
                    click.echo(f"{name}  {_named(each)}")
                continue
            work = log.find(name, thread, reason)
            with click.progressbar(
                length=len(work), label=name, file=sys.stderr, hidden=not sys.stderr.isatty()
            ) as bar:
                for done in log.retry(work):
                    bar.update(done)
            click.echo(f"{name}: {_amount(work)}")


def _chosen(configured: settings.Settings, asked: str | None) -> dict[str, settings.Upstream]:
    """The upstreams by "site/name"; all, or those that a person means.

    Raises:
        SettingsError: there is none of that name.
    """
    upstreams = configured.upstreams()
    chosen = {
        name: upstream
        for name, upstream in upstreams.items()
        if asked in (None, name, upstream.name)
    }
    if asked and not chosen:
        there = f"There are: {', '.join(upstreams)}." if upstreams else NO_UPSTREAM
        raise SettingsError(f"No upstream is called {asked!r}. {there}")
    return chosen


def _cannot_hold(upstream: settings.Upstream) -> tuple[str, ...]:
    match upstream:
        case settings.Lunary():
            return LunaryUpstream.lossy
        case settings.Webhook():
            return WebhookUpstream.lossy
        case _:
            assert_never(upstream)


def _amount(work: Work) -> str:
    if not len(work):
        return "nothing is held or dead."
    held, dead = many(len(work.threads), "held thread"), many(len(work.dead), "dead event")
    return f"{held} and {dead} are tried again."


def _named(each: Undelivered) -> str:
    """Where it is, first what a person copies; the reason comes from outside."""
    moment, reason = _moment(each.at / 1000), _plain(each.reason)
    if each.event is None:
        return f"held  thread {each.thread}  next try {moment if each.at else 'now'}  {reason}"
    return f"dead  thread {each.thread}  {each.kind} {each.event}  since {moment}  {reason}"


def _machine(look: Look, upstreams: Mapping[str, settings.Upstream]) -> dict[str, Any]:
    return {
        "at": int(look.now * 1000),
        "upstreams": [
            {
                **msgspec.to_builtins(report),
                "lag_seconds": _age(report.oldest_pending, look.now),
                "cannot_hold": _cannot_hold(upstreams[report.upstream]),
            }
            for report in look.reports
        ],
        "not_forwarded": look.alone,
        "quarantined": look.quarantined,
    }


def _screen(look: Look, upstreams: Mapping[str, settings.Upstream], config: Path) -> Iterator[str]:
    yield f"{_moment(look.now)}  {look.path}"
    if look.quarantined:
        aside = many(len(look.quarantined), "damaged log")
        yield f"  put aside  {aside}: `thumbseal check --log` says which"
    for report in look.reports:
        yield ""
        yield from _described(report, _cannot_hold(upstreams[report.upstream]), look.now)
    for stored in look.alone:
        yield ""
        yield f"{stored.site}: nothing is forwarded yet, it has no upstream"
        events, threads = many(stored.events, "event"), many(stored.threads, "thread")
        yield f"  stored     {events} in {threads}; the first upstream gets them, too"
        table = f"[[sites.{stored.site}.upstreams]]"
        yield f"  add one    {table} in {config}; docs/operating.md says how"


def _described(report: Report, cannot_hold: tuple[str, ...], now: float) -> Iterator[str]:
    yield _cut(f"{report.upstream}: {_condition(report, now)}")
    yield from _counted(report)
    if report.oldest_pending is not None:
        yield f"  lag        {_span(_age(report.oldest_pending, now))}, the oldest pending event"
    if report.oldest_held is not None:
        yield f"  held for   {_span(_age(report.oldest_held, now))}, the oldest"
    if report.unknown:
        yield f"  held       {many(report.unknown, 'vote')} on messages that nobody has recorded"
    for each in report.held:
        yield _cut(f"  held       {many(each.count, 'thread')}, {_next(each, now)}: {each.reason}")
    for each in report.dead:
        yield _cut(f"  dead       {many(each.count, 'event')}: {each.reason}")
    if report.deletions:
        yield f"  to erase   {many(report.deletions, 'thread')}"
    for part in cannot_hold:
        yield f"  cannot hold  {part}"


def _counted(report: Report) -> Iterator[str]:
    counts = report.counts
    names = ("accepted", "delivered", "pending", "held", "dead")
    yield "  " + "   ".join(f"{name} {getattr(counts, name):,}" for name in names)
    if counts.erased or counts.expired:
        gone = f"{counts.erased:,} erased and {counts.expired:,} expired"
        yield f"  removed    {gone} before they were delivered"
    if report.earlier:
        yield f"  not its own  {many(report.earlier, 'event')} from before it began"
    if report.superseded or report.lossy:
        yield (
            f"  of the delivered, {report.superseded:,} superseded by a later vote, "
            f"{report.lossy:,} more than it can hold"
        )


def _condition(report: Report, now: float) -> str:
    standing = report.standing
    if not report.met:
        return "new, it begins when the server starts or rereads its settings"
    if standing is None:
        return "well"
    state = {
        "down": "down",
        "refused": "REFUSES US, somebody must look",
        "gone": "WANTS NOTHING MORE, `thumbseal retry` asks again",
        "asked": "asked us to wait",
    }[standing.state]
    ago, ahead = _span(_age(standing.since, now)), _span(standing.next_at / 1000 - now)
    return f"{state}, for {ago}, next try in {ahead}: {standing.reason}"


def _next(reason: Reason, now: float) -> str:
    ahead = (reason.next_at or 0) / 1000 - now
    return f"next try in {_span(ahead)}" if ahead > 0 else "next try now"


def _age(at: int | None, now: float) -> float:
    """The seconds since a time in ms; 0 where there is none."""
    return 0.0 if at is None else max(now - at / 1000, 0.0)


def _span(seconds: float) -> str:
    """A length of time as a person says it."""
    for size, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {name}"
    return f"{max(seconds, 0):.0f} s"


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _plain(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _cut(line: str) -> str:
    """A line that stays one: reasons come from upstreams, and may hold anything."""
    plain = _plain(line)
    return plain if len(plain) <= WIDEST else plain[: WIDEST - 1] + "…"
