"""PEFT tuners that PEFT lacks: adapter layers and key/value prefixes. `register_all` registers them with PEFT."""

from __future__ import annotations


def register_all() -> None:
    """Register our tuners with PEFT, so that get_peft_model and PeftModel.from_pretrained work with them."""
    from lightune.tuners import bottleneck, kv_prefix
    from lightune.tuners.peft_types import register

    register("bottleneck", bottleneck.BottleneckConfig, bottleneck.BottleneckModel)
    register("kv_prefix", kv_prefix.KVPrefixConfig, kv_prefix.KVPrefixModel)
