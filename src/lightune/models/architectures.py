"""The table of architectures: one row each, naming the layers and the module of each role."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, cast

Paths = str | tuple[str, ...]


@dataclass(frozen=True)
class Architecture:
    """Module names of one model family.

    `layers` is the path of the layer stack from the model's root. Each role is a path inside one layer, or several (a
    gated feed-forward part has two inputs); a fused projection is listed under each of its roles. `counts_from_pad`
    says that position numbers begin after the pad id. `projects_input` says that a layer's key and value modules take
    its input directly. `head_reads` says which token of each text a stock classifier reads of layers that do not:
    "first" if the configuration's `classifier_pooling` is "cls", "last"; empty if it is not known. The head, outside
    the base model, is derived from the model itself (derived_head.py).
    """

    layers: str
    query: Paths
    key: Paths
    value: Paths
    attention_out: Paths
    ffn_in: Paths
    ffn_out: Paths
    attention: Paths
    counts_from_pad: bool = False
    projects_input: bool = False
    head_reads: Literal["first", "last", ""] = ""

    def paths(self, role: str) -> tuple[str, ...]:
        """Return the paths, inside one layer, of the modules that play the role."""
        found = cast(Paths, getattr(self, role))
        return (found,) if isinstance(found, str) else found


def _bert_like(base: str, counts_from_pad: bool = False) -> Architecture:
    """The encoder of BERT, which its descendants kept; they differ in the name of the base model."""
    return Architecture(
        layers=f"{base}.encoder.layer",
        query="attention.self.query",
        key="attention.self.key",
        value="attention.self.value",
        attention_out="attention.output.dense",
        ffn_in="intermediate.dense",
        ffn_out="output.dense",
        attention="attention.self",
        counts_from_pad=counts_from_pad,
        projects_input=True,
    )


_ROBERTA_LIKE = _bert_like("roberta", counts_from_pad=True)
_LLAMA_LIKE = Architecture(
    layers="model.layers",
    query="self_attn.q_proj",
    key="self_attn.k_proj",
    value="self_attn.v_proj",
    attention_out="self_attn.o_proj",
    ffn_in=("mlp.gate_proj", "mlp.up_proj"),
    ffn_out="mlp.down_proj",
    attention="self_attn",
    head_reads="last",
)

ARCHITECTURES: dict[str, Architecture] = {
    "distilbert": Architecture(
        layers="distilbert.transformer.layer",
        query="attention.q_lin",
        key="attention.k_lin",
        value="attention.v_lin",
        attention_out="attention.out_lin",
        ffn_in="ffn.lin1",
        ffn_out="ffn.lin2",
        attention="attention",
        projects_input=True,
    ),
    "bert": _bert_like("bert"),
    "roberta": _ROBERTA_LIKE,
    "xlm-roberta": _ROBERTA_LIKE,
    "camembert": _ROBERTA_LIKE,
    "electra": _bert_like("electra"),
    "deberta-v2": replace(
        _bert_like("deberta"),
        query="attention.self.query_proj",
        key="attention.self.key_proj",
        value="attention.self.value_proj",
    ),
    "mpnet": replace(
        _bert_like("mpnet", counts_from_pad=True),
        query="attention.attn.q",
        key="attention.attn.k",
        value="attention.attn.v",
        attention_out="attention.attn.o",
        attention="attention.attn",
    ),
    # All layers share the weights of one group (published models have one), which therefore counts as one layer.
    "albert": Architecture(
        layers="albert.encoder.albert_layer_groups",
        query="albert_layers.0.attention.query",
        key="albert_layers.0.attention.key",
        value="albert_layers.0.attention.value",
        attention_out="albert_layers.0.attention.dense",
        ffn_in="albert_layers.0.ffn",
        ffn_out="albert_layers.0.ffn_output",
        attention="albert_layers.0.attention",
    ),
    "modernbert": Architecture(
        layers="model.layers",
        query="attn.Wqkv",
        key="attn.Wqkv",
        value="attn.Wqkv",
        attention_out="attn.Wo",
        ffn_in="mlp.Wi",
        ffn_out="mlp.Wo",
        attention="attn",
        head_reads="first",
    ),
    "gpt2": Architecture(
        layers="transformer.h",
        query="attn.c_attn",
        key="attn.c_attn",
        value="attn.c_attn",
        attention_out="attn.c_proj",
        ffn_in="mlp.c_fc",
        ffn_out="mlp.c_proj",
        attention="attn",
        head_reads="last",
    ),
    "opt": replace(
        _LLAMA_LIKE, layers="model.decoder.layers", attention_out="self_attn.out_proj", ffn_in="fc1", ffn_out="fc2"
    ),
    "llama": _LLAMA_LIKE,
    "mistral": _LLAMA_LIKE,
    "qwen2": _LLAMA_LIKE,
    "qwen3": _LLAMA_LIKE,
    "gemma": _LLAMA_LIKE,
}
