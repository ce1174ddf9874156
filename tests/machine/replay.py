"""The disk after a power cut: a journal of writes, replayed up to what was synced. Pure.

``drop`` keeps of each file what its last sync covered and nothing else; ``torn`` also keeps a
random half of the writes after it, each cut at a random sector. A disk may do either.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Final, Literal

HEAD: Final = struct.Struct("=cIIq")
SECTOR: Final = 512
ACK: Final = "a"  # the tests' own record: what a client was told

Mode = Literal["drop", "torn"]
Image = dict[str, bytes]


@dataclass(frozen=True)
class Record:
    """One deed: w write, t truncate, u unlink, s sync, a acknowledged."""

    kind: str
    path: str
    offset: int
    data: bytes


@dataclass
class File:
    """A file as the disk has it for certain, and what was done to it since."""

    synced: bytearray = field(default_factory=bytearray)
    exists: bool = False
    pending: list[Record] = field(default_factory=list)

    def add(self, record: Record) -> None:
        self.pending.append(record)
        if record.kind in "su":  # a name that was removed is taken as gone
            for each in self.pending:
                self.exists = _apply(self.synced, each) or self.exists
            self.exists = record.kind == "s"
            self.pending.clear()

    def after_cut(self, mode: Mode, random: Random) -> bytes | None:
        """What is found of it; None if it is not there."""
        left = bytearray(self.synced)
        kept = [each for each in self.pending if random.random() < 0.5] if mode == "torn" else []
        for each in kept:
            _apply(left, _torn(each, random))
        return bytes(left) if self.exists or kept else None


class Disk:
    """All files, while a journal is replayed onto them."""

    def __init__(self) -> None:
        self._files: dict[str, File] = {}
        self.acknowledged: list[str] = []

    def add(self, record: Record) -> None:
        if record.kind == ACK:
            self.acknowledged += record.data.decode().split()
        else:
            self._files.setdefault(record.path, File()).add(record)

    def cut(self, mode: Mode, random: Random) -> Image:
        """The files as they are found when the power is back."""
        found = {path: file.after_cut(mode, random) for path, file in self._files.items()}
        return {path: data for path, data in found.items() if data is not None}


def pack(record: Record) -> bytes:
    """A record as the journal has it."""
    path = record.path.encode()
    head = HEAD.pack(record.kind.encode(), len(path), len(record.data), record.offset)
    return head + path + record.data


def read(journal: bytes) -> Iterator[Record]:
    """The records of a journal; a last one that was cut off is left out."""
    at = 0
    while at + HEAD.size <= len(journal):
        kind, name, length, offset = HEAD.unpack_from(journal, at)
        at += HEAD.size
        if at + name + length > len(journal):
            return
        path, data = journal[at : at + name], journal[at + name : at + name + length]
        yield Record(kind.decode(), path.decode(), offset, data)
        at += name + length


def _apply(content: bytearray, record: Record) -> bool:
    """Do a deed to a file's content; whether the file is there for it."""
    match record.kind:
        case "w":
            content.extend(bytes(max(record.offset - len(content), 0)))
            content[record.offset : record.offset + len(record.data)] = record.data
        case "t":
            del content[record.offset :]
            content.extend(bytes(record.offset - len(content)))
        case "u":
            content.clear()
    return record.kind != "u"


def _torn(record: Record, random: Random) -> Record:
    """A write of which only some first sectors arrived."""
    sectors = -(-len(record.data) // SECTOR)
    kept = random.randint(0, sectors) * SECTOR
    return Record(record.kind, record.path, record.offset, record.data[:kept])
