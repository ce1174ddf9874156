"""examples/deployment, with a real nginx, Caddy and Chromium. The certificate is by an authority
that the browser is told to trust."""

import http.client
import json
import os
import re
import shlex
import shutil
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, Page

from tests.browser import chromium
from tests.browser.hosting import until
from tests.example import FOLDER, press, pressed
from tests.examples.authority import Authority
from tests.examples.deploying import (
    DEPLOYMENT,
    HOST,
    SERVERS,
    Deployed,
    changed,
    free_port,
    serving,
)
from tests.examples.tools import tool
from tests.proxy import running
from thumbseal import settings
from thumbseal.keys import new_key

ROOT: Final = FOLDER.parent
OPENINGS: Final = 3
LIMITS: Final = f'\n[sites.support.limits]\nopenings_per_address = "{OPENINGS}/day"\n'


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"), HOST)


@pytest.fixture(scope="module")
def trusting(
    browser: Browser, authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Browser]:
    """A browser that trusts the authority, by the store of its user, and finds the chat here."""
    home = tmp_path_factory.mktemp("home")
    authority.trust(home)
    flags = [*chromium.FLAGS, f"--host-resolver-rules=MAP {HOST} 127.0.0.1"]
    launched = browser.browser_type.launch(
        executable_path=chromium.executable(), args=flags, env={**os.environ, "HOME": str(home)}
    )
    yield launched
    launched.close()


@pytest.fixture(params=sorted(SERVERS))
def deployed(
    request: pytest.FixtureRequest, authority: Authority, tmp_path: Path
) -> Iterator[Deployed]:
    """The example deployed, with a low limit by address; the chat is the page of examples/html."""
    ports = {"443": free_port(), "80": free_port(), "8300": free_port()}
    (tmp_path / "support.key").write_text(new_key())
    own = {f"https://{HOST}": f"https://{HOST}:{ports['443']}", "8300": str(ports["8300"])}
    file = tmp_path / "thumbseal.toml"
    file.write_text(
        changed("thumbseal.toml", {**own, "/var/lib/thumbseal": str(tmp_path)}) + LIMITS
    )
    chat = tmp_path / "chat"
    chat.mkdir()
    page = (FOLDER / "html" / "index.html").read_text("utf-8")
    (chat / "index.html").write_text(page.replace("http://127.0.0.1:8300/", "/fb/"))
    paths = {
        "127.0.0.1:8300": f"127.0.0.1:{ports['8300']}",
        "/etc/ssl/chat.example.com.pem": str(authority.certificate),
        "/etc/ssl/private/chat.example.com.key": str(authority.key),
        "/var/www/chat": str(chat),
    }
    command = SERVERS[request.param](tmp_path, ports, paths)
    trusted = ssl.create_default_context(cafile=authority.root)
    with (
        running(settings.read(file), time.time, port=ports["8300"]) as proxy,
        serving(command, tmp_path, ports["443"]),
    ):
        yield Deployed(ports["443"], ports["80"], proxy, trusted)


def test_a_vote_arrives(deployed: Deployed, trusting: Browser) -> None:
    """Over TLS, below a path, under the strict policy that the chat is sent with: a vote is
    recorded, comes back after a reload, and the policy has nothing to object to."""
    with trusting.new_context() as context:
        context.set_default_timeout(10_000)
        context.add_init_script(
            """window.violations = []; addEventListener("securitypolicyviolation",
              (event) => violations.push(event.effectiveDirective));"""
        )
        page = context.new_page()
        answer = page.goto(deployed.url)
        assert answer is not None
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        thumbs = page.locator("thumb-seal")
        press(thumbs, "Good answer")
        page.evaluate("thumbseal.flush()")
        until(page, lambda: len(deployed.proxy.conversations()[0].turns) == 2)
        (told,) = deployed.proxy.conversations()
        assert [rating.opinion.thumb for rating in told.ratings.values()] == ["up"]
        page.reload()
        pressed(thumbs, "Good answer")
        assert page.evaluate("violations") == []
        open_index(page, deployed)
    assert redirected(deployed.insecure) == f"https://{HOST}"


def open_index(page: Page, deployed: Deployed) -> None:
    """Thumbseal's own page shows the tag as the chat has it, under a policy of its own."""
    answer = page.goto(f"{deployed.url}/fb/")
    assert answer is not None
    assert answer.ok
    assert answer.headers["content-security-policy"].count("default-src") == 1
    assert f'src="{deployed.url}/fb/widget.js"' in page.inner_text("body")
    assert page.evaluate("violations") == []


def redirected(port: int) -> str:
    """Where a request without TLS is sent to, without its port and path."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/", headers={"Host": HOST})
    answer = connection.getresponse()
    assert answer.status in {301, 308}
    connection.close()
    return re.sub(r"(?<=com)[:/].*", "", str(answer.headers["Location"]))


def test_a_visitor_is_limited_by_the_address_that_the_proxy_saw(deployed: Deployed) -> None:
    """Whatever `X-Forwarded-For` a visitor sends, the one before Thumbseal says who he is; another
    visitor is not held up."""
    statuses = [deployed.open_thread("127.0.0.2", f"203.0.113.{n}") for n in range(OPENINGS + 1)]
    assert statuses == [200] * OPENINGS + [429]
    assert deployed.open_thread("127.0.0.3", "203.0.113.1") == 200


def test_the_unit_is_one(tmp_path: Path) -> None:
    """systemd has nothing to object to in the unit, and its program takes these arguments."""
    unit = tmp_path / "thumbseal.service"
    here = {"/opt/thumbseal/bin": str(Path(sys.executable).parent)}
    unit.write_text(changed("thumbseal.service", here))
    verified = subprocess.run(
        [tool("systemd-analyze", "systemd"), "verify", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    objections = [line for line in verified.stderr.splitlines() if "thumbseal" in line]
    assert (verified.returncode, objections) == (0, [])
    (start,) = re.findall(r"^ExecStart=\S+ (.+)$", unit.read_text(), re.MULTILINE)
    assert shlex.split(start) == container()["CMD"]
    assert "StateDirectory=thumbseal\n" in unit.read_text()


def container() -> dict[str, Any]:
    """The last instruction of each kind; those in JSON are lists."""
    found: dict[str, Any] = {}
    for line in (DEPLOYMENT / "Containerfile").read_text("utf-8").splitlines():
        name, _, rest = line.partition(" ")
        if name and name != "#":
            found[name] = json.loads(rest) if rest.startswith("[") else rest
    return found


def test_the_container_has_what_it_is_built_from(tmp_path: Path) -> None:
    """From the files that it copies, and no others, a package is built that starts; nobody has
    built the image itself here."""
    told = container()
    assert told["USER"] == "8300"
    assert told["ENTRYPOINT"] == ["/opt/thumbseal/bin/thumbseal"]
    text = (DEPLOYMENT / "Containerfile").read_text("utf-8")
    source, target = tmp_path / "source", tmp_path / "target"
    for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE):
        *files, place = line.split()
        for file in files:
            copy(ROOT / file, source / place / ("" if (ROOT / file).is_dir() else file))
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    offline = ["--no-index", "--no-deps", "--no-build-isolation", "--target", str(target)]
    subprocess.run([*pip, *offline, str(source)], check=True)
    serve = [sys.executable, "-m", "thumbseal", *told["CMD"][:1], "--help"]
    environment = {**os.environ, "PYTHONPATH": str(target)}
    helped = subprocess.check_output(serve, cwd=tmp_path, env=environment, text=True)
    assert told["CMD"][1] in helped


def copy(origin: Path, place: Path) -> None:
    if origin.is_dir():
        ignored = shutil.ignore_patterns("__pycache__", "node_modules")
        shutil.copytree(origin, place, ignore=ignored)
    else:
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(origin, place)
