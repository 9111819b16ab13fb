"""Write docs/architectures.md: the table of architectures, from the table in the code.

python tools/architectures.py            # writes the page
python tools/architectures.py --check    # says whether it is up to date (exit status 1 if not)
"""

from __future__ import annotations

import sys
from pathlib import Path

from lightune.models.architectures import ARCHITECTURES, Architecture

PAGE = Path(__file__).resolve().parent.parent / "docs" / "architectures.md"

BEFORE = """# Architectures

What each architecture calls its parts. Made by `python tools/architectures.py` from the table in
[architectures.py](../src/lightune/models/architectures.py); the methods ask for roles, never for these names.

A module stands below its layer's path. A fused projection appears under each role it plays and is adapted once; a
gated feed-forward part has two inputs. The head is not in the table: it is derived from the model that was loaded (the
modules outside its base model, and the last layer among them), and `lightune anatomy MODEL` shows it.
"""

AFTER = """
## Any other architecture

`lightune anatomy MODEL` shows these names for a model (a folder, a name on the Hub, or `minilm`) from its
configuration alone. For an architecture that is not in the table it proposes the row, and says what the module names
leave open. `lightune run` refuses such a model and shows the same row: a guess is not trained on. To add one:

1. Compare the row with the model's source, above all which module is the attention's output.
2. Put it into `ARCHITECTURES`, a tiny configuration into `tests/tiny.py`, and by hand the names into
   `tests/models/test_anatomy.py` and the head into `tests/models/test_derived_head.py`.
3. `make test` then trains all roles, reloads them in a fresh process, and compares padded batches with single texts.

## Heads

- A head that the checkpoint lacks is drawn from the seed, trained, and saved with the adapter, with whatever else was
  missing (BERT's pooler after masked language modelling, DeBERTa's pooler).
- A checkpoint that brings a classification head keeps it when its labels are those of the data, whatever their case
  and order (its rows are put in order), or when they have no names (LABEL_0, LABEL_1, ...) and are as many. Otherwise
  a new output layer is drawn. Either is said in the notes, and `model.head` in results.json is `checkpoint` or `new`.
- A checkpoint that lacks a part of the body is refused.

## Padding

Pads stand on the right for every architecture. Decoders classify by the last token that is not the pad token; where a
tokenizer has no pad token its end-of-text token serves. A text gets the same answer alone and in a padded batch.
"""


def page() -> str:
    """Return the page."""
    lines = ["| architecture | layers | query | key | value | attention_out | ffn_in | ffn_out |",
             "| --- | --- | --- | --- | --- | --- | --- | --- |"]  # fmt: skip
    lines += [_row(name, architecture) for name, architecture in ARCHITECTURES.items()]
    return "\n".join([BEFORE, *lines, AFTER.rstrip()]) + "\n"


def _row(name: str, architecture: Architecture) -> str:
    roles = ("query", "key", "value", "attention_out", "ffn_in", "ffn_out")
    cells = [", ".join(f"`{path}`" for path in architecture.paths(role)) for role in roles]
    return f"| {' | '.join([name, f'`{architecture.layers}`', *cells])} |"


def main() -> int:
    """Write the page, or check it."""
    if "--check" in sys.argv:
        current = PAGE.read_text(encoding="utf-8") if PAGE.is_file() else ""
        return 0 if current == page() else 1
    PAGE.write_text(page(), encoding="utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
