"""Arrow columns, in memory or in a memory-mapped file, read as Python sequences."""

from __future__ import annotations

import mmap
import tempfile
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from lightune.faults import Fault

if TYPE_CHECKING:
    import pyarrow as pa

IN_MEMORY_BYTES = 64_000_000
CHUNK_ROWS = 4096
# How many bytes reading one cell of a mapped file brings into memory: the system reads ahead.
READ_AHEAD_BYTES = 65_536
# Why a row or line of a file is left out of its table.
BLANK = "blank line"
UNREADABLE = "cannot be read"

Decode = Callable[[str], Any]


class LazySequence(Sequence[Any]):
    """A sequence that makes its items on access; subclasses define `__len__` and `_items`."""

    def __len__(self) -> int:
        raise NotImplementedError

    def _items(self, start: int, stop: int) -> list[Any]:
        """Return the items from `start` up to `stop`, both within the sequence."""
        raise NotImplementedError

    def __getitem__(self, place: Any) -> Any:
        """Return one item, or a list of them for a slice."""
        if isinstance(place, slice):
            start, stop, step = place.indices(len(self))
            return (
                self._items(start, max(start, stop)) if step == 1 else [self[row] for row in range(start, stop, step)]
            )
        row = int(place) + len(self) * (place < 0)
        if not 0 <= row < len(self):
            raise IndexError(f"row {place} of {len(self)}")
        return self._items(row, row + 1)[0]

    def __iter__(self) -> Iterator[Any]:
        """Yield the items, a chunk at a time."""
        for start in range(0, len(self), CHUNK_ROWS):
            yield from self._items(start, min(start + CHUNK_ROWS, len(self)))

    def __eq__(self, other: object) -> bool:
        """Say whether another sequence holds the same items."""
        if not isinstance(other, Sequence) or isinstance(other, str) or len(self) != len(other):
            return False
        return all(mine == theirs for mine, theirs in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        """Show the first items."""
        more = ", ..." if len(self) > 5 else ""
        return f"{type(self).__name__}([{', '.join(map(repr, self[:5]))}{more}])"


class Column(LazySequence):
    """One column of an Arrow table. `decode` turns a stored text into the cell; nulls are None."""

    def __init__(self, values: pa.ChunkedArray, decode: Decode | None = None, pages: Pages | None = None) -> None:
        self._values, self._decode, self._pages = values, decode, pages

    def __len__(self) -> int:
        return len(self._values)

    def _items(self, start: int, stop: int) -> list[Any]:
        if stop == start + 1:
            found, read = [self._values[start].as_py()], READ_AHEAD_BYTES
        else:
            part = self._values.slice(start, stop - start)
            found, read = part.to_pylist(), part.nbytes
        if self._pages:
            self._pages.were_read(read)
        return [None if cell is None else self._decode(cell) for cell in found] if self._decode else found


@dataclass
class Reading:
    """What was read from a file: its columns, the line of each row, and the label names stored in the file.

    `skipped` counts, by reason, what the file has and the columns do not. `warnings` are what looked odd. `doubts` are
    faults that are ignored where the user has named the columns. `notes` say how the file was read. `nameless` is a
    first column without a name. `only_label` is that of Prodigy's answers which accept or reject one label.
    """

    columns: dict[str, Column] = field(default_factory=dict)
    lines: array[int] = field(default_factory=lambda: array("q"))
    class_names: dict[str, list[str]] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=dict)
    warnings: list[Fault] = field(default_factory=list)
    doubts: list[Fault] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    nameless: Column | None = None
    only_label: str = ""


class Chained(LazySequence):
    """Several sequences, one after the other."""

    def __init__(self, parts: Sequence[Sequence[Any]]) -> None:
        self._parts = parts
        self._ends = list(accumulate(map(len, parts)))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def _items(self, start: int, stop: int) -> list[Any]:
        found: list[Any] = []
        while start < stop:
            number = bisect_right(self._ends, start)
            part, end = self._parts[number], self._ends[number]
            first = end - len(part)
            found += part[start - first : min(stop, end) - first]
            start = end
        return found


def nameless_file(folder: Path | None = None) -> IO[bytes]:
    """Return a temporary file that disappears once it and its maps are closed, however the process ends."""
    return tempfile.TemporaryFile(prefix="lightune-", dir=folder)


class Pages:
    """Memory-mapped files; pages are released now and then, or a scan would keep the whole file in memory."""

    def __init__(self) -> None:
        self._maps: list[mmap.mmap] = []
        self._read = 0

    def map(self, file: IO[bytes]) -> mmap.mmap:
        """Map a file, which may be closed afterwards."""
        found = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._maps.append(found)
        return found

    def were_read(self, count: int) -> None:
        """Note that `count` bytes were read, and release the pages when there are many; they can be read again."""
        self._read += count
        if self._read > IN_MEMORY_BYTES and hasattr(mmap, "MADV_DONTNEED"):
            for mapped in self._maps:
                mapped.madvise(mmap.MADV_DONTNEED)
            self._read = 0


class Store:
    """Takes record batches and returns columns, kept in memory or written to a file that is mapped at the end.

    Batches that grow large in memory move to a file, since a compressed file does not show how large its content is.
    Batches may add new columns; earlier rows have null there.
    """

    def __init__(self, on_disk: bool) -> None:
        self._on_disk = on_disk
        self._bytes = 0
        self._batches: list[pa.RecordBatch] = []
        self._files: list[IO[bytes]] = []
        self._writer: Any = None
        self._schema: Any = None

    def add(self, batch: pa.RecordBatch) -> None:
        """Add the next rows."""
        import pyarrow as pa

        if not self._on_disk:
            self._batches.append(batch)
            self._bytes += batch.nbytes
            if self._bytes > IN_MEMORY_BYTES:
                self._move_to_disk()
            return
        if self._writer is None or not batch.schema.equals(self._schema):
            self._close_writer()
            self._files.append(nameless_file())
            self._schema, self._writer = batch.schema, pa.ipc.new_file(self._files[-1], batch.schema)
        self._writer.write_batch(batch)

    def _move_to_disk(self) -> None:
        batches, self._batches, self._on_disk = self._batches, [], True
        for batch in batches:
            self.add(batch)

    def columns(self, decode: Decode | None = None) -> dict[str, Column]:
        """Return the columns, by name; the store takes no more rows afterwards."""
        import pyarrow as pa

        pages = Pages() if self._on_disk else None
        tables = [pa.Table.from_batches([batch]) for batch in self._batches]
        self._close_writer()
        for file in self._files:
            file.flush()
            assert pages is not None
            tables.append(pa.ipc.open_file(pa.BufferReader(pa.py_buffer(pages.map(file)))).read_all())
            file.close()
        if not tables:
            return {}
        table = pa.concat_tables(tables, promote_options="default")
        return {name: Column(table.column(name), decode, pages) for name in table.column_names}

    def _close_writer(self) -> None:
        if self._writer is not None:
            self._writer.close()
