"""Files for browsers: how they are encoded, named and remembered."""

import gzip
import hashlib
from base64 import b64encode
from collections.abc import Mapping
from typing import Final

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from thumbseal_widget import File

FRESH: Final = "public, max-age=300, stale-while-revalidate=86400, stale-if-error=604800"
IMMUTABLE: Final = "public, max-age=31536000, immutable"
_TYPES: Final = {
    "js": "text/javascript; charset=utf-8",
    "mjs": "text/javascript; charset=utf-8",
    "ts": "application/typescript; charset=utf-8",
    "map": "application/json",
    "json": "application/json",
}
MEDIA: Final = tuple(dict.fromkeys(each.partition(";")[0] for each in _TYPES.values()))
# Any page may load these, also one that isolates itself (COEP); what a script may *do* is another
# question, answered by origins and tokens.
_HEADERS: Final = {
    "Access-Control-Allow-Origin": "*",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "X-Content-Type-Options": "nosniff",
    "Vary": "Accept-Encoding",
}
_BEST_FIRST: Final = ("br", "gzip")


class Script(Struct, frozen=True):
    """Bytes to serve, the same compressed, and the names that their content gives them."""

    body: bytes
    encoded: Mapping[str, bytes]
    headers: Mapping[str, str]
    digest: str
    integrity: str

    def answer(self, request: Request, caching: str) -> Response:
        """The encoding that the browser likes, or 304 if it has that already."""
        encoding = choose(request.headers.get("accept-encoding", ""), self.encoded)
        etag = f'"{self.digest}-{encoding}"' if encoding else f'"{self.digest}"'
        headers = {**self.headers, "Cache-Control": caching, "ETag": etag}
        if knows(request.headers.get("if-none-match", ""), etag):
            return Response(status_code=304, headers=headers)
        if encoding:
            headers["Content-Encoding"] = encoding
        return Response(self.encoded.get(encoding, self.body), headers=headers)


def make_script(name: str, file: File, source_map: str | None = None) -> Script:
    """A file to serve under this name; ``source_map`` is a URL as seen from the file's own.

    Brotli is there where the build made it. What gzip makes may differ between machines, so it
    is made here, where nothing depends on its bytes.
    """
    encoded = {"gzip": gzip.compress(file.body, mtime=0)}
    if file.brotli:
        encoded["br"] = file.brotli
    headers = {**_HEADERS, "Content-Type": _TYPES[name.rpartition(".")[2]]}
    if source_map:
        headers["SourceMap"] = source_map
    return Script(
        body=file.body,
        encoded=encoded,
        headers=headers,
        digest=hashlib.sha256(file.body).hexdigest()[:16],
        integrity=hash_file(file),
    )


def hash_file(file: File) -> str:
    """What a tag's ``integrity`` says of a file."""
    return "sha384-" + b64encode(hashlib.sha384(file.body).digest()).decode()


def choose(accepted: str, offered: Mapping[str, bytes]) -> str:
    """The best encoding that an Accept-Encoding header allows; empty for none.

    Its weights only say what is refused: browsers weigh nothing, and ours differ in size alone.
    """
    weights = dict(map(_weighed, accepted.lower().split(",")))
    allowed = (each for each in _BEST_FIRST if weights.get(each, weights.get("*", 0)) > 0)
    return next((each for each in allowed if each in offered), "")


def knows(header: str, etag: str) -> bool:
    """Whether an If-None-Match header lists this strong ETag. Proxies may have weakened it."""
    listed = {each.strip().removeprefix("W/") for each in header.split(",")}
    return etag in listed or "*" in listed


def _weighed(item: str) -> tuple[str, float]:
    name, *parameters = (part.strip() for part in item.split(";"))
    try:
        weight = float(dict(each.split("=", 1) for each in parameters).get("q", "1"))
    except ValueError:
        weight = 0
    return name, weight
