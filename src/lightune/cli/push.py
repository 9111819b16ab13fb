"""`lightune push`: a run on the Hugging Face Hub."""

from __future__ import annotations

import shlex
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lightune.cli.options import as_json, base_model, example, print_json
from lightune.terminal import new_console, say

if TYPE_CHECKING:
    from rich.console import Console

    from lightune.models.hub_upload import Repository
    from lightune.publishing import Content, Upload

EXAMPLES = example("""
lightune push runs/quickstart-1 anna/reviews
lightune push runs/quickstart-1 anna/reviews --private --license apache-2.0
lightune push runs/quickstart-1 anna/reviews-whole --merged --yes
""")


@click.command("push", epilog=EXAMPLES)
@click.argument("run", type=click.Path(path_type=Path), metavar="RUN")
@click.argument("name", metavar="NAME")
@click.option("--private", is_flag=True, help="A private repository.")
@click.option("--merged", is_flag=True, help="The whole model with the adapter merged in, for transformers alone.")
@click.option("--license", "licence", metavar="ID", help="The licence that the model card states, e.g. apache-2.0.")
@click.option("--yes", is_flag=True, help="Upload without asking.")
@base_model
@as_json
def command(run: Path, name: str, yes: bool, as_json: bool, **how: Any) -> int:
    """Upload a run to the Hugging Face Hub, as the repository NAME (OWNER/NAME, or a name of your own).

    The files are shown first, and nothing else is uploaded: the adapter, which PEFT reads too, the tokenizer, and the
    model card as README.md. Fingerprints of the training texts stay here. It needs an access token that may write
    (`hf auth login`, or HF_TOKEN). From then on `lightune predict NAME "A text."` answers anywhere.
    """
    from lightune.models import hub_upload as hub

    if how["base_model"] and not how["merged"]:
        raise click.UsageError("--model goes with --merged: an adapter is uploaded without its base model.")
    hub.require_repository_name(name)
    console = new_console(stderr=as_json)
    can_ask = sys.stdin is not None and sys.stdin.isatty()
    with tempfile.TemporaryDirectory() as working:
        prepared = _prepared(run, Path(working), how)
        asked = hub.find_repository(name, how["private"]) if yes or can_ask else None
        repository = asked or hub.Repository(name, False, how["private"])
        files = prepared.with_card(repository.name, *filter(None, [how["licence"]]))
        hub.require_no_others(repository, files)
        _show(prepared, files, repository, how["licence"], console)
        if not yes and not _agreed(can_ask, len(files), repository, _again(run, name, how)):
            return 0
        address = hub.upload(
            repository, files, f"Upload {'merged model' if how['merged'] else 'adapter'} with lightune"
        )
    if as_json:
        print_json(_as_json(files, repository, address))
        return 0
    return _tell(repository, address, console)


def _prepared(run: Path, working: Path, how: Mapping[str, Any]) -> Upload:
    """Return what is uploaded; nothing is asked of the Hub about it."""
    from lightune.publishing import adapter_upload, merged_upload

    return merged_upload(run, working, how["base_model"]) if how["merged"] else adapter_upload(run)


def _show(
    prepared: Upload, files: Mapping[str, Content], repository: Repository, licence: str | None, console: Console
) -> None:
    """Print the repository, the card, what is left out, and every file with its size."""
    from lightune.publishing import size
    from lightune.report.gains import headline
    from lightune.report.summary import print_line, print_table
    from lightune.report.tables import Table
    from lightune.report.words import size as written

    kind = "private" if repository.is_private else "public"
    there = "; it is there, and files of these names are replaced" if repository.exists else ""
    print_line(console, "repository", f"{repository.name}, {kind}{there}")
    print_line(console, "model card", f"README.md: {headline(prepared.record)}")
    print_line(console, "licence", licence or "unknown; --license apache-2.0, for example, states one")
    if prepared.caution:
        print_line(console, "base model", prepared.caution)
    for name in prepared.left_out:
        print_line(console, "stays here", f"{name}: who has a text could test whether it was trained on")
    sizes = {name: size(content) for name, content in files.items()}
    rows = [[name, written(found)] for name, found in sizes.items()]
    console.print()
    print_table(Table("", ["file", "size"], [*rows, [f"{len(files)} files", written(sum(sizes.values()))]]), console)


def _agreed(can_ask: bool, count: int, repository: Repository, again: str) -> bool:
    """Ask whether to upload; UsageError, with the command to give, where nobody can be asked."""
    if not can_ask:
        raise click.UsageError(f"Nobody can be asked here (stdin is no terminal). To upload these files: {again}")
    if click.confirm(f"Upload these {count} files to {repository.name}?", err=True):
        return True
    say("Nothing was uploaded.", err=True)
    return False


def _again(run: Path, name: str, how: Mapping[str, Any]) -> str:
    """Return the command that uploads without asking."""
    flags = [f"--{flag}" for flag in ("private", "merged") if how[flag]]
    values = [("--license", how["licence"]), ("--model", how["base_model"])]
    given = [part for flag, value in values if value for part in (flag, value)]
    return shlex.join(["lightune", "push", str(run), name, *flags, *given, "--yes"])


def _as_json(files: Mapping[str, Content], repository: Repository, address: str) -> dict[str, Any]:
    from lightune.publishing import size

    listed = [{"name": name, "bytes": size(content)} for name, content in files.items()]
    return {"repository": repository.name, "url": address, "private": repository.is_private, "files": listed}


def _tell(repository: Repository, address: str, console: Console) -> int:
    from lightune.report.summary import print_line

    console.print()
    print_line(console, "uploaded", address)
    print_line(console, "use it", f'lightune predict {repository.name} "A text to classify."')
    return 0
