"""The hidden states that frozen layers compute for each training text, kept from one epoch to the next."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lightune.data.arrow_columns import nameless_file
from lightune.data.encoding import Encoded
from lightune.errors import RecipeError, ResourceError
from lightune.evaluation.evaluate import Around
from lightune.execution.layout_argument import layout_in
from lightune.memory import available_bytes, local_ranks
from lightune.recipe import SettledTraining

if TYPE_CHECKING:
    import torch
    from torch import nn

    from lightune.execution.frozen_layers import FrozenPrefix
    from lightune.training.forward_backward import Passes

# The share of available memory, and of free disk space, that the states may take.
MEMORY_SHARE, DISK_SHARE = 1 / 4, 1 / 2


@dataclass(frozen=True)
class CacheChoice:
    """Whether frozen layers are computed once, and why; how many of how many, and their states' bytes and place."""

    used: bool = False
    reason: str = ""
    layers: int = 0
    of_layers: int = 0
    bytes: int = 0
    place: str = ""

    @property
    def note(self) -> str:
        """The note that is shown while training."""
        which = "layer 1" if self.layers == 1 else f"layers 1 to {self.layers}"
        where = "in memory" if self.place == "memory" else "on disk"
        size = f"{self.bytes / 1e6:,.1f} MB"
        return f"{which} of {self.of_layers}: computed once for each text, {size} kept {where}"


@dataclass(frozen=True)
class Cached:
    """What was chosen and, if states are cached, the contexts for calls on training and on validation texts."""

    choice: CacheChoice
    training: Around | None = None
    validation: Around | None = None


def cacheable(settings: SettledTraining, model: Any, batch: Mapping[str, torch.Tensor]) -> FrozenPrefix | str:
    """Return the layers that an attached model needs to compute only once for each text, or why there are none.

    `batch` holds one or more padded texts; the model is called on it and left in training mode.
    """
    if settings.num_train_epochs == 1:
        return "there is only one epoch"
    if settings.token_masking:
        return "token_masking masks different tokens in each epoch"
    from lightune.execution.frozen_layers import frozen_prefix

    return frozen_prefix(model, batch)


def require_cacheable(settings: SettledTraining, model: Any, batch: Mapping[str, torch.Tensor]) -> None:
    """Raise RecipeError if `cache_frozen: on` is set but an attached model does not allow it."""
    if settings.cache_frozen == "on":
        _require(cacheable(settings, model, batch))


@contextmanager
def cache_frozen(
    model: Any, passes: Passes, validation: Encoded, settings: SettledTraining, folder: Path
) -> Iterator[Cached]:
    """Let `passes` compute the frozen layers below the first trained one only once for each text, if the setting says.

    `validation` are the texts of the validation after each epoch; their states are cached as well. The states are in
    memory, or in an unnamed file in the folder, which disappears at the latest when the process ends. With `on`, raises
    the errors of `require_cacheable`, and ResourceError if there is no room.
    """
    cached = _cached(model, passes, validation, settings, folder)
    with passes.calling(cached.training):
        yield cached


def _cached(model: Any, passes: Passes, validation: Encoded, settings: SettledTraining, folder: Path) -> Cached:
    if settings.cache_frozen == "off":
        return Cached(CacheChoice(reason="asked for"))
    if settings.cache_frozen == "auto" and passes.records:
        return Cached(CacheChoice(reason="passes are recorded, which gains more"))
    row_loss = passes.row_loss
    # The longest and the shortest text, which need padding if any texts do: packed texts may give another dtype.
    ends = [int(np.argmax(row_loss.window_lengths)), int(np.argmin(row_loss.window_lengths))]
    inputs = row_loss.inputs(ends[: settings.per_device_train_batch_size], 1)
    prefix = cacheable(settings, model, inputs)
    is_asked = settings.cache_frozen == "on"
    if is_asked:
        _require(prefix)
    if isinstance(prefix, str):
        return Cached(CacheChoice(reason=prefix))
    return _made(prefix, row_loss.window_lengths, validation.row_lengths, is_asked, folder)


def _require(found: FrozenPrefix | str) -> None:
    if isinstance(found, str):
        raise RecipeError("RECIPE-054", f"training.cache_frozen on: {found}.", "Leave it out: auto caches what it can.")


def _made(
    prefix: FrozenPrefix, training: Sequence[int], validation: Sequence[int], is_asked: bool, folder: Path
) -> Cached:
    """Return a cache for texts of these lengths, or why there is no room for it."""
    lengths = [*training, *validation]
    sizes = [1] * len(lengths) if prefix.output.narrows else lengths
    needed = sum(sizes) * prefix.output.width * prefix.output.dtype.itemsize
    buffer, place = _room(needed, folder)
    if buffer is None:
        reason = f"the states take {needed / 1e6:,.0f} MB, for which neither memory nor disk has room"
        if is_asked:
            raise ResourceError("DISK-004", f"training.cache_frozen on: {reason}.", "Free some, or leave it out.")
        return Cached(CacheChoice(reason=reason))
    why = "asked for" if is_asked else "nothing is trained or dropped in these layers or below"
    choice = CacheChoice(True, why, prefix.depth, len(prefix.layers), needed, place)
    cache = FrozenCache(prefix, sizes, buffer)
    return Cached(choice, cache.around, partial(cache.around, first=len(training)))


class FrozenCache:
    """The hidden states after a frozen prefix: one flat buffer, in which row i has the states from firsts[i] on."""

    def __init__(self, prefix: FrozenPrefix, sizes: Sequence[int], buffer: torch.Tensor) -> None:
        """`buffer` has dtype uint8."""
        self._prefix = prefix
        self._firsts = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
        self._states = buffer.view(prefix.output.dtype).view(-1, prefix.output.width)
        self._is_known = np.zeros(len(sizes), bool)

    @contextmanager
    def around(self, rows: Sequence[int], mask: torch.Tensor, first: int = 0) -> Iterator[None]:
        """Let a call on these rows, padded as in the mask (rows, positions), skip the prefix if all are cached.

        Otherwise their states are cached by the call. Rows are counted from `first`.
        """
        from lightune.execution.frozen_layers import StandIn, standing_in

        wanted = [first + row for row in rows]
        slots = self._slots(wanted, mask)
        *below, last = self._prefix.layers[: self._prefix.depth]
        is_known = bool(self._is_known[wanted].all())
        stand_ins: list[nn.Module]
        if is_known:
            stand_ins = [*(StandIn(layer, self._pass) for layer in below), StandIn(last, partial(self._give, slots))]
        else:
            stand_ins = [*below, StandIn(last, partial(self._note, last, slots))]
        with standing_in(self._prefix.layers, stand_ins):
            yield
        self._is_known[wanted] = True

    def _slots(self, rows: list[int], mask: torch.Tensor) -> torch.Tensor:
        """Return the index of each position's state, -1 for padding: (rows, positions)."""
        import torch

        count = mask.cumsum(1)
        is_kept = (mask == 1) & (count == 1) if self._prefix.output.narrows else mask == 1
        firsts = torch.from_numpy(self._firsts[rows])
        return torch.where(is_kept, firsts[:, None] + count - 1, -1)

    def _as_seen(self, slots: torch.Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor:
        """Return the slots in the shape of the layer's output: padded, packed, or only first tokens."""
        layout = layout_in((None, *args), kwargs)
        if layout is None:
            return slots
        packed: torch.Tensor = layout.pack(slots.to(layout.real.device))
        if layout.filling:
            packed[:, -layout.filling :] = -1
        is_last = self._prefix.depth == len(self._prefix.layers)
        return (packed.index_select(1, layout.firsts) if layout.narrows and is_last else packed).cpu()

    def _note(
        self, layer: Any, slots: torch.Tensor, hidden: torch.Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        output = layer(hidden, *args, **kwargs)
        places = self._as_seen(slots, args, kwargs)
        states = (output[0] if isinstance(output, tuple) else output).detach().to(self._states)
        self._states[places[places >= 0]] = states[places >= 0]
        return output

    def _give(self, slots: torch.Tensor, hidden: torch.Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        places = self._as_seen(slots, args, kwargs)
        states = self._states.index_select(0, places.clamp(min=0).flatten()).unflatten(0, places.shape)
        states[places < 0] = 0
        return self._pass(states.to(hidden.device), args, kwargs)

    def _pass(self, hidden: torch.Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        beside = self._prefix.output.beside
        return hidden if beside is None else (hidden, *[None] * beside)


def _room(needed: int, folder: Path) -> tuple[torch.Tensor | None, str]:
    """Return a buffer of this many bytes and its place; None where neither memory nor disk has room for it."""
    import torch

    ranks = local_ranks()
    if needed <= available_bytes() * MEMORY_SHARE / ranks:
        return torch.empty(needed, dtype=torch.uint8), "memory"
    on_disk = folder if folder.is_dir() else None  # only the first of several processes has a folder
    try:
        with nameless_file(on_disk) as file:
            if needed > shutil.disk_usage(on_disk or tempfile.gettempdir()).free * DISK_SHARE / ranks:
                return None, ""
            # Reserved now, because a full disk would end the process when a mapped page is written.
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, needed)
            file.truncate(needed)
            return torch.from_numpy(np.memmap(file, np.uint8, "r+")), "disk"
    except OSError:
        return None, ""
