"""What a run says while it works: bars on a terminal, plain lines elsewhere; always on stderr."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol


class Reporter(Protocol):
    """Whoever wants to know how a run is getting on."""

    def phase(self, title: str) -> None:
        """A new phase begins."""

    def note(self, text: str) -> None:
        """Something worth saying once."""

    @contextmanager
    def steps(self, title: str, total: int) -> Iterator[Advance]:
        """A loop of known length begins; call what is yielded after each step, with a few words on how it goes."""
        yield lambda detail="": None


class Advance(Protocol):
    """Say that one step is done."""

    def __call__(self, detail: str = "") -> None: ...


class Silent:
    """Says nothing; what the Python API uses unless it is told otherwise."""

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
        print(title, file=sys.stderr, flush=True)

    def note(self, text: str) -> None:
        """Print the note, indented."""
        print(f"  {text}", file=sys.stderr, flush=True)

    @contextmanager
    def steps(self, title: str, total: int) -> Iterator[Advance]:
        """Print a line whenever another tenth of the loop is done."""
        done = 0

        def advance(detail: str = "") -> None:
            nonlocal done
            done += 1
            if done == total or done * 10 // total > (done - 1) * 10 // total:
                print(f"  {title} {done}/{total}  {detail}".rstrip(), file=sys.stderr, flush=True)

        yield advance


class Bars:
    """rich progress bars, for a person at a terminal."""

    def __init__(self) -> None:
        from rich.console import Console

        self.console = Console(stderr=True, highlight=False)

    def phase(self, title: str) -> None:
        """Print the title."""
        self.console.print(f"[bold]{title}[/bold]")

    def note(self, text: str) -> None:
        """Print the note, dimmed."""
        from rich.markup import escape

        self.console.print(f"  [dim]{escape(text)}[/dim]")

    @contextmanager
    def steps(self, title: str, total: int) -> Iterator[Advance]:
        """Show a bar with the share done, the time left and the latest detail."""
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("  {task.description}"),
            BarColumn(bar_width=32),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("[dim]{task.fields[detail]}"),
        )
        with Progress(*columns, console=self.console, transient=True) as progress:
            task = progress.add_task(title, total=total, detail="")
            yield lambda detail="": progress.update(task, advance=1, detail=detail)


def default_reporter() -> Reporter:
    """Return bars when stderr is a terminal, plain lines otherwise."""
    return Bars() if sys.stderr.isatty() else PlainLines()


def download_bar(title: str) -> Any:
    """Return a tqdm class that shows the bytes of a whole download as one bar, for a person at a terminal only.

    huggingface_hub makes three bars from it: files, bytes received and bytes written. The last one is shown.
    """
    from tqdm import tqdm

    class Download(tqdm):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            options.pop("name", None)
            is_written = options.get("unit") == "B" and not str(options.get("desc")).startswith("Downloading bytes")
            shown = is_written and sys.stderr.isatty()
            options |= {"desc": f"  {title}", "disable": not shown, "leave": False, "delay": 0.3, "bar_format": None}
            super().__init__(*arguments, **options)

        def set_description(self, desc: str | None = None, refresh: bool | None = True) -> None:
            """Keep the title, whatever the library would write."""

    return Download


def quiet_libraries() -> None:
    """Silence the bars, load reports and advice of the libraries underneath; their errors still come through."""
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
    warnings.filterwarnings("ignore", module=r"(torch|transformers|peft|accelerate|datasets)\b")
