"""What `lightune push` uploads: the adapter of a run, or its merged model, with a model card; file by file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from lightune.artifact import adapter_folder, public_settings
from lightune.artifact_config import CONFIG_FILE, ArtifactConfig, described, read_config
from lightune.data.fingerprints import FINGERPRINTS_FILE
from lightune.errors import ArtifactError
from lightune.models.config import PEFT_FILE
from lightune.record import RunRecord
from lightune.record_file import read_record, showing
from lightune.report import usage
from lightune.report.card import UNKNOWN_LICENSE, Published, render_card
from lightune.report.files import CARD_FILE
from lightune.report.without_paths import base_name
from lightune.safe_files import MANIFEST_FILE, json_bytes, listed_files, manifest_bytes

Content = Path | bytes


@dataclass(frozen=True)
class Upload:
    """The files of a run to upload, by their names in the repository, besides the model card; and what is left out."""

    record: RunRecord
    files: Mapping[str, Content]
    is_merged: bool
    left_out: tuple[str, ...] = ()

    def with_card(self, repository: str, license: str = UNKNOWN_LICENSE) -> dict[str, Content]:
        """Return all files of the repository of this name, the model card first."""
        with showing(Path(self.record.run_folder)):
            card = render_card(self.record, Published(repository, license, self.is_merged))
        return {CARD_FILE: card.encode(), **self.files}

    @property
    def caution(self) -> str:
        """What others will lack, or ""."""
        if self.is_merged or usage.is_on_hub(self.record):
            return ""
        instead = " --merged uploads a whole model." if usage.can_be_merged(self.record) else ""
        return f"{base_name(self.record.model.name)} is a folder of yours: others need it to load the adapter.{instead}"


def adapter_upload(run: Path) -> Upload:
    """Return the upload of a run's adapter: its verified folder, without the fingerprints of the training texts.

    Raises ArtifactError when the run folder is damaged, or its reload check failed.
    """
    record, folder = _sound_record(run), adapter_folder(run)
    config = read_config(folder)
    hashes = listed_files(folder)
    left_out = tuple(name for name in (FINGERPRINTS_FILE,) if hashes.pop(name, None))
    files: dict[str, Content] = {name: folder / name for name in sorted(hashes)}
    for name, raw in _without_paths(folder, config, hashes).items():
        if raw != (folder / name).read_bytes():
            files[name], hashes[name] = raw, hashlib.sha256(raw).hexdigest()
    return Upload(record, {**files, MANIFEST_FILE: manifest_bytes(hashes)}, False, left_out)


def _without_paths(folder: Path, config: ArtifactConfig, hashes: Mapping[str, str]) -> dict[str, bytes]:
    """Return the files that name the base model; an older version wrote the path of a local folder into them."""
    is_path = config.base_revision is None and base_name(config.base_model) != config.base_model
    named = replace(config, base_model=base_name(config.base_model)) if is_path else config
    files = {}
    if (folder / PEFT_FILE).is_file():
        files[PEFT_FILE] = json_bytes(public_settings(folder / PEFT_FILE, named))
    if is_path:
        others = {name: hashlib.sha256(raw).hexdigest() for name, raw in files.items()}
        files[CONFIG_FILE] = json_bytes(described(named, {**hashes, **others}))
    return files


def merged_upload(run: Path, working: Path, base_model: str | None = None) -> Upload:
    """Return the upload of a run as a stock model, which is written to the empty folder `working`.

    Raises ArtifactError as `adapter_upload` and when the base model is not found, RecipeError for an adapter that
    cannot be merged.
    """
    from lightune.inference.classifier import load

    record = _sound_record(run)
    load(run, base_model, device="cpu").save_pretrained(working)
    files = {path.relative_to(working).as_posix(): path for path in sorted(working.rglob("*")) if path.is_file()}
    return Upload(record, files, True)


def size(content: Content) -> int:
    """Return the size of a file to upload, in bytes."""
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def _sound_record(run: Path) -> RunRecord:
    """Return the record of a run whose answers can be had from what it saved."""
    record = read_record(run)
    if record.status == "reload_failed":
        message = f"{run}: the reload check of this run failed: what it saved gives other answers."
        raise ArtifactError("ARTIFACT-045", message, "Run it again.")
    return record
