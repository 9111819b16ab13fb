"""An adapter may read the input of any layer called before its target, also where the last layer is narrowed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from peft import get_peft_model

from lightune.tuners import register_all
from lightune.tuners.bottleneck import BottleneckConfig
from padded_and_ragged import answers, batch_of, largest_difference, texts, without_dropout

LIMIT = 1e-5  # relative, in fp32
# (architecture, target in the last layer, the layer whose input its adapter reads, with the number of its layer)
READING = [
    ("distilbert", "ffn_out", ("ffn_in", -1)),  # the feed-forward part, as the preset of parallel adapters has it
    ("distilbert", "ffn_out", ("ffn_in", 0)),
    ("distilbert", "ffn_out", ("key", -1)),
    ("distilbert", "ffn_in", ("query", -1)),
    ("distilbert", "value", ("query", -1)),
    ("distilbert", "key", ("ffn_in", 0)),
    ("gpt2", "ffn_out", ("ffn_in", -1)),
    ("gpt2", "ffn_out", ("ffn_in", 0)),
    ("gpt2", "ffn_in", ("ffn_out", 0)),
]


@pytest.mark.parametrize(("architecture", "target", "source"), READING)
def test_an_adapter_that_reads_another_layers_input_answers_and_learns_as_padded(
    load_lively: Any, architecture: str, target: str, source: tuple[str, int]
) -> None:
    register_all()
    loaded = load_lively(architecture)
    role, number = source
    to, reads = loaded.anatomy.modules([target])[-1], loaded.anatomy.modules([role])[number]
    config = BottleneckConfig(task_type="SEQ_CLS", target_modules=[to], inputs={to: reads})
    model, batch = without_dropout(get_peft_model(loaded.model, config)), batch_of(loaded, texts())
    draw = torch.Generator().manual_seed(5)
    for name, value in model.named_parameters():
        if "bottleneck_up" in name:  # zero at the start, which would hide what the adapter reads
            torch.nn.init.normal_(value, std=0.3, generator=draw)
    wanted = answers(model, batch, is_ragged=False)
    assert largest_difference(answers(model, batch, True, logits_only=True), wanted) < LIMIT
