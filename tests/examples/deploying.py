"""examples/deployment served by a real nginx and a real Caddy: its own files, but for ports and
paths."""

import http.client
import os
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from tests.example import FOLDER
from tests.examples.tools import tool
from tests.proxy import Proxy

HOST: Final = "chat.example.com"
DEPLOYMENT: Final = FOLDER / "deployment"
START: Final = 20.0  # seconds
#: What Debian's own nginx.conf has around the site; no daemon, and no place outside of the test's.
NGINX: Final = """daemon off; pid {home}/nginx.pid; user root; error_log stderr;
events {{ }}
http {{
  include /etc/nginx/mime.types; access_log off;
  client_body_temp_path {home}/body; proxy_temp_path {home}/proxy;
  fastcgi_temp_path {home}/fastcgi; uwsgi_temp_path {home}/uwsgi; scgi_temp_path {home}/scgi;
  include {home}/site.conf;
}}
"""


class Deployed:
    """A chat at ``url``, with Thumbseal at /fb/ of it; ``insecure`` is its port without TLS."""

    def __init__(self, port: int, insecure: int, proxy: Proxy, trusted: ssl.SSLContext) -> None:
        self.url = f"https://{HOST}:{port}"
        self.insecure = insecure
        self.proxy = proxy
        self._port = port
        self._trusted = trusted

    def open_thread(self, visitor: str, forged: str) -> int:
        """The status that a visitor gets who comes from this address of loopback and claims to
        come from another."""
        connection = http.client.HTTPSConnection(HOST, self._port)
        here = socket.create_connection(("127.0.0.1", self._port), source_address=(visitor, 0))
        connection.sock = self._trusted.wrap_socket(here, server_hostname=HOST)
        headers = {"Origin": self.url, "Content-Type": "text/plain", "X-Forwarded-For": forged}
        try:
            connection.request("POST", "/fb/v1/threads", '{"site": "support"}', headers)
            return connection.getresponse().status
        finally:
            connection.close()


def nginx(home: Path, ports: Mapping[str, int], paths: Mapping[str, str]) -> list[str]:
    """The command that serves the example's nginx.conf."""
    listening = {f"listen {n}": f"listen 127.0.0.1:{ports[n]}" for n in ("443", "80")}
    site = changed("nginx.conf", {**listening, **paths})
    (home / "site.conf").write_text(site)
    (home / "nginx.conf").write_text(NGINX.format(home=home))
    return [tool("nginx", "nginx-light"), "-e", "stderr", "-c", str(home / "nginx.conf")]


def caddy(home: Path, ports: Mapping[str, int], paths: Mapping[str, str]) -> list[str]:
    """The command that serves the example's Caddyfile; its ports are settings of Caddy's."""
    own = f"{{\n\tadmin off\n\thttps_port {ports['443']}\n\thttp_port {ports['80']}\n}}\n"
    (home / "Caddyfile").write_text(own + changed("Caddyfile", paths))
    return [tool("caddy", "caddy"), "run", "--config", str(home / "Caddyfile")]


SERVERS: Final[Mapping[str, Callable[..., list[str]]]] = {"nginx": nginx, "Caddy": caddy}


def changed(name: str, changes: Mapping[str, str]) -> str:
    """A file of the example with other ports and paths. Each of them must be there."""
    text = (DEPLOYMENT / name).read_text("utf-8")
    for old, new in changes.items():
        assert old in text, f"{name} does not say {old}"
        text = text.replace(old, new)
    return text


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def serving(command: list[str], home: Path, port: int) -> Iterator[None]:
    """A process that is ready once it accepts connections."""
    environment = {**os.environ, "HOME": str(home), "XDG_DATA_HOME": str(home)}
    environment["XDG_CONFIG_HOME"] = str(home)
    with (home / "server.txt").open("w+") as said:
        process = subprocess.Popen(command, env=environment, stdout=said, stderr=said)
        try:
            end = time.monotonic() + START
            while not accepts(port):
                said.seek(0)
                alive = process.poll() is None and time.monotonic() < end
                assert alive, f"{command[0]} did not start:\n{said.read()}"
            yield
        finally:
            process.terminate()
            process.wait()


def accepts(port: int) -> bool:
    with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False
