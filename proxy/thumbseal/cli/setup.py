"""Commands about the settings: write them, check them, print the tags that go with them."""

from pathlib import Path
from typing import Final

import click

from thumbseal import __version__, settings
from thumbseal.cli.care import check_log
from thumbseal.cli.options import (
    DEFAULT_FILE,
    config_option,
    explained,
    site_option,
    write_private,
)
from thumbseal.errors import ThumbsealError
from thumbseal.keys import new_key
from thumbseal.web.embed import describe_tags
from thumbseal.web.sites import Sites
from thumbseal_widget import release

_TEMPLATE: Final = """\
# Thumbseal. Every setting is explained in docs/operating.md; `thumbseal check` reads this file.
[server]
listen = "127.0.0.1:8300"
# public_url = "https://feedback.example.com"   # what browsers call this server
log = "sqlite:thumbseal.db"                     # beside this file

[sites.{site}]
keys = ["file:{key}"]                           # oldest first, the last one signs
origins = [{origins}]
browser_roles = ["user", "assistant", "tool"]   # what a page may write
reasons = ["Wrong", "Unsafe", "Not helpful"]    # offered after a thumb down
retention_days = 90                             # after a thread's last event
# redact = ["email", "card", "phone", "ip"]     # taken out before anything is stored

# [[sites.{site}.upstreams]]
# name = "lunary"
# kind = "lunary"
# url = "https://api.lunary.ai"
# key = "env:LUNARY_PRIVATE_KEY"
"""


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=".")
@click.option("--site", default="support", show_default=True, help="A name for your chat.")
@click.option("--origin", multiple=True, help="Where its pages come from: https://chat.example.com")
@explained
def init(folder: Path, site: str, origin: tuple[str, ...]) -> None:
    """Write thumbseal.toml and a fresh key into FOLDER, readable by you alone."""
    settings.check_site_name(site)
    file, key = folder / DEFAULT_FILE, folder / f"{site}.key"
    for path in (file, key):
        if path.exists():
            raise click.ClickException(f"{path} is there already; nothing was changed.")
    origins = origin or ("https://chat.example.com",)
    quoted = ", ".join(f'"{each}"' for each in origins)
    write_private(key, new_key() + "\n")
    write_private(file, _TEMPLATE.format(site=site, key=key.name, origins=quoted))
    try:
        settings.read(file)
    except ThumbsealError:
        file.unlink()
        key.unlink()
        raise
    click.echo(f"Wrote {file} and {key}.")
    click.echo(f"Next: put your chat's origin into it, then `thumbseal serve --config {file}`.")


@click.command()
@config_option
@click.option("--log", is_flag=True, help="Look through the log, also while the server runs.")
@explained
def check(config: Path, log: bool) -> None:
    """Read the settings, say what is wrong and where, or what they amount to.

    With --log look through the log instead: whether its file is sound, and how many events it
    has, by what became of them. A large one takes a while.
    """
    configured = settings.read(config)
    if log:
        check_log(configured)
        return
    click.echo(f"{config}: good.")
    server = configured.server
    click.echo(f"  listens on {server.listen}, log {server.log_path}")
    for name, site in configured.sites.items():
        upstreams = ", ".join(f"{each.name} ({each.url})" for each in site.upstreams) or "none"
        click.echo(f"  site {name}: {len(site.keys)} key(s), upstreams: {upstreams}")
        click.echo(f"    pages from {', '.join(site.origins) or 'nowhere yet: list `origins`'}")
    if not server.public_url:
        click.echo("  no server.public_url: tags on the index page use the address asked for")


@click.command()
@config_option
@site_option
@explained
def embed(config: Path, site: str | None) -> None:
    """Print the script tags to paste into a page, and what its policy must allow."""
    configured = settings.read(config)
    sites = Sites(configured)
    names = [sites.named(site).name] if site else list(sites.all)
    base = configured.server.public_url or f"http://{configured.server.listen}"
    tags = describe_tags(sites, base.rstrip("/"), release(__version__))
    for name in names:
        click.echo(f"# {name}, always this server's version\n{tags[name].moving}\n")
        click.echo(f"# {name}, these very bytes until the server is updated\n{tags[name].pinned}\n")
    click.echo("# Where a page has a Content-Security-Policy, it needs as much as")
    click.echo(tags[names[0]].csp)
    if not configured.server.public_url:
        click.echo(
            "# Set server.public_url: browsers may know this server by another name.", err=True
        )
