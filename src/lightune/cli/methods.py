"""`lightune methods`: the adaptation methods, where each works, and their options."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from lightune.cli.options import as_json, example, print_json
from lightune.terminal import new_console

EXAMPLES = example("""
lightune methods
lightune methods lora
lightune methods --json
""")

# Each figure is one of docs/LOG.md (every method against full fine-tuning; closing figures of NLU++) or of
# docs/limited_hardware.md.
WHICH = (
    ("lora", "first: -0.5 (95%: -1.8 to 0.9), in two thirds of full's time"),
    ("full", "where memory allows: 1.3 to 2.9 times lora's; ahead at 48 labels"),
    ("bottleneck", "-0.5 as well, with a third of lora's weights; it does not merge"),
    ("ia3, bitfit", "for small adapters, 0.1% of the weights: -0.8 and -1.2"),
    ("not first", "head, prompt_tuning, p_tuning: about -12"),
)


@click.command("methods", epilog=EXAMPLES)
@click.argument("name", required=False)
@as_json
def command(name: str | None, as_json: bool) -> int:
    """Say which adaptation method to try first, list all and where each works, or show one with its options."""
    from lightune.methods import METHODS, describe
    from lightune.methods.any_peft import describe_named, usable_names

    rows = [row for row in describe() if name in (None, row["name"])]
    if name is not None and name not in METHODS:
        rows = [describe_named(name)]  # for an unknown name the error lists the valid ones
    if as_json:
        print_json({"methods": rows, "by_peft_name": usable_names()} if name is None else {"methods": rows})
    elif name is None:
        _print_all(rows, usable_names())
    else:
        _print_one(rows[0])
    return 0


def _print_all(rows: list[dict[str, Any]], others: Sequence[str]) -> None:
    console = new_console()
    _print_which(console)
    table = _table("method", "rate", ">step", ">memory", "merges", "paper", gap=1)
    for row in rows:
        merges = "yes" if row["mergeable"] else "no"
        table.add_row(row["name"], _rate(row), _times(row, "time"), _times(row, "memory"), merges, row["paper"])
    console.print(table)
    console.print(f"step, memory: times lora's, with default options\n({_where_measured()})")
    known = list(rows[0]["architectures"])
    console.print("\n[bold]where each works[/bold], by the outcome of its tests", markup=True)
    marks = _table("method", *(f">{number}" for number in range(1, len(known) + 1)), gap=1)
    for row in rows:
        marks.add_row(row["name"], *(_mark(row["architectures"][kind]) for kind in known))
    console.print(marks)
    if any(None in row["architectures"].values() for row in rows):
        console.print("? not tested yet")
    legend = ", ".join(f"{number} {kind}" for number, kind in enumerate(known, 1))
    console.print(f"{legend}\n")
    console.print(_with_title("and by PEFT's own names", f", with PEFT's own options: {', '.join(others)}"))
    foreign = [f"{row['name']} ({row['package']})" for row in rows if _is_foreign(row)]
    if foreign:
        console.print(f"\nfrom other packages: {', '.join(foreign)}")
    console.print("\n`lightune methods NAME` shows a method's options, and why it does not work somewhere.")


def _print_which(console: Any) -> None:
    told = "accuracy against full, in points; MiniLM, 500 texts (docs/LOG.md)"
    console.print(f"[bold]which to try[/bold]: {told}", markup=True)
    for name, text in WHICH:
        console.print(f"  {name:<13}{text}")
    console.print()


def _print_one(row: dict[str, Any]) -> None:
    console = new_console()
    console.print(_with_title(row["name"], f"  {row['summary']}"))
    if _is_foreign(row):
        console.print(f"from the package {row['package']}")
    console.print(f"\nlearning rate {_rate(row)}; {_says(row)}")
    if row["cost"]:
        times = f"{_times(row, 'time')} times lora's time and {_times(row, 'memory')} times its memory"
        console.print(f"a step takes {times} with these options ({_where_measured()})")
    if row["options"]:
        console.print("\n[bold]options[/bold], with their defaults", markup=True)
        for option, value in row["options"].items():
            console.print(f"  {option} = {_default(row, option, value)}")
    _print_where(row["architectures"], console)


def _print_where(outcome: dict[str, str | None], console: Any) -> None:
    """Print on which architectures a method works; nothing for one of PEFT's, which has no such tests here."""
    untested = [kind for kind, reason in outcome.items() if reason is None]
    if outcome and len(untested) < len(outcome):
        working = sum(reason == "" for reason in outcome.values())
        console.print(f"\nworks on {working} of {len(outcome)} architectures")
    for kind, reason in outcome.items():
        if reason:
            console.print(f"  not on {kind}: {reason}")
    if untested:
        where = "any architecture" if len(untested) == len(outcome) else ", ".join(untested)
        console.print(f"\nnot tested yet on {where}; tools/methods.py in the source tree tests it")


def _is_foreign(row: dict[str, Any]) -> bool:
    """Whether the method comes from another package, which is then named."""
    return row["package"] not in ("lightune", "peft")


def _mark(reason: str | None) -> str:
    return "?" if reason is None else "-" if reason else "+"


def _default(row: dict[str, Any], option: str, value: object) -> str:
    """Return an option's default, or what decides where there is none, and its values where they are a closed set."""
    if value is None and option in row["by_preset"]:
        return f"the preset decides ({row['by_preset'][option]:g} with {row['options']['preset']})"
    choices = row["choices"].get(option, [])
    return _shown(value) + (f"  (one of {', '.join(map(_shown, choices))})" if len(choices) > 1 else "")


def _says(row: dict[str, Any]) -> str:
    return ", ".join(
        [
            "merges into the model" if row["mergeable"] else "does not merge",
            "can be switched off" if row["reversible"] else "not reversible",
            "starts from the unchanged model" if row["starts_unchanged"] else "starts from a changed model",
        ]
    )


def _where_measured() -> str:
    from lightune.methods.costs import measured_costs

    return measured_costs().where


def _times(row: dict[str, Any], what: str) -> str:
    """Return how many times LoRA's time or memory it takes; ? where that was not measured."""
    return f"{row['cost'][what]:.1f}" if row["cost"] else "?"


def _rate(row: dict[str, Any]) -> str:
    return f"{row['default_learning_rate']:.0e}".replace("e-0", "e-")


def _with_title(title: str, text: str) -> Any:
    """Return a paragraph that begins in bold; in one piece, so that the console wraps it as one."""
    from rich.text import Text

    return Text.assemble((title, "bold"), text)


def _table(*titles: str, gap: int = 3) -> Any:
    """Return a table with these columns; a title that begins with > is that of numbers, aligned at the right."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, gap, 0, 0))
    for title in titles:
        table.add_column(title.removeprefix(">"), no_wrap=True, justify="right" if title[0] == ">" else "left")
    return table


def _shown(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "none" if value is None else str(value)
