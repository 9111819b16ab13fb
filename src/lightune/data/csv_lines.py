"""The lines of a text table, numbered, of which those of a broken row are read a second time."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator

from lightune.data.arrow_columns import BLANK

# A row of several lines that is longer than this has a quote that was never closed.
LONGEST_ROW = 32_000_000
LINE_OVERHEAD = 64
MOST_RETRIES = 20
MOST_READ_AGAIN = 32_000_000  # characters, in all


class Lines:
    """The lines of a stream, numbered from 1; the lines of a broken row, except its first, can be read again."""

    def __init__(self, stream: Iterable[str]) -> None:
        self._stream = iter(stream)
        self._again: deque[str] = deque()
        self._size = 0
        self._retries = self._read_again = 0
        self.number = 0
        self.row: list[str] = []

    def __iter__(self) -> Lines:
        return self

    def __next__(self) -> str:
        if self._size > LONGEST_ROW and self.row:
            raise StopIteration
        line = self._again.popleft() if self._again else next(self._stream)
        self.row.append(line)
        self.number += 1
        self._size += len(line) + LINE_OVERHEAD
        return line

    def begin_row(self) -> int:
        """Forget the previous row, and return the line on which the next one begins."""
        self.row, self._size = [], 0
        return self.number + 1

    def read_again(self) -> None:
        """Go back to the second line of the row: its quote may have swallowed whole rows."""
        if self._retries < MOST_RETRIES and self._read_again < MOST_READ_AGAIN:
            self._read_again += self._size
            self._retries += len(self.row) > 1
            self._again.extendleft(reversed(self.row[1:]))
            self.number -= len(self.row) - 1


def filled_lines(stream: Iterable[str], skipped: Counter[str]) -> Iterator[tuple[int, str]]:
    """Yield (number, line) of the lines that are not blank; blank ones are counted, except those at the end."""
    blank = 0
    for number, line in enumerate(stream, 1):
        if not line.strip():
            blank += 1
            continue
        if blank:
            skipped[BLANK] += blank
            blank = 0
        yield number, line
