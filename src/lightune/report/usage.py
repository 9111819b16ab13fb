"""How to use an adapted model: the commands and the code that the summary, the page and the model card show."""

from __future__ import annotations

import json
import shlex
from pathlib import PurePath

from lightune.models.embedded import HUB_NAME
from lightune.models.embedded import NAME as EMBEDDED_NAME
from lightune.record import RunRecord

# The columns of a `Prediction`, which has a label and a confidence.
PREDICTION = ["prediction", "confidence"]


def is_pair(record: RunRecord) -> bool:
    """Say whether the model reads pairs of texts."""
    return isinstance(record.data.text_column, list) and len(record.data.text_column) > 1


def base_model(record: RunRecord) -> str:
    """Return the base model's name outside lightune: the embedded `minilm` has another one on the Hub."""
    return HUB_NAME if record.model.name == EMBEDDED_NAME else record.model.name


def predict_command(record: RunRecord) -> str:
    """Return the command that answers a text, or a pair of texts, with the adapted model."""
    texts = '"First text." "Second text."' if is_pair(record) else '"A text to classify."'
    return f"lightune predict {shlex.quote(record.run_folder)} {texts}"


def rerun_command(record: RunRecord) -> str:
    """Return the command that repeats the run."""
    return f"lightune run {shlex.quote(_inside(record, 'recipe.yaml'))}"


def python_code(record: RunRecord) -> str:
    """Return Python that loads the run with lightune."""
    text = '("First text.", "Second text.")' if is_pair(record) else '"A text to classify."'
    is_prediction = record.task.answer_columns == PREDICTION
    shown = "answer.label, answer.confidence" if is_prediction else "answer"
    return (
        "import lightune\n\n"
        f"model = lightune.load({_quoted(record.run_folder)})\n"
        f"answer = model.predict([{text}])[0]\n"
        f"print({shown})\n"
    )


def peft_code(record: RunRecord) -> str | None:
    """Return Python that loads the adapter with PEFT, without lightune where possible; None where PEFT cannot."""
    if not (record.model.peft_loadable or record.model.own_tuner):
        return None
    is_ours = record.model.own_tuner
    known, register = ("from lightune import tuners\n", "tuners.register_all()\n") if is_ours else ("", "")
    name, revision = _quoted(base_model(record)), _revision(record)
    text = '"First text.", "Second text."' if is_pair(record) else '"A text to classify."'
    answer = "\n".join(record.task.reads_logits)
    model_class = record.task.model_class
    return f"""import torch
{known}from peft import PeftModel
from transformers import {", ".join(sorted([model_class, "AutoTokenizer"]))}

{register}name = {name}
tokenizer = AutoTokenizer.from_pretrained(name{revision})
base = {model_class}.from_pretrained(name{revision}, num_labels={record.task.outputs})
model = PeftModel.from_pretrained(base, {_quoted(_inside(record, "adapter"))}).eval()

batch = tokenizer({text}, truncation=True, max_length={record.data.max_length}, return_tensors="pt")
with torch.inference_mode():
    logits = model(**batch).logits
{answer}
"""


def _revision(record: RunRecord) -> str:
    """Return the argument that pins the base model; "" for packaged weights, whose hash is not a Hub revision."""
    commit = record.model.revision
    return "" if commit is None or commit.startswith("sha256:") else f", revision={_quoted(commit)}"


def peft_title(record: RunRecord) -> str:
    """Return the title of that code: PEFT does not know lightune's own tuners until they are registered."""
    if record.model.own_tuner:
        return "With PEFT, which needs lightune for this kind of adapter: register_all() makes it known to PEFT first"
    return "With PEFT, without lightune"


def _inside(record: RunRecord, name: str) -> str:
    return (PurePath(record.run_folder) / name).as_posix()


def _quoted(text: str) -> str:
    """Return a string literal in double quotes; JSON's are valid Python."""
    return json.dumps(text, ensure_ascii=False)
