"""`lightune tasks`: the tasks, their metrics, and the usual names of their column."""

from __future__ import annotations

import click

from lightune.cli.options import as_json, example, print_json
from lightune.terminal import new_console

EXAMPLES = example("""
lightune tasks
lightune tasks multi_label
lightune tasks --json
""")


@click.command("tasks", epilog=EXAMPLES)
@click.argument("name", required=False)
@as_json
def command(name: str | None, as_json: bool) -> int:
    """List the tasks, or show one: the target of a text, the metrics (the first is the headline), usual column names.

    `task: auto`, the default, looks at the column and says which task it chose.
    """
    from lightune.tasks import TASKS, describe

    if name is not None:
        TASKS[name]  # for an unknown name the error lists the valid ones
    rows = [row for row in describe() if name in (None, row["name"])]
    if as_json:
        print_json({"tasks": rows})
        return 0

    from lightune.report.summary import print_line

    console = new_console()
    for row in rows:
        print_line(console, row["name"], row["summary"])
        print_line(console, "", f"metrics: {', '.join(metric['title'] for metric in row['metrics'])}")
        print_line(console, "", f"its column is usually called {', '.join(row['label_columns'])}")
        if row["package"]:
            print_line(console, "", f"from the package {row['package']}")
    for plugin in TASKS.broken() if name is None else ():
        print_line(console, plugin.name, f"of the package {plugin.package} cannot be used: {plugin.reason}")
    return 0
