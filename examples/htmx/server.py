"""A chat without a line of JavaScript: each question swaps the whole body, by htmx.

Once:               thumbseal init ~/thumbseal --origin http://127.0.0.1:8000
In one terminal:    thumbseal serve --config ~/thumbseal/thumbseal.toml
In another, here:   python3 server.py
Then open http://127.0.0.1:8000, ask something, and press a thumb.
"""

from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from string import Template
from urllib.parse import parse_qs

ADDRESS = ("127.0.0.1", 8000)
PAGE = Template(Path(__file__).with_name("page.html").read_text("utf-8"))

#: What was said, as (role, text): one conversation for all who come.
conversation: list[tuple[str, str]] = []


def answer(question: str) -> str:
    """Your model's, in a real chat."""
    return f"You asked “{question}”, and this is where your model answers."


def page() -> bytes:
    said = (f'<p class="{role}">{escape(text)}</p>' for role, text in conversation)
    return PAGE.substitute(messages="\n".join(said)).encode()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(page())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        question = parse_qs(body)["question"][0]
        conversation.extend([("user", question), ("assistant", answer(question))])
        self.do_GET()


if __name__ == "__main__":
    server = ThreadingHTTPServer(ADDRESS, Handler)
    print("Open http://{}:{}".format(*ADDRESS))
    server.serve_forever()
