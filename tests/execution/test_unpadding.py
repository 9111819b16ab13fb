"""The context: whom it lets through, what it leaves alone, and that texts never see each other."""

from __future__ import annotations

import copy
import threading
from typing import Any

import numpy as np
import pytest
import torch
from transformers.modeling_outputs import SequenceClassifierOutput

from lightune.data.encoding import encode
from lightune.evaluation.features import watch_texts
from lightune.execution.unpadding import padding_free, supported
from lightune.methods import make_method
from padded_and_ragged import DEVICE, WORDS, answers, batch_of, largest_difference, texts, without_dropout

LIMIT = 1e-5


def hooks_of(model: torch.nn.Module) -> int:
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())


def tokens_at(module: torch.nn.Module) -> list[int]:
    """Return a list that will hold how many tokens the linear layer saw in each call."""
    seen: list[int] = []
    module.register_forward_pre_hook(lambda _, args: seen.append(args[0].flatten(0, -2).shape[0]))
    return seen


def logits_of(model: Any, batch: dict[str, torch.Tensor], logits_only: bool = False) -> torch.Tensor:
    with torch.no_grad(), padding_free(model, logits_only):
        return model(**batch).logits


@pytest.mark.parametrize("architecture", ["distilbert", "modernbert", "gpt2", "mistral"])
def test_no_text_sees_another(load_lively: Any, architecture: str) -> None:
    """Neighbours in the packed row and in the grids of attention are exchanged, one text stays."""
    loaded = load_lively(architecture)
    model = loaded.model.eval()
    own = batch_of(loaded, texts())
    others = batch_of(loaded, texts(seed=2))
    for row in range(len(WORDS)):
        mixed = {name: value.clone() for name, value in others.items()}
        mixed["input_ids"][row] = own["input_ids"][row]
        found, alone = logits_of(model, mixed)[row], logits_of(model, own)[row]
        assert torch.equal(found, alone), f"text {row} of {WORDS[row]} words saw another"
    assert not torch.equal(logits_of(model, own), logits_of(model, others))


def test_pairs_of_texts_keep_their_token_types(load_lively: Any) -> None:
    loaded = load_lively("bert")
    loaded.tokenizer.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
    batch = batch_of(loaded, texts(), texts(tuple(reversed(WORDS)), seed=5))
    batch["token_type_ids"] = ((batch["input_ids"] == 3).cumsum(1) == 1).long()  # from the first [SEP] to the second
    model = without_dropout(loaded.model)
    with torch.no_grad():
        assert not torch.allclose(model(**batch).logits, model(**{**batch, "token_type_ids": None}).logits)
    assert largest_difference(answers(model, batch, True), answers(model, batch, False)) < LIMIT


@pytest.mark.parametrize("words", [(7,), (5, 5, 5)], ids=["one text", "texts of one length"])
def test_without_padding_nothing_is_touched(load_lively: Any, words: tuple[int, ...]) -> None:
    loaded = load_lively("distilbert")
    batch = batch_of(loaded, texts(words))
    model = without_dropout(loaded.model)
    wanted, found = (answers(model, batch, is_ragged) for is_ragged in (False, True))
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


@pytest.mark.parametrize("architecture", ["distilbert", "deberta-v2", "mpnet"])
def test_outputs_as_a_tuple_are_those_of_the_padded_model(load_lively: Any, architecture: str) -> None:
    loaded = load_lively(architecture)
    model, batch = loaded.model.eval(), batch_of(loaded, texts(WORDS))
    with torch.no_grad():
        (wanted,) = model(**batch, return_dict=False)
        with padding_free(model):
            (found,) = model(**batch, return_dict=False)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


def test_a_text_of_one_batch_with_padding_of_its_own(load_lively: Any) -> None:
    loaded = load_lively("roberta")
    batch = {name: torch.nn.functional.pad(value, (0, 6)) for name, value in batch_of(loaded, texts((7,))).items()}
    model = without_dropout(loaded.model)
    seen = tokens_at(loaded.model.get_submodule(loaded.anatomy.modules(["query"])[0]))
    assert largest_difference(answers(model, batch, True), answers(model, batch, False)) < LIMIT
    assert seen == [9, 15]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda batch: {**batch, "attention_mask": batch["attention_mask"].flip(1)}, id="on the left"),
        pytest.param(lambda batch: {**batch, "output_hidden_states": True}, id="hidden states are asked for"),
        pytest.param(lambda batch: {**batch, "attention_mask": None}, id="no mask"),
    ],
)  # fmt: skip
def test_what_could_show_its_padding_keeps_it(load_lively: Any, change: Any) -> None:
    loaded = load_lively("distilbert")
    batch, model = change(batch_of(loaded, texts())), loaded.model.eval()
    seen = tokens_at(model.get_submodule(loaded.anatomy.modules(["query"])[0]))
    with torch.no_grad():
        wanted = model(**batch)
        with padding_free(model):
            found = model(**batch)
    assert torch.equal(found.logits, wanted.logits)
    assert seen == [batch["input_ids"].numel()] * 2
    assert found.keys() == wanted.keys()


def test_positions_that_the_caller_gives_are_taken(load_lively: Any) -> None:
    loaded = load_lively("gpt2")
    batch = batch_of(loaded, texts())
    model = without_dropout(loaded.model)
    plain = answers(model, batch, False)
    batch["position_ids"] = torch.arange(batch["input_ids"].shape[1], device=DEVICE).flip(0)[None]
    wanted = answers(model, batch, False)
    assert largest_difference(plain, wanted) > 0.01
    assert largest_difference(answers(model, batch, True), wanted) < LIMIT


def test_a_pad_token_within_a_text_counts_as_in_the_padded_model(load_lively: Any) -> None:
    """RoBERTa counts positions by the ids, not by the mask."""
    loaded = load_lively("roberta")
    batch = batch_of(loaded, texts())
    batch["input_ids"][1, 4] = loaded.tokenizer.pad_token_id
    model = without_dropout(loaded.model)
    assert largest_difference(answers(model, batch, True), answers(model, batch, False)) < LIMIT


@pytest.mark.parametrize("architecture", ["distilbert", "roberta", "modernbert", "gpt2", "opt", "llama"])
@pytest.mark.parametrize("leaves_early", [False, True], ids=["backward inside", "backward outside"])
def test_with_gradient_checkpointing(load_lively: Any, architecture: str, leaves_early: bool) -> None:
    found = []
    for checkpointing in (False, True):
        loaded = load_lively(architecture)
        model: Any = make_method("lora").attach(loaded.model, loaded.anatomy, 3).model
        batch = batch_of(loaded, texts())
        without_dropout(model)
        if checkpointing:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        seen = tokens_at(loaded.model.get_submodule(loaded.anatomy.modules(["query"])[0]))
        with padding_free(model, logits_only=True):
            answer = model(**batch, labels=torch.arange(len(WORDS), device=DEVICE) % 2)
            if not leaves_early:
                answer.loss.backward()
        if leaves_early:
            answer.loss.backward()
        assert set(seen) == {int(batch["attention_mask"].sum())}
        assert len(seen) == 1 + checkpointing, "nothing was computed again"
        gradients = {name: value.grad for name, value in model.named_parameters() if value.grad is not None}
        found.append({"logits": answer.logits.detach(), **gradients})
    assert largest_difference(found[1], found[0]) < LIMIT


def test_two_models_and_two_threads_at_once(load_lively: Any) -> None:
    """Each thread asks both models for batches of its own, opening and closing their unpadders all the time.

    One wants logits alone, the other all that the layers make.
    """
    models = [load_lively("distilbert"), load_lively("mistral")]
    batches = [[batch_of(loaded, texts(words, seed=4)) for words in (WORDS, (2, 17, 6))] for loaded in models]
    for loaded in models:
        loaded.model.eval()
    wanted = [
        [logits_of(models[at].model, batch, bool(thread)) for thread, batch in enumerate(batches[at])] for at in (0, 1)
    ]
    wrong: list[object] = []

    def ask(thread: int) -> None:
        try:
            for _ in range(25):
                for at in (0, 1):
                    if not torch.equal(
                        logits_of(models[at].model, batches[at][thread], bool(thread)), wanted[at][thread]
                    ):
                        wrong.append((thread, at))
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=ask, args=(thread,)) for thread in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert [hooks_of(loaded.model) for loaded in models] == [0, 0]


def test_a_thread_that_did_not_open_it_runs_with_padding(load_lively: Any) -> None:
    loaded = load_lively("distilbert")
    batch, model = batch_of(loaded, texts()), loaded.model.eval()
    seen = tokens_at(model.get_submodule(loaded.anatomy.modules(["query"])[0]))
    with padding_free(model):
        other = threading.Thread(target=lambda: model(**batch))
        other.start()
        other.join()
        model(**batch)
    assert seen == [batch["input_ids"].numel(), int(batch["attention_mask"].sum())]


@pytest.mark.skipif(DEVICE == "cuda", reason="an index out of range there is the end of the process")
def test_afterwards_the_hooks_are_gone_even_after_an_error(load_lively: Any) -> None:
    loaded = load_lively("gpt2")
    batch, model = batch_of(loaded, texts()), loaded.model.eval()
    seen = tokens_at(model.get_submodule(loaded.anatomy.modules(["attention_out"])[0]))
    before = hooks_of(model)
    with padding_free(model), padding_free(model):
        model(**batch)
        assert hooks_of(model) == before + 6  # two, and four of the last feed-forward part
    with pytest.raises(IndexError), padding_free(model):
        model(**{**batch, "input_ids": batch["input_ids"] + 1000})
    assert hooks_of(model) == before
    model(**batch)
    assert seen == [int(batch["attention_mask"].sum()), batch["input_ids"].numel()]
    assert "lightune" not in model.config.to_json_string(), "a saved model would ask for our attention function"


def test_a_copy_made_meanwhile_answers_alike(load_lively: Any) -> None:
    loaded = load_lively("gpt2")
    batch, model = batch_of(loaded, texts()), loaded.model.eval()
    with padding_free(model):
        twin = copy.deepcopy(model)
    wanted = logits_of(model, batch)
    assert torch.equal(logits_of(twin, batch), wanted)
    with torch.no_grad():
        torch.testing.assert_close(twin(**batch).logits, wanted)


@pytest.mark.parametrize("architecture", ["bert", "llama"])
def test_who_watches_the_model_sees_padded_batches(load_lively: Any, architecture: str) -> None:
    """The features of texts, in a batch without padding and therefore one at a time, and all together."""
    loaded = load_lively(architecture)
    output = loaded.model.get_submodule(loaded.anatomy.output_layer)
    rows = encode(loaded.tokenizer, [(text,) for text in texts()], 64)
    together, alone = (watch_texts(loaded.model, output, loaded.tokenizer, rows, size) for size in (len(WORDS), 1))
    np.testing.assert_allclose(together.pooled, alone.pooled, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(together.head_inputs, alone.head_inputs, rtol=1e-4, atol=1e-5)


def test_attention_that_does_not_know_the_borders_fails(load_lively: Any) -> None:
    loaded = load_lively("distilbert")
    batch, model = batch_of(loaded, texts()), loaded.model.eval()
    with padding_free(model):
        model.set_attn_implementation("sdpa")
        with pytest.raises(RuntimeError):
            model(**batch)


def test_dropout_still_drops(load_lively: Any) -> None:
    loaded = load_lively("distilbert")
    batch, model = batch_of(loaded, texts()), loaded.model.train()
    assert not torch.equal(logits_of(model, batch), logits_of(model, batch))


def test_a_batch_without_padding_is_narrowed_too(load_lively: Any) -> None:
    loaded = load_lively("distilbert")
    batch, model = batch_of(loaded, texts((7,))), without_dropout(loaded.model)
    seen = tokens_at(model.get_submodule(loaded.anatomy.modules(["ffn_out"])[-1]))
    wanted = answers(model, batch, is_ragged=False)
    assert largest_difference(answers(model, batch, True, logits_only=True), wanted) < LIMIT
    assert seen == [9, 1]


class Through(torch.nn.Module):
    """A wrapper that names what it wraps as it likes."""

    def __init__(self, layer: torch.nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.layer(*args, **kwargs)


@pytest.mark.parametrize("wrapped", ["layer", "attention"])
def test_a_last_layer_whose_keys_are_not_found_is_left_whole(load_lively: Any, wrapped: str) -> None:
    loaded = load_lively("bert")
    batch, model = batch_of(loaded, texts()), without_dropout(loaded.model)
    wanted = answers(model, batch, is_ragged=False)
    layers = model.base_model.encoder.layer
    if wrapped == "layer":
        layers[-1] = Through(layers[-1])
    else:
        layers[-1].attention.self = Through(layers[-1].attention.self)
    found = answers(model, batch, True, logits_only=True)
    assert largest_difference(dict(zip(wanted, found.values(), strict=True)), wanted) < LIMIT


def test_a_head_of_another_class_is_given_every_token(load_lively: Any) -> None:
    loaded = load_lively("distilbert")
    batch, model = batch_of(loaded, texts()), without_dropout(loaded.model)

    class Mean(type(model)):  # type: ignore[misc]
        def forward(self, input_ids: Any, attention_mask: Any, labels: Any = None) -> Any:
            hidden = self.distilbert(input_ids=input_ids, attention_mask=attention_mask)[0]
            logits = self.classifier((hidden * attention_mask[..., None]).sum(1) / attention_mask.sum(1)[:, None])
            return SequenceClassifierOutput(torch.nn.functional.cross_entropy(logits, labels), logits)

    model.__class__ = Mean
    wanted = answers(model, batch, is_ragged=False)
    assert largest_difference(answers(model, batch, True, logits_only=True), wanted) < LIMIT


def test_a_feed_forward_part_that_runs_in_chunks_keeps_its_padding(load_lively: Any) -> None:
    loaded = load_lively("bert")
    loaded.model.config.chunk_size_feed_forward = 4
    assert not supported(loaded.model)


@pytest.mark.parametrize("place", ["", "encoder", "encoder.layer.1"])
def test_whoever_listens_behind_the_layers_gets_every_token(load_lively: Any, place: str) -> None:
    loaded = load_lively("bert")
    batch, model = batch_of(loaded, texts()), loaded.model.eval()
    heard: list[torch.Tensor] = []
    module = model.base_model.get_submodule(place)
    tokens = int(batch["attention_mask"].sum())

    def hear(_: Any, args: Any, output: Any) -> None:
        heard.append(output if isinstance(output, torch.Tensor) else output[0])

    module.register_forward_hook(hear)
    if place == "encoder.layer.1":  # inside, texts stand one after the other
        logits_of(model, batch, logits_only=True)
        assert heard[0].shape[:2] == (1, tokens)
        return
    with torch.no_grad():
        model(**batch)
        with padding_free(model, logits_only=True):
            model(**batch)
    real = batch["attention_mask"].bool()
    torch.testing.assert_close(heard[1][real], heard[0][real], rtol=1e-4, atol=1e-5)
