# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The full model: batches against single items, ways of decoding, saving, LoRA, joining, and what it refuses."""

import copy
import logging

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from small_models import build_model, build_tokenizer, small_config, small_encoder_config, small_text_config
from transformers import AutoModel, AutoModelForMultimodalLM, AutoModelForSpeechSeq2Seq, Qwen3ForCausalLM

from entropy_asr.modeling import (
    EntropyASRConfig,
    EntropyASRCTCConfig,
    EntropyASRFeatureExtractor,
    EntropyASRForConditionalGeneration,
    EntropyASRForCTC,
    EntropyASRProcessor,
)


NEW_TOKENS = 8


def generate(model, inputs, **kwargs) -> torch.Tensor:
    """Tokens after the prompt."""
    ids = model.generate(**inputs, max_new_tokens=NEW_TOKENS, **{"do_sample": False, **kwargs})
    return ids[:, inputs["input_ids"].shape[1] :]


def padded(rows: list[list[int]], value: int, side: str) -> torch.Tensor:
    """Rows of mixed lengths as one tensor."""
    tensors = [torch.tensor(row) for row in rows]
    return torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True, padding_value=value, padding_side=side)


def training_batch(processor, waveforms, side: str = "right") -> dict[str, torch.Tensor]:
    """Features, tokens and labels of two utterances."""
    features = processor.feature_extractor(waveforms[:2], return_tensors="pt")
    lengths = features["attention_mask"].sum(-1).tolist()
    examples = [processor.encode_example(n, t) for n, t in zip(lengths, ["hello world", "cat"], strict=True)]
    columns = {
        "input_ids": ([ids for ids, _ in examples], 0),
        "attention_mask": ([[1] * len(ids) for ids, _ in examples], 0),
        "labels": ([labels for _, labels in examples], -100),
    }
    return {
        "input_features": features["input_features"],
        "input_features_mask": features["attention_mask"],
        **{name: padded(rows, value, side) for name, (rows, value) in columns.items()},
    }


def test_batch_of_mixed_lengths_gives_each_items_own_tokens_and_logits(model, processor, waveforms):
    inputs = processor(waveforms)
    with torch.no_grad():
        batch = generate(model, inputs)
        logits = model(**inputs).logits[:, -1]
        for row, samples in enumerate(waveforms):
            alone = processor(samples)
            assert torch.equal(generate(model, alone)[0], batch[row])
            assert (model(**alone).logits[0, -1] - logits[row]).abs().max() <= 1e-4
    assert len({tuple(tokens) for tokens in batch.tolist()}) > 4  # the answer depends on the audio


def test_generation_takes_the_most_likely_token_at_each_step(model, processor, waveforms):
    inputs = dict(processor(waveforms[:3]))
    answers = generate(model, inputs)
    for _ in range(NEW_TOKENS):
        with torch.no_grad():
            logits = model(**inputs).logits[:, -1]
        logits[:, model.config.audio_token_id] = float("-inf")
        token = logits.argmax(-1, keepdim=True)
        inputs["input_ids"] = torch.cat([inputs["input_ids"], token], dim=1)
        inputs["attention_mask"] = torch.cat([inputs["attention_mask"], torch.ones_like(token)], dim=1)
    assert torch.equal(answers, inputs["input_ids"][:, -NEW_TOKENS:])


def test_answers_depend_on_the_prompt(model, processor, waveforms):
    english = processor.apply_transcription_request(waveforms[:3], language="en")
    hinted = processor.apply_transcription_request(waveforms[:3], hotwords=["cat"])
    answers = [generate(model, inputs).tolist() for inputs in (processor(waveforms[:3]), english, hinted)]
    assert answers[0] != answers[1] != answers[2] != answers[0]


def test_beam_search_finds_answers_at_least_as_likely_as_greedy(model, processor, waveforms):
    inputs = processor(waveforms[:4])

    def log_likelihood(answer: torch.Tensor) -> torch.Tensor:
        ids = torch.cat([inputs["input_ids"], answer], dim=1)
        mask = torch.cat([inputs["attention_mask"], torch.ones_like(answer)], dim=1)
        speech = {name: inputs[name] for name in ("input_features", "input_features_mask")}
        with torch.no_grad():
            logits = model(input_ids=ids, attention_mask=mask, **speech).logits[:, -NEW_TOKENS - 1 : -1]
        logits[..., model.config.audio_token_id] = float("-inf")
        return logits.log_softmax(-1).gather(-1, answer[..., None]).sum((1, 2))

    greedy, beam = generate(model, inputs), generate(model, inputs, num_beams=3)
    assert beam.shape == greedy.shape
    assert (log_likelihood(beam) >= log_likelihood(greedy) - 1e-4).all()
    alone = [generate(model, processor(samples), num_beams=3)[0] for samples in waveforms[:4]]
    assert torch.equal(torch.stack(alone), beam)


def test_static_cache_gives_the_same_tokens(model, processor, waveforms):
    inputs = processor(waveforms[:3])
    static = generate(model, inputs, cache_implementation="static", disable_compile=True)
    assert torch.equal(static, generate(model, inputs))


def test_generation_without_cache_gives_the_same_tokens(model, processor, waveforms):
    inputs = processor(waveforms[:3])
    assert torch.equal(generate(model, inputs, use_cache=False), generate(model, inputs))


def test_bfloat16_runs_on_a_cpu_and_stays_close(model, processor, waveforms):
    inputs = processor(waveforms[:3])
    half = copy.deepcopy(model).to(torch.bfloat16)
    assert generate(half, inputs).shape == (3, NEW_TOKENS)
    with torch.no_grad():
        expected, logits = model(**inputs).logits[:, -1], half(**inputs).logits[:, -1]
    assert logits.dtype == torch.bfloat16
    assert torch.nn.functional.cosine_similarity(logits.float(), expected).min() > 0.98


def test_loss_is_the_same_padded_on_either_side(model, processor, waveforms):
    with torch.no_grad():
        right = model(**training_batch(processor, waveforms, "right"))
        left = model(**training_batch(processor, waveforms, "left"))
        swapped = model(**training_batch(processor, waveforms[1::-1], "right"))
    assert left.loss.item() == pytest.approx(right.loss.item(), abs=1e-5)
    assert abs(swapped.loss.item() - right.loss.item()) > 1e-3


def test_loss_is_the_cross_entropy_of_the_transcription(model, processor, waveforms):
    batch = training_batch(processor, waveforms)
    with torch.no_grad():
        output = model(**batch)
    targets = batch["labels"][:, 1:]
    expected = torch.nn.functional.cross_entropy(output.logits[:, :-1][targets != -100], targets[targets != -100])
    assert output.loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_placeholders_that_do_not_match_the_audio_are_refused(model, processor, waveforms):
    inputs = processor(waveforms[:2])
    inputs["input_ids"][0, -1] = processor.audio_token_id
    with pytest.raises(ValueError, match="tokens: 9, features: 8"):
        model(**inputs)


def test_embeddings_in_place_of_ids_give_the_same_logits(model, processor, waveforms):
    inputs = dict(processor(waveforms[:2]))
    with torch.no_grad():
        expected = model(**inputs).logits
        inputs["inputs_embeds"] = model.get_input_embeddings()(inputs.pop("input_ids"))
        assert torch.equal(model(**inputs).logits, expected)


def same_state(one, other) -> bool:
    """Whether two modules have the same weights."""
    state = other.state_dict()
    return all(torch.equal(state[name], weights) for name, weights in one.state_dict().items())


def language_model_of(config: EntropyASRConfig):
    """A causal language model with the weights of a full model's."""
    torch.manual_seed(2)
    return Qwen3ForCausalLM(config.text_config).eval()


@pytest.mark.parametrize("trained", [True, False])
def test_a_full_model_gives_its_encoder_and_its_phoneme_head_if_that_was_trained(trained):
    full = build_model(small_config(phoneme_head_trained=trained, phoneme_vocab_size=40))
    joined = EntropyASRForConditionalGeneration.from_components(
        full, language_model_of(small_config()), audio_token_id=3
    )
    assert same_state(joined.model.audio_tower, full.model.audio_tower)
    assert joined.config.phoneme_head_trained == trained
    assert same_state(joined.phoneme_head, full.phoneme_head) == trained


def test_the_placeholder_is_never_generated(processor, waveforms):
    joined = EntropyASRForConditionalGeneration.from_components(
        build_model(small_config()).model.audio_tower, language_model_of(small_config()), audio_token_id=3
    ).eval()
    with torch.no_grad():
        joined.lm_head.weight[3] = 100 * joined.lm_head.weight.abs().mean(0)
    inputs = processor(waveforms[:2])
    assert not (generate(joined, inputs) == 3).any()
    assert (generate(joined, inputs, suppress_tokens=None) == 3).any()


def test_continuous_batching_is_refused(model, processor, waveforms):
    with pytest.raises(ValueError, match="would ignore the audio"):
        model.generate_batch([[1, 2, 3]])


def test_phoneme_logits_are_those_of_the_ctc_head(model, processor, waveforms):
    inputs = processor(waveforms[:2])
    logits, mask = model.get_phoneme_logits(inputs["input_features"], inputs["input_features_mask"])
    assert logits.shape == (2, mask.shape[1], model.config.phoneme_vocab_size)
    assert mask.sum(-1).tolist() == [25, 1]


@pytest.mark.parametrize("auto_class", [AutoModel, AutoModelForSpeechSeq2Seq, AutoModelForMultimodalLM])
def test_saved_model_loads_equal(model, processor, waveforms, auto_class, tmp_path):
    model.save_pretrained(tmp_path)
    loaded = auto_class.from_pretrained(tmp_path)
    assert type(loaded) is EntropyASRForConditionalGeneration
    assert same_state(model, loaded)
    assert loaded.lm_head.weight is loaded.get_input_embeddings().weight
    inputs = processor(waveforms[:2])
    assert torch.equal(generate(loaded, inputs), generate(model, inputs))


def test_gradient_checkpointing_gives_the_same_gradients(processor, waveforms):
    batch = training_batch(processor, waveforms)
    gradients = []
    for checkpointing in (False, True):
        model = build_model(small_config()).train()
        if checkpointing:
            model.activation_checkpointing_enable()
            assert model.model.audio_tower.layers[0].gradient_checkpointing
        model(**batch).loss.backward()
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    assert all((gradients[1][name] - grad).abs().max() < 1e-5 for name, grad in gradients[0].items())
    reached = {name.split(".")[1] for name in gradients[0]}
    assert reached == {"audio_tower", "adaptor", "language_model"}


def test_lora_on_the_language_model_trains_saves_reloads_and_merges(processor, waveforms, tmp_path):
    targets = r".*language_model.*\.(q_proj|v_proj|up_proj)"
    batch = training_batch(processor, waveforms)
    model = get_peft_model(build_model(small_config()), LoraConfig(r=4, target_modules=targets))
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert len(trained) == 12  # two layers, three projections, two factors
    assert all("language_model" in name for name in trained)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.01)
    losses = []
    for _ in range(5):
        losses.append(model(**batch).loss)
        losses[-1].backward()
        optimizer.step()
        optimizer.zero_grad()
    assert losses[-1] < losses[0] - 0.1
    model.save_pretrained(tmp_path)
    with torch.no_grad():
        expected = model.eval()(**batch).logits
        reloaded = PeftModel.from_pretrained(build_model(small_config()), tmp_path).eval()
        assert torch.equal(reloaded(**batch).logits, expected)
        merged = reloaded.merge_and_unload()
        assert type(merged) is EntropyASRForConditionalGeneration
        assert (merged(**batch).logits - expected).abs().max() < 1e-4


@pytest.fixture
def saved_encoder(tmp_path) -> str:
    """Folder of a phoneme CTC model with its feature extractor and tokenizer."""
    torch.manual_seed(1)
    config = EntropyASRCTCConfig(audio_config=small_encoder_config().to_dict())
    model = EntropyASRForCTC(config)
    model.save_pretrained(tmp_path / "encoder")
    EntropyASRFeatureExtractor(cmvn_mean=[5.0] * 80).save_pretrained(tmp_path / "encoder")
    return str(tmp_path / "encoder")


def test_joined_model_keeps_the_weights_of_both_parts(saved_encoder, language_model, tmp_path, waveforms):
    tokenizer = EntropyASRProcessor.prepare_tokenizer(build_tokenizer([]))
    language_model.save_pretrained(tmp_path / "language_model")
    tokenizer.save_pretrained(tmp_path / "language_model")
    model = EntropyASRForConditionalGeneration.from_components(
        saved_encoder,
        str(tmp_path / "language_model"),
        audio_token_id=tokenizer.convert_tokens_to_ids("<|audio|>"),
        vocab_size=len(tokenizer),
        eos_token_id=tokenizer.convert_tokens_to_ids("<|im_end|>"),
    ).eval()
    processor = EntropyASRProcessor.from_components(saved_encoder, str(tmp_path / "language_model"), model.config)
    encoder = EntropyASRForCTC.from_pretrained(saved_encoder).eval()
    inputs = processor(waveforms[:2])
    with torch.no_grad():
        features = {"input_features": inputs["input_features"]}
        expected = encoder(**features, attention_mask=inputs["input_features_mask"]).logits
        logits, _ = model.get_phoneme_logits(**features, input_features_mask=inputs["input_features_mask"])
        assert torch.equal(logits, expected)
        text = torch.tensor([[5, 6, 7, 8]])
        assert torch.equal(model(input_ids=text).logits[..., :288], language_model(input_ids=text).logits[..., :288])
    assert processor.feature_extractor.cmvn_mean == [5.0] * 80
    assert generate(model, inputs).shape[0] == 2
    assert model.generation_config.eos_token_id == processor.end_of_text_id


def test_new_tokens_are_warned_of_once(saved_encoder, caplog, monkeypatch):
    """The tokenizer is given, gets the prompt's three tokens, and says which one the placeholder is."""
    monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)
    tokenizer = build_tokenizer([])
    grown = Qwen3ForCausalLM(small_text_config(vocab_size=len(tokenizer)))
    model = EntropyASRForConditionalGeneration.from_components(saved_encoder, grown, tokenizer=tokenizer)
    assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) == 1
    assert "embeddings for 3 new tokens" in caplog.text
    assert model.config.audio_token_id == tokenizer.convert_tokens_to_ids("<|audio|>")
    assert model.generation_config.eos_token_id == tokenizer.convert_tokens_to_ids("<|im_end|>")


def test_a_language_model_without_the_prompts_tokens_can_end_a_transcription(saved_encoder):
    """A token that begins as the mean of all never has the highest score: what ends a text begins as its own end."""
    tokenizer, ends = build_tokenizer([]), [5, 7]
    grown = Qwen3ForCausalLM(small_text_config(vocab_size=len(tokenizer)))
    grown.generation_config.eos_token_id = ends
    table = grown.get_input_embeddings().weight.detach().clone()
    model = EntropyASRForConditionalGeneration.from_components(saved_encoder, grown, tokenizer=tokenizer)
    rows, end = model.get_input_embeddings().weight, tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert torch.equal(rows[: len(table)], table) and torch.equal(model.lm_head.weight, rows)
    torch.testing.assert_close(rows[end], table[ends].mean(0))
    torch.testing.assert_close(rows[tokenizer.convert_tokens_to_ids("<|im_start|>")], table.mean(0))
    assert model.generation_config.eos_token_id == [end, *ends]
    assert model.config.text_config.vocab_size == len(rows) == len(tokenizer)
    # The language model that was given stays as it was, also when the joined one is trained.
    with torch.no_grad():
        rows.zero_()
    assert torch.equal(grown.get_input_embeddings().weight, table) and grown.config.vocab_size == len(table)


def test_where_the_placeholder_is_has_to_be_known(saved_encoder, language_model):
    with pytest.raises(ValueError, match="`tokenizer` missing"):
        EntropyASRForConditionalGeneration.from_components(saved_encoder, language_model)
    with pytest.raises(ValueError, match="`audio_token_id` is 5, but"):
        EntropyASRForConditionalGeneration.from_components(
            saved_encoder, language_model, tokenizer=build_tokenizer([]), audio_token_id=5
        )


@pytest.mark.parametrize(
    ("asked", "dtype"), [(None, torch.bfloat16), ("float16", torch.float16), (torch.float32, torch.float32)]
)
def test_a_joined_model_has_the_dtype_that_was_asked_for_or_the_language_models(
    saved_encoder, language_model, asked, dtype
):
    half = copy.deepcopy(language_model).to(torch.bfloat16)
    joined = EntropyASRForConditionalGeneration.from_components(saved_encoder, half, audio_token_id=3, dtype=asked)
    assert {parameter.dtype for parameter in joined.parameters()} == {dtype} == {joined.dtype}
    with pytest.raises(ValueError, match="`dtype` must be a floating-point dtype of torch, not 'int8'"):
        EntropyASRForConditionalGeneration.from_components(saved_encoder, half, audio_token_id=3, dtype="int8")


def test_joining_draws_random_numbers_for_the_adaptor_alone(saved_encoder, language_model):
    torch.manual_seed(3)
    joined = EntropyASRForConditionalGeneration.from_components(saved_encoder, language_model, audio_token_id=3)
    after = torch.rand(1)
    torch.manual_seed(3)
    for layer in (joined.model.adaptor.linear1, joined.model.adaptor.linear2):
        # As transformers does, and then as this project does.
        drawn = torch.nn.init.xavier_uniform_(torch.empty_like(layer.weight).normal_())
        assert torch.equal(layer.weight, drawn) and not layer.bias.any()
    assert torch.equal(torch.rand(1), after)


def test_full_model_gives_its_encoder_and_phoneme_head_back_for_more_pretraining(tmp_path):
    model = build_model(small_config())
    model.save_pretrained(tmp_path)
    vocab_size = model.config.phoneme_vocab_size
    ctc = EntropyASRForCTC.from_encoder(str(tmp_path), vocab_size=vocab_size)
    for ours, theirs in ((ctc.audio_tower, model.model.audio_tower), (ctc.phoneme_head, model.phoneme_head)):
        state = theirs.state_dict()
        assert state and all(torch.equal(tensor, state[name]) for name, tensor in ours.state_dict().items())
    with pytest.raises(ValueError, match="phonemes"):
        EntropyASRForCTC.from_encoder(model, vocab_size=vocab_size + 1)


def test_checkpoint_without_a_phoneme_head_is_known_to_have_an_untrained_one(tmp_path):
    for name in ("whole", "headless"):
        build_model(small_config()).save_pretrained(tmp_path / name)
    weights = load_file(tmp_path / "whole" / "model.safetensors")
    weights = {name: tensor for name, tensor in weights.items() if not name.startswith("phoneme_head.")}
    save_file(weights, tmp_path / "headless" / "model.safetensors", metadata={"format": "pt"})
    assert EntropyASRForConditionalGeneration.from_pretrained(tmp_path / "whole").config.phoneme_head_trained
    loaded, info = EntropyASRForConditionalGeneration.from_pretrained(tmp_path / "headless", output_loading_info=True)
    assert not loaded.config.phoneme_head_trained and info["missing_keys"]
    loaded.save_pretrained(tmp_path / "again")
    assert not EntropyASRForConditionalGeneration.from_pretrained(tmp_path / "again").config.phoneme_head_trained
