"""A child process: load a task from a csv file and print by how many bytes the process grew above its imports."""

from __future__ import annotations

import sys
import threading

import psutil

# What loading imports on its way counts as imports, not as data.
import torch  # noqa: F401

from lightune.data.task import load_task
from lightune.recipe import DataBlock


def main(path: str) -> None:
    """Load 500 training examples of a file, sampling the resident set every 10 ms."""
    import datasets  # noqa: F401
    import pyarrow.parquet  # noqa: F401

    process, done = psutil.Process(), threading.Event()
    before = peak = process.memory_info().rss

    def sample() -> None:
        nonlocal peak
        while not done.wait(0.01):
            peak = max(peak, process.memory_info().rss)

    sampler = threading.Thread(target=sample, daemon=True)
    sampler.start()
    task = load_task(DataBlock(source=path, train_examples=500, test_examples=500), seed=1)
    texts = [text for split in (task.train, task.validation, task.test) for text in split.texts]
    done.set()
    sampler.join()
    print(peak - before, len(task.train) + len(task.validation), len(task.test), len(set(texts)))


if __name__ == "__main__":
    main(sys.argv[1])
