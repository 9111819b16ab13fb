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
    from lightune.methods.peft_named import usable_names

    rows, others = describe(), usable_names()
    if as_json:
        print_json({"methods": rows, "by_peft_name": others})
        return 0
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 3, 0, 0))
    for title in ("method", "learning rate", "merges", "paper"):
        table.add_column(title, no_wrap=True)
    for row in rows:
        rate = f"{row['default_learning_rate']:.0e}".replace("e-0", "e-")
        table.add_row(row["name"], rate, "yes" if row["mergeable"] else "no", row["paper"])
    console = Console(highlight=False)
    console.print(table)
    console.print(f"\nand by PEFT's own names, with PEFT's own options: {', '.join(others)}", soft_wrap=True)
    for row in rows:
        if row["options"]:
            console.print(f"\n[bold]options of {row['name']}[/bold], with their defaults")
            for name, value in row["options"].items():
                console.print(f"  {name} = {_shown(value)}", markup=False)
    return 0


def _shown(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else "none" if value is None else str(value)
