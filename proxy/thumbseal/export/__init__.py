"""Taking conversations out: each format is a stream of bytes, of any size.

from thumbseal.export.streaming import stream
async for chunk in stream(log, index, sites, wanted, "jsonl", now): ...
"""

from typing import Final, Literal

Format = Literal["jsonl", "csv", "pairs"]
MEDIA: Final[dict[Format, str]] = {
    "jsonl": "application/x-ndjson",
    "csv": "text/csv; charset=utf-8",
    "pairs": "application/x-ndjson",
}
SUFFIX: Final[dict[Format, str]] = {"jsonl": ".jsonl", "csv": ".csv", "pairs": ".pairs.jsonl"}
