"""A certificate authority of a test's own, and one site's certificate by it."""

import subprocess
from pathlib import Path
from typing import Final

from tests.examples.tools import tool

DAYS: Final = "2"
KEY: Final = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
EXTENSIONS: Final = """subjectAltName=DNS:{host}
basicConstraints=CA:FALSE
authorityKeyIdentifier=keyid
"""


class Authority:
    """In ``folder``: ``root`` is what a browser has to trust, ``certificate`` and ``key`` are those
    of ``host``."""

    def __init__(self, folder: Path, host: str) -> None:
        self.root = folder / "root.pem"
        self.certificate = folder / f"{host}.pem"
        self.key = folder / f"{host}.key"
        root_key, request = folder / "root.key", folder / "request.pem"
        usage = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")
        named = ("-subj", "/CN=A test's authority", "-days", DAYS, *usage)
        _openssl("req", "-x509", *KEY, *named, "-keyout", root_key, "-out", self.root)
        _openssl("req", *KEY, "-subj", f"/CN={host}", "-keyout", self.key, "-out", request)
        extensions = folder / "extensions.txt"
        extensions.write_text(EXTENSIONS.format(host=host))
        signed_by = ("-CA", self.root, "-CAkey", root_key, "-CAcreateserial", "-days", DAYS)
        made = ("-extfile", extensions, "-out", self.certificate)
        _openssl("x509", "-req", "-in", request, *signed_by, *made)

    def trust(self, home: Path) -> None:
        """Have the browsers of a person whose home this is trust the authority."""
        store = home / ".pki" / "nssdb"
        store.mkdir(parents=True)
        certutil = [tool("certutil", "libnss3-tools"), "-d", f"sql:{store}"]
        subprocess.run([*certutil, "-N", "--empty-password"], check=True)
        added = ["-A", "-t", "C,,", "-n", "test", "-i", str(self.root)]
        subprocess.run([*certutil, *added], check=True)


def _openssl(*arguments: str | Path) -> None:
    subprocess.run([tool("openssl", "openssl"), *arguments], check=True, capture_output=True)
