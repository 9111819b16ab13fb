"""Train a model of some size with little memory: python memory_for_real.py FOLDER WAY BYTES; prints a line of JSON.

WAY is "enough", "limit" (RLIMIT_AS: allocations fail), "group" (a control group: the kernel kills) or "group-unasked",
which is the same without the estimate.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from lightune.data.encoding import Encoded, TokenRows
from lightune.methods import make_method
from lightune.models.load import ModelSource, load_model
from lightune.recipe import SettledTraining
from lightune.training.batch_loss import Examples
from lightune.training.train import Job, Surroundings, Texts, attach, make_loop
from lightune.training.training_state import trained_parameters
from tiny import classes, tiny_tokenizer

TEXTS, LENGTH, BATCH = 64, 64, 32
# Where control groups are, by the file that limits the memory of one.
GROUPS = {"memory.limit_in_bytes": Path("/sys/fs/cgroup/memory"), "memory.max": Path("/sys/fs/cgroup")}


def build(folder: Path) -> None:
    """Save a random BERT whose activations take some hundred MB in a batch."""
    tokenizer = tiny_tokenizer("bert")
    torch.manual_seed(3)
    size = {"hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 1024}
    config = transformers.BertConfig(vocab_size=len(tokenizer), pad_token_id=0, max_position_embeddings=64, **size)
    transformers.BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def loop_of(folder: Path, place: Path) -> tuple[Any, Any]:
    """Return the loop and the model that it trains, without dropout."""
    loaded = load_model(ModelSource("bert", folder, None), classes(("no", "yes")), 1)
    for module in loaded.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    draw = np.random.default_rng(5)
    rows = TokenRows.of([{"input_ids": draw.integers(4, 40, LENGTH).tolist()} for _ in range(TEXTS)])
    train = Examples(Encoded(rows, 0), np.arange(TEXTS) % 2)
    few = Examples(Encoded(TokenRows.of([{"input_ids": [5] * 8}] * 2), 0), np.arange(2))
    method = make_method("lora", {"dropout": 0.0})
    given: dict[str, Any] = {"num_train_epochs": 1, "seed": 1, "learning_rate": 1e-3, "precision": "fp32"}
    settings = SettledTraining(per_device_train_batch_size=BATCH, cache_frozen="off", **given)
    model = attach(loaded, method, train, settings).model
    job = Job(model, method, loaded.task, loaded.tokenizer, Texts(train, few), settings, Surroundings(place))
    return make_loop(job, job.precision()), model


def group(most: int) -> Path:
    """Put this process into a new control group that may take so many bytes more; OSError where that is not allowed."""
    name, root = next((name, root) for name, root in GROUPS.items() if list(root.glob(f"**/{name}"))[:1])
    made = root / f"lightune-test-{os.getpid()}"
    made.mkdir()
    try:
        (made / name).write_text(str(most))
        (made / "cgroup.procs").write_text(str(os.getpid()))
    except OSError:
        made.rmdir()
        raise
    return made


def restrict(way: str, most: int) -> None:
    """Let this process take only so many bytes more."""
    if way == "limit":
        now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + most, now + most))
    elif way.startswith("group"):
        print(json.dumps({"group": str(group(most))}), flush=True)


def held(key: str) -> int:
    """Return the memory that this process holds, or held at most, in bytes."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))


def main() -> None:
    """Train, and print from which step on micro-batches were smaller."""
    folder, way, most = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    place = folder / way
    place.mkdir()
    loop, model = loop_of(folder, place)
    if way == "group-unasked":
        loop.step.micro_batches.ahead = None
    loop.validation.measure()  # imports all that a training uses
    restrict(way, most)
    before, estimated = held("VmRSS"), 0
    if way == "enough":
        estimated = loop.step.micro_batches.ahead.needed(list(range(BATCH)))
        Path("/proc/self/clear_refs").write_text("5")  # the highest so far counts from now on
    fitted = loop.fit()
    taken = held("VmHWM") - before
    weights = torch.cat([value.flatten() for value in trained_parameters(model).values()])
    torch.save(weights, place / "weights.pt")
    found = [one.model_dump() for one in fitted.smaller]
    told = {"steps": fitted.steps, "samples": fitted.samples, "smaller": found}
    print(json.dumps({**told, "taken": taken, "estimated": estimated}))


if __name__ == "__main__":
    if sys.argv[2] == "build":
        build(Path(sys.argv[1]))
    else:
        main()
