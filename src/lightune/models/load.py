"""Loading a stock sequence classifier: from a local folder, the embedded weights or the Hub; safetensors only."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightune import runtime
from lightune.errors import ArtifactError, RecipeError, is_out_of_memory
from lightune.models import embedded, hub
from lightune.models.anatomy import Anatomy, anatomy_of, architecture_of
from lightune.models.quantize import hold, loading_options, require_precision
from lightune.progress import quiet_libraries

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

DEFAULT_MAX_LENGTH = 512
VOCABULARY_FILES = ("tokenizer.json", "tokenizer.model", "vocab.txt", "vocab.json", "merges.txt")


@dataclass(frozen=True)
class ModelSource:
    """Where a model's files lie, and under which name and commit they are recorded."""

    name: str
    folder: Path
    revision: str | None


@dataclass
class LoadedModel:
    """A classifier with its tokenizer, the names of its parts, and the longest text it takes (tokens)."""

    source: ModelSource
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    anatomy: Anatomy
    max_length: int


def find_model(name: str, revision: str | None = None) -> ModelSource:
    """Return where the model's files are: the embedded `minilm`, a local folder, or a Hub snapshot.

    Raises RecipeError for a folder that is no model, HubError for the Hub's failures.
    """
    if name == embedded.NAME:
        place = embedded.folder()
        if place is not None:
            return ModelSource(name, place, f"sha256:{embedded.WEIGHTS_SHA256}")
        folder, commit = hub.snapshot(embedded.HUB_NAME, revision)
        return ModelSource(name, folder, commit)
    if Path(name).is_dir():
        return ModelSource(name, Path(name), None)
    if name.startswith((".", "/", "~")) or name.count("/") > 1 or "\\" in name:
        raise RecipeError("RECIPE-040", f'model: there is no folder "{name}".', "Give a model folder or a Hub name.")
    folder, commit = hub.snapshot(name, revision)
    return ModelSource(name, folder, commit)


def fingerprint(source: ModelSource) -> str:
    """Return the SHA-256 over the names and bytes of the model's configuration, weights and vocabulary."""
    digest = hashlib.sha256()
    vocabulary = [source.folder / name for name in VOCABULARY_FILES if (source.folder / name).is_file()]
    files = [*source.folder.glob("config.json"), *sorted(source.folder.glob("*.safetensors")), *vocabulary]
    for path in files:
        digest.update(path.name.encode() + b"\0")
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def load_classifier(
    source: ModelSource,
    labels: Sequence[str],
    seed: int,
    max_length: int | None = None,
    precision: str = "fp32",
) -> LoadedModel:
    """Load the model as AutoModelForSequenceClassification with these label names.

    `precision` is how its layers' weights are held (models/quantize.py); all else is fp32.

    Parameters that the checkpoint does not hold (the head) are drawn from a generator keyed by the seed.
    Raises RecipeError for a configuration or weights that cannot be used.
    """
    require_precision(precision)
    config = _load_config(source, labels)
    import torch
    from transformers import AutoModelForSequenceClassification

    quiet_libraries()
    with runtime.seeded(seed, "head"), _explained(source):
        model, info = AutoModelForSequenceClassification.from_pretrained(
            source.folder,
            config=config,
            dtype=torch.float32,
            use_safetensors=True,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            local_files_only=True,
            trust_remote_code=False,
            **loading_options(precision, architecture_of(config.model_type)),
        )
    hold(model, precision, architecture_of(config.model_type))
    mismatched = [entry[0] for entry in info["mismatched_keys"]]
    anatomy = anatomy_of(model, missing=[*info["missing_keys"], *mismatched])
    _refuse_new_body(anatomy, source)
    tokenizer = load_tokenizer(source, anatomy)
    if model.config.pad_token_id is None:
        model.config.pad_token_id = tokenizer.pad_token_id
    return LoadedModel(source, model.eval(), tokenizer, anatomy, _longest(model, tokenizer, max_length))


def load_tokenizer(source: ModelSource, anatomy: Anatomy) -> PreTrainedTokenizerBase:
    """Load the tokenizer with its own truncation and padding switched off, and a pad token set."""
    from transformers import AutoTokenizer

    with _explained(source):
        tokenizer = AutoTokenizer.from_pretrained(source.folder, local_files_only=True, trust_remote_code=False)
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        backend.no_truncation()
        backend.no_padding()
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    tokenizer.padding_side = "left" if anatomy.architecture.pads_left else "right"
    return tokenizer


def _load_config(source: ModelSource, labels: Sequence[str]) -> Any:
    path = source.folder / "config.json"
    if not path.is_file():
        raise RecipeError("RECIPE-041", f"{source.folder}: no config.json, so this is not a model folder.")
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RecipeError("RECIPE-042", f"{path}: not JSON ({error}).") from error
    if not isinstance(raw, dict):
        raise RecipeError("RECIPE-042", f"{path}: not a JSON object, so this is not a model's configuration.")
    if _asks_for_remote_code(raw):
        raise RecipeError(
            "RECIPE-043", f"{source.name}: this model wants to run code of its own (auto_map), which is never done.",
            "Use a model whose architecture transformers itself knows.",
        )  # fmt: skip
    architecture_of(str(raw.get("model_type")))
    if not any(source.folder.glob("*.safetensors")):
        raise RecipeError(
            "RECIPE-044", f"{source.name}: no safetensors weights (pickled weights are never read).",
            "Convert it once with `model.save_pretrained(folder)` of a current transformers.",
        )  # fmt: skip
    from transformers import AutoConfig

    with _explained(source):
        return AutoConfig.from_pretrained(
            source.folder,
            num_labels=len(labels),
            id2label=dict(enumerate(labels)),
            label2id={label: index for index, label in enumerate(labels)},
            problem_type="single_label_classification",
            local_files_only=True,
            trust_remote_code=False,
        )


def _asks_for_remote_code(value: Any) -> bool:
    if isinstance(value, dict):
        return "auto_map" in value or any(_asks_for_remote_code(inner) for inner in value.values())
    return isinstance(value, list) and any(_asks_for_remote_code(inner) for inner in value)


def _refuse_new_body(anatomy: Anatomy, source: ModelSource) -> None:
    """A part of the body that the checkpoint did not hold would be random: a broken checkpoint, not a new head.

    A pooler is the exception: encoders saved without one get a new one, which counts as part of the head.
    """
    body = anatomy.architecture.layers.partition(".")[0] + "."
    inside = [name for name in anatomy.new_modules if name.startswith(body) and "pooler" not in name]
    if inside:
        raise ArtifactError(
            "ARTIFACT-021", f"{source.name}: the weights lack {len(inside)} parts of the model, e.g. {inside[0]}.",
            "The checkpoint is incomplete or belongs to another architecture; download it again.",
        )  # fmt: skip


def _longest(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, wanted: int | None) -> int:
    positions = getattr(model.config, "max_position_embeddings", None) or DEFAULT_MAX_LENGTH
    limit = min(int(positions), int(min(tokenizer.model_max_length, 10**9)))
    if wanted is not None and wanted > limit:
        raise RecipeError("RECIPE-045", f"data.max_length {wanted}: this model takes at most {limit} tokens.")
    return wanted or min(limit, DEFAULT_MAX_LENGTH)


@contextlib.contextmanager
def _explained(source: ModelSource) -> Any:
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as error:
        if is_out_of_memory(error):
            raise
        text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise RecipeError("RECIPE-046", f"{source.name}: this model cannot be loaded: {text}") from error
