"""Loading a stock model with a task's head: from a local folder, the embedded weights or the Hub; safetensors only."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lightune import runtime
from lightune.errors import RecipeError
from lightune.models import embedded, hub
from lightune.models.anatomy import Anatomy, anatomy_of
from lightune.models.architectures import ARCHITECTURES
from lightune.models.checkpoint_head import INCOMPLETE, OwnHead, own_head
from lightune.models.config import class_for, cut_at, explained, read_config, task_config, token_limit
from lightune.models.drawing import draw_anew
from lightune.models.quantize import hold, loading_options, require_precision
from lightune.models.row_proposal import require_known
from lightune.models.tokenizer_files import load_tokenizer, tokenizer_sha256
from lightune.models.vocabulary import require_embeddings, settle_pad
from lightune.models.weight_files import INDEX_FILE, holds, refuse_new_body, require_room_in, require_weights
from lightune.progress import quiet_libraries
from lightune.safe_files import require_finite
from lightune.tasks.base import Task
from lightune.values.home import user_path

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

VOCABULARY_FILES = ("tokenizer.json", "tokenizer.model", "vocab.txt", "vocab.json", "merges.txt")


@dataclass(frozen=True)
class ModelSource:
    """Where a model's files are, and under which name and commit they are recorded.

    `tokenizer` is the folder of the tokenizer where that is another one: a saved adapter has its own.
    """

    name: str
    folder: Path
    revision: str | None
    tokenizer: Path | None = None

    @property
    def tokenizer_folder(self) -> Path:
        """The folder of the tokenizer's files."""
        return self.tokenizer or self.folder


@dataclass(frozen=True)
class LoadedModel:
    """A classifier with its tokenizer, the names of its parts, and the longest text it takes (tokens).

    `long_texts` says what becomes of a longer one: see data/windows.py.
    `head` is "checkpoint" if the checkpoint's own classification head is used, else "new"; `notes` say why.
    """

    source: ModelSource
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    anatomy: Anatomy
    max_length: int
    task: Task
    head: Literal["new", "checkpoint"] = "new"
    notes: tuple[str, ...] = ()
    long_texts: Literal["cut", "windows"] = "cut"


def find_model(name: str, revision: str | None = None, patterns: Sequence[str] = hub.MODEL_FILES) -> ModelSource:
    """Return where the model's files are: the embedded `minilm`, a local folder, or a Hub snapshot.

    `patterns` says which files a snapshot must hold.
    Raises RecipeError for a folder that does not exist, HubError for the Hub's failures.
    """
    if name == embedded.NAME:
        place = embedded.folder()
        if place is not None:
            return ModelSource(name, place, f"sha256:{embedded.WEIGHTS_SHA256}")
        folder, commit = hub.snapshot(embedded.HUB_NAME, revision, patterns=patterns)
        return ModelSource(name, folder, commit)
    if (place := user_path(name)).is_dir():
        return ModelSource(name, place, None)
    if name.startswith((".", "/", "~")) or name.count("/") > 1 or "\\" in name:
        raise RecipeError("RECIPE-040", f'model: there is no folder "{name}".', "Give a model folder or a Hub name.")
    folder, commit = hub.snapshot(name, revision, patterns=patterns)
    return ModelSource(name, folder, commit)


def fingerprint(source: ModelSource) -> str:
    """Return the SHA-256 over the names and bytes of the model's configuration, weights and vocabulary."""
    digest = hashlib.sha256()
    vocabulary = [source.folder / name for name in VOCABULARY_FILES if (source.folder / name).is_file()]
    index = source.folder.glob(INDEX_FILE)
    files = [*source.folder.glob("config.json"), *index, *sorted(source.folder.glob("*.safetensors")), *vocabulary]
    for path in files:
        digest.update(path.name.encode() + b"\0")
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def load_model(
    source: ModelSource,
    task: Task,
    seed: int,
    max_length: int | None = None,
    precision: str = "fp32",
    reserved: int = 0,
) -> LoadedModel:
    """Load the model with the head that transformers has for the task.

    `precision` is how its layers' weights are stored (models/quantize.py); everything else is fp32. `reserved` is the
    number of positions that are not available to texts.

    The checkpoint's own head is used if its labels are the task's, in any order. Parameters that the checkpoint does
    not hold (usually the head) are drawn from a generator keyed by the seed. Raises RecipeError for a configuration, a
    tokenizer or weights that cannot be used, ArtifactError for a checkpoint that lacks a part of the base model.
    """
    require_precision(precision)
    raw = read_config(source.name, source.folder)
    require_known(source.name, source.folder, str(raw.get("model_type")))
    require_weights(source.name, source.folder)
    found = own_head(raw, task)
    model, missing = _read(source, task, seed, precision)
    anatomy = anatomy_of(model, missing, task.peft_type)
    refuse_new_body(anatomy, source.name)
    is_held = holds(source.folder, anatomy.output_layer)
    if is_held and found.order is None:
        anatomy = _replace_output_layer(model, anatomy, seed)
    tokenizer = tokenizer_for(model, source)
    limit = text_limit(model, tokenizer, max_length, reserved)
    task = task.for_head(model.get_submodule(anatomy.output_layer).bias is not None)
    loaded = LoadedModel(source, model.eval(), tokenizer, anatomy, limit, task)
    return with_own_head(found, loaded) if is_held else loaded


def text_limit(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, wanted: int | None, reserved: int = 0
) -> int:
    """Return the number of tokens at which texts are cut; RecipeError if more are wanted than the model takes."""
    return cut_at(token_limit(model.config.to_dict(), tokenizer.model_max_length) - reserved, wanted)


def with_own_head(found: OwnHead, loaded: LoadedModel) -> LoadedModel:
    """Return the model with the checkpoint's own head in use if it is complete, and a note on whether it is."""
    is_used = found.order is not None and not loaded.anatomy.new_modules
    if is_used:
        layer = loaded.model.get_submodule(loaded.anatomy.output_layer)
        found.arrange(layer)
        loaded.task.into_targets(layer)
    note = found.note if is_used or found.order is None else INCOMPLETE
    return replace(loaded, head="checkpoint" if is_used else "new", notes=(note,))


def same_tokenizer(one: ModelSource, other: ModelSource) -> bool:
    """Say whether two sources of one model have a tokenizer with the same files."""
    return tokenizer_sha256(one.tokenizer_folder) == tokenizer_sha256(other.tokenizer_folder)


def tokenizer_for(model: PreTrainedModel, source: ModelSource) -> PreTrainedTokenizerBase:
    """Load the source's tokenizer, and make model and tokenizer agree; RecipeError where they cannot."""
    tokenizer = load_tokenizer(source.name, source.tokenizer_folder)
    _agree(source.name, model, tokenizer)
    return tokenizer


def _agree(name: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Make model and tokenizer use the same pad token, and pass token types only to a model that distinguishes them.

    Raises RecipeError when the tokenizer has tokens that the model does not.

    A stock decoder (its output layer is `score`) classifies by the last token that is not the pad token.
    """
    rows: int = model.get_input_embeddings().num_embeddings  # type: ignore[assignment]
    require_embeddings(name, tokenizer.get_vocab(), tokenizer.pad_token, rows)
    settle_pad(name, tokenizer, rows)
    if model.config.pad_token_id is None or hasattr(model, "score"):
        model.config.pad_token_id = tokenizer.pad_token_id
    if getattr(model.config, "type_vocab_size", 0) < 2:  # GPT-2 would look token types up in its word embeddings
        tokenizer.model_input_names = [kind for kind in tokenizer.model_input_names if kind != "token_type_ids"]


def _replace_output_layer(model: PreTrainedModel, anatomy: Anatomy, seed: int) -> Anatomy:
    """Draw the output layer as if the checkpoint lacked it, with all other missing modules, in the usual order."""
    new = tuple(sorted({*anatomy.new_modules, anatomy.output_layer}))
    draw_anew(model, new, seed)
    return replace(anatomy, new_modules=new)


def _read(source: ModelSource, task: Task, seed: int, precision: str) -> tuple[PreTrainedModel, list[str]]:
    """Return the model and the names of the parameters that were not read: absent ones, or ones of another shape."""
    config = task_config(source.name, source.folder, task)
    architecture = ARCHITECTURES[config.model_type]
    import torch

    quiet_libraries()
    kind = class_for(task, source.name, config)
    with torch.device("meta"), explained(source.name):
        outline = kind(config)
    require_room_in(source.name, source.folder, outline, task.outputs)
    with runtime.seeded(seed, "head"), explained(source.name):
        model, info = kind.from_pretrained(
            source.folder,
            config=config,
            dtype=torch.float32,
            use_safetensors=True,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            local_files_only=True,
            trust_remote_code=False,
            **loading_options(precision, architecture),
        )
    spoilt = [name for name, value in model.named_parameters() if not bool(value.isfinite().all())]
    require_finite(source.name, spoilt)
    hold(model, precision, architecture)
    return model, [*info["missing_keys"], *(entry[0] for entry in info["mismatched_keys"])]
