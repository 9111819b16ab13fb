"""`lightune anatomy`: what a model's parts are called, and the row that an unknown architecture needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lightune.cli.options import as_json, example, print_json
from lightune.terminal import say

if TYPE_CHECKING:
    from lightune.models.inspection import Inspection

EXAMPLES = example("""
lightune anatomy minilm
lightune anatomy distilbert-base-uncased
lightune anatomy ./my-model --json
""")


@click.command("anatomy", epilog=EXAMPLES)
@click.argument("model")
@click.option("--revision", help="Branch, tag or commit of a model on the Hub.")
@as_json
def command(model: str, revision: str | None, as_json: bool) -> int:
    """Show which modules of MODEL play which role; propose a row when its architecture is not known yet.

    MODEL is a folder, a name on the Hub, or minilm. Only its configuration is read, no weights.
    """
    from lightune.models.inspection import inspect_model

    found = inspect_model(model, revision)
    if as_json:
        print_json(found.fields())
    else:
        _show(found)
    return 0


def _show(found: Inspection) -> None:
    state = "known" if found.is_known else "not known yet"
    size = f"{found.parameters:,} parameters"
    say(f"{found.model}: {found.model_class}, architecture {found.architecture} ({state}), {size}")
    say(f"{found.layer_count} layers at {found.layers or '?'}; each role within one layer:\n")
    first = f"{found.layers}.0."
    for role, modules in found.modules.items():
        paths = [name.removeprefix(first) for name in modules if name.startswith(first)]
        say(f"  {role:<15}{', '.join(paths) or '?'}")
    say(f"  {'head':<15}{', '.join(found.head) or '?'}")
    if found.row is not None:
        say("\nThe row to add to lightune/models/architectures.py, once checked against the model's source:\n")
        say("\n".join(f"    {line}" for line in found.row.splitlines()))
        say("".join(f"\n  unclear: {line}" for line in found.unclear), nl=bool(found.unclear))
