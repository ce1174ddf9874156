"""Runs Thumbseal as installed from its wheel, away from the checkout, and asks it for its pages.

`python .ci/wheel.py VENV`; exits with an error where something does not answer as it should.
"""

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from base64 import b64encode
from pathlib import Path
from urllib.request import Request, urlopen

PAGES = {
    "/livez": "text/plain",
    "/": "text/html",
    "/widget.js": "text/javascript",
    "/chat": "text/html",
    "/recorded": "text/html",
    "/docs/README.md": "text/plain",
    "/docs/quickstart.md": "text/plain",
}
START = 30  # seconds until the demo must have said where it is
STOP = 15  # seconds until it must have ended after SIGTERM


def main(venv: Path) -> None:
    with tempfile.TemporaryDirectory() as home:
        check_help(venv, home)
        check_demo(venv, home)


def check_help(venv: Path, home: str) -> None:
    for command in (["bin/thumbseal"], ["bin/python", "-m", "thumbseal"]):
        line = [f"{venv}/{command[0]}", *command[1:], "--help"]
        text = subprocess.check_output(line, cwd=home, env=environment(venv, home), text=True)
        assert "demo" in text, text
        print(f"{' '.join(command)} --help: {len(text)} characters")


def check_demo(venv: Path, home: str) -> None:
    line = [f"{venv}/bin/thumbseal", "demo", "--port=0", "--no-open", f"--data={home}/data"]
    demo = subprocess.Popen(
        line, cwd=home, env=environment(venv, home), stdout=subprocess.PIPE, text=True
    )
    deadline = threading.Timer(START, demo.kill)
    deadline.start()
    try:
        base = printed_address(demo)
        deadline.cancel()
        for path, kind in PAGES.items():
            check_page(base + path, kind)
        check_widget(base)
        demo.send_signal(signal.SIGTERM)
        demo.communicate(timeout=STOP)
    finally:
        deadline.cancel()
        demo.kill()
        demo.wait()
    assert demo.returncode in (0, -signal.SIGTERM), f"the demo ended with {demo.returncode}"


def printed_address(demo: "subprocess.Popen[str]") -> str:
    """The first address that the demo prints, without a path."""
    assert demo.stdout is not None
    for line in demo.stdout:
        print(f"  {line.rstrip()}")
        if found := re.search(r"http://[\w.]+:\d+", line):
            return found[0]
    raise SystemExit(f"The demo printed no address within {START} s.")


def check_page(url: str, kind: str) -> None:
    with urlopen(url, timeout=10) as answer:
        body = answer.read()
        assert answer.status == 200, f"{url}: {answer.status}"
        assert answer.headers["content-type"].startswith(kind), answer.headers["content-type"]
    assert body, f"{url} is empty"
    print(f"{url}: {kind}, {len(body)} bytes")


def check_widget(base: str) -> None:
    """The files are those that were built: only the build compresses with Brotli."""
    with urlopen(f"{base}/embed.json", timeout=10) as answer:
        files = json.load(answer)["files"]
    for name, file in files.items():
        with urlopen(Request(file["url"], headers={"Accept-Encoding": "br"}), timeout=10) as answer:
            assert answer.headers["content-encoding"] == "br", name
        with urlopen(file["url"], timeout=10) as answer:
            digest = b64encode(hashlib.sha384(answer.read()).digest()).decode()
        assert file["integrity"] == f"sha384-{digest}", name
    print(f"{len(files)} files of the widget, with the hashes that embed.json gives")


def environment(venv: Path, home: str) -> dict[str, str]:
    return {"HOME": home, "PATH": f"{venv}/bin:{os.defpath}", "LANG": "C.UTF-8"}


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
