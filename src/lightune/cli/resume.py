"""`lightune resume`: an interrupted run, to its end."""

from __future__ import annotations

from pathlib import Path

import click

from lightune.cli.options import as_json, example, shown

EXAMPLES = example("""
lightune resume runs/quickstart-1            # or runs/quickstart-1.partial
""")


@click.command("resume", epilog=EXAMPLES)
@click.argument("run", metavar="RUN")
@as_json
def command(run: str, as_json: bool) -> int:
    """Go on with a run that was interrupted, from its newest checkpoint that is whole.

    RUN is the run folder, with or without .partial. Data, recipe, base model and versions have to be those of the run,
    or the differences are shown. On a CPU the result is that of an uninterrupted run, to the bit.
    """
    from lightune.run_folder import RunFolder

    RunFolder.of_unfinished(Path(run))

    from lightune import resuming  # imports torch, which takes seconds: so a wrong name is said before
    from lightune.progress import default_reporter

    record = resuming.resume(run, default_reporter())
    return shown(record, as_json)
