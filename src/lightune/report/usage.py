"""How to use an adapted model: the commands and the code that the summary, the page and the model card show."""

from __future__ import annotations

import json
import shlex
from pathlib import PurePath

from lightune.models import embedded
from lightune.record import RunRecord

PYTHON = "<python>"  # the source of data that a program passed
FLAGS = {
    "training.num_train_epochs": "--epochs ",
    "training.learning_rate": "--learning-rate ",
    "data.train_examples": "--train-examples ",
    "data.test_examples": "--test-examples ",
}
STOCK_FOLDER = "my-model"
# The columns of a `Prediction`, which has a label and a confidence.
PREDICTION = ["prediction", "confidence"]


def is_pair(record: RunRecord) -> bool:
    """Say whether the model reads pairs of texts."""
    return isinstance(record.data.text_column, list) and len(record.data.text_column) > 1


def reads_windows(record: RunRecord) -> bool:
    """Say whether lightune reads texts that are longer than the model's limit whole, which no other program does."""
    return bool(record.recipe.get("data", {}).get("long_texts") == "windows")


def is_on_hub(record: RunRecord) -> bool:
    """Say whether the base model can be had from the Hub; a local folder cannot."""
    return record.model.revision is not None


def base_model(record: RunRecord) -> str:
    """Return the base model's name outside lightune: the embedded `minilm` has another one on the Hub."""
    return embedded.public_name(record.model.name)


def predict_command(record: RunRecord) -> str:
    """Return the command that answers a text, or a pair of texts, with the adapted model."""
    texts = '"First text." "Second text."' if is_pair(record) else '"A text to classify."'
    return f"lightune predict {shlex.quote(record.run_folder)} {texts}"


def rerun_command(record: RunRecord) -> str:
    """Return the command that repeats the run."""
    return f"lightune run {shlex.quote(_inside(record, 'recipe.yaml'))}"


def changed_command(record: RunRecord, key: str, value: object) -> str:
    """Return the command that repeats the run with another value of a recipe key.

    Data from a Python program needs that program: then it is the line to change in the recipe.
    """
    if record.data.source == PYTHON:
        return f"{key}: {value}  # in {_inside(record, 'recipe.yaml')}"
    return f"{rerun_command(record)} {FLAGS.get(key, f'--set {key}=')}{value}"


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


def push_command(record: RunRecord) -> str:
    """Return the command that uploads the run to the Hugging Face Hub."""
    return f"lightune push {shlex.quote(record.run_folder)} OWNER/NAME"


def can_be_merged(record: RunRecord) -> bool:
    """Say whether the adapter can be merged into its base model: then the merged model was measured too."""
    return record.inference.merged_samples_per_second is not None


def saving_code(record: RunRecord, folder: str) -> str | None:
    """Return the Python expression that writes the run as a stock model; None where the adapter cannot be merged."""
    return f"lightune.load({_quoted(record.run_folder)}).save_pretrained({folder})" if can_be_merged(record) else None


def stock_code(record: RunRecord) -> str | None:
    """Return Python that writes the run as a stock model and uses that with transformers alone, or None likewise."""
    saving = saving_code(record, _quoted(STOCK_FOLDER))
    if saving is None:
        return None
    once = "# Once: a stock model with the adapter merged in, which needs neither lightune nor PEFT from then on."
    return f"import lightune\n\n{once}\n{saving}\n\n{transformers_code(record, STOCK_FOLDER)}"


def transformers_code(record: RunRecord, model: str) -> str:
    """Return Python that answers a text with a stock model, by transformers alone."""
    model_class = record.task.model_class
    return f"""import torch
from transformers import {", ".join(sorted([model_class, "AutoTokenizer"]))}

tokenizer = AutoTokenizer.from_pretrained({_quoted(model)})
model = {model_class}.from_pretrained({_quoted(model)}).eval()

{_answering(record, "truncation=True")}"""


def peft_code(record: RunRecord, adapter: str | None = None) -> str | None:
    """Return Python that loads the adapter with PEFT, without lightune where possible; None where PEFT cannot.

    `adapter` is its folder, or its name on the Hub; without it, the adapter of the run folder.
    """
    if not (record.model.peft_loadable or record.model.own_tuner):
        return None
    is_ours = record.model.own_tuner
    known, register = ("from lightune import tuners\n", "tuners.register_all()\n") if is_ours else ("", "")
    adapter, base, revision = adapter or _inside(record, "adapter"), _quoted(base_model(record)), _revision(record)
    where = "" if is_on_hub(record) else "  # the folder of the base model"
    # An older adapter folder has no tokenizer.
    saved = record.model.tokenizer_saved
    tokens = "adapter" if saved else f"name{revision}"
    cut = "truncation=True" if saved else f"truncation=True, max_length={record.data.max_length}"
    model_class = record.task.model_class
    return f"""import torch
{known}from peft import PeftModel
from transformers import {", ".join(sorted([model_class, "AutoTokenizer"]))}

{register}name, adapter = {base}, {_quoted(adapter)}{where}
tokenizer = AutoTokenizer.from_pretrained({tokens})
base = {model_class}.from_pretrained(name{revision}, num_labels={record.task.outputs})
model = PeftModel.from_pretrained(base, adapter).eval()

{_answering(record, cut)}"""


def _answering(record: RunRecord, cut: str) -> str:
    """Return Python that answers a text with `tokenizer` and `model`."""
    text = '"First text.", "Second text."' if is_pair(record) else '"A text to classify."'
    answer = "\n".join(record.task.reads_logits)
    cuts = f"# A text of more than {record.data.max_length} tokens is cut here; lightune reads it whole, in windows.\n"
    return f"""{cuts if reads_windows(record) else ""}batch = tokenizer({text}, {cut}, return_tensors="pt")
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
