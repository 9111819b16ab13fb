"""Forward and backward passes that are recorded once for each shape and then played, for a CUDA device.

Over small batches a GPU waits for Python: a step of a hundred small layers takes as long as the calls take that launch
its thousand kernels. A CUDA graph launches them in one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from lightune import runtime
from lightune.execution.packed_layout import Layout
from lightune.execution.unpadding import PREPARED
from lightune.training.forward_backward import Passes

# Shapes are rounded up to these, so that few recordings serve many batches.
POSITIONS, TOKENS = 16, 64
# Each recording holds a few megabytes; beyond so many, shapes are too varied to come again.
MOST = 48


@dataclass
class StaticInputs:
    """Inputs of one shape that keep their place in memory, and what was recorded over them."""

    numbers: torch.Tensor  # all inputs, one after the other
    layout: Layout  # the same numbers
    weight: torch.Tensor
    inputs: dict[str, torch.Tensor]
    loss: torch.Tensor | None = None
    graph: torch.cuda.CUDAGraph | None = None
    last_weight: float = 0.0  # what `weight` holds

    @classmethod
    def like(cls, batch: dict[str, torch.Tensor], layout: Layout, device: torch.device) -> StaticInputs:
        """Make one for batches of this shape."""
        parts = [*batch.values(), layout.real, layout.ends]
        numbers = torch.zeros(sum(part.numel() for part in parts), dtype=torch.long, device=device)
        *views, real, ends = numbers.split([part.numel() for part in parts])
        inputs = {name: view.view(batch[name].shape) for name, view in zip(batch, views, strict=True)}
        # Kernels want to know of the longest text but how long it is at most; grids for each batch there are none.
        fixed = replace(layout, real=real, ends=ends, longest=layout.shape[1], groups=(), filling=TOKENS)
        return cls(numbers, fixed, torch.zeros((), device=device), inputs)

    def fill(self, batch: dict[str, torch.Tensor], layout: Layout, weight: float) -> None:
        """Put a batch in."""
        numbers = torch.cat([part.flatten() for part in (*batch.values(), layout.real, layout.ends)])
        self.numbers.copy_(runtime.sent(numbers, self.numbers.device))
        if weight != self.last_weight:
            self.weight.fill_(weight)
            self.last_weight = weight


@dataclass
class GraphedPasses(Passes):
    """Passes that run as called when a shape comes for the first time, and are recorded when it comes again.

    The first one is watched: where a model waits for the device in between, or attention needs grids, nothing can be
    recorded, and passes of that shape run as called. Random numbers are those of the generator at the time of playing.
    """

    records = True

    frames: dict[tuple[int, ...], StaticInputs | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._stream = torch.cuda.Stream(self.accelerator.device)
        self._memory: Any = torch.cuda.graph_pool_handle()

    @property
    def about(self) -> dict[str, int]:
        """How many shapes came, and how many of them are recorded: those that came twice and could be."""
        found = list(self.frames.values())
        return {"shapes": len(found), "recorded": sum(frame is not None and frame.graph is not None for frame in found)}

    def run(self, rows: Sequence[int], epoch: int, weight: float) -> torch.Tensor:
        """Add `weight` times a micro-batch's gradient to the gradients, and return its plain mean loss."""
        if self.around is not None:  # which has to do with each call
            return super().run(rows, epoch, weight)
        batch = self.row_loss.batch(rows, epoch, POSITIONS)
        mask = batch.get("attention_mask")
        layout = None if mask is None else Layout.of(mask, narrows=True, multiple=TOKENS)
        if layout is None:
            return self.run_batch(batch, rows, weight)
        key = (*layout.shape, len(layout.real))
        if key not in self.frames:
            is_new = len(self.frames) < MOST
            self.frames[key] = StaticInputs.like(batch, layout, self.accelerator.device) if is_new else None
        frame = self.frames[key]
        if frame is None:
            return self.run_batch(batch, rows, weight)
        frame.fill(batch, layout, weight)
        if frame.graph is not None:
            frame.graph.replay()
        elif frame.loss is None and self._ran(frame):
            pass
        elif frame.loss is not None and self._recorded(frame):
            assert frame.graph is not None
            frame.graph.replay()
        else:
            self.frames[key] = None
            return self.run_batch(batch, rows, weight)
        assert frame.loss is not None
        return frame.loss.clone()

    def _ran(self, frame: StaticInputs) -> bool:
        """Run as called, but in the way that is recorded; False, and nothing done, where that proves impossible."""
        trainable = [value for value in self.plain_model.parameters() if value.requires_grad]
        before = [None if value.grad is None else value.grad.clone() for value in trainable]
        rng_state = torch.get_rng_state()
        try:
            with self._aside(), never_waiting():
                self._pass(frame)
            # What is drawn on the CPU would be the same each time that a recording is played.
            is_possible = torch.equal(torch.get_rng_state(), rng_state)
        except RuntimeError:
            is_possible = False
        if not is_possible:
            frame.loss = None
            for value, gradient in zip(trainable, before, strict=True):
                if gradient is None:
                    value.grad = None
                elif value.grad is not None:
                    value.grad.copy_(gradient)  # in its place, which recordings know
        return is_possible

    def _recorded(self, frame: StaticInputs) -> bool:
        """Record a pass, which computes nothing; False where that fails, for want of memory perhaps."""
        graph, own = torch.cuda.CUDAGraph(), torch.cuda.current_stream()
        try:
            with torch.cuda.graph(graph, pool=self._memory, stream=self._stream, capture_error_mode="thread_local"):
                self._pass(frame)
        except RuntimeError:
            torch.cuda.set_stream(own)  # a recording that fails to end leaves its own behind
            return False
        frame.graph = graph
        return True

    def _pass(self, frame: StaticInputs) -> None:
        layout = replace(frame.layout, ends=frame.layout.ends.to(torch.int32))
        setattr(frame.inputs["attention_mask"], PREPARED, layout)
        loss = self.model(**frame.inputs).loss
        whole = loss + self.method.penalty(self.plain_model)
        (whole * frame.weight).backward()
        frame.loss = loss.detach()

    @contextmanager
    def _aside(self) -> Iterator[None]:
        """Work on the stream of the recordings."""
        own = torch.cuda.current_stream()
        self._stream.wait_stream(own)
        try:
            with torch.cuda.stream(self._stream):
                yield
        finally:
            own.wait_stream(self._stream)


@contextmanager
def never_waiting() -> Iterator[None]:
    """Let whoever waits for the device fail with a RuntimeError."""
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)
