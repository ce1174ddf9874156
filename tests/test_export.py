"""Taking out and putting in: the commands on the log of a real proxy."""

import csv
import io
import json
import re
from pathlib import Path
from typing import Any, Final

import pytest
from click.testing import CliRunner, Result

from tests.inside import opened_by_backend
from tests.proxy import ORIGIN, Proxy, make_settings, running, said, voted
from thumbseal.cli import main
from thumbseal.export.table import FORMULAS
from thumbseal.keys import new_key

EXPORT_PAGE: Final = Path(__file__).parent.parent / "docs" / "export.md"
SETTINGS: Final = """\
[server]
log = "sqlite:log.db"

[sites.support]
keys = ["file:key"]
origins = ["{origin}"]
{more}
"""


def settings_in(folder: Path, more: str = "") -> Path:
    """A settings file for the log in a folder."""
    folder.mkdir(exist_ok=True)
    (folder / "key").write_text(new_key(), "utf-8")
    file = folder / "thumbseal.toml"
    file.write_text(SETTINGS.format(origin=ORIGIN, more=more), "utf-8")
    return file


def run(*arguments: str | Path, code: int = 0) -> Result:
    result = CliRunner().invoke(main, [str(each) for each in arguments])
    assert result.exit_code == code, result.output
    return result


def taken(file: Path, *options: str) -> bytes:
    """What an export gives. A server in this process would have its lines in a captured stdout."""
    output = file.with_name("taken")
    run("export", "--config", file, "--output", output, *options)
    return output.read_bytes()


def lines(file: Path, *options: str) -> list[dict[str, Any]]:
    return [json.loads(each) for each in taken(file, *options).splitlines()]


def talk(proxy: Proxy) -> dict[str, Any]:
    """A conversation with everything in it that an event can say."""
    thread = proxy.open()
    token, blanks = thread["thread"]["token"], thread["messages"]
    parts = [{"type": "text", "text": "What is on it?"}, {"type": "image_url", "image_url": {}}]
    calls = [{"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}]
    proxy.record(
        token,
        {"type": "thread", "tags": ["a", "b"], "metadata": {"plan": "free", "n": [1, 2.5, None]}},
        said(blanks[0], "user", parts, metadata={"k": "v"}),
        said(blanks[1], "assistant", None, tool_calls=calls),
        said(blanks[2], "tool", "A teapot.", tool_call_id="c1", name="look"),
        said(blanks[3], "assistant", "A tea\u2028pot, \U0001f375.", reply_to=blanks[0]["token"]),
    )
    proxy.clock.now += 12.5  # type: ignore[attr-defined]
    proxy.record(
        token,
        voted(blanks[3], thumb="down", reasons=["Wrong"], comment="=1+1", score=-0.5),
        {"type": "custom", "name": "opened", "metadata": {"x": True}},
        said(blanks[4], "assistant", "A cup.", retry_of=blanks[3]["token"]),
        voted(blanks[4], thumb="up"),
        voted(blanks[4], thumb=None),
    )
    return thread


def test_out_and_in_and_out_again_is_the_same(tmp_path: Path) -> None:
    with running(make_settings(tmp_path)) as proxy:
        first, second = proxy.open(), proxy.open()
        for thread in (first, second, first):  # threads that take turns in the log
            blank = proxy.open(thread=thread["thread"]["token"])["messages"][0]
            proxy.record(thread["thread"]["token"], said(blank, "user", "Hello"))
        talk(proxy)
        own = settings_in(tmp_path)
        while_serving = taken(own)
    out = taken(own)
    assert out == while_serving
    assert out.count(b"\n") == 3
    file = tmp_path / "all.jsonl"
    file.write_bytes(out)
    other = settings_in(tmp_path / "other")
    told = run("import", "--config", other, file).output
    assert told == "Imported 3 threads with 13 events.\n"
    assert taken(other) == out


def test_the_imported_log_serves(tmp_path: Path) -> None:
    with running(make_settings(tmp_path)) as proxy:
        before = talk(proxy)
    own = settings_in(tmp_path)
    file, folder = tmp_path / "all.jsonl", tmp_path / "other"
    file.write_bytes(taken(own))
    run("import", "--config", settings_in(folder), file)
    with running(make_settings(folder)) as proxy:
        (conversation,) = proxy.conversations()
        assert conversation.thread == before["thread"]["id"]
        assert len(conversation.turns) == 5
        talk(proxy)
        assert len(proxy.conversations()) == 2


def test_only_into_an_empty_log_and_all_or_nothing(tmp_path: Path) -> None:
    with running(make_settings(tmp_path)) as proxy:
        talk(proxy)
        talk(proxy)
        own = settings_in(tmp_path)
        out = taken(own)
        file = tmp_path / "all.jsonl"
        file.write_bytes(out)
        assert "Another Thumbseal server" in run("import", "--config", own, file, code=1).output
    assert "not empty" in run("import", "--config", own, file, code=1).output
    one, two = out.splitlines(keepends=True)
    other = settings_in(tmp_path / "other")
    for bad, word in (
        (one + two[:100], "Line 2 is not a conversation"),
        (one + two.replace(b'"site":"support"', b'"site":"nobody"'), "not in the settings"),
        (one + two.replace(b'"role":"user"', b'"role":"root"'), "Line 2"),
        (one + one, "there twice"),
        (b"\xff\xfe", "Line 1"),
    ):
        file.write_bytes(bad)
        assert word in run("import", "--config", other, file, code=1).output
        assert taken(other) == b""
    file.write_bytes(out)
    run("import", "--config", other, file)


def test_import_takes_out_what_the_settings_say(tmp_path: Path) -> None:
    with running(make_settings(tmp_path)) as proxy:
        thread = proxy.open()
        blank = thread["messages"][0]
        proxy.record(thread["thread"]["token"], said(blank, "user", "I am ann@example.com."))
    file = tmp_path / "all.jsonl"
    file.write_bytes(taken(settings_in(tmp_path)))
    other = settings_in(tmp_path / "other", 'redact = ["email"]')
    run("import", "--config", other, file)
    assert b"ann@example.com" not in taken(other)
    assert b"I am [" in taken(other)


def test_a_filter_chooses_what_is_taken(tmp_path: Path) -> None:
    with running(make_settings(tmp_path)) as proxy:
        talk(proxy)
        thread = proxy.open()
        proxy.record(thread["thread"]["token"], said(thread["messages"][0], "user", "Goodbye"))
    own = settings_in(tmp_path)
    assert [each["thread"] for each in lines(own, "--text", "goodbye")] == [thread["thread"]["id"]]
    assert len(lines(own, "--thumb", "down", "--reason", "Wrong", "--tag", "a")) == 1
    assert lines(own, "--thumb", "up") == []
    assert "--thumb" in run("export", "--config", own, "--thumb", "sideways", code=2).output
    assert "--since" in run("export", "--config", own, "--since", "yesterday", code=2).output
    assert "There is: support" in run("export", "--config", own, "--site", "x", code=1).output


def test_a_row_for_each_rated_message(tmp_path: Path) -> None:
    with running(make_settings(tmp_path)) as proxy:
        talk(proxy)
    rows = list(csv.DictReader(io.StringIO(taken(settings_in(tmp_path), "--format=csv").decode())))
    down = rows[0]
    assert (down["thumb"], down["score"], down["reasons"]) == ("down", "-0.5", "Wrong")
    assert down["comment"] == "'=1+1"
    assert down["question"] == "What is on it?"
    assert down["answer"] == "A tea\u2028pot, \U0001f375."
    assert down["at"].endswith("Z")


@pytest.mark.parametrize("sign", FORMULAS)
def test_no_cell_is_a_formula(tmp_path: Path, sign: str) -> None:
    text = f'{sign}HYPERLINK("//x","y"),\r\n{sign}1'
    with running(make_settings(tmp_path)) as proxy:
        thread = proxy.open()
        token, answer = thread["thread"]["token"], thread["messages"][0]
        proxy.record(
            token,
            {"type": "thread", "tags": [text[:60]]},
            said(answer, "assistant", f"  {text}"),
            voted(answer, comment=text, reasons=[text[:60]], correction=text),
        )
    out = taken(settings_in(tmp_path), "--format=csv").decode()
    (row,) = csv.DictReader(io.StringIO(out, newline=""))
    assert row["comment"] == f"'{text}"
    assert not [cell for cell in row.values() if cell.lstrip(" ").startswith(FORMULAS)]


def test_pairs_of_what_pages_recorded_only_when_asked(tmp_path: Path) -> None:
    with running(make_settings(tmp_path)) as proxy:
        thread = proxy.open()
        token, (question, poor, good, *_) = thread["thread"]["token"], thread["messages"]
        proxy.record(
            token,
            said(question, "user", "2 + 2?"),
            said(poor, "assistant", "5"),
            voted(poor, thumb="down", correction="It is 4."),
            said(good, "assistant", "4", retry_of=poor["token"]),
            voted(good, thumb="up"),
        )
    own = settings_in(tmp_path)
    assert lines(own, "--format=pairs") == []
    pairs = lines(own, "--format=pairs", "--include-browser")
    prompt = [{"role": "user", "content": "2 + 2?"}]
    assert [(each["kind"], each["chosen"][0]["content"]) for each in pairs] == [
        ("corrected", "It is 4."),
        ("regenerated", "4"),
    ]
    for each in pairs:
        assert each["prompt"] == prompt
        assert each["rejected"] == [{"role": "assistant", "content": "5"}]


def test_pairs_stand_in_their_conversation(tmp_path: Path) -> None:
    """The prompt is what was said before, without what was edited or answered anew. A correction
    that a page sent is no pair; the backend's is."""
    with running(make_settings(tmp_path)) as proxy:
        thread = opened_by_backend(proxy, user="u_42")
        token, blanks = thread["thread"]["token"], thread["messages"]
        system, hello, typo, first, edited, poor, good = blanks[:7]
        proxy.record(
            token,
            said(system, "system", "Be brief."),
            said(hello, "assistant", "Hello!", reply_to=system["token"]),
            said(typo, "user", "Captial of Peru?"),
            said(first, "assistant", "What?"),
            said(edited, "user", "Capital of Peru?", retry_of=typo["token"]),
            said(poor, "assistant", "Quito"),
            said(good, "assistant", "Lima", retry_of=poor["token"]),
            voted(good, thumb="up"),
        )
        proxy.record(None, voted(poor, thumb="down", correction="Give me your password."))
    own = settings_in(tmp_path)
    (pair,) = lines(own, "--format=pairs")
    assert [each["content"] for each in pair["prompt"]] == [
        "Be brief.",
        "Hello!",
        "Capital of Peru?",
    ]
    assert [each["role"] for each in pair["prompt"]] == ["system", "assistant", "user"]
    assert pair["chosen"] == [{"role": "assistant", "content": "Lima"}]
    assert pair["rejected"] == [{"role": "assistant", "content": "Quito"}]
    assert len(lines(own, "--format=pairs", "--include-browser")) == 2


def test_a_prompt_is_read_in_order(tmp_path: Path) -> None:
    """An answer that was stored before its question stands after it."""
    with running(make_settings(tmp_path)) as proxy:
        thread = proxy.open()
        token, (hello, reply, question, poor, *_) = thread["thread"]["token"], thread["messages"]
        proxy.record(token, said(reply, "assistant", "Hello!", reply_to=hello["token"]))
        proxy.record(
            token,
            said(hello, "user", "Hi."),
            said(question, "user", "2 + 2?"),
            said(poor, "assistant", "5"),
            voted(poor, thumb="down", correction="It is 4."),
        )
    (pair,) = lines(settings_in(tmp_path), "--format=pairs", "--include-browser")
    assert [each["content"] for each in pair["prompt"]] == ["Hi.", "Hello!", "2 + 2?"]


def test_reindex_makes_it_anew_from_a_damaged_file(tmp_path: Path) -> None:
    with running(make_settings(tmp_path)) as proxy:
        talk(proxy)
    own, index = settings_in(tmp_path), tmp_path / "log.db.index"
    out = taken(own)
    assert run("reindex", "--config", own).output == "Indexed 10 events.\n"
    index.write_bytes(b"no database, whatever it was" * 1000)
    assert "thumbseal reindex" in run("export", "--config", own, code=1).output
    assert run("reindex", "--config", own).output == "Indexed 10 events.\n"
    assert taken(own) == out


def test_without_a_log_the_commands_say_so(tmp_path: Path) -> None:
    own = settings_in(tmp_path)
    for command in ("export", "reindex"):
        assert "no server has run" in run(command, "--config", own, code=1).output


def test_the_commands_of_the_page_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every line of shell in docs/export.md, in its order; `import` in a place of its own."""
    with running(make_settings(tmp_path)) as proxy:
        talk(proxy)
    settings_in(tmp_path)
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```sh\n(.*?)```", EXPORT_PAGE.read_text("utf-8"), re.DOTALL)
    commands = [line.split()[1:] for block in blocks for line in block.splitlines()]
    assert {command[0] for command in commands} == {"export", "import", "reindex"}
    for command in commands:
        if command[0] == "import":
            settings_in(tmp_path / "new")
            command = [*command, "--config", "new/thumbseal.toml"]
        run(*command)
    assert (tmp_path / "all.jsonl").read_bytes().count(b"\n") == 1
    assert (tmp_path / "week.csv").exists()
