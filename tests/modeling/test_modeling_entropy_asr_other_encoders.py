# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Speech encoders of transformers in the encoder's place: Parakeet, Whisper, wav2vec2-BERT, wav2vec2."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
import transformers
from small_models import (
    build_model,
    build_tokenizer,
    small_config,
    small_parakeet_config,
    small_text_config,
    small_whisper_config,
)

from entropy_asr.modeling import AudioError, EntropyASRForConditionalGeneration, EntropyASRForCTC, EntropyASRProcessor
from entropy_asr.modeling.components_entropy_asr import streamable_extractor
from entropy_asr.modeling.pipeline_entropy_asr import EntropyASRPipeline
from entropy_asr.modeling.processing_entropy_asr import extract_features


@dataclass
class Encoder:
    """A speech encoder of transformers with its own feature extractor."""

    config: transformers.PreTrainedConfig
    extractor: Callable[[], transformers.SequenceFeatureExtractor]
    build_model: Callable[[], transformers.PreTrainedModel]


def parakeet_ctc() -> transformers.ParakeetForCTC:
    """CTC model on Parakeet's encoder, as published ones are."""
    encoder_config = ENCODERS["parakeet"].config.to_dict()
    return transformers.ParakeetForCTC(
        transformers.ParakeetCTCConfig(encoder_config=encoder_config, vocab_size=20, pad_token_id=0)
    )


SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
ENCODERS = {
    "parakeet": Encoder(
        small_parakeet_config(dropout=0.0, layerdrop=0.0),
        lambda: transformers.ParakeetFeatureExtractor(feature_size=80),
        parakeet_ctc,
    ),
    "whisper": Encoder(
        small_whisper_config(encoder_layers=1),
        lambda: transformers.WhisperFeatureExtractor(feature_size=80),
        lambda: transformers.WhisperForConditionalGeneration(ENCODERS["whisper"].config),
    ),
    "wav2vec2-bert": Encoder(
        transformers.Wav2Vec2BertConfig(
            **SIZES,
            output_hidden_size=32,
            feature_projection_input_dim=160,
            hidden_dropout=0.0,
            layerdrop=0.0,
            apply_spec_augment=False,
            vocab_size=20,
        ),
        lambda: transformers.SeamlessM4TFeatureExtractor(feature_size=80),
        lambda: transformers.Wav2Vec2BertForCTC(ENCODERS["wav2vec2-bert"].config),
    ),
    # Hears waveforms, and its feature extractor does not pad by itself.
    "wav2vec2": Encoder(
        transformers.Wav2Vec2Config(
            **SIZES,
            conv_dim=[16] * 7,
            num_conv_pos_embeddings=16,
            num_conv_pos_embedding_groups=4,
            feat_extract_norm="layer",
            do_stable_layer_norm=True,
            hidden_dropout=0.0,
            attention_dropout=0.0,
            feat_proj_dropout=0.0,
            layerdrop=0.0,
            apply_spec_augment=False,
            vocab_size=20,
        ),
        lambda: transformers.Wav2Vec2FeatureExtractor(return_attention_mask=True),
        lambda: transformers.Wav2Vec2ForCTC(ENCODERS["wav2vec2"].config),
    ),
}


@pytest.fixture(params=ENCODERS)
def encoder(request) -> Encoder:
    return ENCODERS[request.param]


@pytest.fixture
def joined(encoder, tokenizer) -> tuple[EntropyASRForConditionalGeneration, EntropyASRProcessor]:
    """Full model with random weights, and its processor."""
    model = build_model(small_config(encoder.config))
    return model, EntropyASRProcessor.from_components(encoder.extractor(), tokenizer, model.config)


def generate(model, inputs) -> torch.Tensor:
    ids = model.generate(**inputs, max_new_tokens=6, do_sample=False)
    return ids[:, inputs["input_ids"].shape[1] :]


def test_as_many_placeholders_as_audio_embeddings(joined, waveforms):
    model, processor = joined
    inputs = processor(waveforms)
    with torch.no_grad():
        output = model.get_audio_features(inputs["input_features"], inputs["input_features_mask"])
    counts = (inputs["input_ids"] == processor.audio_token_id).sum(-1)
    assert counts.sum() == len(output.pooler_output)
    assert counts.argsort().tolist() == torch.tensor([len(samples) for samples in waveforms]).argsort().tolist()


def test_batch_of_mixed_lengths_gives_each_items_own_tokens_and_logits(joined, waveforms):
    model, processor = joined
    inputs = processor(waveforms)
    with torch.no_grad():
        batch, logits = generate(model, inputs), model(**inputs).logits[:, -1]
        for row, samples in enumerate(waveforms):
            alone = processor(samples)
            assert torch.equal(generate(model, alone)[0], batch[row])
            assert (model(**alone).logits[0, -1] - logits[row]).abs().max() <= 1e-4
    assert len({tuple(tokens) for tokens in batch.tolist()}) > 4


def test_gradients_reach_every_part(joined, waveforms):
    model, processor = joined
    inputs = processor(waveforms[:2])
    model.train()(**inputs, labels=inputs["input_ids"]).loss.backward()
    reached = {name.split(".")[1] for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert reached == {"audio_tower", "adaptor", "language_model"}


def test_saved_model_and_processor_load_equal(joined, waveforms, tmp_path):
    model, processor = joined
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    loaded = transformers.AutoModel.from_pretrained(tmp_path)
    loaded_processor = transformers.AutoProcessor.from_pretrained(tmp_path)
    assert type(loaded_processor.feature_extractor) is type(processor.feature_extractor)
    assert torch.equal(generate(loaded, loaded_processor(waveforms[:3])), generate(model, processor(waveforms[:3])))


def test_saved_checkpoints_are_joined(encoder, language_model, waveforms, tmp_path):
    """Saved models of both kinds, a tokenizer without the prompt's tokens, the encoder's own feature extractor."""
    torch.manual_seed(3)
    trained = encoder.build_model()
    trained.save_pretrained(tmp_path / "encoder")
    encoder.extractor().save_pretrained(tmp_path / "encoder")
    language_model.save_pretrained(tmp_path / "language_model")
    tokenizer = EntropyASRProcessor.prepare_tokenizer(build_tokenizer([]))
    model = EntropyASRForConditionalGeneration.from_components(
        str(tmp_path / "encoder"),
        str(tmp_path / "language_model"),
        audio_token_id=tokenizer.convert_tokens_to_ids("<|audio|>"),
        vocab_size=len(tokenizer),
    ).eval()
    processor = EntropyASRProcessor.from_components(str(tmp_path / "encoder"), tokenizer, model.config)
    # Encoder weights have the names they had, behind "encoder." or the like.
    source = {name.split(".", 1)[-1]: value for name, value in trained.state_dict().items()}
    source |= {name.split(".", 1)[-1]: value for name, value in source.items() if name.startswith("encoder.")}
    weights = model.model.audio_tower.state_dict()
    assert len(weights) > 10
    assert not model.config.phoneme_head_trained
    assert all(torch.equal(value, source[name]) for name, value in weights.items())
    assert generate(model, processor(waveforms[:2])).shape[0] == 2


def test_ctc_model_on_another_encoder_trains_and_is_joined_with_its_head(encoder, waveforms, tmp_path):
    torch.manual_seed(4)
    ctc = EntropyASRForCTC.from_encoder(encoder.build_model(), vocab_size=279).eval()
    features, mask = extract_features(streamable_extractor(encoder.extractor()), waveforms[:2])
    labels = torch.tensor([[1, 2, 3], [4, -100, -100]])
    output = ctc(features, attention_mask=mask, labels=labels)
    output.loss.backward()
    assert output.loss > 0
    assert any(p.grad is not None and p.grad.any() for p in ctc.audio_tower.parameters())
    language_model = transformers.Qwen3ForCausalLM(small_text_config())
    model = EntropyASRForConditionalGeneration.from_components(ctc, language_model, audio_token_id=3).eval()
    with torch.no_grad():
        logits, mask = model.get_phoneme_logits(features, mask)
    assert torch.allclose(logits[mask], output.logits[mask], atol=1e-6)
    assert model.config.phoneme_head_trained


def test_audio_too_short_for_an_encoder_is_named(tokenizer):
    model = build_model(small_config(ENCODERS["wav2vec2"].config))
    processor = EntropyASRProcessor.from_components(ENCODERS["wav2vec2"].extractor(), tokenizer, model.config)
    pipe = EntropyASRPipeline(model=model, processor=processor)
    long, short = (np.ones(count, dtype=np.float32) / 9 for count in (16000, 300))
    first, second = pipe([long, short], batch_size=2)
    assert "error" not in first and second["error"].startswith("item 1: audio: lasts 18.8 ms")
    with pytest.raises(AudioError, match=r"audio: lasts 18.8 ms"):
        pipe(short)


def test_wrong_length_stages_are_named(waveforms):
    encoder = ENCODERS["parakeet"]
    model = build_model(small_config(encoder.config, audio_length_stages=[[3, 2, 2]]))
    inputs = encoder.extractor()(waveforms[:2], sampling_rate=16000, return_tensors="pt")
    with pytest.raises(ValueError, match=r"`parakeet_encoder` encoder gave 13 frames.*promise 50"):
        model.get_audio_features(inputs["input_features"], inputs["attention_mask"])
