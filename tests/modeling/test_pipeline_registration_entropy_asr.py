# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""How `pipeline("automatic-speech-recognition", ...)` finds ours for our models, and the stock one for others."""

import json

import pytest
from audio_rows import make_noise
from small_models import build_tokenizer, small_whisper_config
from transformers import (
    AutomaticSpeechRecognitionPipeline,
    Wav2Vec2Config,
    Wav2Vec2CTCTokenizer,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForCTC,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    pipeline,
)

from entropy_asr.modeling import (
    EntropyASRPipeline,
)


TASK = "automatic-speech-recognition"


def texts_of(outputs) -> list[str]:
    return [output["text"] for output in outputs]


@pytest.mark.parametrize("arguments", [{}, {"trust_remote_code": True}, {"pipeline_class": EntropyASRPipeline}])
def test_installed_package_needs_no_remote_code(checkpoint, waveforms, texts, arguments):
    loaded = pipeline(TASK, str(checkpoint), device="cpu", **arguments)
    assert type(loaded) is EntropyASRPipeline
    assert texts_of(loaded(list(waveforms))) == texts


def test_other_models_keep_the_stock_pipeline(tmp_path):
    vocab = {"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3, "|": 4, "A": 5}
    (tmp_path / "vocab.json").write_text(json.dumps(vocab))
    Wav2Vec2CTCTokenizer(str(tmp_path / "vocab.json")).save_pretrained(tmp_path)
    Wav2Vec2FeatureExtractor().save_pretrained(tmp_path)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    convolutions = {"conv_dim": (8, 8), "conv_kernel": (10, 8), "conv_stride": (5, 4), "num_feat_extract_layers": 2}
    positions = {"num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2}
    config = Wav2Vec2Config(vocab_size=len(vocab), **sizes, **convolutions, **positions)
    Wav2Vec2ForCTC(config).save_pretrained(tmp_path)
    stock = pipeline(TASK, str(tmp_path), device="cpu")
    assert type(stock) is AutomaticSpeechRecognitionPipeline
    assert set(stock(make_noise(0.5))) == {"text"}


def test_other_models_say_which_part_they_lack(tmp_path):
    whisper = WhisperForConditionalGeneration(small_whisper_config(vocab_size=300, decoder_start_token_id=1))
    with pytest.raises(ValueError, match="No tokenizer.*`whisper`.*`tokenizer=`"):
        pipeline(TASK, model=whisper, device="cpu")
    made = pipeline(
        TASK,
        model=whisper,
        tokenizer=build_tokenizer(["<|im_start|>"]),
        feature_extractor=WhisperFeatureExtractor(),
        device="cpu",
    )
    assert type(made) is AutomaticSpeechRecognitionPipeline
