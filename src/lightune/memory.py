"""The memory of this machine: what is available, what this process holds, and letting go of what is not used."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from lightune import heap

if TYPE_CHECKING:
    import torch

# Where Linux states a container's limits (control groups, versions 1 and 2), and in which groups a process is.
CGROUPS, OWN_GROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
UNLIMITED = 1 << 60  # version 1 writes a number of about this size
# The files of a group: its limit, what it uses, and the key in memory.stat of cached files, which the system can drop.
VERSION_2 = ("memory.max", "memory.current", "inactive_file")
VERSION_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def available_bytes() -> int:
    """Return the memory that can still be taken: the system's, or less where a container has a limit."""
    import psutil

    return min([int(psutil.virtual_memory().available), *_left_in_groups()])


def resident_bytes() -> int:
    """Return the memory that this process holds."""
    import psutil

    return int(psutil.Process().memory_info().rss)


def local_ranks() -> int:
    """Return how many processes of this run share the memory of this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def release(device: torch.device) -> None:
    """Give back the memory that nothing refers to any more, also what a GPU's allocator or the heap keeps for later."""
    import torch

    gc.collect()
    heap.give_back()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def _left_in_groups() -> Iterator[int]:
    """Yield what is left of each limit that applies to this process."""
    try:
        lines = OWN_GROUPS.read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return
    for _, kinds, path in (line.split(":", 2) for line in lines if line.count(":") >= 2):
        if not kinds:
            yield from _left_from(CGROUPS, path, VERSION_2)
        elif "memory" in kinds.split(","):
            yield from _left_from(CGROUPS / "memory", path, VERSION_1)


def _left_from(root: Path, path: str, names: tuple[str, str, str]) -> Iterator[int]:
    """Yield what is left in a group and in those above it; inside a container only the root may be there."""
    own = root / path.strip("/")
    for folder in (own, *(above for above in own.parents if above.is_relative_to(root))):
        try:
            limit, used = ((folder / name).read_text(encoding="ascii").strip() for name in names[:2])
            if limit == "max" or int(limit) >= UNLIMITED:
                continue
            yield max(0, int(limit) - int(used) + _droppable(folder, names[2]))
        except (OSError, ValueError):
            continue


def _droppable(folder: Path, key: str) -> int:
    for line in (folder / "memory.stat").read_text(encoding="ascii").splitlines():
        name, _, value = line.partition(" ")
        if name == key:
            return int(value)
    return 0
