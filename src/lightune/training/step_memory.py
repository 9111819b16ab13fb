"""What a step needs of a CPU's memory, estimated before it: there the system ends a process that takes too much."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lightune import memory
from lightune.errors import ResourceError
from lightune.execution.unpadding import supported
from lightune.models.anatomy import LINEAR_ROLES, layer_stack, stock_classifier
from lightune.models.architectures import ARCHITECTURES
from lightune.models.linear_widths import in_and_out
from lightune.recipe import SettledTraining
from lightune.training.batch_loss import RowLoss
from lightune.tuners.checked import unwrapped

if TYPE_CHECKING:
    from torch import nn

    from lightune.methods import Method

# Of the available memory, so much may be planned with: other programs need some meanwhile.
SHARE = 0.9
# The estimate is at most about 2.1 times what is taken: what may fit is tried.
MOST_OVER = 2.2
# Where the need is at most this share of the last reading, that is good for a tenth of a second: reading takes 0.2 ms.
PLENTY, READ_AGAIN = 1 / 4, 0.1
BYTES = 4  # of a number in fp32
# What a layer keeps for the backward pass: for each token so many times the widths of its linear layers' inputs and
# outputs, and for each pair of tokens and head so many numbers; docs/adr/0022-memory.md has the measurements.
# Recomputed layers leave holes in the heap: so much of it is still taken.
KEPT_WIDTHS, KEPT_SCORES, RECOMPUTED = 2.4, 2.0, 0.5
OVERHEAD = 1 << 24


@dataclass(frozen=True)
class Activations:
    """The bytes of a micro-batch's activations: for each token, and for each pair of tokens in a text."""

    token: float
    pair: float
    is_padded: bool

    def of(self, lengths: Sequence[int]) -> int:
        """Return the bytes for texts of these numbers of tokens."""
        longest = max(lengths)
        tokens = len(lengths) * longest if self.is_padded else sum(lengths)
        return round(tokens * self.token + tokens * longest * self.pair)


@dataclass
class StepMemory:
    """Compares the estimated need of a step with the memory that is available to it.

    `held` are bytes that the first steps take and keep: gradients, the optimizer's state, averaged weights. What a
    process once took it uses again, so its growth since `begin` counts as available.
    """

    row_loss: RowLoss
    activations: Activations
    held: int
    available: Callable[[], int] = memory.available_bytes
    resident: Callable[[], int] = memory.resident_bytes
    base: int = 0
    last_room: int = 0
    last_read: float = -math.inf

    def begin(self, cached: int) -> None:
        """Note what the process holds before the first step; outputs that are kept will take `cached` bytes more."""
        self.base, self.held = self.resident(), self.held + cached

    def needed(self, rows: Sequence[int]) -> int:
        """Return the bytes that passes over a micro-batch take at most, with what is held."""
        lengths = self.row_loss.window_lengths
        parts = ([lengths[window] for window in part] for part in self.row_loss.windows(rows))
        return self.held + max(map(self.activations.of, parts))

    def room(self) -> int:
        """Return the bytes that training can take in all, as the machine is now."""
        self.last_read = time.monotonic()
        grown = max(0, self.resident() - self.base)
        self.last_room = grown + round(SHARE * self.available() / memory.local_ranks())
        return self.last_room

    def fitting(self, batches: Sequence[Sequence[int]], step: int) -> int | None:
        """Return to how many texts micro-batches have to be cut so that there is room for each; None where there is.

        Raises ResourceError where there is none for a single text.
        """
        need = max(map(self.needed, batches), default=0)
        is_plenty = need < self.last_room * PLENTY and time.monotonic() - self.last_read < READ_AGAIN
        if is_plenty or need <= (room := self.room()):
            return None
        texts = self._texts(batches)
        while texts > 1:
            texts //= 2
            if max(self._of_parts(rows, texts) for rows in batches) <= room:
                return texts
        if self._least([self._longest(batches)]) > room:
            raise self._too_little(batches, room, step)
        return 1 if self._texts(batches) > 1 else None

    def _texts(self, batches: Sequence[Sequence[int]]) -> int:
        return max(len(part) for rows in batches for part in self.row_loss.windows(rows))

    def _longest(self, batches: Sequence[Sequence[int]]) -> int:
        lengths = self.row_loss.window_lengths
        return max(lengths[window] for rows in batches for part in self.row_loss.windows(rows) for window in part)

    def _least(self, lengths: Sequence[int]) -> float:
        """Return what texts of these numbers of tokens surely take."""
        return self.held + self.activations.of(lengths) / MOST_OVER

    def _of_parts(self, rows: Sequence[int], texts: int) -> int:
        lengths = self.row_loss.window_lengths
        windows = [lengths[window] for part in self.row_loss.windows(rows) for window in part]
        parts = (windows[first : first + texts] for first in range(0, len(windows), texts))
        return self.held + max(map(self.activations.of, parts))

    def _too_little(self, batches: Sequence[Sequence[int]], room: int, step: int) -> ResourceError:
        longest = self._longest(batches)
        need = self._least([longest])
        message = (
            f"step {step}: one text of {longest:,} tokens needs at least {need / 1e6:,.0f} MB of memory, "
            f"and about {room / 1e6:,.0f} MB are available."
        )
        return ResourceError("MEMORY-003", message, self._what_would_fit(longest, room))

    def _what_would_fit(self, longest: int, room: int) -> str:
        tokens = longest
        while tokens > 8 and self._least([tokens]) > room:
            tokens //= 2
        fits = self._least([tokens]) <= room
        shorter = f"--set data.max_length={tokens}, " if fits else ""
        return (
            f"Try {shorter}--set training.gradient_checkpointing=true, or a method that trains fewer weights; "
            "or close other programs."
        )


def step_memory(model: nn.Module, method: Method, row_loss: RowLoss, settings: SettledTraining) -> StepMemory | None:
    """Return the estimate for a model that has a method attached.

    None for an architecture that is not known, or a method that puts something else in the place of its linear layers.
    """
    stock = stock_classifier(model)
    if stock is None or stock.config.model_type not in ARCHITECTURES:
        return None
    try:
        activations = activations_of(model, settings.gradient_checkpointing)
    except (ValueError, AttributeError):
        return None
    trained = sum(value.numel() for value in model.parameters() if value.requires_grad)
    copies = 3 + bool(settings.weight_averaging) + method.state_copies  # gradient, AdamW's two, the average
    return StepMemory(row_loss, activations, OVERHEAD + copies * trained * BYTES)


def activations_of(model: nn.Module, recomputes: bool) -> Activations:
    """Return what a micro-batch's activations take in a model that has a method attached.

    Layers below the first trained weight keep nothing; with `recomputes` the others keep less.
    """
    stock, layers = stock_classifier(model), list(layer_stack(model))
    config = stock.config
    repeats = max(1, config.num_hidden_layers // len(layers))  # of layers that share their weights
    kept = repeats * (len(layers) - _first_trained(stock, model, layers))
    width = max(_widths(layer, config.model_type) for layer in layers)
    hidden, heads = config.hidden_size, config.num_attention_heads
    at_once = 1 + RECOMPUTED * kept if recomputes else max(1, kept)  # layers
    numbers = KEPT_WIDTHS * (at_once * width + 4 * hidden)  # the latter for embeddings and head
    return Activations(BYTES * numbers, BYTES * KEPT_SCORES * heads * at_once, not supported(model))


def _first_trained(stock: Any, model: nn.Module, layers: Sequence[nn.Module]) -> int:
    """Return the index of the lowest layer that the backward pass reaches; their number where it reaches none."""
    own = {id(value): index for index, layer in enumerate(layers) for value in layer.parameters()}
    above = {id(value) for value in _above(stock, layers)}
    trained = [value for value in model.parameters() if value.requires_grad and id(value) not in above]
    return min((own.get(id(value), 0) for value in trained), default=len(layers))


def _above(stock: Any, layers: Sequence[nn.Module]) -> Iterator[nn.Parameter]:
    """Yield the parameters that are used behind the layers: those of the head, and a pooler's or norm's."""
    inside = {id(value) for value in stock.base_model.parameters()}
    yield from (value for value in stock.parameters() if id(value) not in inside)
    stacked, is_behind = {id(value) for layer in layers for value in layer.parameters()}, False
    for child in stock.base_model.children():
        values = list(child.parameters())
        if is_behind:
            yield from values
        is_behind = is_behind or any(id(value) in stacked for value in values)


def _widths(layer: nn.Module, kind: str) -> int:
    """Return the sum of the widths of a layer's own linear layers, in and out; what methods add is narrow."""
    paths = dict.fromkeys(path for role in LINEAR_ROLES for path in ARCHITECTURES[kind].paths(role))
    return sum(sum(in_and_out(_at(layer, path))) for path in paths)


def _at(layer: nn.Module, path: str) -> Any:
    """Return the module at a path, without what methods wrap around it or around those above it."""
    module: Any = layer
    for name in path.split("."):
        module = getattr(unwrapped(module), name)
    return unwrapped(module)
