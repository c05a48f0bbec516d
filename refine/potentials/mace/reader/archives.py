"""The zip archive of torch.save, read without trusting it.

torch writes one folder of entries that are stored, not compressed, one after the other. This reader takes exactly that
and hands out windows into the file's bytes: nothing is ever unpacked, so nothing can grow, and no name reaches the file
system. `zipfile` would also read compressed, encrypted, overlapping, renamed and duplicated entries, and builds an
object for each of the millions of entries that a hostile directory can claim before one can count them.

Source: PKWARE, .ZIP File Format Specification 6.3.10, sections 4.3 and 4.4.
"""

from __future__ import annotations

import itertools
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from refine.errors import InputError

MAX_BYTES = 2**30
"""Of a file; the largest published model of a kind that can be read has an eighth of it."""
MAX_ENTRIES = 20_000
"""A published model has about a hundred."""

_END = struct.Struct("<4s4H2LH")
_DIRECTORY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_ENCRYPTED = 0x1 | 0x40 | 0x2000

_AGAIN = "copy or download it again"
_SAVE = "save it again: torch.save(model, path)"


@dataclass(frozen=True)
class _Entry:
    start: int
    size: int
    crc: int
    stored: bool


class Archive:
    """Entries of an archive by name.

    Args:
        data: the whole file.
        where: what errors call it.

    Raises:
        InputError: damaged, or not as torch writes it.
    """

    def __init__(self, data: bytes, where: str) -> None:
        self._data, self._where = memoryview(data), where
        self._entries = self._directory()

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def read(self, name: str) -> memoryview:
        """The bytes of an entry: a window into the file, its checksum compared.

        Raises:
            InputError: no such entry, one that is not stored as it is, or its checksum is another.
        """
        entry = self._entries.get(name)
        if entry is None:
            raise InputError(f"the entry {name!r} is missing", where=self._where, fix=_AGAIN)
        if not entry.stored:
            what = f"the entry {name!r} is compressed or encrypted, which torch.save never does"
            raise InputError(what, where=self._where, fix=_SAVE)
        content = self._data[entry.start : entry.start + entry.size]
        if zlib.crc32(content) != entry.crc:
            raise InputError(f"the checksum of {name!r} does not match", where=self._where, fix=_AGAIN)
        return content

    def _directory(self) -> dict[str, _Entry]:
        """All entries, each proven to lie inside the file and apart from all others."""
        data, where = self._data, self._where
        if len(data) < _END.size or bytes(data[-_END.size :][:4]) != b"PK\5\6":
            raise InputError("the end of the zip archive is missing: the file is cut off", where=where, fix=_AGAIN)
        _, disk, first_disk, here, count, size, start, comment = _END.unpack(data[-_END.size :])
        if disk or first_disk or here != count or comment or start + size > len(data) - _END.size:
            raise InputError("the directory of the zip archive is damaged", where=where, fix=_AGAIN)
        if count > MAX_ENTRIES:
            raise InputError(f"{count} entries, more than any model has ({MAX_ENTRIES})", where=where)
        entries: dict[str, _Entry] = {}
        spans: list[tuple[int, int]] = []
        at, end = start, start + size
        for _ in range(count):
            if at + _DIRECTORY.size > end:
                raise InputError("the directory of the zip archive is damaged", where=where, fix=_AGAIN)
            fields = _DIRECTORY.unpack(data[at : at + _DIRECTORY.size])
            magic, flags, method, crc, packed, full = fields[0], fields[3], fields[4], *fields[7:10]
            lengths, local = fields[10:13], fields[16]
            raw = bytes(data[at + _DIRECTORY.size : at + _DIRECTORY.size + lengths[0]])
            at += _DIRECTORY.size + sum(lengths)
            if magic != b"PK\1\2" or at > end or local + _LOCAL.size > start:
                raise InputError("the directory of the zip archive is damaged", where=where, fix=_AGAIN)
            name = self._name(raw)
            if name in entries:
                raise InputError(f"the entry {name!r} is there twice", where=where, fix=_SAVE)
            head = _LOCAL.unpack(data[local : local + _LOCAL.size])
            first = local + _LOCAL.size + head[9] + head[10]
            if head[0] != b"PK\3\4" or first + packed > start:
                raise InputError(f"the entry {name!r} reaches beyond the file's data", where=where, fix=_AGAIN)
            if head[3] != method or bytes(data[local + _LOCAL.size :][: head[9]]) != raw:
                raise InputError(f"the entry {name!r} contradicts the directory", where=where, fix=_AGAIN)
            stored = method == 0 and packed == full and not flags & _ENCRYPTED
            entries[name] = _Entry(first, packed, crc, stored)
            spans.append((local, first + packed))
        spans.sort()
        if any(begin < before for (_, before), (begin, _) in itertools.pairwise(spans)):
            raise InputError("entries of the zip archive overlap", where=where, fix=_SAVE)
        return entries

    def _name(self, raw: bytes) -> str:
        """An entry's name: a path below a folder. torch takes the folder's name from the file's, so it is free."""
        name = raw.decode("utf-8", "replace")
        parts = name.split("/")
        odd = len(parts) < 2 or any(part in ("", ".", "..") for part in parts) or "\\" in name
        if odd or not name.isprintable() or "\ufffd" in name or len(raw) > 1024:
            raise InputError(f"an entry with the odd name {name[:60]!r}", where=self._where, fix=_SAVE)
        return name
