"""A row proposed from the module tree of an architecture that has none; it is only shown, rows are written by hand."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightune.errors import RecipeError
from lightune.models.anatomy import ROLES, architecture_of
from lightune.models.architectures import ARCHITECTURES, Architecture
from lightune.models.config import explained

if TYPE_CHECKING:
    from torch import nn

FUSED = {"c_attn", "wqkv", "qkv", "qkv_proj", "query_key_value", "in_proj"}
NAMES = {
    "query": {"query", "q", "q_lin", "q_proj", "query_proj", "wq"},
    "key": {"key", "k", "k_lin", "k_proj", "key_proj", "wk"},
    "value": {"value", "v", "v_lin", "v_proj", "value_proj", "wv"},
}


@dataclass(frozen=True)
class Proposal:
    """The row that the module tree suggests; `unclear` describes what is left open (empty for a complete row)."""

    layers: str
    roles: dict[str, tuple[str, ...]]
    counts_from_pad: bool
    unclear: tuple[str, ...]

    def architecture(self) -> Architecture:
        """Return the row; only for a proposal that leaves nothing open."""
        roles: dict[str, Any] = {name: paths[0] if len(paths) == 1 else paths for name, paths in self.roles.items()}
        return Architecture(layers=self.layers, counts_from_pad=self.counts_from_pad, **roles)


def skeleton(name: str, folder: Path) -> Any:
    """Return the folder's stock sequence classifier without weights (on torch's meta device).

    Raises RecipeError when transformers has no sequence classifier for it.
    """
    import torch
    from transformers import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING, AutoConfig, AutoModelForSequenceClassification

    with explained(name):
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if type(config) not in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING:
        message = f"{name}: transformers has no sequence classifier of the architecture {config.model_type}."
        raise RecipeError("RECIPE-048", message, "Use a model of an architecture that has one.")
    with explained(name), torch.device("meta"):
        return AutoModelForSequenceClassification.from_config(config, trust_remote_code=False)


def propose(model: nn.Module) -> Proposal:
    """Return what the names and widths of a classifier's modules suggest.

    Query, key and value are found by their names. The attention's other projection is its output. The feed-forward
    part's projections widen (in) or narrow (out).
    """
    stack, layers = _layer_stack(model)
    roles: dict[str, tuple[str, ...]] = dict.fromkeys(ROLES, ())
    left: list[str] = []
    if layers:
        roles, left = _roles(layers[0])
    unclear = [f"the role of {stack}.0.{path} is not clear from its name or width" for path in left[:8]]
    unclear += _open_questions(roles)
    unclear += [f"layer {number} differs from layer 0" for number in _unlike_the_first(layers, roles)]
    if getattr(model.config, "is_encoder_decoder", False):
        unclear.append("it has an encoder and a decoder, and a row names one layer stack")
    return Proposal(stack, roles, _counts_from_pad(model), tuple(unclear))


def as_row(model_type: str, proposal: Proposal) -> str:
    """Return the proposal as the row to add, with an ellipsis for each unclear part."""
    lines = [f'"{model_type}": Architecture(', f"    layers={_quoted([proposal.layers] if proposal.layers else [])},"]
    lines += [f"    {role}={_quoted(proposal.roles[role])}," for role in ROLES]
    lines += ["    counts_from_pad=True,"] if proposal.counts_from_pad else []
    return "\n".join([*lines, "),"])


def advice(model_type: str, proposal: Proposal) -> str:
    """Return the error text for an unknown architecture: its proposed row, and what is unclear."""
    row = "\n".join(f"    {line}" for line in as_row(model_type, proposal).splitlines())
    still = "".join(f"\n  unclear: {line}" for line in proposal.unclear)
    return f"\nIts module tree suggests this row; check it against the model's source before you add it:\n{row}{still}"


def require_known(name: str, folder: Path, model_type: str) -> None:
    """Raise RecipeError for an architecture that has no row, with the row that its module tree suggests."""
    if model_type in ARCHITECTURES:
        return
    try:
        proposed = advice(model_type, propose(skeleton(name, folder)))
    except RecipeError as error:
        proposed = f" None can be proposed: {error.message}"
    architecture_of(model_type, proposed)


def _layer_stack(model: nn.Module) -> tuple[str, list[Any]]:
    """Return path and members of the longest module list; the outermost one if several are equally long."""
    from torch import nn

    found = [(name, list(part)) for name, part in model.named_modules() if isinstance(part, nn.ModuleList)]
    return max(found, key=lambda pair: len(pair[1]), default=("", []))


def _roles(layer: nn.Module) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """Return the paths of each role in one layer, and the projections without a role."""
    widths = _projections(layer)
    found: dict[str, list[str]] = {role: [] for role in ROLES}
    left = []
    for path, (into, out_of) in widths.items():
        name = path.rpartition(".")[2].lower()
        if name in FUSED:
            roles = list(NAMES)
        elif any(name in known for known in NAMES.values()):
            roles = [role for role, known in NAMES.items() if name in known]
        elif "attn" in path.lower() or "attention" in path.lower():
            roles = ["attention_out"]
        else:
            roles = ["ffn_in"] if out_of > into else ["ffn_out"] if out_of < into else []
        for role in roles:
            found[role].append(path)
        left += [] if roles else [path]
    found["attention"] = list(dict.fromkeys(path.rpartition(".")[0] for path in found["query"]))
    return {role: tuple(paths) for role, paths in found.items()}, left


def _projections(layer: nn.Module) -> dict[str, tuple[int, int]]:
    """Return (input width, output width) of each linear module in a layer."""
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    found = {}
    for path, part in layer.named_modules():
        if isinstance(part, nn.Linear):
            found[path] = (part.in_features, part.out_features)
        elif isinstance(part, Conv1D):
            found[path] = (part.weight.shape[0], part.weight.shape[1])
    return found


def _open_questions(roles: dict[str, tuple[str, ...]]) -> list[str]:
    """Return which roles have no module, or several where a layer has one."""
    questions = [f"no module found for {role}" for role in ROLES if not any(roles[role])]
    several = [role for role in ("attention_out", "ffn_out", "attention") if len(roles[role]) > 1]
    return questions + [f"several modules may be {role}" for role in several]


def _unlike_the_first(layers: list[Any], roles: dict[str, tuple[str, ...]]) -> Iterable[int]:
    wanted = {path for paths in roles.values() for path in paths}
    for number, layer in enumerate(layers):
        names = {path for path, _ in layer.named_modules()}
        if wanted - names or len(_projections(layer)) != len(_projections(layers[0])):
            yield number


def _counts_from_pad(model: nn.Module) -> bool:
    """Say whether the position embeddings have an entry for padding; positions before it are not used."""
    from torch import nn

    tables = [part for name, part in model.named_modules() if name.endswith("embeddings.position_embeddings")]
    return any(isinstance(part, nn.Embedding) and part.padding_idx is not None for part in tables)


def _quoted(paths: Iterable[str]) -> str:
    shown = [f'"{path}"' for path in paths]
    return "..." if not shown else shown[0] if len(shown) == 1 else f"({', '.join(shown)})"
