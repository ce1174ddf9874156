"""Settings: a good file becomes values, a bad one a sentence that names the place."""

import os
import re
import traceback
from pathlib import Path
from typing import Final

import pytest

from thumbseal import settings
from thumbseal.errors import SettingsError
from thumbseal.keys import new_key
from thumbseal.settings import Lunary, Secret, Settings, Webhook, origin_pattern

KEY: Final = new_key()
HOOK: Final = "whsec_" + "A" * 40
HOOK2: Final = "whsec_" + "B" * 40
ENVIRONMENT: Final = {"KEY": KEY, "HOOK": HOOK, "HOOK2": HOOK2, "SHORT": "changeme", "EMPTY": ""}
SITE: Final = '[sites.support]\nkeys = ["env:KEY"]\n'
UPSTREAM: Final = f"{SITE}[[sites.support.upstreams]]\n"
WEBHOOK: Final = f'{UPSTREAM}name = "a"\nkind = "webhook"\nurl = "https://x"\n'


def parsed(text: str, folder: Path = Path("/srv/app")) -> Settings:
    return settings.parse(text, folder, ENVIRONMENT)


def test_the_smallest_file_is_one_site_with_a_key() -> None:
    """Everything but a site's key has a default."""
    configured = parsed(SITE)
    assert configured.server.address == ("127.0.0.1", 8300)
    assert configured.server.log_path == Path("/srv/app/thumbseal.db")
    site = configured.sites["support"]
    assert site.browser_roles == ("user", "assistant", "tool")
    assert (site.origins, site.upstreams, site.reasons) == ([], [], ())
    site.signing_keys()


def test_a_whole_file_is_read() -> None:
    """Each documented setting arrives where it belongs."""
    configured = parsed(f"""
        [server]
        listen = "[::1]:9000"
        public_url = "https://chat.example.com/fb"
        log = "sqlite:///var/lib/thumbseal/log.db"
        {SITE}
        origins = ["https://chat.example.com", "https://*.example.org", "http://[::1]:3000"]
        browser_roles = ["user"]
        reasons = ["Wrong"]
        [[sites.support.upstreams]]
        name = "lunary"
        kind = "lunary"
        key = "env:KEY"
        [[sites.support.upstreams]]
        name = "hook"
        kind = "webhook"
        url = "https://example.com/hook"
        secret = "env:HOOK"
    """)
    assert configured.server.address == ("::1", 9000)
    assert configured.server.log_path == Path("/var/lib/thumbseal/log.db")
    lunary, hook = configured.sites["support"].upstreams
    assert isinstance(lunary, Lunary)
    assert lunary.url == "https://api.lunary.ai"
    assert isinstance(hook, Webhook)
    assert [secret.reveal() for secret in hook.secret] == [HOOK]
    assert (hook.allow_private, hook.payload) == ((), "event")


def test_a_webhook_may_have_several_secrets_and_private_addresses() -> None:
    """Secrets are exchanged by listing the old and the new one; networks are spelled strictly."""
    (hook,) = (
        parsed(f"""
        {UPSTREAM}
        name = "hook"
        kind = "webhook"
        url = "http://10.1.2.3/hook"
        secret = ["env:HOOK", "env:HOOK2"]
        allow_private = ["10.1.2.0/24", "::1"]
        payload = "conversation"
    """)
        .sites["support"]
        .upstreams
    )
    assert isinstance(hook, Webhook)
    assert [secret.reveal() for secret in hook.secret] == [HOOK, HOOK2]
    assert [str(each) for each in hook.private_networks()] == ["10.1.2.0/24", "::1/128"]


def test_a_secret_comes_from_the_environment_or_a_file_beside_the_settings(tmp_path: Path) -> None:
    """`file:` paths are relative to the settings file; the line end is not part of the secret."""
    (tmp_path / "a.key").write_text(f"{KEY}\n")
    configured = parsed('[sites.support]\nkeys = ["file:a.key"]\n', tmp_path)
    assert [key.reveal() for key in configured.sites["support"].keys] == [KEY]


BAD: Final = {
    "not TOML": ("[sites.support", "not TOML"),
    "no site": ("[sites]", "sites"),
    "no sites table": ("", "sites"),
    "a site that is no table": ("[sites]\nsupport = 3", "sites"),
    "a site's name": ('[sites."Big Name"]\nkeys = ["env:KEY"]', "sites.Big Name"),
    "no key": ("[sites.support]", "sites.support: Object missing required field `keys`"),
    "an empty list of keys": ("[sites.support]\nkeys = []", "sites.support.keys"),
    "keys that are no list": ('[sites.support]\nkeys = "env:KEY"', "sites.support.keys"),
    "a key that is a number": ("[sites.support]\nkeys = [42]", "sites.support.keys[0]"),
    "a key in the file": (f'[sites.support]\nkeys = ["{KEY}"]', "env:NAME or file:PATH"),
    "a missing variable": ('[sites.support]\nkeys = ["env:NOPE"]', "NOPE"),
    "an empty variable": ('[sites.support]\nkeys = ["env:EMPTY"]', "EMPTY"),
    "a missing file": ('[sites.support]\nkeys = ["file:nope.key"]', "nope.key"),
    "a key that is a word": ('[sites.support]\nkeys = ["env:SHORT"]', "sites.support.keys: "),
    "four keys": (f"[sites.support]\nkeys = {['env:KEY'] * 4}", "1 to 3 keys"),
    "a misspelt setting": (f"{SITE}origin = []", "sites.support: Object contains unknown field"),
    "a misspelt table": (f"{SITE}[sever]", "unknown field `sever`"),
    "a misspelt server setting": (f"[server]\nport = 1\n{SITE}", "server: Object contains"),
    "an unknown role": (f'{SITE}browser_roles = ["admin"]', "sites.support.browser_roles[0]"),
    "an empty reason": (f'{SITE}reasons = [""]', "sites.support.reasons[0]"),
    "listen without a port": (f'[server]\nlisten = "8300"\n{SITE}', "server.listen"),
    "a port over 65535": (f'[server]\nlisten = "127.0.0.1:65536"\n{SITE}', "server.listen"),
    "a deadline that is over": (f"[server]\nheader_seconds = 0\n{SITE}", "server.header_seconds"),
    "a deadline without end": (f"[server]\nidle_seconds = inf\n{SITE}", "server.idle_seconds"),
    "no connection": (f"[server]\nmax_connections = 0\n{SITE}", "server.max_connections"),
    "another log": (f'[server]\nlog = "postgresql://x"\n{SITE}', "server.log"),
    "a log with U+0000": (f'[server]\nlog = "sqlite:a\\u0000b"\n{SITE}', "server.log"),
    "a URL that is a path": (f'[server]\npublic_url = "/fb"\n{SITE}', "server.public_url"),
    "a broken URL": (f'[server]\npublic_url = "http://[::1"\n{SITE}', "server.public_url"),
    "a URL with a password": (f'[server]\npublic_url = "http://a:b@c"\n{SITE}', "no name or pass"),
    "an unknown kind": (f'{UPSTREAM}name = "a"\nkind = "b"', "sites.support.upstreams[0].kind"),
    "no kind": (f'{UPSTREAM}name = "a"', "missing required field `kind`"),
    "an upstream without a key": (f'{UPSTREAM}name = "a"\nkind = "lunary"', "field `key`"),
    "an upstream's empty name": (
        f'{UPSTREAM}name = ""\nkind = "lunary"\nkey = "env:KEY"',
        "sites.support.upstreams[0].name",
    ),
    "an upstream's port": (
        f'{UPSTREAM}name = "a"\nkind = "lunary"\nkey = "env:KEY"\nurl = "https://x:99999"',
        "sites.support.upstreams.a.url",
    ),
    "an address of another spelling": (
        f'{UPSTREAM}name = "a"\nkind = "lunary"\nkey = "env:KEY"\nurl = "https://0x7f.1"',
        "sites.support.upstreams.a.url",
    ),
    "a webhook's secret": (
        f'{UPSTREAM}name = "a"\nkind = "webhook"\nurl = "https://x"\nsecret = "env:SHORT"',
        "sites.support.upstreams.a.secret: A webhook secret",
    ),
    "a webhook's list of no secret": (f"{WEBHOOK}secret = []", "upstreams[0].secret"),
    "a webhook's second secret": (
        f'{WEBHOOK}secret = ["env:HOOK", "env:SHORT"]',
        "sites.support.upstreams.a.secret: A webhook secret",
    ),
    "a webhook's secret in the file": (f'{WEBHOOK}secret = ["{HOOK}"]', "env:NAME or file:PATH"),
    "a network with host bits": (
        f'{WEBHOOK}secret = "env:HOOK"\nallow_private = ["10.1.2.3/24"]',
        "sites.support.upstreams.a.allow_private: 10.1.2.3/24 has host bits set",
    ),
    "a network that is a name": (
        f'{WEBHOOK}secret = "env:HOOK"\nallow_private = ["localhost"]',
        "Write an address or a network",
    ),
    "an unknown payload": (
        f'{WEBHOOK}secret = "env:HOOK"\npayload = "all"',
        "sites.support.upstreams[0].payload",
    ),
    "a start that is none": (f'{WEBHOOK}start = "later"', "sites.support.upstreams[0].start"),
    "two upstreams of one name": (
        SITE + 2 * '[[sites.support.upstreams]]\nname = "a"\nkind = "lunary"\nkey = "env:KEY"\n',
        "two have the same name",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_refused_with_its_place(name: str) -> None:
    """What is wrong is a SettingsError that names the setting and never shows a secret."""
    text, place = BAD[name]
    with pytest.raises(SettingsError) as caught:
        parsed(text)
    assert place in str(caught.value)
    told = "".join(traceback.format_exception(caught.value))
    assert not [secret for secret in (KEY, HOOK, "changeme") if secret in told]


BAD_ORIGINS: Final = (
    "*",
    "null",
    "",
    "chat.example.com",
    "https://",
    "https://chat.example.com/",
    "https://Chat.example.com",
    "https://chat.example.com:443",
    "http://chat.example.com:80",
    "https://chat.example.com:65536",
    "https://chat*.example.com",
    "https://*.*.example.com",
    "https://a b.example.com",
    "https://bücher.example",
    "ftp://chat.example.com",
    "https://user@chat.example.com",
    "https://chat.example.com:\u0663",
)


@pytest.mark.parametrize("origin", BAD_ORIGINS)
def test_an_origin_that_no_browser_sends_is_refused(origin: str) -> None:
    """An entry that could never match, or would match too much, stops the start."""
    with pytest.raises(SettingsError, match=r"sites\.support\.origins"):
        parsed(f'{SITE}origins = ["{origin}"]')


@pytest.mark.parametrize(
    ("origin", "entry", "match"),
    [
        ("https://example.com", "https://example.com", True),
        ("https://evil-example.com", "https://example.com", False),
        ("https://example.com.evil", "https://example.com", False),
        ("https://exampleXcom", "https://example.com", False),
        ("https://a.example.org", "https://*.example.org", True),
        ("https://a.b.example.org", "https://*.example.org", True),
        ("https://example.org", "https://*.example.org", False),
        ("https://.example.org", "https://*.example.org", False),
        ("https://evil.com/.example.org", "https://*.example.org", False),
        ("https://a.example.org:8443", "https://*.example.org", False),
        ("https://a.example.org:8443", "https://*.example.org:8443", True),
        ("https://example.com\n", "https://example.com", False),
    ],
)
def test_an_origin_is_listed_exactly_or_by_its_subdomain(
    origin: str, entry: str, match: bool
) -> None:
    """A star stands for whole labels before the domain, and for nothing else."""
    assert bool(re.fullmatch(origin_pattern(entry), origin)) is match


def test_a_secret_is_never_printed() -> None:
    """`repr` and `str` of a secret, and of settings that hold some, are redacted."""
    hook = 'name = "h"\nkind = "webhook"\nurl = "https://x"\nsecret = "env:HOOK"'
    configured = parsed(UPSTREAM + hook)
    for shown in (repr(configured), str(configured), f"{Secret(KEY)!r} {Secret(KEY)}"):
        assert "[redacted]" in shown
        assert KEY not in shown
        assert HOOK not in shown


def test_reading_names_the_file(tmp_path: Path) -> None:
    """A file that is missing, not UTF-8 or wrong is named in the error, with what to do."""
    path = tmp_path / "thumbseal.toml"
    with pytest.raises(SettingsError, match="thumbseal init"):
        settings.read(path)
    path.write_bytes(b"\xff")
    with pytest.raises(SettingsError, match="Cannot read"):
        settings.read(path)
    path.write_text("[sites.support]\n")
    with pytest.raises(SettingsError) as caught:
        settings.read(path)
    assert str(caught.value).startswith(f"{path}: sites.support: ")


def test_the_environment_is_the_processs_own_unless_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`read` looks into the environment at the time of reading."""
    path = tmp_path / "thumbseal.toml"
    path.write_text('[sites.support]\nkeys = ["env:A_KEY_OF_THIS_TEST"]\n')
    assert "A_KEY_OF_THIS_TEST" not in os.environ
    monkeypatch.setenv("A_KEY_OF_THIS_TEST", KEY)
    assert settings.read(path).sites["support"].keys[0].reveal() == KEY


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("retention_days = 0", "sites.support.retention_days"),
        ("retention_days = 90\nmax_retention_days = 30", "the longer of the two"),
        ('redact = ["name"]', "sites.support.redact"),
        ("redact_patterns = { order = '(' }", "sites.support.redact_patterns: order: "),
        ("redact_patterns = { 'an order' = 'x' }", "`$.redact_patterns`"),
    ],
)
def test_what_is_kept_is_checked(line: str, words: str) -> None:
    """Days that make no sense, unknown kinds and patterns that cannot run stop the start."""
    with pytest.raises(SettingsError, match=re.escape(words)):
        parsed(f"{SITE}{line}")
