"""Commands about the upstreams that the log knows: list them, and forget one."""

from pathlib import Path

import click

from thumbseal import settings
from thumbseal.cli.options import config_option, explained, many
from thumbseal.errors import SettingsError
from thumbseal.log.beside import Beside, Report, open_beside


@click.group()
def upstream() -> None:
    """List the upstreams that the log knows, and forget one that is not in the settings any more.

    Both work beside a running server.
    """


@upstream.command("list")
@config_option
@explained
def list_upstreams(config: Path) -> None:
    """List the upstreams that the log knows, and whether they are in the settings.

    One that is not gets nothing, but its place is kept: put back into the settings, it goes on
    where it stopped. Until then threads that it does not have are kept for it.
    """
    configured = settings.read(config)
    with open_beside(configured.server.log_path) as log:
        reports = [_report(log, name) for name in log.upstreams()]
    for report in reports:
        there = "" if report.upstream in configured.upstreams() else "not "
        click.echo(f"{report.upstream}: {there}in the settings, {_lacks(report)}")
    if not reports:
        click.echo("The log knows no upstream yet.")


@upstream.command()
@click.argument("name", metavar="SITE/NAME")
@config_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@explained
def forget(name: str, config: Path, yes: bool) -> None:
    """Forget an upstream that is not in the settings any more, for good.

    What waits for it is given up, and threads are not kept for it any longer. Events stay in the
    log, and other upstreams do not notice. If the name comes back into the settings, it is a new
    upstream's.
    """
    configured = settings.read(config)
    if name in configured.upstreams():
        raise SettingsError(
            f"{name} is in the settings. Take it out of {config}, have the server reread them "
            "(SIGHUP), and try again."
        )
    with open_beside(configured.server.log_path) as log:
        known = log.upstreams()
        if name not in known:
            there = f"There are: {', '.join(known)}." if known else "There is none."
            raise SettingsError(f"The log knows no upstream {name!r}. {there}")
        if not yes:
            lacks = _lacks(_report(log, name))
            click.confirm(f"Forget {name}? It {lacks}. This cannot be undone", abort=True)
        if not log.forget(name):
            raise SettingsError(
                f"The server still goes by settings that have {name}. Have it reread them (SIGHUP) "
                "or start it, and try again."
            )
    click.echo(f"Forgot {name}. Threads are not kept for it any longer.")


def _report(log: Beside, name: str) -> Report:
    return log.report(name, name.partition("/")[0])


def _lacks(report: Report) -> str:
    """What an upstream does not have."""
    lacks = f"lacks {many(report.counts.pending + report.counts.held, 'event')}"
    return f"{lacks} and {many(report.deletions, 'erasure')}" if report.deletions else lacks
