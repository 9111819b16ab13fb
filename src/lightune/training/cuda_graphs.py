"""Forward and backward passes that are captured once for each shape and then replayed, for a CUDA device.

With small batches a GPU waits for Python: a step of a hundred small layers takes as long as the calls that launch its
thousand kernels. A CUDA graph launches them all in one call.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from lightune import runtime
from lightune.execution.execution import known_batch
from lightune.execution.packed_layout import Layout
from lightune.training.forward_backward import Passes

# Shapes are rounded up to these, so that few recordings serve many batches.
POSITIONS, TOKENS = 16, 64
# Each recording takes a few megabytes; beyond this many, shapes are too varied to occur again.
MOST = 48


@dataclass
class StaticInputs:
    """The inputs of passes of one shape, at fixed memory addresses, and the graph recorded for them."""

    buffers: dict[torch.dtype, torch.Tensor]  # all inputs of one dtype, so that one copy fills them
    layout: Layout
    weight: torch.Tensor
    inputs: dict[str, torch.Tensor]
    targets: torch.Tensor
    loss: torch.Tensor | None = None
    graph: torch.cuda.CUDAGraph | None = None
    last_weight: float = 0.0  # what `weight` holds

    @classmethod
    def like(
        cls, inputs: dict[str, torch.Tensor], targets: torch.Tensor, layout: Layout, device: torch.device
    ) -> StaticInputs:
        """Make one for batches of this shape."""
        parts = [*inputs.values(), targets, *_places(layout)]
        buffers = {kind: torch.zeros_like(flat, device=device) for kind, flat in _flat(parts).items()}
        cut = {kind: iter(own.split([p.numel() for p in parts if p.dtype == kind])) for kind, own in buffers.items()}
        *views, real, ends = (next(cut[part.dtype]).view(part.shape) for part in parts)
        # Kernels need only an upper bound on the longest text. Grids fit only one batch.
        fixed = replace(layout, real=real, ends=ends, longest=layout.shape[1], groups=(), filling=TOKENS)
        named = dict(zip(inputs, views, strict=False))
        return cls(buffers, fixed, torch.zeros((), device=device), named, targets=views[-1])

    def fill(self, inputs: dict[str, torch.Tensor], targets: torch.Tensor, layout: Layout, weight: float) -> None:
        """Copy a batch into the buffers."""
        for kind, flat in _flat([*inputs.values(), targets, *_places(layout)]).items():
            self.buffers[kind].copy_(runtime.sent(flat, self.buffers[kind].device))
        if weight != self.last_weight:
            self.weight.fill_(weight)
            self.last_weight = weight


def _places(layout: Layout) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the tokens' indices and the texts' ends in the dtype of ids, so that they fill the same buffer."""
    return layout.real, layout.ends.long()


def _flat(parts: Sequence[torch.Tensor]) -> dict[torch.dtype, torch.Tensor]:
    """Return the numbers of all parts of each dtype, one after the other."""
    kinds = dict.fromkeys(part.dtype for part in parts)
    return {kind: torch.cat([part.flatten() for part in parts if part.dtype == kind]) for kind in kinds}


@dataclass
class GraphedPasses(Passes):
    """Passes that run eagerly when a shape occurs for the first time, and are recorded when it occurs again.

    The first one is checked: if the model waits for the device during it, or attention needs grids, nothing can be
    recorded, and passes of that shape run eagerly. Random numbers come from the generator at the time of replay.
    """

    records = True

    # By texts, positions and packed tokens; None for a shape whose passes run eagerly.
    shapes: dict[tuple[int, ...], StaticInputs | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._stream = torch.cuda.Stream(self.accelerator.device)
        self._memory: Any = torch.cuda.graph_pool_handle()

    @property
    def about(self) -> dict[str, int]:
        """How many shapes occurred, and how many are recorded: those that occurred twice and can be recorded."""
        found = list(self.shapes.values())
        recorded = sum(static is not None and static.graph is not None for static in found)
        return {"shapes": len(found), "recorded": recorded}

    def run(self, rows: Sequence[int], epoch: int, weight: float) -> torch.Tensor:
        """Add `weight` times a micro-batch's gradient to the gradients, and return its plain mean loss."""
        if self.around is not None:  # a context that has to see each call
            return super().run(rows, epoch, weight)
        inputs, targets = self.row_loss.batch(rows, epoch, POSITIONS)
        mask = inputs.get("attention_mask")
        layout = None if mask is None else Layout.of(mask, narrows=True, multiple=TOKENS)
        if layout is None:
            return self.run_batch(inputs, targets, rows, weight)
        key = (*layout.shape, len(layout.real))
        if key not in self.shapes:
            is_new = len(self.shapes) < MOST
            self.shapes[key] = StaticInputs.like(inputs, targets, layout, self.accelerator.device) if is_new else None
        static = self.shapes[key]
        if static is not None:
            static.fill(inputs, targets, layout, weight)
            if self._ran(static, rows):
                assert static.loss is not None
                return static.loss.clone()
            self.shapes[key] = None
        return self.run_batch(inputs, targets, rows, weight)

    def forget(self) -> None:
        """Drop all recordings: they hold memory, and refer to gradients that are dropped too."""
        self.shapes.clear()
        self._memory = torch.cuda.graph_pool_handle()

    def _ran(self, static: StaticInputs, rows: Sequence[int]) -> bool:
        """Run the passes on the filled buffers, eagerly or recorded; False, with nothing changed, if neither works."""
        if static.loss is None:
            return self._called(static, rows)
        if static.graph is None:
            static.graph = self._recorded(static, rows)
        if static.graph is None:
            return False
        static.graph.replay()
        return True

    def _called(self, static: StaticInputs, rows: Sequence[int]) -> bool:
        """Run eagerly, but as it would be recorded; False, with nothing changed, if it cannot be recorded."""
        trainable = [value for value in self.plain_model.parameters() if value.requires_grad]
        before = [None if value.grad is None else value.grad.clone() for value in trainable]
        rng_state = torch.get_rng_state()
        try:
            with self._aside(), never_waiting():
                self._pass(static, rows)
            # Numbers drawn on the CPU would be the same in each replay.
            is_possible = torch.equal(torch.get_rng_state(), rng_state)
        except RuntimeError:
            is_possible = False
        if not is_possible:
            static.loss = None
            for value, gradient in zip(trainable, before, strict=True):
                if gradient is None:
                    value.grad = None
                elif value.grad is not None:
                    value.grad.copy_(gradient)  # in place, because recordings use its address
        return is_possible

    def _recorded(self, static: StaticInputs, rows: Sequence[int]) -> torch.cuda.CUDAGraph | None:
        """Record a pass without computing anything; None if that fails, for example for lack of memory."""
        graph, own = torch.cuda.CUDAGraph(), torch.cuda.current_stream()
        try:
            with torch.cuda.graph(graph, pool=self._memory, stream=self._stream, capture_error_mode="thread_local"):
                self._pass(static, rows)
        except RuntimeError:
            torch.cuda.set_stream(own)  # a failed recording leaves its own stream set
            return None
        return graph

    def _pass(self, static: StaticInputs, rows: Sequence[int]) -> None:
        """Forward and backward; `rows` are the first batch's: a recording could not change class weights."""
        layout = replace(static.layout, ends=static.layout.ends.to(torch.int32))
        with known_batch(self.plain_model, static.inputs["attention_mask"], layout=layout):
            logits = self.model(**static.inputs).logits
        loss, plain = self.row_loss.of(logits, static.targets, rows)
        whole = loss + self.method.penalty(self.plain_model)
        (whole * static.weight).backward()
        static.loss = plain

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
    """Raise RuntimeError for any call that waits for the device."""
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)
