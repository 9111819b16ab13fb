"""Memory of weights that nobody will look at for a while, given back to the system without losing a value."""

from __future__ import annotations

import ctypes
import mmap
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

# Linux's advice that a range will not be needed soon (madvise(2)); Python's mmap knows the others, not this one.
PAGEOUT = 21


def release(values: torch.Tensor) -> None:
    """Let the system take back the memory of a tensor that lies on a CPU; it is read again when somebody looks.

    Loaded weights are mapped from their file, so what was read is dropped, and what was changed stays. Memory that has
    no file behind it goes to the swap space, if there is any. Advice and no more: where the system does not know it, or
    the file belongs to somebody else, nothing happens.
    """
    if sys.platform != "linux" or values.device.type != "cpu" or not values.is_contiguous():
        return
    page = mmap.PAGESIZE
    first = -(-values.data_ptr() // page) * page
    behind = (values.data_ptr() + values.nbytes) // page * page
    if first < behind:
        ctypes.CDLL(None).madvise(ctypes.c_void_p(first), ctypes.c_size_t(behind - first), PAGEOUT)
