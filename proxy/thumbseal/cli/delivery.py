"""Commands about delivery, beside a running server: where events are, and another try."""

import contextlib
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final, assert_never

import click
import msgspec

from thumbseal import settings
from thumbseal.cli.options import config_option, explained, many
from thumbseal.errors import SettingsError
from thumbseal.log.beside import Reason, Report, Undelivered, Work, open_beside
from thumbseal.log.salvage import quarantined
from thumbseal.upstreams.lunary import LunaryUpstream
from thumbseal.upstreams.webhook import WebhookUpstream

EVERY: Final = 2.0  # seconds between two looks
WIDEST: Final = 90
upstream_option = click.option("--upstream", help="Only this one: its name, or site/name.")


@click.command()
@config_option
@upstream_option
@click.option("--watch", is_flag=True, help="Look again every two seconds, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="For programs: one JSON object a look.")
@explained
def status(config: Path, upstream: str | None, watch: bool, as_json: bool) -> None:
    """Show where the events are: delivered, pending, held or dead, at each upstream.

    Works beside a running server, and without one. Pending means not tried yet, held that a thread
    waits for its next try, dead that an upstream refused an event for good; `thumbseal retry` has
    the last two tried at once.
    """
    configured = settings.read(config)
    upstreams = _chosen(configured, upstream)
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            _look(configured, upstreams, as_json=as_json, clear=watch)
            if not watch:
                return
            time.sleep(EVERY)


def _look(
    configured: settings.Settings,
    upstreams: dict[str, settings.Upstream],
    *,
    as_json: bool,
    clear: bool,
) -> None:
    now = time.time()
    path = configured.server.log_path
    with open_beside(path) as log:
        reports = [
            log.report(name, name.partition("/")[0], each.start) for name, each in upstreams.items()
        ]
    aside = [each.name for each in quarantined(path)]
    if as_json:
        click.echo(msgspec.json.encode(_machine(reports, upstreams, aside, now)).decode())
        return
    lines = list(_screen(path, reports, upstreams, aside, now))
    if clear:
        click.clear()
    click.echo("\n".join(lines))


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
    with open_beside(configured.server.log_path) as log:
        for name in _chosen(configured, upstream):
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
        SettingsError: there is none, or none of that name.
    """
    upstreams = configured.upstreams()
    if not upstreams:
        raise SettingsError("No site has an upstream: nothing is forwarded. See docs/operating.md.")
    chosen = {
        name: upstream
        for name, upstream in upstreams.items()
        if asked in (None, name, upstream.name)
    }
    if not chosen:
        raise SettingsError(f"No upstream is called {asked!r}. There are: {', '.join(upstreams)}.")
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


def _machine(
    reports: list[Report],
    upstreams: dict[str, settings.Upstream],
    aside: list[str],
    now: float,
) -> dict[str, Any]:
    return {
        "at": int(now * 1000),
        "quarantined": aside,
        "upstreams": [
            {
                **msgspec.to_builtins(report),
                "lag_seconds": _age(report.oldest_pending, now),
                "cannot_hold": _cannot_hold(upstreams[report.upstream]),
            }
            for report in reports
        ],
    }


def _screen(
    path: Path,
    reports: list[Report],
    upstreams: dict[str, settings.Upstream],
    aside: list[str],
    now: float,
) -> Iterator[str]:
    yield f"{_moment(now)}  {path}"
    if aside:
        yield f"  put aside  {many(len(aside), 'damaged log')}: `thumbseal check --log` says which"
    for report in reports:
        yield ""
        yield from _described(report, _cannot_hold(upstreams[report.upstream]), now)


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
