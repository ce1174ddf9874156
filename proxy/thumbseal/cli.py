"""The command line. Each command says what it did, and each error what to do."""

import logging
import sys
import time
import webbrowser
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Final, ParamSpec

import click
import structlog

from thumbseal import __version__, settings
from thumbseal.demo.served import PAGES, demo_routes, demo_settings
from thumbseal.errors import SettingsError, ThumbsealError
from thumbseal.events import Opening
from thumbseal.ids import new_id
from thumbseal.keys import Kind, new_key
from thumbseal.log import Barriers
from thumbseal.tokens import BACKEND_LIFE, PassClaims
from thumbseal.web.app import open_app
from thumbseal.web.embed import describe_tags
from thumbseal.web.opening import open_thread, opened
from thumbseal.web.serving import bind, run, serve
from thumbseal.web.sites import ServedSite, Sites
from thumbseal_widget import release

DEFAULT_FILE: Final = "thumbseal.toml"
DAY: Final = 24 * 3600
MAX_DAYS: Final = 3_650
P = ParamSpec("P")

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

# [[sites.{site}.upstreams]]
# name = "lunary"
# kind = "lunary"
# url = "https://api.lunary.ai"
# key = "env:LUNARY_PRIVATE_KEY"
"""


def explained(command: Callable[P, None]) -> Callable[P, None]:
    """A command whose errors end it with one line and status 1."""

    @wraps(command)
    def run_it(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except ThumbsealError as error:
            raise click.ClickException(str(error)) from error

    return run_it


config_option = click.option(
    "--config",
    type=click.Path(path_type=Path),
    default=DEFAULT_FILE,
    show_default=True,
    envvar="THUMBSEAL_CONFIG",
    show_envvar=True,
    help="The settings file.",
)
site_option = click.option("--site", help="The site's name; may be left out where there is one.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="thumbseal")
def main() -> None:
    """Thumbseal records chats and thumbs from a browser, and delivers them to where you look.

    New here? `thumbseal demo` shows everything at once and needs no settings. Then `thumbseal
    init` writes a settings file, `thumbseal check` reads it, `thumbseal serve` runs it.
    """


@main.command()
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
    _write_private(key, new_key() + "\n")
    _write_private(file, _TEMPLATE.format(site=site, key=key.name, origins=quoted))
    try:
        settings.read(file)
    except ThumbsealError:
        file.unlink()
        key.unlink()
        raise
    click.echo(f"Wrote {file} and {key}.")
    click.echo(f"Next: put your chat's origin into it, then `thumbseal serve --config {file}`.")


@main.command()
@config_option
@explained
def check(config: Path) -> None:
    """Read the settings, say what is wrong and where, or what they amount to."""
    configured = settings.read(config)
    click.echo(f"{config}: good.")
    server = configured.server
    click.echo(f"  listens on {server.listen}, log {server.log_path}")
    for name, site in configured.sites.items():
        upstreams = ", ".join(f"{each.name} ({each.url})" for each in site.upstreams) or "none"
        click.echo(f"  site {name}: {len(site.keys)} key(s), upstreams: {upstreams}")
        click.echo(f"    pages from {', '.join(site.origins) or 'nowhere yet: list `origins`'}")
    if not server.public_url:
        click.echo("  no server.public_url: tags on the index page use the address asked for")


@main.command()
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


@main.command("serve")
@config_option
@click.option("--dev", is_flag=True, help="Also take pages opened from a file (Origin: null).")
@explained
def serve_settings(config: Path, dev: bool) -> None:
    """Run the server until SIGTERM or Ctrl-C."""
    configured = settings.read(config)
    _log_to_stderr()
    host, port = configured.server.address
    listening = bind(host, port)
    url = f"http://{host}:{listening.getsockname()[1]}"

    def started() -> None:
        structlog.get_logger().info("serving", url=url, sites=list(configured.sites))

    run(serve(open_app(configured, dev=dev), listening, started))


@main.command()
@click.option("--port", default=8300, show_default=True, help="0 takes a free one.")
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=".thumbseal",
    show_default=True,
    help="Where the demo keeps its key and its log.",
)
@click.option("--open/--no-open", "open_", default=True, help="Open the page in a browser.")
@explained
def demo(port: int, data: Path, open_: bool) -> None:
    """A chat page with a small bot, the widget, the proxy and a list of what was recorded."""
    _log_to_stderr()
    listening = bind("127.0.0.1", port)
    port = listening.getsockname()[1]
    url = f"http://127.0.0.1:{port}"

    def started() -> None:
        click.echo("Thumbseal's demo is ready. Ctrl-C stops it.\n")
        click.echo(f"  Chat      {url}/chat")
        click.echo(f"  Recorded  {url}/recorded")
        click.echo(f"  Embed     {url}/\n")
        click.echo(f"What is recorded lies in {data}.")
        if open_:
            webbrowser.open(f"{url}/chat")

    app = open_app(demo_settings(port, data), more=demo_routes, pages=PAGES)
    run(serve(app, listening, started))


@main.group()
def token() -> None:
    """Make tokens by hand. A token is a secret: whoever has it may use it."""


@token.command("thread")
@config_option
@site_option
@click.option("--id", "id_", help="Your own name for the thread; else a new one.")
@click.option("--user", help="The user you vouch for, at most 64 bytes.")
@explained
def token_thread(config: Path, site: str | None, id_: str | None, user: str | None) -> None:
    """Print a thread token that writes every role, and lives a day."""
    served = _site(config, site)
    asked = Opening(site=served.name, id=id_, user=user)
    claims = open_thread(served, asked, Barriers(), time.time(), backend=True)
    click.echo(opened(served, claims).token)


@token.command("backend")
@config_option
@site_option
@click.option(
    "--days",
    type=click.IntRange(1, MAX_DAYS),
    default=BACKEND_LIFE // DAY,
    show_default=True,
    help="How long it lives.",
)
@explained
def token_backend(config: Path, site: str | None, days: int) -> None:
    """Print a backend token for server-to-server routes; its id goes to stderr."""
    served = _site(config, site)
    now = int(time.time())
    claims = PassClaims(new_id(), now, now + days * DAY)
    click.echo(f"id {claims.id}, lives {days} days", err=True)
    click.echo(served.tokens.mint_pass(Kind.BACKEND, claims))


@main.group()
def keys() -> None:
    """Signing keys."""


@keys.command("app")
@config_option
@site_option
@explained
def keys_app(config: Path, site: str | None) -> None:
    """Print what an application's backend holds: keys for thread and message tokens alone."""
    click.echo(_site(config, site).policy.signing_keys().for_app())


@keys.command("new")
def keys_new() -> None:
    """Print a fresh site key."""
    click.echo(new_key())


def _site(config: Path, name: str | None) -> ServedSite:
    return Sites(settings.read(config)).named(name)


def _write_private(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600, exist_ok=False)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"Cannot write {path}: {error.strerror}.") from error


def _log_to_stderr() -> None:
    """One line for each thing an operator should know; JSON where nobody watches."""
    person = sys.stderr.isatty()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.dev.ConsoleRenderer() if person else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
