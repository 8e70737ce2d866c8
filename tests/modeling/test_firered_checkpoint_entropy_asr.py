# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Checkpoints as FireRedASR publishes them: recognised, read without running code, joined, or refused by name."""

import argparse
import math
import os

import numpy as np
import published_firered as published
import pytest
import torch
import transformers
from small_models import build_tokenizer, small_text_config

from entropy_asr.modeling import (
    EntropyASRFeatureExtractor,
    EntropyASRFireRedEncoder,
    EntropyASRForConditionalGeneration,
    EntropyASRForCTC,
    EntropyASRPhonemeTokenizer,
    EntropyASRProcessor,
)
from entropy_asr.modeling.firered_checkpoint_entropy_asr import read_cmvn
from entropy_asr.modeling.speech_models_entropy_asr import load_feature_extractor, load_speech_model


@pytest.fixture
def folder(tmp_path):
    """A checkpoint of the published layout, whose files may be spoiled."""
    published.write_checkpoint(tmp_path / "FireRedASR-AED-L")
    return tmp_path / "FireRedASR-AED-L"


def rewrite(folder, change) -> None:
    """Change what `model.pth.tar` holds."""
    file = folder / "model.pth.tar"
    checkpoint = torch.load(file, weights_only=False)
    torch.save(change(checkpoint) or checkpoint, file)


def test_ctc_model_from_a_published_folder(folder, tmp_path):
    model = EntropyASRForCTC.from_encoder(str(folder), num_layers=1).eval()
    config = model.config.audio_config
    assert config.model_type == "entropy_asr_firered_encoder"
    assert (config.hidden_dropout, config.activation_dropout, config.num_hidden_layers) == (0.1, 0.2, 1)
    assert model.config.vocab_size == len(EntropyASRPhonemeTokenizer()) and len(model.audio_tower.layers) == 1
    features, mask = torch.randn(2, 50, 80), torch.tensor([[1] * 50, [1] * 30 + [0] * 20])
    with torch.no_grad():
        output = model(features, attention_mask=mask, labels=torch.tensor([[1, 2], [3, -100]]))
    assert output.logits.shape == (2, 13, model.config.vocab_size)
    assert output.attention_mask.sum(-1).tolist() == [13, 8] and output.loss > 0
    model.save_pretrained(tmp_path / "ctc")
    again = EntropyASRForCTC.from_pretrained(tmp_path / "ctc").eval()
    with torch.no_grad():
        assert torch.equal(again(features, attention_mask=mask).logits, output.logits)


@torch.no_grad()
def test_the_first_layers_are_the_published_ones(folder):
    args = published.arguments(n_layers_enc=1)
    weights, features = published.random_weights(published.arguments()), torch.randn(1, 50, 80)
    expected, _ = published.encode(weights, args, features, [50])
    encoder = EntropyASRForCTC.from_encoder(str(folder), num_layers=1).eval().audio_tower
    assert (encoder(features).last_hidden_state - expected).abs().max() < 1e-4
    with pytest.raises(ValueError, match="`num_layers` must be between 1 and the encoder's 2"):
        EntropyASRForCTC.from_encoder(str(folder), num_layers=3)


@pytest.mark.parametrize("dtype", ["auto", torch.bfloat16])
def test_weights_have_the_dtype_that_was_asked_for_or_saved(folder, dtype):
    def halve(checkpoint):
        state = checkpoint["model_state_dict"]
        checkpoint["model_state_dict"] = {name: weight.half() for name, weight in state.items()}

    rewrite(folder, halve)
    model = load_speech_model(str(folder), dtype)
    assert type(model) is EntropyASRFireRedEncoder
    assert {weight.dtype for weight in model.parameters()} == {torch.float16 if dtype == "auto" else dtype}


def test_checkpoints_of_the_old_format_load_too(folder):
    expected = load_speech_model(str(folder)).state_dict()
    file = folder / "model.pth.tar"
    torch.save(torch.load(file, weights_only=False), file, _use_new_zipfile_serialization=False)
    assert all(
        torch.equal(weight, expected[name]) for name, weight in load_speech_model(str(folder)).state_dict().items()
    )


def test_one_line_joins_a_published_folder_and_a_language_model(folder, tmp_path, waveforms):
    torch.manual_seed(1)
    transformers.Qwen3ForCausalLM(small_text_config(vocab_size=297)).save_pretrained(tmp_path / "llm")
    build_tokenizer([]).save_pretrained(tmp_path / "llm")
    model = EntropyASRForConditionalGeneration.from_components(str(folder), str(tmp_path / "llm")).eval()
    assert model.config.adaptor_stacking == 4 and model.processor.seconds_per_frame == 0.04
    assert model.processor.feature_extractor.cmvn_mean == read_cmvn(folder / "cmvn.ark")[0]
    model.save_pretrained(tmp_path / "joined")
    loaded = transformers.AutoModel.from_pretrained(tmp_path / "joined")
    inputs = transformers.AutoProcessor.from_pretrained(tmp_path / "joined")(waveforms[:3])
    assert loaded.generate(**inputs, max_new_tokens=4, do_sample=False).shape[0] == 3
    names = {path.name for path in (tmp_path / "joined").glob("*.py")}
    assert {"modeling_entropy_asr_firered.py", "encoder_attention_entropy_asr.py"} <= names
    processor = EntropyASRProcessor.from_components(str(folder), str(tmp_path / "llm"), model.config)
    assert processor.feature_extractor.cmvn_std == model.processor.feature_extractor.cmvn_std


def test_features_are_kaldis_of_sixteen_bit_samples_normalised(folder, waveforms):
    extractor = load_feature_extractor(str(folder))
    mean, std = read_cmvn(folder / "cmvn.ark")
    energies = EntropyASRFeatureExtractor().filterbank(torch.from_numpy(waveforms[0]))
    expected = (energies.double() - torch.tensor(mean)) / torch.tensor(std)
    assert np.allclose(extractor(waveforms[0])["input_features"][0], expected, atol=1e-5)


def test_features_are_those_of_the_published_extractor(waveforms):
    """Kaldi's own code, which the published extractor calls."""
    fbank = pytest.importorskip("kaldi_native_fbank")
    options = fbank.FbankOptions()
    options.frame_opts.dither, options.frame_opts.snip_edges, options.mel_opts.num_bins = 0.0, True, 80
    for waveform in waveforms[:3]:
        samples = np.round(waveform * 32768).clip(-32768, 32767)
        online = fbank.OnlineFbank(options)
        online.accept_waveform(16000, samples.tolist())
        expected = np.stack([online.get_frame(index) for index in range(online.num_frames_ready)])
        found = EntropyASRFeatureExtractor().filterbank(torch.from_numpy(samples / 32768).float()).numpy()
        assert found.shape == expected.shape and np.abs(found - expected).max() < 2e-3


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_statistics_give_mean_and_deviation(dtype, tmp_path):
    rows = np.random.default_rng(0).normal(3, 2, (1000, 5))
    rows[:, 4] = 7.0  # a channel that never changes
    statistics = [[*rows.sum(0), 1000], [*(rows**2).sum(0), 0]]
    published.write_kaldi_matrix(tmp_path / "cmvn.ark", np.array(statistics, dtype=dtype))
    mean, std = read_cmvn(tmp_path / "cmvn.ark")
    assert np.allclose(mean, rows.mean(0), atol=1e-4) and np.allclose(std[:4], rows.std(0)[:4], atol=1e-3)
    assert math.isfinite(1 / std[4])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "does not begin as a binary matrix"),
        (b" [ 1 2 3\n 4 5 6 ]\n", "does not begin as a binary matrix"),
        (b"\0BDM \4\2\0\0\0\4\3\0\0\0" + bytes(40), "5 values in place of the 2 times 3"),
        (b"\0BDM \4\0\0\0\0\4\3\0\0\0", "how many rows and columns"),
        (b"\0BFM \4\1\0\0\0\4\2\0\0\0" + bytes(8), "is no statistics"),
        (b"\0BFM \4\2\0\0\0\4\2\0\0\0" + bytes(16), "is no statistics"),
        (b"\0BFM \4\2\0\0\0\4\2\0\0\0" + np.array([np.nan, 5, 1, 0], dtype="<f4").tobytes(), "not finite"),
    ],
)
def test_a_file_that_is_no_statistics_is_refused_by_name(content, message, folder):
    (folder / "cmvn.ark").write_bytes(content)
    with pytest.raises(ValueError, match=rf"cmvn\.ark .*{message}"):
        load_feature_extractor(str(folder))


class Runs:
    """Would run code when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("ran",)


def test_a_checkpoint_that_would_run_code_is_refused_and_runs_none(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rewrite(folder, lambda checkpoint: {**checkpoint, "extra": Runs()})
    with pytest.raises(
        ValueError, match=r"model\.pth\.tar is not loaded, since it could run code: .* holds \w+\.mkdir"
    ):
        EntropyASRForCTC.from_encoder(str(folder))
    assert not (tmp_path / "ran").exists()


def drop(name):
    def change(checkpoint):
        checkpoint["model_state_dict"].pop(name)

    return change


def widen(checkpoint):
    checkpoint["args"].kernel_size = 9


def even(checkpoint):
    checkpoint["args"].kernel_size = 8


def forget(checkpoint):
    del checkpoint["args"].n_head


def no_encoder(checkpoint):
    checkpoint["model_state_dict"] = {"decoder.weight": torch.zeros(1)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop("encoder.layer_stack.1.mhsa.pos_bias_u"), r"layers\.1\.self_attn\.content_bias: missing"),
        (drop("encoder.input_preprocessor.conv.0.weight"), r"subsampling\.conv1\.weight: missing"),
        (widen, r"layers\.0\.conv\.depthwise\.weight: \(64, 1, 7\) instead of \(64, 1, 9\)"),
        (even, "describe no encoder that can be built: .*must be odd"),
        (forget, "`args` lacks n_head"),
        (no_encoder, "no weight is called `encoder"),
        (lambda checkpoint: {"model_state_dict": {}}, "must hold `args` and `model_state_dict`"),
        (lambda checkpoint: [1], "holds a list"),
        (lambda checkpoint: {**checkpoint, "args": {"idim": 80}}, "must hold `args`"),
    ],
)
def test_another_layout_is_refused_by_name(change, message, folder):
    rewrite(folder, change)
    with pytest.raises(ValueError, match=rf"model\.pth\.tar\b.*{message}"):
        EntropyASRForCTC.from_encoder(str(folder))


def test_a_file_that_cannot_be_read_is_refused_by_name(folder):
    file = folder / "model.pth.tar"
    content = file.read_bytes()
    for damaged in (b"", content[:100], content[: len(content) // 2]):
        file.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"model\.pth\.tar cannot be read: it is damaged, or its end is missing"):
            load_speech_model(str(folder))
    # What git holds in place of a large file.
    file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 4690000000\n")
    with pytest.raises(ValueError, match=r"model\.pth\.tar cannot be read: `torch\.save` has not written it"):
        load_speech_model(str(folder))


def test_weights_that_are_not_there_are_named(folder):
    (folder / "model.pth.tar").unlink()
    with pytest.raises(OSError, match=r"model\.pth\.tar"):
        load_speech_model(str(folder))


def test_a_folder_that_holds_neither_is_refused_as_before(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="Unrecognized model"):
        load_speech_model(str(tmp_path / "empty"))
    with pytest.raises(OSError, match="Can't load feature extractor"):
        load_feature_extractor(str(tmp_path / "empty"))
    assert argparse.Namespace not in torch.serialization.get_safe_globals()
