"""`lightune methods`: what can be trained, and with which options."""

from __future__ import annotations

import click

from lightune.cli.options import as_json, example, print_json

EXAMPLES = example("""
lightune methods
lightune methods --json
""")


@click.command("methods", epilog=EXAMPLES)
@as_json
def command(as_json: bool) -> int:
    """List the adaptation methods: default learning rate, whether they merge, options with defaults, paper."""
    from lightune.methods import describe

    rows = describe()
    if as_json:
        print_json({"methods": rows})
        return 0
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("method", "learning rate", "merges", "options (defaults)", "paper"):
        table.add_column(title, overflow="fold", no_wrap=title == "method")
    for row in rows:
        options = ", ".join(f"{name}={_short(value)}" for name, value in row["options"].items()) or "none"
        table.add_row(
            row["name"], f"{row['default_learning_rate']:g}", "yes" if row["mergeable"] else "no", options, row["paper"]
        )
    Console(highlight=False).print(table)
    return 0


def _short(value: object) -> str:
    return "+".join(map(str, value)) if isinstance(value, list) else str(value)
