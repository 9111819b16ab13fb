"""`lightune tasks`: what can be learnt, by which metrics it is judged, and how its column is usually called."""

from __future__ import annotations

import click

from lightune.cli.options import as_json, example, print_json

EXAMPLES = example("""
lightune tasks
lightune tasks --json
lightune run --train train.csv --test test.csv --task classification
""")


@click.command("tasks", epilog=EXAMPLES)
@as_json
def command(as_json: bool) -> int:
    """List the tasks: what stands beside a text, the metrics (the first is the headline), usual names of the column.

    `task: auto`, the default, looks at the column and says which task it took.
    """
    from lightune.tasks import describe

    rows = describe()
    if as_json:
        print_json({"tasks": rows})
        return 0
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 3, 0, 0))
    for title in ("task", "what stands beside a text", "metrics", "usual columns"):
        table.add_column(title, overflow="fold")
    for row in rows:
        metrics = ", ".join(metric["title"] for metric in row["metrics"])
        from_where = f" (from {row['package']})" if row["package"] else ""
        table.add_row(f"{row['name']}{from_where}", row["summary"], metrics, ", ".join(row["label_columns"]))
    Console(highlight=False).print(table)
    return 0
