"""The command line: what it writes is good, what it refuses it explains, and servers keep apart."""

import json
import os
import re
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

import click
import httpx2
import pytest
from click.testing import CliRunner, Result

from thumbseal import __version__, settings
from thumbseal.claims import EVERY_ROLE, ThreadClaims
from thumbseal.cli import main
from thumbseal.ids import ActorId, ThreadId, new_id
from thumbseal.keys import Keys, new_key
from thumbseal.replay.session import MAX_SITES
from thumbseal.tokens import Tokens

THUMBSEAL: Final = (sys.executable, "-m", "thumbseal")
WAIT: Final = 30  # seconds before a process counts as stuck
BARE: Final = {"PATH": os.environ["PATH"], "PYTHONWARNINGS": "error"}


def run(*arguments: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own, in an environment without settings."""
    command = [*THUMBSEAL, *map(str, arguments)]
    return subprocess.run(
        command, cwd=folder, env=BARE, capture_output=True, text=True, timeout=WAIT, check=False
    )


def called(*arguments: str | Path) -> Result:
    """A command in this process: quick, for what needs no process."""
    return CliRunner().invoke(main, [str(each) for each in arguments], env={"HOOK": "whsec_x"})


def refused(outcome: subprocess.CompletedProcess[str] | Result) -> str:
    """What a refusal says: one line on stderr, status 1, no traceback."""
    status = outcome.exit_code if isinstance(outcome, Result) else outcome.returncode
    assert status == 1, outcome
    assert "Traceback" not in outcome.stderr
    lines = [line for line in outcome.stderr.splitlines() if line.startswith("Error: ")]
    assert len(lines) == 1, outcome.stderr
    assert outcome.stdout == ""
    return lines[0].removeprefix("Error: ")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A settings file as `init` writes it, on a free port."""
    assert called("init", tmp_path).exit_code == 0
    path = tmp_path / "thumbseal.toml"
    path.write_text(path.read_text().replace("127.0.0.1:8300", "127.0.0.1:0"))
    return path


@contextmanager
def served(config: Path) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """A server in a process of its own, and its URL; it is stopped at the end."""
    command = [*THUMBSEAL, "serve", "--config", str(config)]
    with subprocess.Popen(command, env=BARE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            told = json.loads(process.stderr.readline())
            assert told["event"] == "serving"
            yield told["url"], process
        finally:
            process.terminate()
            process.communicate(timeout=WAIT)


def reread(process: "subprocess.Popen[str]") -> None:
    """Have a server read its settings again; return when it has told how that went."""
    process.send_signal(signal.SIGHUP)
    assert process.stderr is not None
    for line in process.stderr:
        if json.loads(line)["event"] in ("settings_read", "settings_refused"):
            return
    raise AssertionError(process.returncode)


def test_init_writes_private_files_that_check_accepts(tmp_path: Path) -> None:
    """After `init` there are a settings file and a key, for the owner alone, and `check` agrees."""
    made = run(
        "init", "new", "--site", "help", "--origin", "https://a.example.com", folder=tmp_path
    )
    assert (made.returncode, made.stderr) == (0, "")
    files = {path.name: path for path in (tmp_path / "new").iterdir()}
    assert set(files) == {"thumbseal.toml", "help.key"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files.values()} == {0o600}
    read = settings.read(files["thumbseal.toml"])
    assert read.sites["help"].origins == ["https://a.example.com"]
    checked = run("check", folder=tmp_path / "new")
    assert (checked.returncode, checked.stderr) == (0, "")
    assert "thumbseal.toml: good." in checked.stdout
    assert "help" in checked.stdout
    assert files["help.key"].read_text().strip() not in checked.stdout + made.stdout


@pytest.mark.parametrize("kept", ["thumbseal.toml", "support.key"])
def test_init_overwrites_nothing(tmp_path: Path, kept: str) -> None:
    """Where either file is there, `init` leaves it as it is and writes no other."""
    (tmp_path / kept).write_text("precious")
    assert "nothing was changed" in refused(called("init", tmp_path))
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {kept: "precious"}


@pytest.mark.parametrize(
    "arguments",
    [
        ("--site", "../x"),
        ("--site", "a/b"),
        ("--site", "Big"),
        ("--site", ""),
        ("--origin", "chat.example.com"),
        ("--origin", 'https://a"b'),
        ("--origin", "https://a.example.com/path"),
    ],
)
def test_a_refused_init_leaves_nothing_behind(tmp_path: Path, arguments: Sequence[str]) -> None:
    """A name or an origin that cannot be used is refused before anything stays on the disk."""
    inner = tmp_path / "inner"
    refused(called("init", inner, *arguments))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_init_says_where_it_cannot_write(tmp_path: Path) -> None:
    """A folder that cannot be made is an error with its path."""
    (tmp_path / "file").write_text("")
    assert f"Cannot write {tmp_path}" in refused(called("init", tmp_path / "file" / "new"))


GOOD: Final = '[sites.support]\nkeys = ["file:a.key"]\n'
UPSTREAM: Final = f'{GOOD}[[sites.support.upstreams]]\nname = "u"\n'
BAD: Final = {
    "not TOML": ("[sites", "not TOML"),
    "no site": ("", "missing required field `sites`"),
    "a misspelt setting": (f"{GOOD}origin = []", "sites.support: Object contains unknown field"),
    "a key itself": (f'[sites.a]\nkeys = ["{new_key()}"]', "sites.a.keys[0]: write a secret as"),
    "a number for a key": ("[sites.a]\nkeys = [1]", "sites.a.keys[0]: write a secret as"),
    "a missing key file": (
        '[sites.a]\nkeys = ["file:b"]',
        "sites.a.keys[0]: cannot read the",
    ),
    "a missing variable": (
        '[sites.a]\nkeys = ["env:NO"]',
        "sites.a.keys[0]: the environment",
    ),
    "an example key": ('[sites.a]\nkeys = ["file:word"]', "sites.a.keys: A key is 32 random bytes"),
    "an origin with a path": (f'{GOOD}origins = ["https://a/b"]', "sites.support.origins: "),
    "an unknown role": (f'{GOOD}browser_roles = ["all"]', "sites.support.browser_roles[0]: "),
    "a port out of range": (f'[server]\nlisten = "[::1]:70000"\n{GOOD}', "server.listen: "),
    "a broken URL": (f'[server]\npublic_url = "http://["\n{GOOD}', "server.public_url: "),
    "another engine": (f'[server]\nlog = "mysql://x"\n{GOOD}', "server.log: "),
    "an unknown upstream": (f'{UPSTREAM}kind = "x"', "sites.support.upstreams[0].kind: "),
    "an upstream's URL": (
        f'{UPSTREAM}kind = "lunary"\nkey = "file:a.key"\nurl = "lunary.ai"',
        "sites.support.upstreams.u.url: ",
    ),
    "a webhook's secret": (
        f'{UPSTREAM}kind = "webhook"\nurl = "https://a.example.com"\nsecret = "env:HOOK"',
        "sites.support.upstreams.u.secret: A webhook secret is",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_check_says_what_is_wrong_and_where(tmp_path: Path, name: str) -> None:
    """Each kind of mistake is one line with the file, the place and what to write instead."""
    text, place = BAD[name]
    key, path = new_key(), tmp_path / "thumbseal.toml"
    (tmp_path / "a.key").write_text(key)
    (tmp_path / "word").write_text("changeme")
    path.write_text(text)
    said = refused(called("check", "--config", path))
    assert said.startswith(f"{path}: ")
    assert place in said
    assert key not in said
    assert "changeme" not in said
    assert "whsec_x" not in said


def test_check_and_serve_refuse_the_same_file_in_the_same_words(tmp_path: Path) -> None:
    """A file that `check` refuses does not start a server either."""
    (tmp_path / "thumbseal.toml").write_text(BAD["no site"][0])
    assert refused(run("check", folder=tmp_path)) == refused(run("serve", folder=tmp_path))


def test_a_missing_file_leads_to_init(tmp_path: Path) -> None:
    """Every command that needs settings says how to get some."""
    missing = ("--config", tmp_path / "none.toml")
    for command in (
        ["check"],
        ["serve"],
        ["token", "thread"],
        ["token", "backend"],
        ["keys", "app"],
    ):
        assert "`thumbseal init` writes a settings file" in refused(called(*command, *missing))


def _commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from _commands(command, (*path, name))
        else:
            yield (*path, name)


@pytest.mark.parametrize("command", list(_commands(main)), ids=" ".join)
def test_every_command_explains_itself(command: tuple[str, ...]) -> None:
    """`--help` and `-h` of each command say what it does and what each option means."""
    for flag in ("--help", "-h"):
        outcome = called(*command, flag)
        assert outcome.exit_code == 0
        assert outcome.stdout.startswith("Usage: ")
        explained = re.findall(r"^  (--?\S.*?)(?:  +(\S.*))?$", outcome.stdout, re.MULTILINE)
        assert explained
        assert len(outcome.stdout.split("Options:")[0].splitlines()) >= 4


def test_the_version_is_told() -> None:
    """`thumbseal --version` names the program and its version."""
    assert called("--version").stdout == f"thumbseal, version {__version__}\n"


def test_an_unknown_command_is_a_usage_error(tmp_path: Path) -> None:
    """A misspelt command ends with status 2 and without a traceback."""
    outcome = run("sevre", folder=tmp_path)
    assert outcome.returncode == 2
    assert "No such command" in outcome.stderr
    assert "Traceback" not in outcome.stderr


def posted(url: str, body: dict[str, Any], token: str | None = None) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    answer = httpx2.post(url, json=body, headers=headers, trust_env=False)
    assert answer.is_success, answer.text
    return dict(answer.json())


def test_tokens_from_the_command_line_work_at_a_server(config: Path) -> None:
    """A thread token writes every role, a backend token vouches, and both are alone on stdout."""
    folder = config.parent
    thread = run("token", "thread", "--id", "order-7", "--user", "u_42", folder=folder)
    backend = run("token", "backend", "--days", "1", folder=folder)
    assert (thread.returncode, thread.stderr) == (0, "")
    assert re.fullmatch(r"id [0-9a-f-]{36}, lives 1 days?\n", backend.stderr)
    with served(config) as (url, _):
        asked = {"site": "support", "id": "order-7", "user": "u_42"}
        opened = posted(f"{url}/v1/threads", asked, backend.stdout.strip())
        message = {"type": "message", "id": "a", "at": 0, "role": "system", "content": "Be kind."}
        message["message"] = opened["messages"][0]["token"]
        body = {"token": thread.stdout.strip(), "sent_at": 0, "events": [message]}
        assert posted(f"{url}/v1/events", body)["results"] == [{"status": "accepted"}]
    with closing(sqlite3.connect(folder / "thumbseal.db")) as log:
        found = log.execute("SELECT user, source FROM events JOIN threads USING (thread_no)")
        assert found.fetchall() == [("u_42", "backend")]


def test_an_apps_key_mints_threads_that_the_server_takes(config: Path) -> None:
    """What `keys app` prints is enough to open a thread offline."""
    printed = called("keys", "app", "--config", config)
    tokens = Tokens("support", Keys.of_app(printed.stdout.strip()))
    with served(config) as (url, _):
        now = int(config.stat().st_mtime)
        ids = ThreadId(new_id()), ActorId(new_id())
        token = tokens.mint_thread(ThreadClaims(*ids, "u", EVERY_ROLE, now, now, now + 3600))
        body = {"token": token, "sent_at": 0, "events": []}
        assert posted(f"{url}/v1/events", body)["results"] == []


def test_a_new_key_is_good_for_a_site() -> None:
    """`keys new` prints one key that a settings file may refer to."""
    Keys.derive([called("keys", "new").stdout.strip()])


@pytest.mark.parametrize("days", ["0", "-1", "100000", "x"])
def test_a_backend_token_lives_a_sensible_time(config: Path, days: str) -> None:
    """A number of days that makes no token is a usage error."""
    outcome = called("token", "backend", "--config", config, "--days", days)
    assert outcome.exit_code == 2
    assert "--days" in outcome.stderr


def test_a_user_too_long_for_a_token_is_refused(config: Path) -> None:
    """`token thread --user` takes 64 bytes of UTF-8 and says so."""
    arguments = ("token", "thread", "--config", config, "--user")
    assert called(*arguments, "ü" * 32).exit_code == 0
    assert "64 bytes" in refused(called(*arguments, "ü" * 33))


def test_a_second_server_on_the_same_log_is_refused(config: Path) -> None:
    """One log has one server: the second ends with status 1, says why, and harms nothing."""
    with served(config) as (url, _):
        said = refused(run("serve", "--config", config, folder=config.parent))
        assert "Another Thumbseal server has the log" in said
        assert str(config.parent / "thumbseal.db") in said
        assert httpx2.get(f"{url}/readyz", trust_env=False).text == "ready"


def test_a_taken_port_is_refused(config: Path) -> None:
    """Where something listens already, `serve` ends with status 1 and names the address."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config.write_text(config.read_text().replace("127.0.0.1:0", f"127.0.0.1:{port}"))
        said = refused(run("serve", "--config", config, folder=config.parent))
    assert f"Cannot listen on 127.0.0.1:{port}" in said
    assert "Choose another" in said


@pytest.mark.parametrize("content", [b"not a database at all, but text " * 100, None])
def test_a_file_that_is_no_log_is_refused_and_kept(config: Path, content: bytes | None) -> None:
    """A log path that holds something else ends with status 1, and the file stays as it was,
    however often a supervisor tries."""
    path = config.parent / "thumbseal.db"
    if content is None:
        with closing(sqlite3.connect(path)) as other, other:
            other.execute("CREATE TABLE theirs (a)")
    else:
        path.write_bytes(content)
    for _ in range(2):
        assert str(path) in refused(run("serve", "--config", config, folder=config.parent))
    if content is None:
        with closing(sqlite3.connect(path)) as other:
            assert other.execute("SELECT name FROM sqlite_master").fetchall() == [("theirs",)]
    else:
        assert path.read_bytes() == content


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_stops_when_told_and_starts_again(config: Path, number: int) -> None:
    """SIGTERM and Ctrl-C end it with status 0 and no traceback; its log is free at once."""
    for _ in range(2):
        with served(config) as (url, process):
            posted(f"{url}/v1/threads", {"site": "support"})
            process.send_signal(number)
            _, errors = process.communicate(timeout=WAIT)
            assert process.returncode == 0
            told = [json.loads(line) for line in errors.splitlines()]
            assert {line["level"] for line in told} <= {"info"}


EARLY: Final = """
import asyncio, os, signal, sys
from contextlib import asynccontextmanager
from thumbseal.web.serving import serve

def told(moment):
    if sys.argv[1] == moment:
        os.kill(os.getpid(), signal.SIGTERM)

@asynccontextmanager
async def app():
    told("opening")
    yield None

asyncio.run(serve(app(), [], lambda: told("started")))
"""


@pytest.mark.parametrize("moment", ["opening", "started"])
def test_a_server_that_is_stopped_while_it_starts_stops(moment: str) -> None:
    """A signal that comes before it serves is not lost: else it would run until it is killed."""
    command = [sys.executable, "-c", EARLY, moment]
    assert subprocess.run(command, env=BARE, timeout=WAIT, check=False).returncode == 0


@pytest.mark.parametrize("sites", [MAX_SITES, MAX_SITES + 1])
def test_a_server_at_a_terminal_says_how_to_log_in(config: Path, sites: int) -> None:
    """It prints a code, or where a code for all sites would be refused how to get one for one."""
    more = '[sites.s{}]\nkeys = ["file:support.key"]\n'
    with config.open("a") as file:
        file.writelines(more.format(number) for number in range(1, sites))
    terminal, end = os.openpty()
    command = [*THUMBSEAL, "serve", "--config", str(config)]
    with subprocess.Popen(command, env=BARE, stderr=end) as process, open(terminal) as screen:
        os.close(end)
        told = next(line for line in screen if line.startswith("Replay"))
        process.terminate()
        process.wait(WAIT)
    way = told.rpartition(", ")[2]
    if sites == MAX_SITES:
        assert re.fullmatch(r"login code ([0-9A-Z]{4}-){2}[0-9A-Z]{4}\n", way)
        return
    assert way == "`thumbseal login --site NAME` prints a login code\n"
    assert "--site" in refused(called("login", "--config", config))
    assert called("login", "--config", config, "--site", "s1").exit_code == 0


def test_check_log_tells_what_is_there(config: Path) -> None:
    """It works beside the server that has the log, and says where there is none yet."""
    assert "no server has run" in refused(called("check", "--log", "--config", config))
    with served(config):
        told = run("check", "--log", "--config", config, folder=config.parent)
    assert told.returncode == 0, told.stderr
    assert "sound, schema" in told.stdout
    assert "0 events in 0 threads" in told.stdout


def test_check_log_tells_of_damage(config: Path) -> None:
    """A damaged log is a status of 1, with what to do; the next start puts it aside."""
    log = config.with_name("thumbseal.db")
    with served(config) as (url, _):
        assert httpx2.get(f"{url}/readyz", trust_env=False).text == "ready"
    data = log.read_bytes()
    log.write_bytes(data[:4096] + b"\xa5" * (len(data) - 4096))
    told = run("check", "--log", "--config", config, folder=config.parent)
    assert told.returncode == 1
    assert "Restart the server" in told.stderr
    assert "Traceback" not in told.stderr
    command = [*THUMBSEAL, "serve", "--config", str(config)]
    with subprocess.Popen(command, env=BARE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        salvaged, serving = (json.loads(process.stderr.readline()) for _ in range(2))
        assert httpx2.get(f"{serving['url']}/readyz", trust_env=False).text == "ready"
        process.terminate()
        process.communicate(timeout=WAIT)
    assert salvaged["event"] == "log_salvaged"
    told = run("check", "--log", "--config", config, folder=config.parent)
    assert told.returncode == 0
    assert "thumbseal.db.corrupt-" in told.stdout
