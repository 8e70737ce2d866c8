# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A model of a few thousand parameters, its processor and audio of mixed lengths."""

from pathlib import Path

import numpy as np
import pytest
import torch
from small_models import build_model, build_tokenizer, small_config, small_text_config
from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

from entropy_asr.modeling import (
    EntropyASRFeatureExtractor,
    EntropyASRForConditionalGeneration,
    EntropyASRPhonemeTokenizer,
    EntropyASRPipeline,
    EntropyASRProcessor,
)
from entropy_asr.modeling import vad_entropy_asr as vad


SAMPLING_RATE = 16000
# Samples: shorter than an encoder frame, odd, long; eight for a batch.
LENGTHS = (16000, 700, 23457, 8001, 30011, 4000, 12345, 19999)


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    """Tokenizer with the special tokens of the prompt: `<|audio|>` is 3."""
    return build_tokenizer(["<|im_start|>", "<|im_end|>", "<|audio|>"])


@pytest.fixture(scope="session")
def phoneme_tokenizer() -> EntropyASRPhonemeTokenizer:
    """The built-in phonemes."""
    return EntropyASRPhonemeTokenizer()


@pytest.fixture(scope="session")
def processor(tokenizer) -> EntropyASRProcessor:
    """Processor of `model`."""
    return EntropyASRProcessor.from_components(EntropyASRFeatureExtractor(), tokenizer, small_config())


@pytest.fixture(scope="session")
def model() -> EntropyASRForConditionalGeneration:
    """The small model; tests that change it take a copy."""
    return build_model(small_config())


@pytest.fixture(scope="session")
def language_model() -> Qwen3ForCausalLM:
    """Language model whose tokenizer has no special tokens for speech."""
    torch.manual_seed(1)
    return Qwen3ForCausalLM(small_text_config(vocab_size=297)).eval()


@pytest.fixture(scope="session")
def waveforms() -> list[np.ndarray]:
    """Eight sounds of mixed lengths at 16 kHz: tones of changing pitch in noise."""
    rng = np.random.default_rng(0)
    sounds = []
    for length in LENGTHS:
        time = np.arange(length) / SAMPLING_RATE
        tone = 0.3 * np.sin(2 * np.pi * (rng.uniform(100, 900) * time + rng.uniform(50, 400) * time**2))
        sounds.append((tone + 0.05 * rng.normal(size=length)).clip(-1, 1).astype(np.float32))
    return sounds


@pytest.fixture(scope="module")
def checkpoint(model, processor, tmp_path_factory) -> Path:
    """Folder of the small model, as a user has it."""
    folder = tmp_path_factory.mktemp("checkpoint")
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def pipe(model, processor) -> EntropyASRPipeline:
    return EntropyASRPipeline(model=model, processor=processor, device="cpu")


@pytest.fixture(scope="module")
def texts(pipe, waveforms) -> list[str]:
    """What the small model makes of `waveforms`, one by one."""
    return [pipe(waveform)["text"] for waveform in waveforms]


@pytest.fixture
def loudness_vad(monkeypatch):
    """Takes loud windows for speech, so that segments can be written down by hand."""

    class LoudnessVAD:
        def __call__(self, samples):
            return (np.abs(samples.reshape(-1, vad.WINDOW)).max(-1) > 0.02).astype(np.float32)

    monkeypatch.setattr(vad, "SileroVAD", LoudnessVAD)
