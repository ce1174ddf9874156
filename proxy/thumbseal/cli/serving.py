"""Commands that run a server: `serve` with settings, `demo` without."""

import sys
import webbrowser
from pathlib import Path
from typing import Any, Final

import click
import structlog

from thumbseal import journal, settings
from thumbseal.cli.options import config_option, explained
from thumbseal.cli.secrets import login_code
from thumbseal.demo.served import PAGES, demo_routes, demo_settings
from thumbseal.errors import ThumbsealError
from thumbseal.web.app import open_app
from thumbseal.web.door import Bounds, fit
from thumbseal.web.service import Service
from thumbseal.web.serving import bind, run, serve

# What a running server cannot change.
FIXED: Final = (
    "listen", "log", "metrics", "lines",
    "header_seconds", "request_seconds", "idle_seconds", "max_connections",
)  # fmt: skip

FEW_FILES: Final = (
    "The system lets this process open too few files for server.max_connections. Raise the limit: "
    "LimitNOFILE in a unit of systemd, `ulimit -n` in a shell."
)


@click.command("serve")
@config_option
@click.option("--dev", is_flag=True, help="Also take pages opened from a file (Origin: null).")
@explained
def serve_settings(config: Path, dev: bool) -> None:
    """Run the server until SIGTERM or Ctrl-C.

    SIGHUP reads the settings again; a file with a mistake changes nothing. SIGTERM finishes what is
    under way, a second one hurries.
    """
    configured = settings.read(config)
    journal.configure(configured.server.lines)
    host, port = configured.server.address
    listening = [bind(host, port)]
    if configured.server.metrics is not None:
        listening.append(bind(*settings.address(configured.server.metrics)))
    url = f"http://{host}:{listening[0].getsockname()[1]}"
    bounds = _bounds(configured.server)

    def started() -> None:
        told: dict[str, Any] = {"url": url, "sites": list(configured.sites)}
        if bounds.connections < configured.server.max_connections:
            told |= {"connections": bounds.connections, "remedy": FEW_FILES}
        structlog.get_logger().info("serving", **told)
        if configured.replay.login != "off" and sys.stderr.isatty():
            click.echo(_invite(configured, url, configured.server.public_url), err=True)

    async def reread(service: Service) -> None:
        try:
            changed = await service.reread(lambda: settings.read(config))
        except ThumbsealError as error:
            structlog.get_logger().error("settings_refused", error=str(error))
            return
        structlog.get_logger().info("settings_read", sites=list(changed.sites))
        fixed = [each for each in FIXED if _differs(each, changed.server, configured.server)]
        if fixed:
            structlog.get_logger().warning("restart_needed", settings=fixed)

    app = open_app(configured, dev=dev)
    run(serve(app, listening, started, reread, bounds, Service.count_refusal, Service.leave))


@click.command()
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
    journal.configure("auto")
    listening = bind("127.0.0.1", port)
    port = listening.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    configured = demo_settings(port, data)

    def started() -> None:
        click.echo("Thumbseal's demo is ready. Ctrl-C stops it.\n")
        click.echo(f"  Chat      {url}/chat")
        click.echo(f"  Recorded  {url}/recorded")
        click.echo(f"  Embed     {url}/")
        click.echo(f"  {_invite(configured, url)}\n")
        click.echo(f"What is recorded lies in {data}.")
        if open_:
            webbrowser.open(f"{url}/chat")

    app = open_app(configured, more=demo_routes, pages=PAGES)
    run(serve(app, [listening], started, leave=Service.leave))


def _invite(configured: settings.Settings, url: str, public_url: str | None = None) -> str:
    """Where people look at conversations, and a code that lets one of them in now."""
    code = login_code(configured.sites)
    way = f"login code {code}" if code else "`thumbseal login --site NAME` prints a login code"
    return f"Replay    {public_url or url}/replay, {way}"


def _bounds(server: settings.Server) -> Bounds:
    seconds = server.header_seconds, server.request_seconds, server.idle_seconds
    return fit(Bounds(*seconds, server.max_connections))


def _differs(name: str, one: settings.Server, other: settings.Server) -> bool:
    return bool(getattr(one, name) != getattr(other, name))
