"""The machine and its randomness: device, seeds, versions."""

from __future__ import annotations

import hashlib
import os
import platform
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from typing import TYPE_CHECKING, Any

from lightune.errors import RecipeError

if TYPE_CHECKING:
    import torch

PACKAGES = ("torch", "transformers", "peft", "accelerate", "datasets", "tokenizers", "safetensors", "huggingface_hub",
            "numpy", "scikit-learn", "scipy")  # fmt: skip


def ranks() -> int:
    """Return how many processes a launcher such as torchrun started for this run; 1 when there is no launcher."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "LOCAL_RANK" in os.environ else 1


def rank() -> int:
    """Return the number of this process among them; only number 0 prints, measures and writes."""
    return int(os.environ.get("RANK", "0")) if ranks() > 1 else 0


def keyed_seed(seed: int, *key: str | int) -> int:
    """Return a seed for one purpose, derived from the run's seed and a key such as ("order", epoch).

    It is the first eight bytes of SHA-256 over the parts. So no two purposes share a stream, and no RNG state has to be
    stored to repeat a draw.
    """
    text = "\x1f".join(str(part) for part in (seed, *key))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *key: str | int) -> torch.Generator:
    """Return a CPU generator for one purpose; see `keyed_seed`."""
    import torch

    return torch.Generator().manual_seed(keyed_seed(seed, *key))


def reseed(seed: int, *key: str | int) -> None:
    """Set torch's global generators (dropout reads them) for one purpose.

    torch.manual_seed notes a stack trace for each GPU library that is not in use, which takes longer than small layers.
    """
    import torch

    number = keyed_seed(seed, *key)
    if torch.cuda.is_initialized() or torch.backends.mps.is_available():
        torch.manual_seed(number)
    else:
        torch.default_generator.manual_seed(number)


@contextmanager
def seeded(seed: int, *key: str | int) -> Iterator[None]:
    """Run a block with global generators (Python, numpy, torch) seeded for one purpose, and restore them after."""
    import numpy as np
    import torch

    number = keyed_seed(seed, *key)
    python_state, numpy_state = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        random.seed(number)
        np.random.seed(number % 2**32)
        torch.manual_seed(number)
        try:
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)


def choose_device(wanted: str) -> torch.device:
    """Return the device for `auto`, `cpu`, `cuda` or `mps`; RecipeError when it is not available."""
    import torch

    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if wanted not in (*there, "auto"):
        raise RecipeError("RECIPE-020", f'there is no kind of device "{wanted}".', f"Valid: auto, {', '.join(there)}.")
    if wanted == "auto":
        wanted = next(name for name in ("cuda", "mps", "cpu") if there[name])
    if not there[wanted]:
        found = ", ".join(name for name, is_there in there.items() if is_there)
        message = f'device "{wanted}" is not available here: {_why_absent(wanted)}.'
        raise RecipeError("RECIPE-020", message, f"Available: {found}, or auto.")
    return _own_device(wanted) if ranks() > 1 else torch.device(wanted)


def _own_device(kind: str) -> torch.device:
    """Return the device of this process, one of several; on CUDA the GPU with its local rank."""
    import torch

    local = int(os.environ["LOCAL_RANK"])
    if kind == "mps":
        raise RecipeError(
            "RECIPE-020", "several processes cannot share a Mac's GPU.", "Use --device cpu, or one process."
        )
    if kind == "cuda" and local >= torch.cuda.device_count():
        message = f"{os.environ['LOCAL_WORLD_SIZE']} processes on a machine with {torch.cuda.device_count()} GPU."
        raise RecipeError("RECIPE-020", message, "Start one process for each GPU (torchrun --nproc-per-node).")
    return torch.device(kind, local) if kind == "cuda" else torch.device(kind)


def _why_absent(device: str) -> str:
    import torch

    built = torch.version.cuda is not None if device == "cuda" else torch.backends.mps.is_built()
    if not built:
        return f"this PyTorch ({torch.__version__}) was built without it"
    return "no NVIDIA GPU or driver was found" if device == "cuda" else "it needs an Apple GPU and macOS 14 or newer"


def choose_precision(wanted: str, device: torch.device) -> str:
    """Return `fp32` or `bf16`; `auto` takes bf16 autocast only on a CUDA device that computes in it.

    Raises RecipeError when bf16 is requested on a Mac whose system does not support it.
    """
    import torch

    if wanted == "auto":
        return "bf16" if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    if wanted == "bf16" and device.type == "mps" and not torch.backends.mps.is_macos_or_newer(14, 0):
        raise RecipeError("RECIPE-021", "precision bf16: on mps it needs macOS 14 or newer.", "Use fp32 or auto.")
    return wanted


def device_notes(device: torch.device) -> list[str]:
    """Return what cannot be measured on this device, for the record's notes."""
    if device.type == "mps":
        return ["GPU memory was not measured: PyTorch keeps no peak for mps. Memory is the process's resident set."]
    return []


def sent(values: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Return a CPU tensor on the device, without waiting for the device's current work."""
    return values.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else values.to(device)


def synchronise(device: torch.device) -> None:
    """Wait until a GPU has finished its work, so that a clock measures the true time."""
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages a result depends on."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def environment(device: torch.device | None = None) -> dict[str, Any]:
    """Describe the machine: versions, processor, cores, threads, memory, device. No user or host name."""
    import psutil
    import torch

    about: dict[str, Any] = {
        "versions": versions(),
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu_name(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_bytes": psutil.virtual_memory().total,
        "device": device.type if device else choose_device("auto").type,
    }
    if about["device"] == "cuda":
        about["gpu"] = torch.cuda.get_device_name()
        about["gpu_memory_bytes"] = torch.cuda.get_device_properties(0).total_memory
    return about


def _cpu_name() -> str:
    if sys.platform == "linux":
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
