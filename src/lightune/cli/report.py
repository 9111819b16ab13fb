"""`lightune report`: a finished run, shown again."""

from __future__ import annotations

from pathlib import Path

import click

from lightune.cli.options import as_json, example, print_json
from lightune.terminal import new_console

EXAMPLES = example("""
lightune report runs/quickstart-1
lightune report runs/quickstart-1 --json
""")


@click.command("report", epilog=EXAMPLES)
@click.argument("run", type=click.Path(path_type=Path), metavar="RUN")
@as_json
def command(run: Path, as_json: bool) -> int:
    """Show a run's summary, and write its report.html and model card again from what the run folder holds."""
    from lightune.record_file import showing
    from lightune.report.files import read_run, write_reports

    record, predictions = read_run(run)
    # The folder may have moved since; the commands shown should work where it is now.
    record = record.model_copy(update={"run_folder": str(run)})
    with showing(run):
        write_reports(record, predictions, run)
    if as_json:
        print_json(record.model_dump(mode="json"))
        return 0

    from lightune.report.summary import print_summary

    with showing(run):
        print_summary(record, new_console())
    return 0
