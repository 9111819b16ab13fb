"""The cost of a phase: time, rates, memory."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any

from lightune.runtime import synchronise

if TYPE_CHECKING:
    import torch

SAMPLE_SECONDS = 0.02


@dataclass
class Spent:
    """Seconds and bytes; `record` gives them the names of `record.Cost`."""

    runtime: float = 0.0
    memory_before_bytes: int | None = None
    peak_memory_bytes: int | None = None
    peak_cuda_allocated_bytes: int | None = None
    peak_cuda_reserved_bytes: int | None = None

    def record(self, samples: int, steps: int) -> dict[str, Any]:
        """Return the fields of a Cost, with samples and steps per second of `runtime`."""
        seconds = max(self.runtime, 1e-9)
        return {**vars(self), "samples_per_second": samples / seconds, "steps_per_second": steps / seconds}


class Meter:
    """Measure a block: wall-clock seconds, and the peak of the process's resident set, sampled every 20 ms.

    `pause()` and `resume()` stop the clock (not the memory sampling) for work that does not belong to the phase. On
    CUDA the allocator's own peaks are recorded too.
    """

    def __init__(self, device: torch.device) -> None:
        import psutil

        self.spent = Spent()
        self._device = device
        self._process = psutil.Process()
        self._done = threading.Event()
        self._sampler = threading.Thread(target=self._sample, daemon=True)
        self._started: float | None = None

    def __enter__(self) -> Meter:
        """Start the clock and the sampling."""
        if self._device.type == "cuda":
            import torch

            torch.cuda.reset_peak_memory_stats(self._device)
        self.spent.memory_before_bytes = self.spent.peak_memory_bytes = self._process.memory_info().rss
        self._sampler.start()
        self.resume()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop both."""
        self.pause()
        self._done.set()
        self._sampler.join()
        self._look()
        if self._device.type == "cuda":
            import torch

            self.spent.peak_cuda_allocated_bytes = torch.cuda.max_memory_allocated(self._device)
            self.spent.peak_cuda_reserved_bytes = torch.cuda.max_memory_reserved(self._device)

    def resume(self) -> None:
        """Let the clock run."""
        synchronise(self._device)
        self._started = time.perf_counter()

    def pause(self) -> None:
        """Stop the clock."""
        synchronise(self._device)
        if self._started is not None:
            self.spent.runtime += time.perf_counter() - self._started
            self._started = None

    def _sample(self) -> None:
        while not self._done.wait(SAMPLE_SECONDS):
            self._look()

    def _look(self) -> None:
        now = self._process.memory_info().rss
        self.spent.peak_memory_bytes = max(now, self.spent.peak_memory_bytes or 0)
