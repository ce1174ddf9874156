"""A page under the strictest content security policy: Trusted Types, SRI, and isolated by COEP.

Once:               thumbseal init ~/thumbseal --origin http://127.0.0.1:8000
In one terminal:    thumbseal serve --config ~/thumbseal/thumbseal.toml
In another, here:   python3 server.py
Then open http://127.0.0.1:8000 and press a thumb.
"""

import json
import secrets
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from string import Template
from urllib.request import urlopen

PROXY = "http://127.0.0.1:8300"
ADDRESS = ("127.0.0.1", 8000)
PAGE = Template(Path(__file__).with_name("page.html").read_text("utf-8"))
# The proxy is allowed by path: the files of `/w/` never change, `/v1/` takes messages and votes.
POLICY = Template(
    f"default-src 'none'; script-src 'nonce-$nonce' {PROXY}/w/; connect-src {PROXY}/v1/; "
    "require-trusted-types-for 'script'; trusted-types 'none'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def fetch_tag() -> str:
    """The tag that runs these very bytes of the widget and no others.

    A real page has it in its source, as reviewed: what the proxy says at run time proves nothing.
    """
    try:
        with urlopen(f"{PROXY}/embed.json") as answer:
            described = json.load(answer)
    except OSError as error:
        raise SystemExit(f"Start the proxy first; at {PROXY} nothing answers: {error}") from error
    (site, *_), file = described["sites"], described["files"]["widget.js"]
    sure = f'integrity="{file["integrity"]}" crossorigin'
    return f'<script src="{file["url"]}" {sure} data-site="{site}" defer></script>'


class Handler(BaseHTTPRequestHandler):
    tag: str

    def do_GET(self) -> None:
        nonce = secrets.token_urlsafe()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Security-Policy", POLICY.substitute(nonce=nonce))
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.end_headers()
        self.wfile.write(PAGE.substitute(nonce=nonce, tag=self.tag).encode())


if __name__ == "__main__":
    Handler.tag = fetch_tag()
    server = ThreadingHTTPServer(ADDRESS, Handler)
    print("Open http://{}:{}".format(*ADDRESS))
    server.serve_forever()
