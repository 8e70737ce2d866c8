# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The entropy allocation report: of our checkpoints and of transformers' speech encoders; its parts."""

import json
import math

import numpy as np
import pytest
import torch
import transformers
from datasets import load_from_disk
from PIL import Image
from training_helpers import make_rows

from entropy_asr.modeling import EntropyASRForConditionalGeneration, EntropyASRProcessor
from entropy_asr.trainers.commands import cli
from entropy_asr.trainers.evaluation import phone_times
from entropy_asr.trainers.evaluation.frames import at_same_times, load_speech_encoder
from entropy_asr.trainers.evaluation.phone_times import SpokenUnit, frame_labels, times_from_columns, word_spans
from entropy_asr.trainers.evaluation.report import ReportOptions, write_report


SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
QUICK = {"split": "train", "probes": ["linear"], "num_seeds": 1}


def save_other_encoders(folder) -> list[str]:
    """Parakeet, Whisper and wav2vec2-BERT at random weights, with their feature extractors."""
    torch.manual_seed(0)
    parakeet = transformers.ParakeetEncoderConfig(
        **SIZES, num_mel_bins=80, subsampling_conv_channels=8, conv_kernel_size=5
    )
    whisper = transformers.WhisperConfig(
        d_model=32, encoder_layers=1, decoder_layers=1, encoder_attention_heads=4, decoder_attention_heads=4,
        encoder_ffn_dim=48, decoder_ffn_dim=48, vocab_size=60, pad_token_id=0, bos_token_id=0, eos_token_id=0,
        decoder_start_token_id=0,
    )  # fmt: skip
    bert = transformers.Wav2Vec2BertConfig(
        **SIZES, output_hidden_size=32, feature_projection_input_dim=160, apply_spec_augment=False, vocab_size=20
    )
    ctc = transformers.ParakeetCTCConfig(encoder_config=parakeet.to_dict(), vocab_size=20, pad_token_id=0)
    models = {
        "parakeet": (transformers.ParakeetForCTC(ctc), transformers.ParakeetFeatureExtractor(feature_size=80)),
        "whisper": (transformers.WhisperModel(whisper), transformers.WhisperFeatureExtractor(feature_size=80)),
        "w2v-bert": (transformers.Wav2Vec2BertModel(bert), transformers.SeamlessM4TFeatureExtractor(feature_size=80)),
    }
    for name, (model, extractor) in models.items():
        model.save_pretrained(folder / name)
        extractor.save_pretrained(folder / name)
    return [str(folder / name) for name in models]


def aligned_rows(folder, languages: str = "en zh en zh en zh en zh en zh"):
    """Rows that bring phoneme and word times and speakers."""
    rows = make_rows(languages)
    alignments = []
    for duration in rows["duration"]:
        marks = np.linspace(0, duration, 7).tolist()
        units = [{"label": f"p{i % 3}", "start": marks[i], "end": marks[i + 1]} for i in range(6)]
        words = [
            {"label": "one", "start": marks[0], "end": marks[3]},
            {"label": "two", "start": marks[3], "end": marks[6]},
        ]
        alignments.append({"phonemes": units, "words": words})
    rows = rows.add_column("alignment", alignments)
    rows = rows.add_column("speaker_id", [f"speaker {index // 2}" for index in range(len(rows))])
    rows.save_to_disk(folder)
    return str(folder)


@pytest.fixture(scope="module")
def full(components):
    path = components / "full"
    model = EntropyASRForConditionalGeneration.from_pretrained(path, dtype=torch.float32).eval()
    return model, EntropyASRProcessor.from_pretrained(path)


@pytest.fixture(scope="module")
def sound():
    return np.asarray(make_rows("en")[0]["samples"], dtype=np.float32) / 32768


def test_report_of_two_stages_of_ours(components, tmp_path):
    models = [str(components / "encoder"), str(components / "full")]
    options = ReportOptions(**QUICK, ledger_rows=3)
    report = write_report(models, [str(components / "rows")], tmp_path, options)
    assert json.loads((tmp_path / "report.json").read_text()) == json.loads(json.dumps(report))
    result = report["datasets"]["rows"]
    config = json.loads((components / "encoder" / "config.json").read_text())
    assert report["aligner"] == "encoder"
    assert result["data"]["num_utterances"] + result["data"]["left_out"] == 12
    assert 0 < result["data"]["mean_alignment_score"] < 1
    for figures in result["models"].values():
        assert 0 < figures["nse"] < 1
        assert figures["frames_per_second"] == pytest.approx(25, rel=0.05)
        assert len(figures["layers"]) == config["audio_config"]["num_hidden_layers"] + 1  # the input of the first, too
        assert figures["layers"][0]["num_rows"]["pai"] == figures["details"]["pai"]["num_frames"]
    # Alignment left the encoder alone: the same frames, measured once.
    assert result["models"]["full"]["same_frames_as"] == "encoder"
    assert result["models"]["full"]["pai"] == result["models"]["encoder"]["pai"]
    assert result["cka"]["biased"][0][1] == pytest.approx(1, abs=1e-6)
    assert "ledger" not in result["models"]["encoder"]
    assert result["models"]["full"]["ledger"]["num_tokens"] > 3
    text = (tmp_path / "report.md").read_text()
    assert "operational definitions" in text
    assert "`full` has the frames of `encoder` bit for bit" in text
    plots = sorted(path.name for path in tmp_path.glob("*.png"))
    kinds = ("allocation", "cka", "layers", "ledger", "spectrum")
    assert plots == [f"rows-{kind}.png" for kind in kinds]
    for plot in plots:
        assert plot in text and (tmp_path / plot).with_suffix(".svg").is_file()
        pixels = np.asarray(Image.open(tmp_path / plot).convert("L"))
        assert pixels.shape[1] > 500
        assert len(np.unique(pixels)) > 10


def test_report_of_any_speech_encoder_with_the_data_sets_own_alignment(components, tmp_path):
    models = save_other_encoders(tmp_path)
    models.append(str(components / "encoder"))
    data = aligned_rows(tmp_path / "aligned")
    report = write_report(models, [data], tmp_path / "out", ReportOptions(**QUICK))
    result = report["datasets"]["aligned"]
    assert report["aligner"] is None
    assert result["data"]["num_speakers"] == 5
    rates = {name: round(figures["frames_per_second"], 1) for name, figures in result["models"].items()}
    assert rates["whisper"] == pytest.approx(50, abs=1.5)
    assert rates["w2v-bert"] == pytest.approx(50, abs=2.5)
    assert rates["parakeet"] == pytest.approx(12.5, abs=1.5)
    for figures in result["models"].values():
        assert figures["details"]["pai"]["num_classes"] == 3
        assert figures["details"]["csai"]["num_classes"] == 2
        assert math.isfinite(figures["pai"] + figures["csai"])
        assert "same_frames_as" not in figures
    matrix = np.array(result["cka"]["biased"])
    assert matrix.diagonal() == pytest.approx(np.ones(4), abs=1e-9)
    assert matrix == pytest.approx(matrix.T)
    assert not list((tmp_path / "out").glob("*ledger*"))


def test_command_line_writes_the_report_and_names_what_is_missing(components, tmp_path, capsys):
    command = ["report", "--model", str(components / "encoder"), "--split", "train", "--probes", "linear"]
    command += ["--num_seeds", "1", "--no_layers", "--output_dir", str(tmp_path)]
    assert cli.main([*command, "--dataset", str(components / "rows")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "report.md")
    assert cli.main([*command, "--dataset", str(tmp_path / "nowhere")]) == 2
    assert "nowhere" in capsys.readouterr().err
    (other,) = save_other_encoders(tmp_path)[:1]
    assert cli.main(["report", "--model", other, "--split", "train", "--dataset", str(components / "rows")]) == 2
    assert "None of the models has a phoneme head" in capsys.readouterr().err


def test_frames_of_a_batch_are_those_of_each_alone(components):
    encoder = load_speech_encoder(str(components / "encoder"))
    sounds = [np.asarray(row["samples"], np.float32) / 32768 for row in load_from_disk(components / "rows")][:3]
    batch = encoder.encode(sounds, layers=True)
    for item, samples in zip(batch, sounds, strict=True):
        alone = encoder.encode([samples])[0].frames
        assert torch.allclose(item.frames, alone, atol=1e-5)
        assert all(len(layer) == len(alone) for layer in item.layers)


def test_frames_at_the_same_times():
    frames = torch.arange(8.0)[:, None]
    assert at_same_times(frames, 8)[:, 0].tolist() == list(range(8))
    assert at_same_times(frames, 4)[:, 0].tolist() == [1, 3, 5, 7]
    assert at_same_times(frames[:2], 4)[:, 0].tolist() == [0, 0, 1, 1]


def test_labels_of_frames_and_words():
    units = [SpokenUnit("a", 0.1, 0.3), SpokenUnit("b", 0.3, 0.5)]
    numbers = {}
    assert frame_labels(units, numbers, 10, 1.0).tolist() == [-100, 0, 0, 1, 1, *[-100] * 5]
    assert numbers == {"a": 0, "b": 1}
    words = {}
    spans = word_spans([SpokenUnit("ab", 0.1, 0.5), SpokenUnit("c", 0.5, 0.51)], words, 10, 1.0)
    assert spans.tolist() == [[1, 5, 0]]  # no frame's middle lies in "c"
    assert word_spans([], words, 10, 1.0).shape == (0, 3)
    assert times_from_columns({"phonemes": [{"label": "a", "start": 0, "end": 1}], "words": None}).words == []


def test_gaps_between_phonemes_are_shared():
    spans = [SpokenUnit("a", 1.0, 1.04), SpokenUnit("b", 1.10, 1.14), SpokenUnit("c", 2.0, 2.04)]
    widened = phone_times._widened(spans)
    assert [unit.start for unit in widened] == pytest.approx([0.9, 1.07, 1.9])
    assert [unit.end for unit in widened] == pytest.approx([1.07, 1.24, 2.14])
