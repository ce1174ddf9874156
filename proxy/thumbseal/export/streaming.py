"""The stream of an export."""

from collections.abc import AsyncIterator, Collection

from thumbseal.export import Format
from thumbseal.index.asking import Index
from thumbseal.index.filter import Filter
from thumbseal.log import Log


def stream(
    log: Log,
    index: Index,
    sites: Collection[str],
    wanted: Filter,
    format_: Format,
    now: int,
    *,
    include_browser: bool = False,
) -> AsyncIterator[bytes]:
    """What a filter shows, oldest thread first, in chunks of some KiB. ``include_browser`` takes
    pairs also from messages that a page has recorded.

    Raises:
        LogError: the log or the index cannot be read.
    """
    raise NotImplementedError
