# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What prompts have in common is computed once, and neither losses nor gradients tell."""

from types import SimpleNamespace

import pytest
import torch
from peft import LoraConfig
from training_helpers import make_rows, small_text_config, trainer_arguments
from transformers import Gemma3TextConfig, Gemma3TextModel, Llama4TextConfig, Qwen3Model, Qwen3NextConfig

from entropy_asr.trainers import JointSFTConfig, JointSFTTrainer
from entropy_asr.trainers.data.collation import TranscriptionCollator
from entropy_asr.trainers.stages.sft import SFTModelSection
from entropy_asr.trainers.training.shared_prompts import common_length, longest_beginning, share_prompts


HIDDEN_SIZE = 32


def build(components, folder, lora=None, **arguments) -> JointSFTTrainer:
    model, processor = SFTModelSection(path=str(components / "full")).build()
    arguments = trainer_arguments(
        JointSFTConfig, folder, max_batch_size=8, language_prompt_probability=0.5, **arguments
    )
    return JointSFTTrainer(
        model,
        arguments,
        processing_class=processor,
        data_collator=TranscriptionCollator(processor.feature_extractor),
        train_dataset=make_rows("en zh none en zh en none en"),
        peft_config=lora,
    )


def loss_and_gradients(trainer, inputs) -> tuple[torch.Tensor, dict[str, torch.Tensor], list[tuple[int, int]]]:
    """Of one batch; and `(rows, positions)` that the language model's layers computed each time."""
    computed = []
    inner = trainer.accelerator.unwrap_model(trainer.model)
    layer = next(module for name, module in inner.named_modules() if name.endswith("language_model.layers.0"))
    handle = layer.register_forward_pre_hook(lambda module, args: computed.append(tuple(args[0].shape[:2])))
    loss = trainer.compute_loss(trainer.model.eval(), dict(inputs))
    handle.remove()
    loss.backward()
    gradients = {name: p.grad for name, p in trainer.model.named_parameters() if p.grad is not None}
    return loss, gradients, computed


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
def test_losses_and_gradients_stay_what_they_are(components, tmp_path, lora, attention):
    adapters = LoraConfig(r=4, target_modules=".*language_model.*(q|v)_proj", init_lora_weights=False)
    trainers = []
    for share in (True, False):
        torch.manual_seed(4)  # of the adapters
        trainers.append(build(components, tmp_path, adapters if lora else None, share_prompts=share))
        trainers[-1].model.set_attn_implementation(attention)
    inputs = trainers[0]._prepare_inputs(next(iter(trainers[0].get_train_dataloader())))
    rows, length = inputs["input_ids"].shape
    loss, gradients, computed = loss_and_gradients(trainers[0], inputs)
    expected_loss, expected, plain = loss_and_gradients(trainers[1], inputs)
    assert plain == [(rows, length)]
    # Some prompts of the batch name a language and some do not: they part before it.
    beginning = (inputs["input_ids"] == inputs["input_ids"][0]).all(0).long().cumprod(0).sum().item()
    assert beginning > 10
    assert computed == [(1, beginning), (rows, length - beginning)]
    assert any(gradient.abs().max() > 1e-4 for gradient in expected.values())
    torch.testing.assert_close((loss, gradients), (expected_loss, expected), rtol=1e-4, atol=1e-6)


def test_sharing_is_what_trainers_do_unless_told_otherwise(components, tmp_path):
    for arguments, times in (({}, 2), ({"share_prompts": False}, 1), ({"gradient_checkpointing": True}, 1)):
        trainer = build(components, tmp_path, **arguments)
        inputs = trainer._prepare_inputs(next(iter(trainer.get_train_dataloader())))
        assert len(loss_and_gradients(trainer, inputs)[2]) == times, arguments


def test_sharing_that_cannot_be_is_refused(components, tmp_path):
    with pytest.raises(ValueError, match="share_prompts: activation .* twice"):
        build(components, tmp_path, share_prompts=True, gradient_checkpointing=True)


def with_windows(window: int) -> Gemma3TextModel:
    torch.manual_seed(0)
    config = Gemma3TextConfig(
        vocab_size=50,
        hidden_size=HIDDEN_SIZE,
        intermediate_size=32,
        num_hidden_layers=6,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        sliding_window=window,
    )
    return Gemma3TextModel(config).eval()


def test_how_much_of_a_beginning_is_kept():
    assert longest_beginning(with_windows(8)) == 7
    assert longest_beginning(Qwen3Model(small_text_config(50))) > 1 << 30
    chunked = Llama4TextConfig(num_hidden_layers=4, attention_chunk_size=8)
    assert longest_beginning(SimpleNamespace(config=chunked)) == 0
    with_states = Qwen3NextConfig(num_hidden_layers=4)
    assert longest_beginning(SimpleNamespace(config=with_states)) == 0


@pytest.mark.parametrize(("window", "shared"), [(32, 6), (8, 6), (5, 4), (3, 2)])
def test_windows_share_what_lies_within_them(window, shared):
    plain, sharing = with_windows(window), with_windows(window)
    share_prompts(sharing)
    runs, outputs = [], []
    sharing.layers[0].register_forward_pre_hook(lambda module, args: runs.append(tuple(args[0].shape[:2])))
    mask = torch.tensor([[1] * 14, [1] * 12 + [0] * 2])
    for model in (plain, sharing):
        embeds = embeddings("promptabcdefgh", "promptijklmnoo").requires_grad_()
        hidden = model(inputs_embeds=embeds, attention_mask=mask).last_hidden_state[mask.bool()]
        hidden.square().sum().backward()
        outputs.append((hidden, embeds.grad, model.layers[0].self_attn.k_proj.weight.grad))
    assert runs == [(1, shared), (2, 14 - shared)]
    torch.testing.assert_close(*outputs, rtol=1e-4, atol=1e-5)


def embeddings(*rows: str) -> torch.Tensor:
    """A letter stands for an embedding."""
    vectors = torch.randn(128, HIDDEN_SIZE, generator=torch.Generator().manual_seed(0))
    return torch.stack([vectors[[ord(letter) for letter in row]] for row in rows])


@pytest.mark.parametrize(
    ("rows", "masks", "length"),
    [
        (("abcd", "abed"), ("1111", "1110"), 2),
        (("abcd", "xbcd"), ("1111", "1111"), 0),
        (("abcd",), ("1111",), 0),
        # The last position always stays: its hidden states are those of a batch.
        (("abcd", "abcd"), ("1111", "1111"), 3),
        # What is padded on the left stands at another position.
        (("pabc", "pabc"), ("0111", "0111"), 0),
        (("abpp", "abpp"), ("1100", "1100"), 2),
    ],
)
def test_common_beginnings(rows, masks, length):
    mask = torch.tensor([[int(digit) for digit in row] for row in masks])
    assert common_length(embeddings(*rows), mask) == length


@pytest.mark.parametrize(
    ("rows", "mask"),
    [(("abcd",), ["1111"]), (("abcd", "xbcd"), ["1111", "1100"]), (("abcd", "abed"), ["1111", "1110"])],
    ids=["one row", "nothing in common", "two positions in common"],
)
def test_processes_that_share_weights_run_layers_twice_whatever_the_batch(rows, mask):
    torch.manual_seed(0)
    plain, shared = (Qwen3Model(small_text_config(50)).eval() for _ in range(2))
    shared.load_state_dict(plain.state_dict())
    share_prompts(shared, always_in_two=True)
    mask = torch.tensor([[int(digit) for digit in row] for row in mask])
    runs = []
    shared.layers[0].register_forward_pre_hook(lambda module, args: runs.append(args[0].shape[:2]))
    outputs = []
    for model in (plain, shared):
        embeds = embeddings(*rows).requires_grad_()
        hidden = model(inputs_embeds=embeds, attention_mask=mask).last_hidden_state[mask.bool()]
        hidden.square().sum().backward()
        outputs.append((hidden, embeds.grad, model.layers[0].self_attn.k_proj.weight.grad))
    assert len(runs) == 2
    torch.testing.assert_close(*outputs, rtol=1e-4, atol=1e-5)


def test_caches_positions_and_hidden_states_are_left_to_the_model():
    torch.manual_seed(0)
    plain, shared = (Qwen3Model(small_text_config(50)).eval() for _ in range(2))
    shared.load_state_dict(plain.state_dict())
    share_prompts(shared)
    inputs = {"inputs_embeds": embeddings("abcd", "abed"), "attention_mask": torch.ones(2, 4)}
    for wanted in (
        {"use_cache": True},
        {"output_hidden_states": True},
        {"position_ids": torch.tensor([[0, 1, 2, 3], [5, 6, 7, 8]])},
    ):
        with torch.no_grad():
            expected, given = plain(**inputs, **wanted), shared(**inputs, **wanted)
        assert given.keys() == expected.keys()
        torch.testing.assert_close(given.last_hidden_state, expected.last_hidden_state, rtol=0, atol=0)
    ids = torch.tensor([[1, 2, 3], [1, 2, 4]])
    with torch.no_grad():
        expected, given = plain(ids), shared(ids)
    torch.testing.assert_close(given.last_hidden_state, expected.last_hidden_state, rtol=0, atol=0)
