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

The names of each architecture's parts. Made by `python tools/architectures.py` from the table in
[architectures.py](../src/lightune/models/architectures.py); the methods use roles, never these names.

A module's path is below its layer's path. A fused projection appears under each role it plays and is adapted once; a
gated feed-forward part has two inputs. The head is not in the table: it is derived from the model that was loaded (the
modules outside its base model, and the last layer among them), and `lightune anatomy MODEL` shows it.
"""

AFTER = """
## Any other architecture

`lightune anatomy MODEL` shows these names for a model (a folder, a name on the Hub, or `minilm`) from its
configuration only. For an architecture that is not in the table it proposes the row, and says what the module names
leave open. `lightune run` refuses such a model and shows the same row: it does not train on a guess. To add one:

1. Compare the row with the model's source, especially which module is the attention's output.
2. Add the row to `ARCHITECTURES`, a tiny configuration to `tests/tiny.py`, and by hand the names to
   `tests/models/test_anatomy.py` and the head to `tests/models/test_derived_head.py`.
3. `make test` then trains all roles, reloads them in a fresh process, and compares padded batches with single texts.

## Heads

- A head that the checkpoint lacks is drawn from the seed, trained, and saved with the adapter, together with all other
  missing modules (BERT's pooler after masked language modelling, DeBERTa's pooler).
- A checkpoint's own classification head is kept if its labels are those of the data, in any case and order (its rows
  are reordered), or if they have no names (LABEL_0, LABEL_1, ...) and the same number. Otherwise a new output layer is
  drawn. The notes say which, and `model.head` in results.json is `checkpoint` or `new`.
- A checkpoint that lacks a part of the base model is refused.

## Padding

Padding is on the right for every architecture. Decoders classify by the last token that is not the pad token; if a
tokenizer has no pad token, its end-of-text token is used. A text gets the same prediction alone and in a padded batch.
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
