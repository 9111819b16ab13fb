"""The sizes that the pages of a Parquet file state before they are unpacked: a few bytes may unpack to gigabytes.

Headers of pages are structs in Thrift's compact protocol (parquet.apache.org/docs/file-format), read here as far as
their sizes go. What is no such header ends the walk: Arrow says what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

MOST_BYTES = 256_000_000  # of a page, and of rows that are read together; writers make pages of a megabyte
HEADER_BYTES = 65_536  # more than a header has, with its statistics
KIND, UNPACKED, PACKED = 1, 2, 3  # fields of a header
DICTIONARY = 2
TRUE, FALSE, BYTE, NUMBERS, DOUBLE, BINARY, LISTS, STRUCT = 1, 2, 3, (4, 5, 6), 7, 8, (9, 10), 12


def page_sizes(path: Path, metadata: Any) -> tuple[int, int]:
    """Return the unpacked bytes of the largest page, and of the largest dictionary."""
    parts = (metadata.row_group(number) for number in range(metadata.num_row_groups))
    chunks = (part.column(number) for part in parts for number in range(part.num_columns))
    largest = dictionary = 0
    with path.open("rb") as stream:
        for header in (header for chunk in chunks for header in _headers(stream, chunk)):
            largest = max(largest, header[UNPACKED])
            if header.get(KIND) == DICTIONARY:
                dictionary = max(dictionary, header[UNPACKED])
    return largest, dictionary


def _headers(stream: BinaryIO, chunk: Any) -> Iterator[dict[int, int]]:
    """Yield the numbers in the headers of a column's pages, by field."""
    place = min(filter(None, (chunk.dictionary_page_offset, chunk.data_page_offset)), default=0)
    end = place + chunk.total_compressed_size
    while 0 < place < end:
        stream.seek(place)
        header = _Header(stream.read(HEADER_BYTES))
        try:
            found = header.struct()
        except IndexError:
            return
        if found.get(UNPACKED, -1) < 0 or found.get(PACKED, -1) < 0:
            return
        yield found
        place += header.place + found[PACKED]


class _Header:
    """Bytes that begin with a struct; `place` is where the next value begins. IndexError where they end before it."""

    def __init__(self, data: bytes) -> None:
        self._data, self.place = data, 0

    def struct(self, depth: int = 0) -> dict[int, int]:
        """Read a struct, and return its whole numbers by field."""
        found, field = dict[int, int](), 0
        while (mark := self._byte()) and depth < 9:
            field = field + (mark >> 4) if mark >> 4 else self._number()
            value = self._value(mark & 15, depth)
            if value is not None:
                found[field] = value
        return found

    def _value(self, kind: int, depth: int) -> int | None:
        if kind in NUMBERS:
            return self._number()
        if kind == STRUCT:
            self.struct(depth + 1)
        elif kind in LISTS:
            self._list(depth)
        elif kind not in (TRUE, FALSE):  # which have no bytes of their own in a struct
            length = {BYTE: 1, DOUBLE: 8}[kind] if kind in (BYTE, DOUBLE) else self._varint()
            self.place += length
        return None

    def _list(self, depth: int) -> None:
        mark = self._byte()
        kind, count = mark & 15, mark >> 4 if mark >> 4 < 15 else self._varint()
        if kind in (TRUE, FALSE):
            self.place += count
            return
        for _ in range(count):  # each takes a byte or more
            self._value(kind, depth)

    def _number(self) -> int:
        found = self._varint()
        return found >> 1 ^ -(found & 1)

    def _varint(self) -> int:
        found = shift = 0
        while (byte := self._byte()) & 128:
            found, shift = found | (byte & 127) << shift, shift + 7
        return found | byte << shift

    def _byte(self) -> int:
        self.place += 1
        return self._data[self.place - 1]
