"""`lightune tasks`: the tasks, their metrics, and the usual names of their column."""

from __future__ import annotations

import click

from lightune.cli.options import as_json, example, print_json

EXAMPLES = example("""
lightune tasks
lightune tasks --json
""")


@click.command("tasks", epilog=EXAMPLES)
@as_json
def command(as_json: bool) -> int:
    """List the tasks: the target of a text, the metrics (the first is the headline), usual names of the column.

    `task: auto`, the default, looks at the column and says which task it chose.
    """
    from lightune.tasks import TASKS, describe

    rows = describe()
    if as_json:
        print_json({"tasks": rows})
        return 0
    from rich.console import Console

    from lightune.report.summary import print_line

    console = Console(highlight=False)
    for row in rows:
        print_line(console, row["name"], row["summary"])
        print_line(console, "", f"metrics: {', '.join(metric['title'] for metric in row['metrics'])}")
        print_line(console, "", f"its column is usually called {', '.join(row['label_columns'])}")
        if row["package"]:
            print_line(console, "", f"from the package {row['package']}")
    for plugin in TASKS.broken():
        print_line(console, plugin.name, f"of the package {plugin.package} cannot be used: {plugin.reason}")
    return 0
