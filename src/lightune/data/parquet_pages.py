"""How many rows of a Parquet file are read together, by the sizes that the headers of its dictionaries state."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

BATCH_BYTES = 256_000_000  # of rows that are read together
HEADER_BYTES = 32  # more than the first two fields of a page's header
I32_NEXT = b"\x15"  # Thrift's mark of a 32-bit number whose field comes next


def rows_together(path: Path, metadata: Any, most: int) -> int:
    """Return a number of rows up to `most`: few where each may be one large text of the file's dictionary."""
    parts = (metadata.row_group(number) for number in range(metadata.num_row_groups))
    chunks = (part.column(number) for part in parts for number in range(part.num_columns))
    offsets = [chunk.dictionary_page_offset for chunk in chunks if chunk.has_dictionary_page]
    with path.open("rb") as stream:
        largest = max((_page_bytes(stream, offset) for offset in offsets), default=1)
    return max(1, min(most, BATCH_BYTES // max(1, largest)))


def _page_bytes(stream: BinaryIO, offset: int) -> int:
    """Return the unpacked size of a page: the second field of its header, in Thrift's compact protocol."""
    stream.seek(offset)
    found = [*_numbers(stream.read(HEADER_BYTES))]
    return found[1] if len(found) > 1 else BATCH_BYTES


def _numbers(header: bytes) -> Iterator[int]:
    """Yield the 32-bit numbers with which a header begins: each a mark, then seven bits a byte, zigzag."""
    place = 0
    while header[place : place + 1] == I32_NEXT:
        place, number, shift = place + 1, 0, 0
        while place < len(header) and header[place] & 128:
            number, shift, place = number | (header[place] & 127) << shift, shift + 7, place + 1
        if place == len(header):
            return
        yield (number | header[place] << shift) >> 1
        place += 1
