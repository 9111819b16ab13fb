"""The entry point: finds the command, and turns errors into messages and exit codes."""

from __future__ import annotations

import importlib
import io
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from types import FrameType

import click

from lightune import __version__, runtime
from lightune.errors import (
    InterruptedRunError,
    LightuneError,
    ResourceError,
    TrainingDivergedError,
    did_you_mean,
    is_full,
    is_out_of_memory,
)
from lightune.report.wrapping import wrapped
from lightune.terminal import log, new_console, say

# Name -> what it does; the file of the same name is imported only when the command is used.
COMMANDS = {
    "run": "Evaluate, adapt, evaluate again, report.",
    "resume": "Go on with a run that was interrupted.",
    "check": "Say what is wrong with labelled data, before training.",
    "predict": "Classify a text, lines from stdin, or a CSV file.",
    "evaluate": "Measure a trained classifier on labelled data.",
    "report": "Show a run's summary and write its report again.",
    "push": "Upload a run to the Hugging Face Hub.",
    "methods": "List the adaptation methods and their options.",
    "tasks": "List the tasks and their metrics.",
    "recipes": "List the shipped recipes, or print one.",
    "anatomy": "Show what a model's parts are called.",
    "doctor": "Check this machine and installation.",
}
# Other names that people type; the help does not list them.
ALIASES = {"train": "run"}


class Commands(click.Group):
    """A group whose commands are imported when they are used, so that --help and --version stay quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the command names in the order in which a new user needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's file."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"lightune.cli.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Answer a misspelt command with the closest one, and take another name of a command for its own."""
        args = [ALIASES.get(args[0], args[0]), *args[1:]]
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            close = did_you_mean(args[0], [*COMMANDS, *ALIASES])
            ctx.fail(f'there is no command "{args[0]}". {close} Valid: {", ".join(COMMANDS)}.'.replace("  ", " "))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start with: lightune run\n\n"
    "With your own CSV: lightune check my.csv, then lightune run --train my.csv\n\n"
    "Each command explains itself: lightune run --help",
)
@click.version_option(__version__, prog_name="lightune")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def cli(debug: bool) -> None:
    """Adapt a pre-trained transformer by training a small part of it, and learn honestly what that gained."""


class Terminated(BaseException):
    """SIGTERM arrived outside the training loop; raised so that unfinished files are removed."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    given = [argument for argument in given if argument != "--debug"]
    _take_signals()
    _print_anything()
    try:
        result = cli.main(args=given, prog_name="lightune", standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except BaseException as error:
        return _failed(error, debug)


def _take_signals() -> None:
    """Turn SIGTERM into an exception, so that the stack unwinds.

    A further process of a run has nothing to clean up, and may be waiting outside Python: it ends at once.
    """
    further = runtime.rank() > 0
    signal.signal(signal.SIGTERM, signal.SIG_DFL if further else _terminate)
    if further:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def _print_anything() -> None:
    """Escape characters that the console cannot encode (cp1252, for example), instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _failed(error: BaseException, debug: bool) -> int:
    """Print what went wrong and return the exit status."""
    if isinstance(error, click.ClickException):
        shown = io.StringIO()
        error.show(shown)
        return _say(shown.getvalue().rstrip("\n"), 2)
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return _say("interrupted.", 130)
    if isinstance(error, Terminated):
        return _say("terminated.", 143)
    if isinstance(error, BrokenPipeError) or (isinstance(error, SystemExit) and error.code == 1):
        # The reader of our output is gone (`| head`); that is not a fault. click and rich turn it into SystemExit(1).
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 0
    return _faulty(error, debug)


def _faulty(error: BaseException, debug: bool) -> int:
    """Print an error, ours or not, and return the exit status."""
    if debug:
        log("".join(traceback.format_exception(error)).rstrip("\n"))
    known = error if isinstance(error, LightuneError) else _resource_error(error)
    kept = "".join(f"\n{note}" for note in getattr(error, "__notes__", ()))
    if known is not None:
        is_told = runtime.rank() > 0 and isinstance(known, InterruptedRunError | TrainingDivergedError)
        status = 128 + known.signal_number if isinstance(known, InterruptedRunError) else known.exit_code
        return status if is_told else _say(f"{known}{kept}", status)
    said, package = f"{type(error).__name__}: {error}", _plugin_of(error)
    text = (
        f"PLUGIN-001 the package {package} failed: {said}" if package else f"BUG-001 this is a bug of lightune: {said}"
    )
    return _say(text + kept + ("" if debug else "\nRun it again with --debug, and report what it prints."), 1)


def _plugin_of(error: BaseException) -> str:
    """Return the package that brought the method or task in which an error came up, "" where lightune's own did."""
    tables = [sys.modules.get(f"lightune.{name}.registry") for name in ("tasks", "methods")]
    known = [getattr(table, name) for table, name in zip(tables, ("TASKS", "METHODS"), strict=True) if table]
    frames = [frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(error.__traceback__)]
    found = (table.package_of_module(module) for module in reversed(frames) for table in known)
    return next(filter(None, found), "")


def _resource_error(error: BaseException) -> ResourceError | None:
    if is_out_of_memory(error):
        hint = (
            "Try --set training.per_device_train_batch_size=4 --set training.gradient_accumulation_steps=4 "
            "--set training.gradient_checkpointing=true, --set data.max_length=128, --set model_precision=bf16, "
            "or on a GPU --set training.cuda_graphs=false."
        )
        return ResourceError("MEMORY-001", "out of memory.", hint)
    if is_full(error):
        return ResourceError("DISK-002", "the disk is full.", "Free some space, or choose another --output.")
    return None


def _say(text: str, status: int) -> int:
    """Print on stderr, wrapped to a terminal's width; in a file or a pipe, lines are not wrapped.

    A further process of a run says which one it is; the first one reports what all of them found.
    """
    if runtime.rank():
        text = f"process {runtime.rank()}: {text}"
    if sys.stderr.isatty():
        text = wrapped(text, new_console(stderr=True).width)
    say(text, err=True)
    return status


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated
