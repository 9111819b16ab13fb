"""What a training frees stays in the C library's heap meanwhile, and goes back to the system behind it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from lightune import heap

# Takes and frees 100 MB ten times, inside and behind; each 4 kB page that the system has to clear counts as a fault.
# Huge pages, which some systems give to all, would hide most of them.
PROGRAM = """
import ctypes, json, resource
import psutil
from lightune import heap

PR_SET_THP_DISABLE = 41
library = ctypes.CDLL(None)
assert library.prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) == 0
library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
library.free.argtypes = [ctypes.c_void_p]
SIZE = 100_000_000

def faults(times):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        block = library.malloc(SIZE)
        ctypes.memset(block, 1, SIZE)
        library.free(block)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def held():
    return psutil.Process().memory_info().rss

before, found = held(), {}
with heap.kept():
    found["first"] = faults(1)
    with heap.kept():
        found["inside"] = faults(10)
    found["after an inner one"] = faults(10)
    found["kept"] = held() - before
found["left"] = held() - before
found["behind"] = faults(10)
print(json.dumps(found))
"""
PAGES = 100_000_000 // 4096


def measured(**environment: str) -> dict[str, int]:
    """Run the program in a process of its own: the heap is the process's."""
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=True)
    found: dict[str, int] = json.loads(done.stdout)
    return found


@pytest.mark.skipif(heap._glibc() is None, reason="the C library is not glibc, or has options of its own")
def test_freed_blocks_are_taken_again_and_given_back_behind() -> None:
    found = measured()
    assert found["inside"] < PAGES // 10
    assert found["after an inner one"] < PAGES // 10
    assert found["kept"] > 0.9 * 100_000_000
    assert found["left"] < 0.1 * 100_000_000
    assert found["behind"] > PAGES  # as glibc does by itself: the program does not keep what it may not need


@pytest.mark.skipif(heap._glibc() is None, reason="the C library is not glibc, or has options of its own")
def test_options_of_the_environment_stay() -> None:
    assert measured(MALLOC_ARENA_MAX="2")["inside"] > PAGES


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heap, "_glibc", lambda: None)
    with heap.kept():
        heap.give_back()
