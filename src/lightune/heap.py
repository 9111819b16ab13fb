"""The C library's heap, kept from step to step instead of being given back to the system and taken again."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import Any

# Of malloc.h; mallopt(3) of the Linux manual describes them.
TRIM_THRESHOLD, MMAP_THRESHOLD, MMAP_MAX = -1, -3, -4
NEVER, USUAL_MAPPED = -1, 65536
# What glibc's own thresholds grow to as large blocks are freed, on 64-bit systems.
LARGEST_MMAP_THRESHOLD = 32 << 20
LARGEST_TRIM_THRESHOLD = 2 * LARGEST_MMAP_THRESHOLD

_lock, _inside = Lock(), [0]  # a process has one heap, and may train in several threads


@contextmanager
def kept() -> Iterator[None]:
    """Let freed blocks stay in the heap inside, and give back to the system what is free of it behind.

    glibc maps a block of more than 32 MB by itself and unmaps it when it is freed, and gives back more than 64 MB that
    are free at the heap's end. A training step frees its activations and the next one takes them again, so the system
    clears the same pages at every step: with long texts up to a third of a step. Other C libraries are left alone, and
    so is glibc where the environment sets its options.
    """
    if (library := _glibc()) is None:
        yield
        return
    with _lock:
        _inside[0] += 1
        library.mallopt(TRIM_THRESHOLD, NEVER)
        library.mallopt(MMAP_MAX, 0)
    try:
        yield
    finally:
        with _lock:
            _inside[0] -= 1
            if not _inside[0]:
                library.mallopt(MMAP_MAX, USUAL_MAPPED)
                library.mallopt(MMAP_THRESHOLD, LARGEST_MMAP_THRESHOLD)
                library.mallopt(TRIM_THRESHOLD, LARGEST_TRIM_THRESHOLD)
                give_back()


def give_back() -> None:
    """Give the system what is free in the heap, where glibc has one."""
    if (library := _glibc()) is not None:
        library.malloc_trim(0)


@cache
def _glibc() -> Any:
    """Return the C library, or None where it is not glibc or its user has set its options."""
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    is_set = any(name.startswith("MALLOC_") for name in os.environ) or "malloc" in os.environ.get("GLIBC_TUNABLES", "")
    return library if hasattr(library, "gnu_get_libc_version") and not is_set else None
