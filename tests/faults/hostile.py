"""Folders that somebody who means harm might hand over, each with a canary: a file that is there once code ran."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lightune.methods import make_method
from lightune.safe_files import hashes_of, write_manifest

CANARY = "CANARY"
Make = Callable[[Path], object]
BIG = 10**12


class Bomb:
    """What unpickles by creating a file."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.canary,)


def pickled(folder: Path) -> bytes:
    """Return a pickle that leaves the canary in the folder above."""
    return pickle.dumps(Bomb(folder.parent / CANARY))


def module(folder: Path, name: str = "modeling_x") -> str:
    """Write a Python module that leaves the canary; return the reference to a class in it."""
    code = f"open({str(folder.parent / CANARY)!r}, 'w').close()\nclass Evil: pass\n"
    (folder / f"{name}.py").write_text(code, encoding="utf-8")
    return f"{name}.Evil"


def change(path: Path, **values: Any) -> None:
    """Set names of a JSON file; an ellipsis removes one."""
    told = {**(json.loads(path.read_bytes()) if path.is_file() else {}), **values}
    path.write_text(json.dumps({key: value for key, value in told.items() if value is not ...}), encoding="utf-8")


def config(**values: Any) -> Make:
    """Return what changes a folder's config.json, and writes the code that it may ask for."""

    def make(folder: Path) -> None:
        module(folder)
        change(folder / "config.json", **values)

    return make


def tokenizer(**values: Any) -> Make:
    """Return what changes a folder's tokenizer_config.json, and writes the code that it may ask for."""

    def make(folder: Path) -> None:
        module(folder, "tokenization_x")
        change(folder / "tokenizer_config.json", **values)

    return make


def raw(name: str, content: bytes | Callable[[Path], bytes]) -> Make:
    """Return what writes a file."""
    return lambda folder: (folder / name).write_bytes(content if isinstance(content, bytes) else content(folder))


def both(*makes: Make) -> Make:
    """Return what does several things."""
    return lambda folder: [make(folder) for make in makes]


def without(name: str) -> Make:
    """Return what removes a file."""
    return lambda folder: (folder / name).unlink()


def tensors(header: Any, data: bytes = b"\0" * 16) -> bytes:
    """Return a safetensors file with this header, whatever it says."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(start: int, end: int, shape: list[Any], kind: str = "F32") -> dict[str, Any]:
    """Return a tensor's entry in a header."""
    return {"dtype": kind, "shape": shape, "data_offsets": [start, end]}


def another_model(folder: Path) -> None:
    """Let PEFT's file name another model: a copy of this one, with code."""
    other = folder.parent / "other"
    shutil.copytree(folder, other)
    change(other / "config.json", auto_map={"AutoModel": module(other)})
    change(folder / "adapter_config.json", base_model_name_or_path=str(other), peft_type="LORA", task_type="SEQ_CLS")


EVIL = {"AutoConfig": "modeling_x.Evil", "AutoModelForSequenceClassification": "modeling_x.Evil"}
DEEP = b"[" * 200_000
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
# A base model, whose folder is changed; given to `run --model` and to `load`.
MODELS: dict[str, Make] = {
    "pickled weights alone": both(without(WEIGHTS), raw("pytorch_model.bin", pickled)),
    "pickled shards": both(without(WEIGHTS), raw("x.bin", pickled), raw(
        "pytorch_model.bin.index.json", b'{"weight_map": {"a": "x.bin"}}')),
    "a pickle named safetensors": raw(WEIGHTS, pickled),
    "an index that names a pickle": both(without(WEIGHTS), raw("x.bin", pickled), raw(
        INDEX, b'{"weight_map": {"a": "x.bin"}}')),
    "an index that names a file above": both(without(WEIGHTS), raw(
        INDEX, b'{"weight_map": {"a": "../x.safetensors"}}')),
    "an index that names a path": both(without(WEIGHTS), raw(INDEX, b'{"weight_map": {"a": "/etc/x.safetensors"}}')),
    "an index nested deep": both(without(WEIGHTS), raw(INDEX, DEEP)),
    "auto_map": config(auto_map=EVIL),
    "auto_map of another repository": config(auto_map={"AutoConfig": "owner/name--modeling_x.Evil"}),
    "auto_map inside": config(text_config={"inner": [{"auto_map": EVIL}]}),
    "trust_remote_code inside": config(text_config={"trust_remote_code": True}),
    "auto_map and an unknown architecture": config(auto_map=EVIL, model_type="evil", architectures=["Evil"]),
    "an unknown architecture": config(model_type="evil"),
    "attention from the Hub": config(attn_implementation="owner/kernel"),
    "attention from the Hub, by its inner name": config(_attn_implementation_internal="owner/kernel:flash"),
    "attention from the Hub for a part": config(_attn_implementation={"": "sdpa", "text_config": "owner/kernel"}),
    "quantized by code": config(quantization_config={"quant_method": "evil", "modules": "modeling_x.Evil"}),
    "custom pipelines": config(custom_pipelines={"text-classification": {"impl": "modeling_x.Evil"}}),
    "weights by another name": both(raw("evil.bin", pickled), config(transformers_weights="evil.bin")),
    "an adapter's file that names another model": another_model,
    "shards of a distributed training": both(raw("shard-00001-model-00001-of-00001.safetensors", pickled), raw(
        ".metadata", pickled)),
    "a tokenizer with auto_map": tokenizer(auto_map={"AutoTokenizer": ["tokenization_x.Evil", None]}),
    "a tokenizer of its own class": tokenizer(
        auto_map={"AutoTokenizer": ["tokenization_x.Evil", "tokenization_x.Evil"]}, tokenizer_class="Evil"),
    "tokenizer settings nested deep": raw("tokenizer_config.json", DEEP),
    "a tokenizer that is none": raw("tokenizer.json", pickled),
    "a configuration nested deep": raw("config.json", DEEP),
    "a configuration of 70 MB": raw(
        "config.json", lambda folder: b'{"model_type": "distilbert", "x": "' + b"x" * 70_000_000 + b'"}'),
    "a width of 1e12": config(dim=BIG, hidden_dim=BIG),
    "a width of 60,000": config(dim=60_000, hidden_dim=60_000),
    "1e9 layers": config(n_layers=10**9),
    "a vocabulary of 1e9": config(vocab_size=10**9),
    "a vocabulary of 16 million": config(vocab_size=16_000_000),
    "1e9 labels": config(num_labels=10**9),
    "sizes that are no numbers": config(dim=float("nan"), vocab_size=float("inf")),
    "a header of 2^60 bytes": raw(WEIGHTS, (1 << 60).to_bytes(8, "little") + b"{}"),
    "a header nested deep": raw(WEIGHTS, tensors(DEEP)),
    "tensors that overlap": raw(WEIGHTS, tensors({"a": entry(0, 16, [4]), "b": entry(8, 16, [2])})),
    "tensors with a hole": raw(WEIGHTS, tensors({"a": entry(0, 4, [1]), "b": entry(8, 16, [2])})),
    "a tensor beyond the end": raw(WEIGHTS, tensors({"a": entry(0, 1 << 40, [1 << 38])})),
    "a shape whose product overflows": raw(WEIGHTS, tensors({"a": entry(0, 16, [1 << 33, 1 << 33, 1 << 33])})),
    "a negative shape": raw(WEIGHTS, tensors({"a": entry(0, 16, [-4])})),
    "a name given twice": raw(WEIGHTS, tensors(
        b'{"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]},'
        b' "a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}')),
}  # fmt: skip


def about(**values: Any) -> Make:
    """Return what changes lightune.json."""
    return lambda folder: change(folder / "lightune.json", **values)


def options(method: str, **values: Any) -> Make:
    """Return what gives lightune.json another method, with its usual options but for these."""

    def make(folder: Path) -> None:
        told = {**make_method(method).options(), **values}
        change(folder / "lightune.json", method=method, method_options=told)

    return make


def settings(**values: Any) -> Make:
    """Return what changes tokenizer_config.json, and lightune.json along with it."""

    def make(folder: Path) -> None:
        tokenizer(**values)(folder)
        repin(folder)

    return make


def repin(folder: Path) -> None:
    """Let lightune.json answer for the files as they are."""
    own = {"lightune.json", "adapter_model.safetensors", "fingerprints.safetensors"}
    change(folder / "lightune.json", files={name: one for name, one in hashes_of(folder).items() if name not in own})


def listed(*names: str) -> Make:
    """Return what makes a manifest that lists these names too, with a sound hash of itself."""

    def make(folder: Path) -> None:
        from lightune.safe_files import manifest_bytes

        files = {**hashes_of(folder), **dict.fromkeys(names, "0" * 64)}
        (folder / "MANIFEST.json").write_bytes(manifest_bytes(files))

    return make


FITTING: Make = write_manifest
NAMES = [f"n{number:06d}" for number in range(100_000)]
TWIN = ("{" + ", ".join(f'"{name}": 0' for name in [*NAMES, NAMES[-1]]) + "}").encode()
REGEX = {"(.*a)*(.*b)*(.*c)*x": 8}
# A saved adapter, whose folder is changed; given to `predict`, and to the path without torch.
ADAPTERS: dict[str, Make] = {
    "a manifest that names a file above": listed("../../../etc/passwd"),
    "a manifest that names a path": listed("/etc/passwd"),
    "a manifest that names a path of Windows": listed("C:\\\\x.json"),
    "a manifest that names itself": listed("manifest.json"),
    "a manifest with two names that are one": listed("LIGHTUNE.json"),
    "a manifest nested deep": raw("MANIFEST.json", DEEP),
    "a manifest with 12,000 names": listed(*NAMES[:12_000]),
    "a manifest with a name of 300 letters": listed("x" * 300),
    "a description with the last of 100,000 names twice": both(raw("lightune.json", TWIN), FITTING),
    "a pickle named safetensors": both(raw("adapter_model.safetensors", pickled), FITTING),
    "a description nested deep": both(raw("lightune.json", DEEP), FITTING),
    "a rank of 1e9": both(options("lora", rank=10**9), FITTING),
    "a rank of 100,000": both(options("lora", rank=100_000), FITTING),
    "1e9 virtual tokens": both(options("prompt_tuning", virtual_tokens=10**9), FITTING),
    "a prefix of 1e9 tokens": both(options("prefix", num_virtual_tokens=10**9), FITTING),
    "a prefix of 4,000 tokens": both(options("prefix", num_virtual_tokens=4000), FITTING),
    "a rank of 1e9 by PEFT's name": both(about(method="hra", method_options={
        "r": 10**9, "roles": ["query"]}), FITTING),
    "a pattern that takes forever": both(about(method="delora", method_options={
        "rank_pattern": REGEX, "roles": ["query"]}), FITTING),
    "a pattern with a rank of 1e9": both(about(method="delora", method_options={
        "rank_pattern": {"q_lin": 10**9}, "roles": ["query"]}), FITTING),
    "targets that are a pattern": both(options("lora", target_modules="(.*a)*(.*b)*x"), FITTING),
    "targets that are a pattern in a list": both(options("lora", target_modules=["(.*a)*(.*b)*x"]), FITTING),
    "layers replicated": both(options("lora", layer_replication=[[0, 10**9]]), FITTING),
    "a method that is a module": both(about(method="os.system", method_options={}), FITTING),
    "a method that is a path": both(about(method="../modeling_x", method_options={}), FITTING),
    "a task that is a module": both(about(task={"name": "modeling_x.Evil"}), FITTING),
    "texts of 1e18 tokens": both(about(max_length=10**18), FITTING),
    "texts of -1 tokens": both(about(max_length=-1), FITTING),
    "a million labels": both(about(
        task={"name": "classification", "labels": [str(n) for n in range(10**6)], "temperature": 1.0}), FITTING),
    "a tokenizer with auto_map": both(settings(auto_map={"AutoTokenizer": ["tokenization_x.Evil", None]}), FITTING),
    "a configuration with auto_map beside": both(FITTING, config(auto_map=EVIL)),
    "PEFT's file with auto_mapping": both(lambda folder: change(
        folder / "adapter_config.json", auto_mapping={"base_model_class": "Evil", "parent_library": module(folder)}),
        FITTING),
    "PEFT's file with a path": both(lambda folder: change(
        folder / "adapter_config.json", base_model_name_or_path="../evil", megatron_core="modeling_x"), FITTING),
}  # fmt: skip
