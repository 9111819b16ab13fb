"""Numbers of trained parameters of the tiny models, counted by hand: what the methods' formulas must give."""

from __future__ import annotations

# A tiny layer is 32 wide with a feed-forward part of 64 (gpt2: 128), there are two; rank 8; two labels.
LORA_LAYER = 4 * 8 * (32 + 32) + 8 * (32 + 64) + 8 * (64 + 32)  # q, k, v, out, lin1, lin2 = 3,584
LORA_GPT2_LAYER = 8 * (32 + 96) + 8 * (32 + 32) + 8 * (32 + 128) + 8 * (128 + 32)  # c_attn, c_proj, c_fc, c_proj
# Wqkv, Wo, Wi (gate and up in one), mlp.Wo; then q, k and v (two of four heads), o, gate, up, down.
LORA_MODERNBERT_LAYER = 8 * (32 + 96) + 8 * (32 + 32) + 8 * (32 + 128) + 8 * (64 + 32)
LORA_LLAMA_LAYER = 2 * 8 * (32 + 32) + 2 * 8 * (32 + 16) + 2 * 8 * (32 + 64) + 8 * (64 + 32)
MODERNBERT_HEAD = 32 * 32 + 32 + (32 * 2 + 2)  # dense and norm without biases, classifier
DISTILBERT_HEAD = (32 * 32 + 32) + (32 * 2 + 2)  # pre_classifier and classifier = 1,122
DISTILBERT_LAYER = 4 * (32 * 32 + 32) + (32 * 64 + 64) + (64 * 32 + 32) + 2 * 64  # attention, lin1, lin2, two norms
DISTILBERT_BIASES = 32 + 2 * (4 * 32 + 64 + 32 + 2 * 32)  # embedding norm; each layer's projections, lin1, lin2, norms
BOTTLENECK = 2 * (32 + 1) + 32 * (2 + 1)  # 32 -> 2 -> 32 with biases
BOTTLENECK_WIDE = 4 * (32 + 1) + 32 * (4 + 1)  # beside the feed-forward part: 32 -> 4 -> 32
PREFIX = 2 * 16 * 32  # keys and values of 16 tokens, 32 wide
PREFIX_LLAMA = 2 * 16 * 16  # two key/value heads, 8 wide
PROJECTED = 16 * 8 + (8 * 8 + 8) + (64 * 8 + 64)  # 16 tokens of 8; 8 -> 8 -> 32 + 32
BY_HAND: dict[str, int] = {
    "lora-distilbert": 2 * LORA_LAYER + DISTILBERT_HEAD,
    "lora-bert": 2 * LORA_LAYER + (32 * 2 + 2),
    "lora-gpt2": 2 * LORA_GPT2_LAYER + 32 * 2,
    "lora-modernbert": 2 * LORA_MODERNBERT_LAYER + MODERNBERT_HEAD,
    "lora-llama": 2 * LORA_LLAMA_LAYER + 32 * 2,
    "lora-albert": LORA_LAYER + (32 * 2 + 2),
    "lora-roberta": 2 * LORA_LAYER + (32 * 32 + 32) + (32 * 2 + 2),
    "lora-deberta-v2": 2 * LORA_LAYER + (32 * 32 + 32) + (32 * 2 + 2),
    "head-distilbert": DISTILBERT_HEAD,
    "head-bert": 32 * 2 + 2,
    "head-gpt2": 32 * 2,
    "bottleneck-distilbert": 2 * BOTTLENECK + DISTILBERT_HEAD,
    "bottleneck-gpt2": 2 * BOTTLENECK + 32 * 2,
    "bottleneck-albert": BOTTLENECK + (32 * 2 + 2),
    "bottleneck(preset=double_seq_bn)-distilbert": 4 * BOTTLENECK + DISTILBERT_HEAD,
    "bottleneck(preset=par_bn)-distilbert": 2 * BOTTLENECK_WIDE + DISTILBERT_HEAD,
    "bottleneck(preset=par_bn)-llama": 2 * BOTTLENECK_WIDE + 32 * 2,
    "prefix-distilbert": 2 * PREFIX + DISTILBERT_HEAD,
    "prefix-llama": 2 * PREFIX_LLAMA + 32 * 2,
    "prefix-albert": PREFIX + (32 * 2 + 2),
    "prefix(attended=gated)-distilbert": 2 * (PREFIX + 4) + DISTILBERT_HEAD,
    "prefix(projection=8)-distilbert": 2 * PROJECTED + DISTILBERT_HEAD,
    "bitfit-distilbert": DISTILBERT_BIASES + DISTILBERT_HEAD,
    "top_layers-distilbert": DISTILBERT_LAYER + DISTILBERT_HEAD,
    "top_layers(layers=2)-distilbert": 2 * DISTILBERT_LAYER + DISTILBERT_HEAD,
}
