"""Any other method of PEFT, by PEFT's own name and with PEFT's own options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from importlib.util import find_spec
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from lightune.errors import RecipeError, did_you_mean, spelt_like, written
from lightune.methods.base import Attachment
from lightune.methods.name_patterns import is_pattern
from lightune.methods.option_values import choices, require_no_fault, role_faults, twin_faults
from lightune.methods.peft_method import REFUSALS, PeftMethod, named_targets
from lightune.methods.registry import METHODS
from lightune.models.anatomy import LINEAR_ROLES

if TYPE_CHECKING:
    from torch import nn

    from lightune.models.anatomy import Anatomy

# Why a method cannot be used here; found by trying each (peft 0.21.2).
REFUSED = {
    "adamss": "its shapes depend on a clustering that may differ on another machine; a saved adapter might not fit",
    "adaption_prompt": "it is made for models that generate text",
    "cartridge": "it compresses a context for models that generate text",
    "cpt": "it is made for models that generate text",
    "lily": "its routers average over the batch, so that an answer would depend on the other texts in it",
    "mixed": "it mixes adapters that were trained before",
    "multitask_prompt_tuning": "it needs the number of a task beside each text; use prompt_tuning",
    "poly": "it needs the number of a task beside each text",
    "prefix_tuning": "it passes a key/value cache, which encoders do not accept; use prefix",
    "shadow": "it is made for models that generate text",
    "trainable_tokens": "it trains the embeddings of chosen tokens, not layers",
    "xlora": "it mixes adapters that were trained before",
}
# What was measured on the others: those that change the answers at the start, those that cannot always be merged, and
# those whose layers fail with base weights of lower precision.
BEGIN_CHANGED = frozenset({"c3a", "unilora", "vblora"})
UNMERGED = frozenset({"beft"})
NEED_FP32 = frozenset({"glora", "shira", "supertuning"})
TRIED = frozenset(
    {"beft", "c3a", "deft", "delora", "frod", "glora", "gralora", "hira", "hra", "osf", "peanut", "psoft"}
    | {"pvera", "road", "shira", "supertuning", "tinylora", "unilora", "vblora", "waveft"}
)
# Fields of a PeftConfig that are set from the model and the task.
OURS = frozenset(
    {"task_type", "peft_type", "peft_version", "auto_mapping", "base_model_name_or_path", "revision", "inference_mode"}
    | {"modules_to_save", "exclude_modules", "fan_in_fan_out", "layers_to_transform", "layers_pattern", "bias"}
)


@dataclass(frozen=True)
class PeftNamed(PeftMethod):
    """A method of PEFT under PEFT's name; `settings` are fields of its PeftConfig.

    What it adds has no formula here: the number of trained parameters is counted once it is attached.
    """

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    roles: tuple[str, ...] = LINEAR_ROLES
    target_modules: tuple[str, ...] | None = None

    default_learning_rate: ClassVar[float] = 1e-3

    @property
    def mergeable(self) -> bool:
        """Whether the adapter can be folded into the base weights; claimed only where it was tried."""
        return self.name in TRIED and self.name not in UNMERGED

    @property
    def reversible(self) -> bool:
        """Whether switching the adapter off gives the untouched model back; claimed only where it was tried."""
        return self.name in TRIED

    @property
    def starts_unchanged(self) -> bool:
        """Whether the attached model answers as the untouched one; claimed only where it was tried."""
        return self.name in TRIED and self.name not in BEGIN_CHANGED

    @property
    def label(self) -> str:
        """The name in messages."""
        return self.name

    def attach(self, model: nn.Module, anatomy: Anatomy, seed: int) -> Attachment:
        """Wrap the model in a PeftModel; RecipeError when the method needs base weights in fp32 and they are not."""
        import torch

        held = any(module.weight.dtype != torch.float32 for module in self.target_modules_of(model, anatomy))
        if held and self.name in NEED_FP32:
            raise RecipeError("RECIPE-034", f"{self.name} needs base weights in fp32.", "Leave model_precision out.")
        return super().attach(model, anatomy, seed)

    def peft_config(self, model: nn.Module, anatomy: Anatomy) -> Any:
        """Return the method's PeftConfig."""
        return self.configured(config_kind(self.name), model, anatomy, **self.settings)

    def options(self) -> dict[str, Any]:
        """Return the settings and the targets as JSON values."""
        given = {} if self.target_modules is None else {"target_modules": list(self.target_modules)}
        return {**self.settings, "roles": list(self.roles), **given}


def peft_names() -> list[str]:
    """Return PEFT's names of methods that are not ours, those refused included, without importing it."""
    spec = find_spec("peft")
    if spec is None or spec.origin is None:
        return []
    folders = (Path(spec.origin).parent / "tuners").glob("*/__init__.py")
    return sorted(path.parent.name for path in folders if path.parent.name not in METHODS)


def usable_names() -> list[str]:
    """Return those of PEFT's names that can be used here."""
    return [name for name in peft_names() if name not in REFUSED]


def make_named(name: str, options: Mapping[str, Any]) -> PeftNamed:
    """Return PEFT's method of this name; RecipeError for an unknown name or option, and where it cannot classify."""
    METHODS.require_sound(name)
    known = spelt_like(name, [*METHODS, *peft_names()])
    if name != known and known not in REFUSED:
        groups = [[known]] if known else [list(METHODS), usable_names()]
        meant = next(filter(None, (did_you_mean(name, group) for group in groups)), "")
        theirs = f"by PEFT's own names: {', '.join(usable_names())}."
        hint = f"{meant} Valid: {', '.join(METHODS)}; {theirs}"
        raise RecipeError("RECIPE-010", f'there is no method "{name}".', hint.strip())
    if known in REFUSED:
        raise RecipeError(
            "RECIPE-036",
            f'PEFT\'s "{known}" cannot be used for classifying texts: {REFUSED[known]}.',
            "`lightune methods` lists those that can.",
        )
    settings = {key: value for key, value in options.items() if key not in ("roles", "target_modules")}
    roles, given = options.get("roles", LINEAR_ROLES), named_targets(options.get("target_modules"))
    _check(name, settings, roles, given)
    return PeftNamed(name, settings, tuple(roles), None if given is None else tuple(given))


def describe_named(name: str) -> dict[str, Any]:
    """Return what is known of PEFT's method of this name, as `methods.describe` does; its options are PEFT's."""
    method, kind = make_named(name, {}), config_kind(name)
    own = {found.name: getattr(kind, found.name, None) for found in fields(kind) if found.name not in OURS}
    return {
        "name": name,
        "package": "peft",
        "summary": f"PEFT's {name}, with PEFT's own options.",
        "default_learning_rate": method.default_learning_rate,
        "mergeable": method.mergeable,
        "reversible": method.reversible,
        "starts_unchanged": method.starts_unchanged,
        "paper": "",
        "options": {**{key: _plain(value) for key, value in own.items()}, "roles": list(method.roles)},
        "choices": {key: found for key, found in choices(kind).items() if key in own},
        "by_preset": {},
        "cost": None,
        "architectures": {},
    }


def config_kind(name: str) -> Any:
    """Return the class of the method's PeftConfig; RecipeError when PEFT has none of this name."""
    from peft import PeftType
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    try:
        return PEFT_TYPE_TO_CONFIG_MAPPING[PeftType(name.upper())]
    except (KeyError, ValueError) as error:
        raise RecipeError("RECIPE-036", f'PEFT has no configuration for "{name}".') from error


def _check(name: str, settings: Mapping[str, Any], roles: Any, targets: Any) -> None:
    """Raise RecipeError for unknown roles, and for options that the configuration does not have or does not accept."""
    kind = config_kind(name)
    valid = [*(found.name for found in fields(kind) if found.name not in OURS), "roles"]
    listed = f"Valid: {', '.join(valid)}."
    faults = [
        " ".join(filter(None, [f"method.{key}: {name} has no such option.", did_you_mean(key, valid), listed]))
        for key in settings
        if key not in valid
    ]
    faults += _wrong_kinds(kind, settings)
    faults += _pattern_faults(settings)
    faults += role_faults(roles if _is_names(roles) else ())
    faults += twin_faults({**settings, "roles": roles, "target_modules": targets})
    faults += [
        f"method.{key}: a list of names is needed (given: {written(value)})"
        for key, value in (("roles", roles), ("target_modules", targets))
        if not _is_names(value) and not (key == "target_modules" and value is None)
    ]
    if not faults:
        try:
            kind(**settings)
        except REFUSALS as error:
            faults.append(f"method: PEFT does not accept these options of {name}: {error}")
    require_no_fault(faults)


def _pattern_faults(settings: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with names that PEFT reads as regular expressions."""
    patterns = {key: value for key, value in settings.items() if key.endswith("_pattern") and isinstance(value, dict)}
    return [
        f"method.{key}: {written(name)} is not the name of a module, or a regular expression with few repeats"
        for key, value in patterns.items()
        for name in value
        if not is_pattern(name)
    ]


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool | list | dict) else None


def _is_names(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(name, str) for name in value)


def _wrong_kinds(kind: Any, settings: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with options whose default is a number or a boolean; PEFT would find out too late."""
    types = {found.name: str(found.type) for found in fields(kind)}
    faults = []
    for key, value in settings.items():
        usual = getattr(kind, key, None)
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        if isinstance(usual, bool):
            takes_words = any(word in types[key] for word in ("str", "Literal"))
            if not isinstance(value, bool) and not (takes_words and isinstance(value, str)):
                faults.append(f"method.{key}: true or false is needed (given: {written(value)})")
        elif isinstance(usual, int) and not (is_whole and value >= min(usual, 1)):
            least = "of 0 or more" if usual == 0 else "above 0"
            faults.append(f"method.{key}: a whole number {least} is needed (given: {written(value)})")
        elif isinstance(usual, float) and not (is_whole or (isinstance(value, float) and isfinite(value))):
            faults.append(f"method.{key}: a finite number is needed (given: {written(value)})")
        elif isinstance(usual, float) and "dropout" in key and not 0 <= value < 1:
            faults.append(f"method.{key}: a share from 0 to below 1 is needed (given: {written(value)})")
    return faults
