"""A child process: load splits from a file and print by how many bytes the process grew above its imports."""

from __future__ import annotations

import sys
import threading

import psutil

from lightune.data import arrow_columns as storage
from lightune.data import tables
from lightune.data.dataset import load_splits
from lightune.recipe import DataBlock


def main(path: str, in_memory_bytes: str) -> None:
    """Load 500 training and 500 test examples; files above `in_memory_bytes` lie on disk. RSS is read every 10 ms."""
    load_splits(DataBlock(), seed=1)  # the small embedded data set: what is imported on the way is no data
    storage.IN_MEMORY_BYTES = tables.IN_MEMORY_BYTES = int(in_memory_bytes)
    process, done = psutil.Process(), threading.Event()
    before = peak = process.memory_info().rss

    def sample() -> None:
        nonlocal peak
        while not done.wait(0.01):
            peak = max(peak, process.memory_info().rss)

    sampler = threading.Thread(target=sample, daemon=True)
    sampler.start()
    splits = load_splits(DataBlock(source=path, train_examples=500, test_examples=500), seed=1)
    texts = {text for split in (splits.train, splits.validation, splits.test) for text in split.texts}
    done.set()
    sampler.join()
    print(peak - before, len(splits.train) + len(splits.validation), len(splits.test), len(texts))


if __name__ == "__main__":
    main(*sys.argv[1:])
