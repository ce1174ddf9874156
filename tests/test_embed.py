"""What the proxy serves to pages: the right bytes, encoded as asked, cached while they hold."""

import gzip
import hashlib
import json
import re
from base64 import b64encode
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any, Final

import brotli
import httpx2
import pytest
from click.testing import CliRunner

from tests.proxy import ORIGIN, Proxy, make_settings, running
from thumbseal import __version__
from thumbseal.cli import main
from thumbseal.web.scripts import choose, knows
from thumbseal_widget import Release
from thumbseal_widget.build import build

TYPES: Final = {
    "widget.js": "text/javascript; charset=utf-8",
    "widget.mjs": "text/javascript; charset=utf-8",
    "client.mjs": "text/javascript; charset=utf-8",
    "languages/de.mjs": "text/javascript; charset=utf-8",
    "thumbseal.d.ts": "application/typescript; charset=utf-8",
    "widget.mjs.map": "application/json",
}
UNPACK: Final = {"br": brotli.decompress, "gzip": gzip.decompress, None: bytes}
HOSTILE: Final = ("</script><script>alert(1)</script>", "<!--<script>", "a\u2028b\u2029c", "'\"\\&")


@pytest.fixture(scope="module")
def release() -> Release:
    return build(__version__)


@pytest.fixture(scope="module")
def proxy(release: Release, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A proxy whose two sites get the widget as a wheel brings it."""
    folder = tmp_path_factory.mktemp("log")
    with running(make_settings(folder, others=["sales"], reasons=HOSTILE), widget=release) as found:
        yield found


@pytest.fixture(scope="module")
def files(proxy: Proxy) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = proxy.http.get("/embed.json").json()["files"]
    return found


def raw(
    proxy: Proxy, path: str, method: str = "GET", **headers: str
) -> tuple[httpx2.Response, bytes]:
    """An answer and its body as it came over the wire."""
    sent = {"Accept-Encoding": "", **{name.replace("_", "-"): headers[name] for name in headers}}
    with proxy.http.stream(method, path, headers=sent) as answer:
        return answer, b"".join(answer.iter_raw())


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("", None),
        ("identity", None),
        ("gzip", "gzip"),
        ("gzip, deflate, br, zstd", "br"),
        ("GZIP;q=0.5 , BR ; q=0.1", "br"),
        ("br;q=0, gzip", "gzip"),
        ("br;q=0.000, *", "gzip"),
        ("*", "br"),
        ("*;q=0", None),
        ("br;q=high, gzip;q=;x", None),
        (",;,=", None),
    ],
)
@pytest.mark.parametrize("path", ["/widget.js?site=support", "widget.mjs", "thumbseal.d.ts"])
def test_the_encoding_is_the_best_that_is_allowed(
    proxy: Proxy, files: dict[str, dict[str, str]], path: str, accepted: str, encoding: str | None
) -> None:
    """Whatever a browser accepts, it gets the same file, and caches keep the encodings apart."""
    url = files.get(path, {"url": path})["url"]
    plain, expected = raw(proxy, url)
    answer, body = raw(proxy, url, Accept_Encoding=accepted)
    assert answer.headers.get("content-encoding") == encoding
    assert UNPACK[encoding](body) == expected
    assert "Accept-Encoding" in answer.headers["vary"]
    assert answer.headers["content-length"] == str(len(body))
    assert (answer.headers["etag"] == plain.headers["etag"]) == (encoding is None)


@pytest.mark.parametrize("encoding", ["br", "gzip", ""])
def test_what_a_browser_has_is_not_sent_again(proxy: Proxy, encoding: str) -> None:
    """A 304 for the same encoding's ETag, alone or among others; the file for any other."""
    path = "/widget.js?site=support"
    first, body = raw(proxy, path, Accept_Encoding=encoding)
    etag = first.headers["etag"]
    for known in (etag, f'"x", W/{etag}', "*"):
        answer, nothing = raw(proxy, path, Accept_Encoding=encoding, If_None_Match=known)
        assert (answer.status_code, nothing) == (304, b"")
        for name in ("etag", "cache-control", "vary", "access-control-allow-origin"):
            assert answer.headers[name] == first.headers[name]
    other = "" if encoding else "gzip"
    for known, accepted in (('"x"', encoding), (etag.strip('"'), encoding), (etag, other)):
        answer, again = raw(proxy, path, Accept_Encoding=accepted, If_None_Match=known)
        assert answer.status_code == 200
        assert (again == body) == (accepted == encoding)


@pytest.mark.parametrize("name", ["/widget.js?site=support", *TYPES])
def test_head_tells_what_get_would(
    proxy: Proxy, files: dict[str, dict[str, str]], name: str
) -> None:
    """HEAD has the headers of GET and no body."""
    url = files.get(name, {"url": name})["url"]
    got, _ = raw(proxy, url, Accept_Encoding="br")
    told, body = raw(proxy, url, "HEAD", Accept_Encoding="br")
    assert (told.status_code, body) == (200, b"")
    hidden = {"date", "x-request-id"}
    assert {k: v for k, v in told.headers.items() if k not in hidden} == {
        k: v for k, v in got.headers.items() if k not in hidden
    }


@pytest.mark.parametrize("name", TYPES)
def test_a_pinned_file_may_be_loaded_anywhere_and_for_ever(
    proxy: Proxy, files: dict[str, dict[str, str]], name: str
) -> None:
    """Its type cannot be mistaken, an isolated page may have it, and no cache need ask again."""
    headers = proxy.http.get(files[name]["url"]).headers
    assert headers["content-type"] == TYPES[name]
    assert headers["cache-control"] == "public, max-age=31536000, immutable"
    assert headers["access-control-allow-origin"] == "*"
    assert headers["cross-origin-resource-policy"] == "cross-origin"
    assert headers["x-content-type-options"] == "nosniff"
    assert "set-cookie" not in headers


@pytest.mark.parametrize("origin", [ORIGIN, "https://elsewhere.example"])
def test_who_may_read_a_file_is_said_once(
    proxy: Proxy, files: dict[str, dict[str, str]], origin: str
) -> None:
    """Browsers refuse an answer that allows two origins."""
    for file in files.values():
        headers = proxy.http.get(file["url"], headers={"Origin": origin}).headers
        assert headers.get_list("access-control-allow-origin") == ["*"]
        assert headers["vary"] == "Accept-Encoding, Origin"


def test_the_moving_script_is_asked_for_again_soon(proxy: Proxy) -> None:
    """Five minutes, or a week where the server is away; its map lies beside the pinned script."""
    headers = proxy.http.get("/widget.js?site=support").headers
    assert headers["cache-control"] == (
        "public, max-age=300, stale-while-revalidate=86400, stale-if-error=604800"
    )
    assert headers["cross-origin-resource-policy"] == "cross-origin"
    assert headers["x-content-type-options"] == "nosniff"
    assert proxy.http.get("/" + headers["sourcemap"]).json()["version"] == 3


def test_the_hashes_are_those_of_the_files(
    proxy: Proxy, files: dict[str, dict[str, str]], release: Release
) -> None:
    """`embed.json` lists every file, and a browser finds each hash in it right."""
    assert set(files) == set(release.files)
    for name, file in files.items():
        body = proxy.http.get(file["url"]).content
        assert body == release.files[name].body
        expected = "sha384-" + b64encode(hashlib.sha384(body).digest()).decode()
        assert file["integrity"] == expected


@pytest.mark.parametrize(
    "path",
    ["/w/{digest}/nothing.js", "/w/0123456789abcdef/widget.js", "/w/{digest}/languages/xx.mjs"],
)
def test_no_other_file_is_there(proxy: Proxy, release: Release, path: str) -> None:
    """Another version's files are plainly not found: a wrong script would be worse."""
    answer = proxy.http.get(path.replace("{digest}", release.digest))
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not_found"


def test_settings_cannot_break_out(proxy: Proxy) -> None:
    """Whatever a reason says, a page that has the script inline shows and runs nothing of it."""
    text = proxy.http.get("/widget.js?site=support").text
    start = text.rindex("({")
    tail = text[start:]
    assert not re.search(r"[<>&'\u2028\u2029]", tail)
    settings: dict[str, Any] = json.loads(tail[1 : tail.rindex(")")])
    assert settings["policy"]["reasons"] == list(HOSTILE)
    assert settings["site"] == "support"


@pytest.mark.parametrize("name", ["</script>", "a\u2028b", "<b>", 'a"b', "", "a b"])
def test_a_site_has_no_such_name(tmp_path: Path, name: str) -> None:
    """A name goes into URLs and tags: the settings refuse what could end one."""
    answer = CliRunner().invoke(main, ["init", str(tmp_path), "--site", name])
    assert answer.exit_code == 1
    assert not list(tmp_path.iterdir())


def test_every_deployment_has_the_same_pinned_bytes(
    tmp_path: Path, files: dict[str, dict[str, str]], release: Release
) -> None:
    """Other sites, keys and addresses change nothing that a page can pin."""
    with running(make_settings(tmp_path), widget=release) as other:
        theirs = other.http.get("/embed.json").json()["files"]
    assert {name: file["integrity"] for name, file in theirs.items()} == {
        name: file["integrity"] for name, file in files.items()
    }


def test_the_index_page_has_both_tags(proxy: Proxy) -> None:
    """Each site's moving and pinned tag can be copied; they are those of `embed.json`."""
    described = proxy.http.get("/embed.json").json()
    assert described["version"] == __version__
    answer = proxy.http.get("/")
    copied = [
        unescape(found) for found in re.findall(r"data-copy=.*?><code>(.*?)</code>", answer.text)
    ]
    for name in ("support", "sales"):
        moving, pinned = described["sites"][name], described["pinned"][name]
        assert moving == f'<script src="{proxy.url}/widget.js?site={name}" defer></script>'
        file = described["files"]["widget.js"]
        assert pinned == (
            f'<script src="{file["url"]}" integrity="{file["integrity"]}" crossorigin '
            f'data-site="{name}" defer></script>'
        )
        assert {moving, pinned} <= set(copied)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy


def test_embed_prints_the_tags(tmp_path: Path) -> None:
    """`thumbseal embed` prints what the server of these settings would show."""
    runner = CliRunner()
    assert runner.invoke(main, ["init", str(tmp_path)]).exit_code == 0
    config = tmp_path / "thumbseal.toml"
    text = config.read_text("utf-8").replace("# public_url", "public_url")
    config.write_text(text.replace('example.com"   #', 'example.com/fb/"   #'), "utf-8")
    answer = runner.invoke(main, ["embed", "--config", str(config)])
    assert answer.exit_code == 0, answer.output
    assert (
        '<script src="https://feedback.example.com/fb/widget.js" defer></script>' in answer.output
    )
    assert re.search(
        r'<script src="https://feedback\.example\.com/fb/w/\w{16}/widget\.js" '
        r'integrity="sha384-[\w+/]{64}" crossorigin defer></script>',
        answer.output,
    )
    origin = "https://feedback.example.com"
    assert f"script-src {origin}; connect-src {origin}\n" in answer.output


@pytest.mark.parametrize("site", ["support", "nobody"])
def test_embed_names_a_site(tmp_path: Path, site: str) -> None:
    """`--site` chooses one; a site that is not there is an error and no tag."""
    runner = CliRunner()
    runner.invoke(main, ["init", str(tmp_path)])
    config = str(tmp_path / "thumbseal.toml")
    answer = runner.invoke(main, ["embed", "--config", config, "--site", site])
    assert ("<script" in answer.output) == (site == "support")
    assert answer.exit_code == (0 if site == "support" else 1)


def test_negotiation_reads_any_header() -> None:
    """Odd headers choose nothing and raise nothing."""
    offered = {"br": b"", "gzip": b""}
    assert choose("gzip;q=nan, br;q=-1", offered) == ""
    assert choose("br" + ";" * 5_000, offered) == ""
    assert choose("br", {"gzip": b""}) == ""
    assert not knows("", '"a"')
    assert not knows('"ab"', '"a"')
