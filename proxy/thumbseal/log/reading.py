"""Reading the threads of a log beside the server that may have it open."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from thumbseal.ids import ThreadId
from thumbseal.log import StoredThread, opening
from thumbseal.log.readers import Readers
from thumbseal.log.threads import read_named


class LogReader:
    """The one method of a log that an export needs."""

    def __init__(self, readers: Readers) -> None:
        self._readers = readers

    async def read(self, site: str, thread: ThreadId) -> StoredThread | None:
        """See `thumbseal.log.Log.read`."""
        return await self._readers.do(lambda connection: read_named(connection, site, thread))


@asynccontextmanager
async def open_reader(path: Path) -> AsyncIterator[LogReader]:
    """The threads of the log at ``path``.

    Raises:
        LogError: see `opening.beside`.
    """
    with opening.beside(path):
        readers = Readers(path)
        try:
            yield LogReader(readers)
        finally:
            await readers.close()
