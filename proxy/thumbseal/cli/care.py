"""Commands about the log: look through it, copy it, erase in it; also beside a running server."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import click

from thumbseal import settings
from thumbseal.cli.options import config_option, explained, named_site, site_option
from thumbseal.erasure import order
from thumbseal.ids import named_thread
from thumbseal.log import Erasure, census
from thumbseal.log.backup import copy

MIB: Final = 1024 * 1024


@click.command()
@config_option
@site_option
@click.option("--thread", help="The thread's id, or the name that your backend gave it.")
@click.option("--user", help="A user your backend vouched for: every thread she took part in.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@explained
def erase(config: Path, site: str | None, thread: str | None, user: str | None, yes: bool) -> None:
    """Erase a thread, or a user's threads, for good.

    What is recorded of it is removed at once, also while the server runs. Upstreams that can
    delete are told to within minutes, and again until they have done it. Tokens that name it stop
    working, and what a page still sends for it is refused as `gone`.
    """
    if (thread is None) == (user is None):
        raise click.UsageError("Say what to erase: --thread ID or --user ID.")
    served = named_site(config, site)
    what = f"thread {thread}" if user is None else f"all threads of user {user}"
    if not yes:
        click.confirm(f"Erase {what} at {served.name}? This cannot be undone", abort=True)
    erasure = order(
        served.name,
        served.policy,
        thread=None if thread is None else named_thread(served.name, thread),
        user=user,
    )
    removed = census.erase(settings.read(config).server.log_path, erasure)
    click.echo(f"Erased {removed.threads} thread(s) with {removed.events} event(s).")
    _tell_upstreams(erasure)


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@config_option
@explained
def backup(file: Path, config: Path) -> None:
    """Copy the log as it is now into FILE, also while the server runs.

    The copy is whole and looked through, and readable by you alone. It goes back with the server
    stopped; docs/operating.md says how. Keys are not in it: keep those apart.
    """
    size = copy(settings.read(config).server.log_path, file)
    click.echo(f"Wrote {file}, {size / MIB:,.1f} MiB.")


def check_log(configured: settings.Settings) -> None:
    """Tell what is in the log; end with status 1 if it is not sound."""
    path = configured.server.log_path
    told = census.take(path, list(configured.upstreams()), _progress())
    click.echo(f"{path}: {'damaged' if told.faults else 'sound'}, schema {told.version}.")
    click.echo(f"  {told.events:,} events in {told.threads:,} threads")
    click.echo(f"  {told.size / MIB:,.1f} MiB, and {told.journal / MIB:,.1f} MiB of journal")
    for name, counts in told.counts.items():
        figures = ", ".join(f"{getattr(counts, key):,} {key}" for key in counts.__struct_fields__)
        click.echo(f"  {name}: {figures}")
    if told.deletions:
        click.echo(f"  {told.deletions:,} deletions to be carried out at upstreams")
    for name in told.quarantined:
        click.echo(f"  {name}: damaged, put aside. Delete it once you need nothing from it.")
    for fault in told.faults:
        click.echo(f"  {fault}", err=True)
    if told.faults:
        raise click.ClickException(
            "The log is damaged. Restart the server: it puts the file aside and goes on with what "
            "can be read."
        )


def _tell_upstreams(erasure: Erasure) -> None:
    for name in erasure.upstreams:
        if name in erasure.deletions:
            click.echo(f"{name}: will be told to delete.")
        else:
            click.echo(f"{name}: cannot delete. Ask whoever runs it.")


def _progress() -> Callable[[], None]:
    """A dot now and then on a terminal: a large log takes a while."""
    if not sys.stderr.isatty():
        return lambda: None
    return lambda: click.echo(".", nl=False, err=True)
