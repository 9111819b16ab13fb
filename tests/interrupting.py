"""A reporter that does something after a step of training, such as ending the process."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lightune.progress import Advance, Silent


class AfterStep(Silent):
    """Calls `act` after this many steps of training; by default the process gets an interrupt."""

    def __init__(self, step: int, act: Callable[[], None] | None = None) -> None:
        self._step, self._act = step, act or interrupt

    @contextmanager
    def steps(self, title: str, total: int) -> Iterator[Advance]:
        """Count the steps of training alone."""
        done = 0

        def advance(detail: str = "") -> None:
            nonlocal done
            done += 1
            if title == "training" and done == self._step:
                self._act()

        yield advance


def interrupt(number: int = signal.SIGINT) -> None:
    """Send this process a signal."""
    os.kill(os.getpid(), number)
