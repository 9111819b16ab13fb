"""Returns the memory of weights that are not needed for a while to the system, without losing a value."""

from __future__ import annotations

import ctypes
import mmap
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

# Linux's advice that a range will not be needed soon (madvise(2)); Python's mmap module has no constant for it.
PAGEOUT = 21


def release(values: torch.Tensor) -> None:
    """Let the system take back the memory of a tensor on a CPU; it is read again on the next access.

    Loaded weights are mapped from their file, so unchanged pages are dropped, and changed ones stay. Memory without a
    file goes to the swap space, if there is any. This is only advice: if the system does not support it, or the file
    belongs to another user, nothing happens.
    """
    if sys.platform != "linux" or values.device.type != "cpu" or not values.is_contiguous():
        return
    page = mmap.PAGESIZE
    first = -(-values.data_ptr() // page) * page
    behind = (values.data_ptr() + values.nbytes) // page * page
    if first < behind:
        ctypes.CDLL(None).madvise(ctypes.c_void_p(first), ctypes.c_size_t(behind - first), PAGEOUT)
