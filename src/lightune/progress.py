"""Progress messages of a run: bars on a terminal, a block in a notebook, plain lines elsewhere."""

from __future__ import annotations

import logging
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from typing import Any, Protocol

from lightune.faults import is_warning
from lightune.terminal import log, new_console, visible


class Reporter(Protocol):
    """Receives the progress of a run."""

    def phase(self, title: str) -> None:
        """A new phase begins."""

    def note(self, text: str) -> None:
        """Something worth saying once."""

    @contextmanager
    def steps(self, title: str, total: int) -> Iterator[Advance]:
        """A loop of known length begins; call the yielded function after each step, with a short detail."""
        yield lambda detail="": None


class Advance(Protocol):
    """Reports that one step is done."""

    def __call__(self, detail: str = "") -> None: ...


class Silent:
    """Reports nothing; the default of the Python API outside notebooks."""

    def phase(self, title: str) -> None:
        """Say nothing."""

    def note(self, text: str) -> None:
        """Say nothing."""

    @contextmanager
    def steps(self, title: str, total: int) -> Iterator[Advance]:
        """Count nothing."""
        yield lambda detail="": None


class PlainLines:
    """One line per phase and one per tenth of a loop: for logs, pipes and continuous integration."""

    def phase(self, title: str) -> None:
        """Print the title."""
        log(title)

    def note(self, text: str) -> None:
        """Print the note, indented."""
        log(f"  {text}")

    @contextmanager
    def steps(self, title: str, total: int) -> Iterator[Advance]:
        """Print a line whenever another tenth of the loop is done."""
        done = 0

        def advance(detail: str = "") -> None:
            nonlocal done
            done += 1
            if done == total or done * 10 // total > (done - 1) * 10 // total:
                log(f"  {title} {done}/{total}  {detail}".rstrip())

        yield advance


class Bars:
    """rich progress bars, for a person at a terminal."""

    def __init__(self) -> None:
        self.console = new_console(stderr=True)

    def phase(self, title: str) -> None:
        """Print the title."""
        self.console.print(title, style="bold")

    def note(self, text: str) -> None:
        """Print the note, dimmed; a warning is yellow."""
        self.console.print(f"  {text}", style="yellow" if is_warning(text) else "dim", markup=False)

    @contextmanager
    def steps(self, title: str, total: int) -> Iterator[Advance]:
        """Show a bar with the share done, the time left and the latest detail."""
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("  {task.description}", markup=False),
            BarColumn(bar_width=32, complete_style="cyan", finished_style="green"),  # rich's own is nearly red
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[detail]}", style="dim", markup=False),
        )
        with Progress(*columns, console=self.console, transient=True) as progress:
            task = progress.add_task(title, total=total, detail="")
            yield lambda detail="": progress.update(task, advance=1, detail=detail)


class Notebook:
    """One block under the notebook's cell, rewritten in place: phases, notes and the bar of the current loop."""

    SECONDS_BETWEEN = 0.2

    def __init__(self) -> None:
        self._lines: list[tuple[str, str]] = []
        self._bar: tuple[str, int, int, str] | None = None
        self._display: Any = None
        warnings.filterwarnings("ignore", message="IProgress not found")  # tqdm asks for widgets that are not needed

    def phase(self, title: str) -> None:
        """Add the title, bold."""
        self._lines.append(("font-weight: bold", title))
        self._show()

    def note(self, text: str) -> None:
        """Add the note, indented."""
        self._lines.append(("margin-left: 1em; opacity: 0.75", text))
        self._show()

    @contextmanager
    def steps(self, title: str, total: int) -> Iterator[Advance]:
        """Show a bar with the steps done and the latest detail while the loop runs."""
        done, shown = 0, time.monotonic()

        def advance(detail: str = "") -> None:
            nonlocal done, shown
            done += 1
            if time.monotonic() - shown >= self.SECONDS_BETWEEN:
                shown = time.monotonic()
                self._bar = (title, done, total, detail)
                self._show()

        try:
            yield advance
        finally:
            self._bar = None
            self._show()

    def _show(self) -> None:
        from IPython.display import display

        shown = {"text/html": self._html(), "text/plain": visible("\n".join(text for _, text in self._lines))}
        if self._display is None:
            self._display = display(shown, raw=True, display_id=True)
        else:
            self._display.update(shown, raw=True)

    def _html(self) -> str:
        rows = [f'<div style="{style}">{escape(text)}</div>' for style, text in self._lines]
        if self._bar is not None:
            title, done, total, detail = self._bar
            bar = f'<progress value="{done}" max="{total}"></progress>'
            rows.append(f'<div style="margin-left: 1em">{escape(title)} {bar} {done}/{total} {escape(detail)}</div>')
        return "\n".join(rows)


def in_notebook() -> bool:
    """Say whether we run in the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


def program_reporter() -> Reporter:
    """Return the reporter of a Python program: everything is shown in a notebook, elsewhere nothing."""
    return Notebook() if in_notebook() else Silent()


def default_reporter() -> Reporter:
    """Return bars when stderr is a terminal, plain lines otherwise."""
    return Bars() if sys.stderr.isatty() else PlainLines()


def download_bar(title: str, made: Callable[[], None]) -> Any:
    """Return a tqdm class that shows the bytes of a whole download as one bar, for a person at a terminal only.

    huggingface_hub makes three bars from it: files, bytes received and bytes written. The last one is shown. `made` is
    called when each bar is made, shown or not.
    """
    from tqdm import tqdm

    class Download(tqdm):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            made()
            options.pop("name", None)
            is_written = options.get("unit") == "B" and not str(options.get("desc")).startswith("Downloading bytes")
            shown = is_written and sys.stderr.isatty()
            options |= {
                "desc": visible(f"  {title}"),
                "disable": not shown,
                "leave": False,
                "delay": 0.3,
                "bar_format": None,
            }
            super().__init__(*arguments, **options)

        def set_description(self, desc: str | None = None, refresh: bool | None = True) -> None:
            """Keep the title, whatever the library would write."""

    return Download


def quiet_libraries() -> None:
    """Silence the bars, load reports and advice of the libraries used; their errors are still shown."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    for name in ("transformers", "peft", "accelerate", "datasets", "huggingface_hub", "torch.distributed"):
        logging.getLogger(name).setLevel(logging.ERROR)
    if "transformers" in sys.modules:
        from transformers.utils import logging as hf_logging

        hf_logging.set_verbosity_error()
        hf_logging.disable_progress_bar()
    if "datasets" in sys.modules:
        import datasets

        datasets.disable_progress_bars()
    warnings.filterwarnings("ignore", module=r"(torch|transformers|peft|accelerate|datasets|huggingface_hub)\b")
