"""Commands that take conversations out and put them in: `export`, `import`, and `reindex`."""

import asyncio
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, BinaryIO, Final

import click
from msgspec import structs

from thumbseal import settings
from thumbseal.cli.options import config_option, explained, many
from thumbseal.errors import LogError, SettingsError
from thumbseal.export import Format
from thumbseal.export.lines import MAX_LINE, BadLine, from_line
from thumbseal.export.streaming import stream
from thumbseal.index.asking import Index
from thumbseal.index.file import empty_beside, index_path, make
from thumbseal.index.filter import Filter, parse_filter
from thumbseal.index.keeping import Keeper
from thumbseal.log import opening
from thumbseal.log.reading import open_reader
from thumbseal.log.restoring import Restored, restore
from thumbseal.redaction import redact

STEP: Final = 1_000  # events of the index at a time

_FILTERS: Final = (
    ("site", "Conversations of this site only."),
    ("thumb", "With a message that has this thumb now: up, down; or none."),
    ("comment", "Whether somebody has commented: yes or no."),
    ("reason", "With this reason."),
    ("tag", "With this tag."),
    ("user", "Of this user."),
    ("role", "With a message of this role."),
    ("source", "With something recorded by: browser, backend."),
    ("since", "Alive since this day (2026-11-28), or in so many days (7d)."),
    ("until", "Alive until this day."),
    ("text", "With these words in a message or a comment."),
)


@click.command("export")
@config_option
@click.option(
    "--format",
    "format_",
    type=click.Choice(["jsonl", "csv", "pairs"]),
    default="jsonl",
    show_default=True,
    help="Conversations, a row for each rated message, or preference pairs.",
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Default: print it."
)
@click.option("--include-browser", is_flag=True, help="Pairs: also of what pages have recorded.")
@explained
def export(
    config: Path, format_: Format, output: Path | None, include_browser: bool, **asked: str | None
) -> None:
    """Take conversations out, with their feedback; also while the server runs.

    jsonl has all there is, and `thumbseal import` reads it. csv has a row for each opinion of a
    message. pairs has a chosen and a rejected answer to the same prompt, as trainers read them.
    """
    configured, wanted = settings.read(config), _filter(asked)
    path = configured.server.log_path
    _catch_up(path)
    sites = sorted(configured.sites)
    if wanted.site and wanted.site not in sites:
        raise SettingsError(f"There is no site {wanted.site}. There is: {', '.join(sites)}.")
    with click.open_file(str(output or "-"), "wb") as file:
        asyncio.run(_write(file, path, sites, wanted, format_, include_browser))


for _name, _help in _FILTERS:
    export = click.option(f"--{_name}", help=_help)(export)


@click.command("import")
@config_option
@click.argument("file", type=click.File("rb"))
@explained
def import_file(config: Path, file: BinaryIO) -> None:
    """Put the conversations of an export (jsonl) into an empty log; FILE may be - for stdin.

    Stop the server before. All of it is stored, or nothing. The settings decide what is redacted,
    and an upstream that begins with `all` events gets these, too.
    """
    configured = settings.read(config)
    stored = restore(configured.server.log_path, _threads(file, configured))
    click.echo(f"Imported {many(stored.threads, 'thread')} with {many(stored.events, 'event')}.")


@click.command()
@config_option
@explained
def reindex(config: Path) -> None:
    """Make the index that pages and exports search in anew from the log; also while the server
    runs. Until it is done, they show what is in it so far.
    """
    path = settings.read(config).server.log_path
    with opening.beside(path):
        pass
    empty_beside(path)
    done = _catch_up(path, say=True)
    click.echo(f"Indexed {many(done, 'event')}.")


def _filter(asked: dict[str, str | None]) -> Filter:
    """The filter of options; one that says nothing that a filter knows is a mistake."""
    given = {name: value for name, value in asked.items() if value}
    wanted = parse_filter(given.items())
    for name in given:
        if not getattr(wanted, name):
            raise click.BadParameter(f"it cannot be {given[name]!r}.", param_hint=f"--{name}")
    return wanted


def _catch_up(path: Path, *, say: bool = False) -> int:
    """Bring the index up to date, with a bar on a terminal; how many events it has read."""
    with opening.beside(path):
        pass  # what is wrong with the log is no matter of the index
    try:
        make(index_path(path))
        with Keeper(path) as keeper:
            return _steps(keeper, say=say)
    except (OSError, *opening.FAILURES) as error:
        raise LogError(
            f"The index of {path} cannot be written: {error}. Look at the disk; then `thumbseal "
            "reindex` makes it anew."
        ) from error


def _steps(keeper: Keeper, *, say: bool) -> int:
    step = keeper.step(STEP)
    with click.progressbar(
        length=step.progress.total,
        label="Indexing",
        file=sys.stderr,
        hidden=not (say or step.more) or not sys.stderr.isatty(),
    ) as bar:
        bar.update(step.progress.done)
        while step.more:
            before, step = step.progress, keeper.step(STEP)
            bar.update(step.progress.done - before.done)
    return step.progress.done


async def _write(
    file: IO[bytes],
    path: Path,
    sites: list[str],
    wanted: Filter,
    format_: Format,
    include_browser: bool,
) -> None:
    index = Index(path)
    try:
        async with open_reader(path) as log:
            now = int(time.time() * 1000)
            async for chunk in stream(
                log, index, sites, wanted, format_, now, include_browser=include_browser
            ):
                file.write(chunk)
    finally:
        await index.close()


def _threads(file: BinaryIO, configured: settings.Settings) -> Iterator[Restored]:
    """The threads of an export, line by line, as these settings would have stored them."""
    rules = {name: site.redaction() for name, site in configured.sites.items()}
    number = 0
    while raw := file.readline(MAX_LINE + 1):
        number += 1
        try:
            told = _restored(raw)
        except BadLine as error:
            raise BadLine(f"Line {number} is {error}") from error
        if told.site not in rules:
            raise SettingsError(
                f"Line {number} is of the site {told.site}, which is not in the settings."
            )
        events = [
            structs.replace(each, entry=redact(each.entry, rules[told.site]))
            for each in told.events
        ]
        yield structs.replace(told, events=tuple(events))


def _restored(raw: bytes) -> Restored:
    if len(raw) > MAX_LINE:
        raise BadLine(f"over {MAX_LINE:,} bytes long.")
    return from_line(raw)
