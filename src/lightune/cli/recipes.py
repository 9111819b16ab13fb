"""`lightune recipes`: the shipped recipes."""

from __future__ import annotations

import click

from lightune.cli.options import as_json, example, print_json
from lightune.terminal import new_console, say

EXAMPLES = example("""
lightune recipes
lightune recipes rotten-tomatoes > my.yaml    # every default written out, ready to edit
""")


@click.command("recipes", epilog=EXAMPLES)
@click.argument("name", required=False)
@as_json
def command(name: str | None, as_json: bool) -> int:
    """List the shipped recipes, or print one (or a YAML file) with every default written out."""
    from lightune.recipes.compose import compose, shipped, to_yaml

    if name is not None:
        recipe = compose(name, {}).recipe
        if as_json:
            print_json(recipe.model_dump(mode="json"))
        else:
            say(to_yaml(recipe), nl=False)
        return 0
    found = shipped()
    if as_json:
        print_json({"recipes": [{"name": key, "description": text} for key, text in found.items()]})
        return 0
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("recipe", no_wrap=True)
    table.add_column("what it does")
    for key, text in found.items():
        table.add_row(key, text)
    new_console().print(table)
    return 0
