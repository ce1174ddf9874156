"""The command line. Each command says what it did, and each error what to do."""

import click

from thumbseal import __version__
from thumbseal.cli.care import backup, erase
from thumbseal.cli.delivery import retry, status
from thumbseal.cli.secrets import keys, login, token
from thumbseal.cli.serving import demo, serve_settings
from thumbseal.cli.setup import check, embed, init
from thumbseal.cli.taking import export, import_file, reindex
from thumbseal.cli.upstream import upstream


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="thumbseal")
def main() -> None:
    """Thumbseal records chats and thumbs from a browser, and delivers them to where you look.

    New here? `thumbseal demo` shows everything at once and needs no settings. Then `thumbseal
    init` writes a settings file, `thumbseal check` reads it, `thumbseal serve` runs it.
    """


for _command in (
    init,
    check,
    serve_settings,
    demo,
    embed,
    status,
    retry,
    upstream,
    erase,
    backup,
    export,
    import_file,
    reindex,
    login,
    token,
    keys,
):
    main.add_command(_command)
