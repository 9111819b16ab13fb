"""What a machine offers for a run, and what is missing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lightune import runtime
from lightune.durable import UNKNOWN, free_bytes
from lightune.errors import LightuneError
from lightune.extras import install_command
from lightune.methods import METHODS
from lightune.models import embedded, hub
from lightune.tasks import TASKS

GIGABYTE = 10**9


@dataclass(frozen=True)
class Finding:
    """One check: whether the result is in order, and what to do if not."""

    name: str
    ok: bool
    detail: str


def diagnose() -> list[Finding]:
    """Check everything a run depends on; nothing is changed, and only the Hub is contacted."""
    about = runtime.environment()
    found = about["versions"]
    free = free_bytes(Path.cwd())
    memory = about["memory_bytes"]
    processor = f"{about['cpu']}, {about['cores']} cores, {about['threads']} threads, {about['cpu_capability']}"
    packages = ", ".join(f"{name} {found[name]}" for name in ("torch", "transformers", "peft", "accelerate"))
    return [
        Finding("python", True, f"{found['python']} on {about['platform']}"),
        Finding("packages", True, packages),
        Finding("processor", True, processor),
        Finding("device", True, about.get("gpu", about["device"])),
        Finding("memory", memory > 4 * GIGABYTE, f"{memory / GIGABYTE:.1f} GB; 4 GB are enough for the quickstart"),
        Finding("disk", free > 2 * GIGABYTE, _room(free)),
        _embedded_model(),
        _hub(),
        *_broken_plugins(),
    ]  # fmt: skip


def _room(free: int) -> str:
    return "this file system does not say what is free" if free == UNKNOWN else f"{free / GIGABYTE:.1f} GB free here"


def _embedded_model() -> Finding:
    try:
        place = embedded.folder()
    except LightuneError as error:
        return Finding("embedded model", False, str(error))
    if place is None:
        return Finding("embedded model", False, f"not installed; {install_command('offline')} (else from the Hub)")
    return Finding("embedded model", True, "all-MiniLM-L6-v2, weights as published (sha256 checked)")


def _hub() -> Finding:
    if hub.reachable():
        return Finding("Hugging Face Hub", True, "reachable")
    return Finding(
        "Hugging Face Hub", False, "not reachable; the embedded model, local folders and the cache still work"
    )


def _broken_plugins() -> list[Finding]:
    """Return a finding for each method or task of another package that cannot be used."""
    broken = [(kind, plugin) for kind, table in (("method", METHODS), ("task", TASKS)) for plugin in table.broken()]
    return [
        Finding(f"{kind} {plugin.name}", False, f"the package {plugin.package} cannot be used: {plugin.reason}")
        for kind, plugin in broken
    ]
