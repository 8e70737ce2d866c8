# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Builders of models of a few thousand parameters that several tests share."""

import copy
from pathlib import Path

import torch
import transformers
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen3Config

from entropy_asr.modeling import (
    EntropyASRConfig,
    EntropyASREncoder,
    EntropyASREncoderConfig,
    EntropyASRFireRedEncoderConfig,
    EntropyASRForConditionalGeneration,
    EntropyASRWhisperEncoderConfig,
)


def build_tokenizer(special_tokens: list[str], **kwargs) -> PreTrainedTokenizerFast:
    """Byte-level tokenizer of fewer than 300 tokens, the special ones first."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<|endoftext|>", *special_tokens],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["hello world, the cat sat on the mat", "你好世界"] * 20, trainer)
    eos = "<|im_end|>" if "<|im_end|>" in special_tokens else "<|endoftext|>"
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<|endoftext|>",
        eos_token=eos,
        additional_special_tokens=special_tokens,
        **kwargs,
    )


def small_text_config(vocab_size: int = 300, **kwargs) -> Qwen3Config:
    """Language model of two layers; weights large enough for answers that depend on the audio."""
    return Qwen3Config(
        vocab_size=vocab_size,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=512,
        initializer_range=0.5,
        tie_word_embeddings=True,
        **kwargs,
    )


def small_encoder_config(**kwargs) -> EntropyASREncoderConfig:
    """Encoder of two layers without dropout."""
    settings = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "conv_kernel_size": 5,
        "subsampling_channels": 4,
        "hidden_dropout": 0.0,
        "attention_dropout": 0.0,
        "initializer_range": 0.3,
    }
    return EntropyASREncoderConfig(**{**settings, **kwargs})


def build_encoder() -> EntropyASREncoder:
    """The encoder at random weights, in evaluation mode."""
    torch.manual_seed(0)
    return EntropyASREncoder(small_encoder_config()).eval()


def padded_batch(lengths: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Random features of these lengths, noise where they are padded, and their mask."""
    features = torch.randn(len(lengths), max(lengths), 80)
    mask = torch.arange(max(lengths))[None, :] < torch.tensor(lengths)[:, None]
    return features, mask.long()


def small_whisper_encoder_config(**kwargs) -> EntropyASRWhisperEncoderConfig:
    """Whisper's encoder of two layers."""
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    return EntropyASRWhisperEncoderConfig(**{**sizes, "max_position_embeddings": 1504, **kwargs})


def small_firered_encoder_config(**kwargs) -> EntropyASRFireRedEncoderConfig:
    """FireRedASR's encoder of two layers without dropout."""
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    sizes |= {"conv_kernel_size": 7, "subsampling_channels": 4, "hidden_dropout": 0.0, "activation_dropout": 0.0}
    return EntropyASRFireRedEncoderConfig(**{**sizes, **kwargs})


def small_whisper_config(**kwargs) -> transformers.WhisperConfig:
    """transformers' Whisper with two encoder layers and one decoder layer."""
    tokens = dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id"), 0)
    settings = {
        "d_model": 32,
        "encoder_layers": 2,
        "decoder_layers": 1,
        "encoder_attention_heads": 4,
        "decoder_attention_heads": 4,
        "encoder_ffn_dim": 48,
        "decoder_ffn_dim": 48,
        "vocab_size": 60,
    }
    return transformers.WhisperConfig(**{**settings, **tokens, **kwargs})


def small_whisper(kind: str = "WhisperModel") -> transformers.PreTrainedModel:
    """transformers' Whisper of that class; weights large enough for outputs that differ."""
    torch.manual_seed(0)
    return getattr(transformers, kind)(small_whisper_config(init_std=0.1)).eval()


def small_parakeet_config(**kwargs) -> transformers.ParakeetEncoderConfig:
    """transformers' encoder of Parakeet, of two layers."""
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
    convolutions = {"num_mel_bins": 80, "subsampling_conv_channels": 8, "conv_kernel_size": 5}
    return transformers.ParakeetEncoderConfig(**{**sizes, **convolutions, **kwargs})


def save_public_parts(folder: Path) -> tuple[str, str]:
    """Folders of a Whisper and of a language model in bfloat16, whose tokenizer lacks the prompt's tokens."""
    small_whisper("WhisperForConditionalGeneration").save_pretrained(folder / "whisper")
    transformers.WhisperFeatureExtractor().save_pretrained(folder / "whisper")
    tokenizer = build_tokenizer([])
    torch.manual_seed(0)
    language_model = transformers.Qwen3ForCausalLM(small_text_config(vocab_size=len(tokenizer))).to(torch.bfloat16)
    language_model.generation_config.eos_token_id = tokenizer.eos_token_id
    for part in (language_model, tokenizer):
        part.save_pretrained(folder / "language_model")
    return str(folder / "whisper"), str(folder / "language_model")


def small_config(audio_config=None, **kwargs) -> EntropyASRConfig:
    """Full model; `audio_config` takes another encoder."""
    return EntropyASRConfig(
        audio_config=(audio_config or small_encoder_config()).to_dict(),
        text_config=small_text_config().to_dict(),
        initializer_range=0.3,
        **{"audio_token_id": 3, **kwargs},
    )


def build_model(config: EntropyASRConfig, seed: int = 1) -> EntropyASRForConditionalGeneration:
    """Seeded random weights, evaluation mode; never stops early, so that answers have one length."""
    torch.manual_seed(seed)
    model = EntropyASRForConditionalGeneration(config).eval()
    model.generation_config.update(pad_token_id=0, suppress_tokens=[config.audio_token_id])
    return model


def save_adapters(model: EntropyASRForConditionalGeneration, base: Path | str, folder: Path, **settings) -> Path:
    """A folder of random LoRA adapters of a model that lies in `base`, as PEFT saves them.

    What else is trained (`modules_to_save`) is halved.
    """
    defaults = {"r": 2, "lora_alpha": 16, "target_modules": ".*language_model.*(q|v|up)_proj"}
    config = LoraConfig(**{**defaults, "init_lora_weights": False, **settings})
    adapted = get_peft_model(copy.deepcopy(model), config)
    with torch.no_grad():
        for parameter in (one for name, one in adapted.named_parameters() if "modules_to_save" in name):
            parameter.mul_(0.5)
    adapted.peft_config["default"].base_model_name_or_path = str(base)
    adapted.save_pretrained(folder)
    return folder
