"""Several adapters of ours on one model: chosen, mixed in a batch, active together, deleted; each stays itself."""

from __future__ import annotations

import copy
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from transformers import AutoModelForSequenceClassification

from case_table import case
from lightune.execution.unpadding import padding_free
from lightune.tuners.bottleneck import BottleneckConfig
from lightune.tuners.checked import PARTS, CheckedLayer
from lightune.tuners.prefix_shapes import Heads, Projection
from tiny import tiny_config
from tuner_cases import IDS, WORDS, Snapshot, answer, attentions, parallel, placed, prefix, stock, traces, two

AS_ALONE = "each answers as alone on its model"
LIKE_LORA = "as LoRA behaves"
# Pairs of adapters on DistilBERT: on the same layers, on different ones, of different kinds.
PAIRS: dict[str, tuple[Any, Any]] = {
    "prefixes, one longer": (prefix("attention"), prefix("attention", num_virtual_tokens=5)),
    "prefixes on different layers": (prefix("layer.0.attention"), prefix("layer.1.attention")),
    "prefixes attended differently": (prefix("attention", attended="apart"), prefix("attention", attended="gated")),
    "a computed prefix": (prefix("attention"), prefix("layer.1.attention", projection=3)),
    "adapter layers": (parallel(), parallel(reduction_factor=8.0, non_linearity="tanh")),
    "adapter layers on different layers": (parallel(0), parallel(1)),
    "adapter layers after and beside": (BottleneckConfig(target_modules=["lin2"]), parallel()),
    "LoRA": (LoraConfig(target_modules=["lin1"]), LoraConfig(target_modules=["lin1", "lin2"], r=2)),
}


def answers(model: Any) -> dict[str, torch.Tensor]:
    """Return what the model answers with each adapter, and without."""
    found = {}
    for name in ("a", "b"):
        model.set_adapter(name)
        found[name] = answer(model)
    with model.disable_adapter():
        found["__base__"] = answer(model)
    return found


def alone(model: Any, name: str, base: Any = None) -> torch.Tensor:
    """Return what a model answers that has only this adapter of the given one."""
    own = get_peft_model(base or stock(), copy.deepcopy(model.peft_config[name]), adapter_name="own")
    set_peft_model_state_dict(own, get_peft_model_state_dict(model, adapter_name=name), adapter_name="own")
    return answer(own.eval())


@pytest.mark.parametrize("pair", PAIRS)
@case("add_adapter and set_adapter of a second prefix or set of adapter layers", "ValueError, or half made",
      AS_ALONE, LIKE_LORA)  # fmt: skip
def test_each_answers_as_it_does_alone(pair: str) -> None:
    model = two(*PAIRS[pair])
    found = answers(model)
    for name in ("a", "b"):
        torch.testing.assert_close(found[name], alone(model, name), rtol=0, atol=0)
        assert not torch.allclose(found[name], found["__base__"], atol=1e-3)
    assert torch.equal(found["__base__"], answer(stock()))
    assert not torch.allclose(found["a"], found["b"], atol=1e-3)


@pytest.mark.parametrize("pair", PAIRS)
@case("adapter_names in one batch", "TypeError: unexpected argument adapter_names, or ignored",
      "each row as with its own adapter", LIKE_LORA)  # fmt: skip
def test_each_row_of_a_batch_may_have_its_own(pair: str) -> None:
    model = two(*PAIRS[pair])
    wanted, names = answers(model), ["b", "__base__", "a", "a", "b"]
    ids = IDS[[0, 1, 0, 1, 1]]
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])[[0, 0, 1, 0, 1]]
    with torch.no_grad():
        mixed = model(input_ids=ids, attention_mask=mask, adapter_names=names)[0]
        for row, name in enumerate(names):
            given = {"input_ids": ids[row : row + 1], "attention_mask": mask[row : row + 1]}
            if name == "__base__":
                with model.disable_adapter():
                    own = model(**given)[0][0]
            else:
                model.set_adapter(name)
                own = model(**given)[0][0]
            real = mask[row].bool()
            torch.testing.assert_close(mixed[row][real], own[real], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(answers(model)["b"], wanted["b"], rtol=0, atol=0)
    assert not traces_of_hooks(model)


def traces_of_hooks(model: Any) -> list[str]:
    """Return the modules whose hooks are not those of parallel adapter layers."""
    sources = [source for module in model.modules() for source in getattr(module, "bottleneck_inputs", {}).values()]
    hooks = sum(len(module._forward_pre_hooks) for module in model.modules())
    return [] if hooks == len(sources) else [f"{hooks} hooks, {len(sources)} of them known"]


@pytest.mark.parametrize("pair", ["prefixes, one longer", "adapter layers"])
def test_a_mixed_batch_is_refused_where_it_has_no_meaning(pair: str) -> None:
    model = two(*PAIRS[pair])
    with pytest.raises(ValueError, match=r"non-existing adapter\(s\): c"):
        model(input_ids=IDS, adapter_names=["a", "c"])
    with pytest.raises(ValueError, match=r"should be the same as the number of inputs, but got 3 and 2"):
        model(input_ids=IDS, adapter_names=["a", "b", "a"])
    model.train()
    with pytest.raises(ValueError, match="training mode"):
        model(input_ids=IDS, adapter_names=["a", "b"])
    model.eval()
    with model.disable_adapter():
        assert torch.equal(model(input_ids=IDS, adapter_names=["a", "b"])[0], answer(stock()))
    assert not traces_of_hooks(model)


@pytest.mark.filterwarnings("ignore")
def test_names_for_rows_are_refused_where_another_tuner_would_not_see_them() -> None:
    base = stock()
    get_peft_model(base, LoraConfig(target_modules=["lin1"]), adapter_name="a")
    model = get_peft_model(base, prefix("attention"), adapter_name="b").eval()
    with pytest.raises(ValueError, match=r"does not reach another tuner's layers \(Linear\)"):
        model(input_ids=IDS, adapter_names=["a", "b"])


@pytest.mark.parametrize("tuner", ["apart", "gated", "prepended", "bottleneck"])
def test_a_head_is_mixed_too(load_lively: Any, tuner: str) -> None:
    base = load_lively("bert").model
    configs = [placed("bert", tuner, task_type="SEQ_CLS", modules_to_save=["classifier"]) for _ in range(2)]
    model = two(*configs, base=base)
    mixed = model(input_ids=IDS, adapter_names=["b", "a"]).logits
    for row, name in enumerate(["b", "a"]):
        model.set_adapter(name)
        torch.testing.assert_close(mixed[row], model(input_ids=IDS).logits[row], rtol=1e-5, atol=1e-5)
    assert not torch.allclose(mixed[0], model(input_ids=IDS).logits[0], atol=1e-3)


def test_prepended_prefixes_that_are_active_together_stand_one_after_the_other() -> None:
    model = two(prefix("attention"), prefix("attention", num_virtual_tokens=5))
    model.base_model.set_adapter(["a", "b"])
    found = answer(model)
    both = get_peft_model(stock(), prefix("attention", num_virtual_tokens=21)).eval()
    for number in (0, 1):
        layer = model.get_submodule(f"base_model.model.transformer.layer.{number}.attention")
        joined = torch.cat([layer.kv_prefix_states["a"], layer.kv_prefix_states["b"]], 2)
        own = both.get_submodule(f"base_model.model.transformer.layer.{number}.attention")
        own.kv_prefix_states["default"].data = joined.data
    torch.testing.assert_close(found, answer(both), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (prefix("layer.0.attention", attended="apart"), prefix("layer.0.attention", attended="gated")),
        (parallel(0), BottleneckConfig(target_modules=["layer.0.ffn.lin2"], scaling=2.0)),
        (parallel(0), parallel(1)),
    ],
)
def test_what_is_added_by_adapters_that_are_active_together_is_added_up(first: Any, second: Any) -> None:
    """Watched where their first layer ends: before the linear layer after attention, after the feed-forward part."""
    model = two(first, second)
    name = "transformer.layer.0.attention.base_layer.out_lin" if first.peft_type == "KV_PREFIX" else ""
    module = model.get_submodule(f"base_model.model.{name or 'transformer.layer.0.ffn.lin2'}")
    seen: list[torch.Tensor] = []
    module.register_forward_hook(lambda _, args, output: seen.append((args[0] if name else output).detach()))
    for chosen in (["a"], ["b"], ["a", "b"]):
        model.base_model.set_adapter(chosen)
        answer(model)
    with model.disable_adapter():
        answer(model)
    a, b, both, base = seen
    torch.testing.assert_close(both - base, (a - base) + (b - base), rtol=1e-5, atol=1e-5)


def test_a_prepended_prefix_and_one_apart_are_active_together() -> None:
    """softmax(q [P_k; K]^T) [P_v; V] + softmax(q R_k^T) R_v, computed here."""
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    from lightune.execution.prefixes import Prefix, together

    draw = torch.Generator().manual_seed(3)
    query, key, value = (torch.randn(2, 4, 5, 8, generator=draw) for _ in range(3))
    pk, pv, rk, rv = (torch.randn(4, 3, 8, generator=draw) for _ in range(4))
    module = torch.nn.Module()
    module.is_causal = False  # type: ignore[assignment]
    both: Any = together([Prefix(pk, pv), Prefix(rk, rv, is_apart=True)])
    found, _ = both.attend(sdpa_attention_forward, module, query, key, value, None, scaling=0.5)
    keys, values = (torch.cat([own.expand(2, -1, -1, -1), all_], 2) for own, all_ in ((pk, key), (pv, value)))
    wanted = torch.softmax(0.5 * query @ keys.mT, -1) @ values + torch.softmax(0.5 * query @ rk.mT, -1) @ rv
    torch.testing.assert_close(found, wanted.transpose(1, 2), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("first_gone", ["a", "b"])
@pytest.mark.parametrize("pair", PAIRS)
@case("delete_adapter of one of two, then of the other", "there was only one", "the other answers as alone",
      LIKE_LORA)  # fmt: skip
def test_of_two_either_can_be_deleted(pair: str, first_gone: str) -> None:
    base = stock(attention="eager")
    wanted, weights = answer(base), attentions(base)
    model = two(*PAIRS[pair], base=base)
    stays = "b" if first_gone == "a" else "a"
    own = alone(model, stays)
    model.set_adapter(stays)
    model.delete_adapter(first_gone)
    torch.testing.assert_close(answer(model), own, rtol=1e-5, atol=1e-5)
    assert not [name for name in model.state_dict() if name.endswith(f".{first_gone}")]
    model.delete_adapter(stays)
    assert torch.equal(answer(base), wanted)
    assert attentions(base) == weights
    assert base.config._attn_implementation == "eager"
    assert not [trace for trace in traces(base) if trace.endswith("hook")]


@pytest.mark.parametrize("pair", PAIRS)
def test_unload_takes_all_of_them_off(pair: str) -> None:
    base = stock(attention="eager")
    wanted, weights = answer(base), attentions(base)
    found = two(*PAIRS[pair], base=base).unload()
    assert torch.equal(answer(found), wanted)
    assert (attentions(found), found.config._attn_implementation) == (weights, "eager")
    assert not traces(found)
    assert not [module for module in found.modules() if isinstance(module, CheckedLayer)]


@pytest.mark.parametrize("pair", [pair for pair in PAIRS if pair != "LoRA"])  # PEFT undoes the table, not the layers
def test_a_third_one_that_fails_leaves_two(pair: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = two(*PAIRS[pair])
    model.base_model.set_adapter(["b", "a"])
    model.set_requires_grad("a", False)
    before = Snapshot(model)

    def fail(**given: Any) -> None:
        raise RuntimeError("no memory")

    monkeypatch.setattr("peft.tuners.tuners_utils.set_additional_trainable_modules", fail)
    for config in PAIRS[pair]:
        with pytest.raises(RuntimeError, match="no memory"):
            model.add_adapter("third", copy.deepcopy(config))
    before.assert_same(model)
    monkeypatch.undo()
    model.add_adapter("third", copy.deepcopy(PAIRS[pair][1]))
    model.set_adapter("third")
    answer(model)


@pytest.mark.parametrize("name", ["keys", "a.b", "", "values", "training", "hidden", "weight"])
def test_a_name_that_torch_or_peft_cannot_keep_tensors_under_is_refused(name: str) -> None:
    for config in (prefix("attention"), parallel()):
        model = stock()
        before = Snapshot(model)
        with pytest.raises(ValueError, match="cannot be the name of an adapter"):
            get_peft_model(model, copy.deepcopy(config), adapter_name=name)
        before.assert_same(model)


def test_the_refused_names_are_those_of_all_parts() -> None:
    parts = Projection(2, 3, Heads(1, 1, 4), zero_values=False)
    assert {part for name, _ in parts.named_parameters() for part in name.split(".")} == set(PARTS)


def with_heads() -> Any:
    """Return a classifier with a prefix and a head for "a", whose logits are near 100, and for "b", near -100."""
    base = AutoModelForSequenceClassification.from_config(tiny_config("bert", WORDS), attn_implementation="sdpa")
    configs = [prefix("attention.self", modules_to_save=["classifier"], task_type="SEQ_CLS") for _ in range(2)]
    model = two(*configs, base=base)
    with torch.no_grad():
        for name, level in (("a", 100.0), ("b", -100.0)):
            model.base_model.model.classifier.modules_to_save[name].bias.fill_(level)
    return model


@pytest.mark.parametrize("is_padded", [True, False])
def test_names_within_a_context_without_padding(is_padded: bool) -> None:
    model = with_heads()
    mask = torch.ones_like(IDS)
    mask[0, 3:] = 0 if is_padded else 1
    batch = {"input_ids": IDS, "attention_mask": mask, "adapter_names": ["b", "a"]}
    with torch.no_grad():
        wanted = model(**batch).logits
        with padding_free(model):
            found = model(**batch).logits
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
    assert (found[:, 0] > 0).tolist() == [False, True]


def test_two_threads_name_different_adapters_that_have_heads() -> None:
    """Both are inside the model at the same time: they meet behind the embeddings."""
    model, meeting = with_heads(), threading.Barrier(2)

    def meet(*_: Any) -> None:
        meeting.wait(20)

    model.base_model.model.bert.embeddings.register_forward_hook(meet)

    def answered(name: str) -> list[float]:
        with torch.no_grad():
            return model(input_ids=IDS, adapter_names=[name] * 2).logits[:, 0].tolist()

    with ThreadPoolExecutor(2) as pool:
        of_a, of_b = pool.map(answered, ["a", "b"])
    assert min(of_a) > 50
    assert max(of_b) < -50
