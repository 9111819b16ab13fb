"""How the calls of a base model run, in one object attached to it; see docs/adr/0013-one-execution-object.md."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from threading import Lock, get_ident
from typing import TYPE_CHECKING, Any, Protocol

from lightune.models.anatomy import stock_classifier

if TYPE_CHECKING:
    import torch
    from torch import nn

    from lightune.execution.packed_layout import Layout

# The only attribute that lightune sets on a model that is not its own.
ATTRIBUTE = "lightune_execution"
_OPENING = Lock()
_OWN_HOOKS: set[Callable[..., Any]] = set()


# Set in a thread whose calls are about the rows of a batch, each of which has to stay one.
_KEEPS_ROWS: ContextVar[bool] = ContextVar("lightune_keeps_rows", default=False)


@contextmanager
def keeping_rows() -> Iterator[None]:
    """Let each text stay a row, with its padding, in the calls that this thread makes within the context."""
    token = _KEEPS_ROWS.set(True)
    try:
        yield
    finally:
        _KEEPS_ROWS.reset(token)


def keeps_rows() -> bool:
    """Whether this thread is within `keeping_rows`."""
    return _KEEPS_ROWS.get()


class DropsPadding(Protocol):
    """Drops the padding for the threads that opened it; implemented in execution/unpadding.py."""

    def admit(self, logits_only: bool) -> None:
        """Drop the padding of this thread's calls from now on."""

    def close(self) -> bool:
        """Take back one `admit` of this thread, and say whether no thread has it open any more."""


@dataclass(frozen=True)
class KnownBatch:
    """What is known of the batch with this attention mask: the same mask on the CPU, and a layout made in advance."""

    mask: torch.Tensor
    host_mask: torch.Tensor | None
    layout: Layout | None


@dataclass
class Execution:
    """How the calls of one base model run.

    `unpadder` is set while some thread has it open. Packed tokens are filled up to a multiple of `row_multiple`.
    `is_claimed` says that a method is attached. `batches` holds the batches of the calls in progress, by thread.
    """

    unpadder: DropsPadding | None = None
    row_multiple: int = 1
    is_claimed: bool = False
    batches: dict[int, KnownBatch] = field(default_factory=dict)

    def __deepcopy__(self, memo: dict[int, Any]) -> Execution:
        """Return the execution of a copied model: its settings are kept, and no call of the copy is in progress."""
        return Execution(row_multiple=self.row_multiple, is_claimed=self.is_claimed)

    def batch_of(self, mask: torch.Tensor) -> KnownBatch | None:
        """Return what `known_batch` says of this thread's batch, if its mask is this very tensor."""
        known = self.batches.get(get_ident())
        # PEFT's prompts replace the given mask by a longer one, of which nothing is known.
        return known if known is not None and known.mask is mask else None

    def claim(self) -> None:
        """Note that a method is attached."""
        self.is_claimed = True

    def release(self) -> None:
        """Note that none is attached any more."""
        self.is_claimed = False

    @contextmanager
    def without_padding(self, make: Callable[[], DropsPadding], logits_only: bool) -> Iterator[None]:
        """Unpad this thread's calls within the context, with the unpadder that is already open or a new one."""
        with _OPENING:
            unpadder = self.unpadder or make()
            unpadder.admit(logits_only)
            self.unpadder = unpadder
        try:
            yield
        finally:
            with _OPENING:
                if unpadder.close():
                    self.unpadder = None

    def fill_rows(self, multiple: int) -> None:
        """Fill packed tokens up to a multiple from now on; 1 adds no tokens."""
        self.row_multiple = multiple


def execution_of(model: nn.Module) -> Execution:
    """Return the execution of a classifier's base model, whatever wraps it; a plain one if there was none."""
    stock = stock_classifier(model)
    own = vars(model if stock is None else stock.base_model)
    found: Execution = own.get(ATTRIBUTE) or own.setdefault(ATTRIBUTE, Execution())
    return found


@contextmanager
def known_batch(
    model: nn.Module, mask: torch.Tensor, host_mask: torch.Tensor | None = None, layout: Layout | None = None
) -> Iterator[None]:
    """Say what is known of the batch that this thread gives the model within the context.

    `mask` is the attention mask that the model is called with; it is compared by identity. `host_mask` holds the same
    numbers on the CPU, so that reading them does not wait for a device; with a `layout` they are not read.
    """
    batches, thread = execution_of(model).batches, get_ident()
    before = batches.get(thread)
    batches[thread] = KnownBatch(mask, host_mask, layout)
    try:
        yield
    finally:
        if before is None:
            del batches[thread]
        else:
            batches[thread] = before


def own_hook(function: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a function as one of this package's own hooks: it changes how a call runs, and reads no values from it."""
    _OWN_HOOKS.add(function)
    return function


def is_own_hook(hook: Any) -> bool:
    """Whether a registered hook, a function or a bound method, is marked by `own_hook`."""
    return getattr(hook, "__func__", hook) in _OWN_HOOKS
