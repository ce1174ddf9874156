"""Taking conversations out: each format is a stream of bytes, of any size.

from thumbseal.export.streaming import stream
async for chunk in stream(log, index, sites, wanted, "jsonl", now): ...
"""

from typing import Literal

Format = Literal["jsonl", "csv", "pairs"]
