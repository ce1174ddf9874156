"""The stream of an export: thread by thread, so that its size costs time and no memory."""

from collections.abc import AsyncIterator, Callable, Collection, Iterable
from typing import Final, Protocol

from thumbseal.conversation import Conversation, fold
from thumbseal.export import Format
from thumbseal.export.lines import to_line
from thumbseal.export.pairs import to_pairs
from thumbseal.export.table import COLUMNS, row_of, to_rows
from thumbseal.ids import ThreadId
from thumbseal.index.asking import Index
from thumbseal.index.filter import Filter
from thumbseal.log import StoredThread

NAMES: Final = 1_000  # threads looked up at a time
CHUNK: Final = 64 * 1024  # bytes


class Readable(Protocol):
    """A log, as far as an export needs one."""

    async def read(self, site: str, thread: ThreadId) -> StoredThread | None:
        """See `thumbseal.log.Log.read`."""


async def stream(
    log: Readable,
    index: Index,
    sites: Collection[str],
    wanted: Filter,
    format_: Format,
    now: int,
    *,
    include_browser: bool = False,
) -> AsyncIterator[bytes]:
    """What a filter shows, oldest thread first, in chunks of some KiB; ``now`` in ms.
    ``include_browser`` takes pairs also from messages that a page has recorded.

    Raises:
        LogError: the log or the index cannot be read.
    """
    chunk = bytearray(row_of(COLUMNS) if format_ == "csv" else b"")
    write = _writer(format_, include_browser)
    async for site, stored in _threads(log, index, sites, wanted, now):
        for piece in write(site, stored):
            chunk += piece
        if len(chunk) >= CHUNK:
            yield bytes(chunk)
            chunk.clear()
    if chunk:
        yield bytes(chunk)


def _writer(
    format_: Format, include_browser: bool
) -> Callable[[str, StoredThread], Iterable[bytes]]:
    def write(site: str, stored: StoredThread) -> Iterable[bytes]:
        conversation = fold(stored.events, Conversation(stored.thread, stored.user))
        match format_:
            case "jsonl":
                return [to_line(site, stored, conversation)]
            case "csv":
                return to_rows(site, conversation)
            case "pairs":
                return to_pairs(site, conversation, stored.events, include_browser=include_browser)

    return write


async def _threads(
    log: Readable, index: Index, sites: Collection[str], wanted: Filter, now: int
) -> AsyncIterator[tuple[str, StoredThread]]:
    """A filter's threads; those erased meanwhile are left out."""
    after = 0
    while names := await index.names(sites, wanted, now, after, NAMES):
        for after, site, thread in names:  # noqa: B007  it is where the next ones begin
            stored = await log.read(site, thread)
            if stored is not None:
                yield site, stored
