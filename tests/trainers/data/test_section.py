# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What stages do around their trainers: rows, strict settings, records."""

import json

import datasets
import numpy as np
import pytest
import soundfile
import torch
from training_helpers import make_rows

from entropy_asr.trainers.data.augmentation import AugmentationConfig
from entropy_asr.trainers.data.kokoro import KokoroEngine
from entropy_asr.trainers.data.section import DataSection, SynthesisSource, choose_texts
from entropy_asr.trainers.data.speech_dataset import SpeechDataset
from entropy_asr.trainers.runs.records import finished, write_record
from entropy_asr.trainers.runs.settings import SettingsError, check_names, from_mapping
from entropy_asr.trainers.stages.evaluation import EvaluationSection
from entropy_asr.trainers.training.stage_run import last_complete_checkpoint


@pytest.fixture
def folder(tmp_path):
    make_rows().save_to_disk(tmp_path / "rows")
    return tmp_path


def section(folder, **kwargs) -> DataSection:
    return DataSection(cache_dir=str(folder / "cache"), **kwargs)


# Rows


def test_rows_are_repeated_cut_to_the_longest_duration_and_decoded(folder):
    data = section(folder, train=[{"path": str(folder / "rows"), "repeat": 2}], max_duration=0.7)
    rows, all_rows = data.train_rows(), make_rows()
    short = sum(duration <= 0.7 for duration in all_rows["duration"])
    assert 0 < short < len(all_rows)
    assert len(rows) == 2 * short
    assert max(rows["duration"]) <= 0.7
    assert "samples" in rows.column_names
    assert data.eval_rows() is None


def test_audio_is_kept_in_the_users_cache_and_never_in_the_current_folder(folder, monkeypatch):
    current = folder / "current"
    current.mkdir()
    monkeypatch.chdir(current)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", folder / "users")
    source = {"texts": "built-in:train", "language": "en", "num_texts": 1}
    assert DataSection(synthetic=[source]).train_rows()[0]["samples"]
    assert EvaluationSection().cache_dir == str(folder / "users" / "entropy_asr")
    assert list(current.iterdir()) == []
    assert list((folder / "users" / "entropy_asr").glob("synthetic-en-*"))


def test_no_rows_to_train_on_is_an_error(folder):
    with pytest.raises(ValueError, match="give `train` or `synthetic`"):
        section(folder, eval=[{"path": str(folder / "rows")}]).train_rows()
    with pytest.raises(ValueError, match="max_duration=0.01"):
        section(folder, train=[{"path": str(folder / "rows")}], max_duration=0.01).train_rows()


def test_synthetic_rows_are_added_to_recorded_ones(folder):
    source = {"texts": "built-in:train", "language": "zh", "num_texts": 2, "name": "spoken", "repeat": 2}
    rows = section(folder, train=[{"path": str(folder / "rows")}], synthetic=[source]).train_rows()
    spoken = rows.select(range(12, len(rows)))
    assert len(spoken) == 4
    assert set(spoken["source"]) == {"spoken"} and set(spoken["language"]) == {"zh"}
    assert set(spoken["text"]) == set(choose_texts(SynthesisSource(**source)))


def test_kokoro_speaks_beside_espeak_and_is_asked_once(folder, kokoro_weights, monkeypatch):
    texts = {"texts": "built-in:train", "language": "en", "num_texts": 3}
    source = {**texts, "engine": "kokoro", "weights": str(kokoro_weights)}
    rows = section(folder, synthetic=[source, texts]).train_rows()
    assert rows["source"][:] == ["kokoro"] * 3 + ["espeak-ng"] * 3
    assert rows["text"][:3] == rows["text"][3:] == choose_texts(SynthesisSource(**source))
    # Neither its name, nor how often it occurs, nor where the weights lie makes other audio.
    kokoro_weights.rename(folder / "moved")
    monkeypatch.setattr(KokoroEngine, "speak", lambda *arguments: pytest.fail("spoken again"))
    source = {**source, "weights": str(folder / "moved"), "name": "mine", "repeat": 2}
    again = section(folder, synthetic=[source]).train_rows()
    assert again["samples"][:] == rows["samples"][:3] * 2 and set(again["source"]) == {"mine"}


def test_voices_of_synthetic_speech_can_be_named(folder, kokoro_weights):
    source = {"texts": "built-in:train", "language": "en", "num_texts": 3}
    source |= {"engine": "kokoro", "weights": str(kokoro_weights)}
    rows = [
        section(folder, synthetic=[{**source, "voices": voices}]).train_rows()["samples"][:]
        for voices in (["af_heart"], ["bf_emma"])
    ]
    loudest = [max(max(samples) for samples in one) for one in rows]
    assert loudest[1] > 2 * loudest[0]
    with pytest.raises(ValueError, match="no voice af_hart of language 'en'; its voices are af_heart, am_adam"):
        section(folder, synthetic=[{**source, "voices": ["af_hart"]}]).train_rows()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"engine": "flite"}, "engine is one of espeak-ng, kokoro, not 'flite'"),
        ({"engine": "kokoro"}, "engine kokoro needs `weights`"),
        ({"weights": "a/b"}, "engine espeak-ng has no weights"),
    ],
)
def test_engines_that_cannot_be_meant_are_told_before_anything_is_loaded(fields, message):
    with pytest.raises(ValueError, match=message):
        DataSection(synthetic=[{"texts": "built-in:train", "language": "en", "num_texts": 1, **fields}])


def test_noise_rows_reach_the_augmenter(folder):
    config = AugmentationConfig(noise_probability=0.5)
    augmenter = section(folder, noise=[{"path": str(folder / "rows")}]).augmenter(config)
    assert len(augmenter.noise) == 12
    with pytest.raises(ValueError, match="needs noise rows"):
        section(folder).augmenter(config)


def test_noise_may_be_a_folder_of_audio_files(tmp_path):
    (tmp_path / "noise").mkdir()
    rng = np.random.default_rng(0)
    for index in range(3):
        soundfile.write(tmp_path / "noise" / f"{index}.wav", rng.uniform(-0.5, 0.5, 4000 + index), 16000)
    data = DataSection(noise=[{"path": str(tmp_path / "noise")}], cache_dir=str(tmp_path / "cache"))
    augmenter = data.augmenter(AugmentationConfig(noise_probability=1.0))
    assert sorted(len(augmenter.noise.integer_samples(index)) for index in range(3)) == [4000, 4001, 4002]
    quiet = torch.full((2000,), 0.01)
    assert not torch.equal(augmenter.waveform(quiet, np.random.default_rng(0)), quiet)


def test_transcripts_of_noise_are_not_asked_for_but_its_language_must_not_be_one(folder):
    with pytest.raises(ValueError, match="text_column=None means no speech"):
        section(folder, noise=[{"path": str(folder / "rows"), "language": "en"}]).augmenter(AugmentationConfig())


def test_rows_may_stay_encoded(tmp_path):
    (tmp_path / "speech").mkdir()
    soundfile.write(tmp_path / "speech" / "a.wav", np.zeros(8000), 16000)
    (tmp_path / "speech" / "metadata.jsonl").write_text('{"file_name": "a.wav", "text": "x", "language": "en"}\n')
    data = DataSection(
        train=[{"path": str(tmp_path / "speech")}], decode_ahead=False, cache_dir=str(tmp_path / "cache")
    )
    rows = data.train_rows()
    assert "audio" in rows.column_names and not (tmp_path / "cache").exists()
    assert len(SpeechDataset(rows)[0]["samples"]) == 8000
    with pytest.raises(ValueError, match="leave decode_ahead true"):
        DataSection(synthetic=[{"texts": "built-in:train", "language": "en", "num_texts": 1}], decode_ahead=False)


@pytest.mark.parametrize(
    ("name", "value"), [("num_proc", 0), ("num_proc", -1), ("max_duration", 0), ("max_duration", -2)]
)
def test_numbers_that_cannot_be_meant_are_refused_by_name(name, value):
    with pytest.raises(SettingsError, match=f"data: {name} must be .*got {value}") as error:
        DataSection(**{name: value})
    assert error.value.key == ("data", name)


@pytest.mark.parametrize("name", ["train", "eval", "noise", "synthetic", "synthetic_eval"])
def test_wrong_fields_of_sources_are_told_before_anything_is_loaded(name):
    with pytest.raises(ValueError, match=rf"data\.{name}\[0\]: unknown languag; did you mean language"):
        DataSection(**{name: [{"languag": "en"}]})


@pytest.mark.parametrize("name", ["eval", "noise"])
def test_streams_that_are_not_trained_on_are_refused_by_their_names(name):
    with pytest.raises(ValueError, match=rf"data\.{name}: my-org/speech: .* leave `streaming` out"):
        DataSection(**{name: [{"path": "my-org/speech", "streaming": True}]})


def test_noise_that_speech_is_evaluated_in_needs_neither_text_nor_language(tmp_path):
    make_rows("none none").remove_columns(["text", "language"]).to_parquet(tmp_path / "noise" / "train.parquet")
    noises = EvaluationSection(noise=[{"path": str(tmp_path / "noise")}], snr=[10.0]).noises()
    assert [len(noise) > 0 for noise in noises] == [True, True]


def test_texts_of_files_are_cut_drawn_by_seed_and_counted(tmp_path):
    (tmp_path / "a.txt").write_text("one two three four five six\nseven eight nine\n")
    source = SynthesisSource(texts=str(tmp_path / "a.txt"), language="en", num_texts=2, max_units=2)
    texts = choose_texts(source)
    assert len(set(texts)) == 2 and all(len(text.split()) <= 2 for text in texts)
    assert choose_texts(source) == texts
    with pytest.raises(ValueError, match="100 are asked for"):
        choose_texts(SynthesisSource(texts=str(tmp_path / "a.txt"), language="en", num_texts=100))


def test_traditional_characters_are_simplified_on_request(tmp_path):
    pytest.importorskip("opencc")
    (tmp_path / "a.txt").write_text("繁體中文\n", encoding="utf-8")
    source = {"texts": str(tmp_path / "a.txt"), "language": "zh", "num_texts": 1}
    assert choose_texts(SynthesisSource(**source)) == ["繁體中文"]
    assert choose_texts(SynthesisSource(**source, simplify=True)) == ["繁体中文"]


def test_sentences_are_spoken_as_they_are_written_where_a_source_says_so(tmp_path):
    (tmp_path / "a.txt").write_text("“Open it,” he said.\n", encoding="utf-8")
    source = {"texts": str(tmp_path / "a.txt"), "language": "en", "num_texts": 1, "max_units": 2}
    assert choose_texts(SynthesisSource(**source, style="written"))[0] in ("Open it,", "he said.")
    with pytest.raises(ValueError, match=r"`style` of a text must be one of .*'printed'"):
        SynthesisSource(**source, style="printed")
    with pytest.raises(ValueError, match="built-in sentences are written as transcripts"):
        SynthesisSource(**{**source, "texts": "built-in:train"}, style="written")


def test_test_sets_of_one_name_are_refused(folder):
    twice = [{"path": str(folder / "rows")}, {"path": str(folder / "rows"), "max_rows": 2}]
    with pytest.raises(ValueError, match="several test sets are called rows"):
        EvaluationSection(eval=twice).test_sets()
    twice[1]["name"] = "first"
    assert {name: len(rows) for name, rows in EvaluationSection(eval=twice).test_sets().items()} == {
        "rows": 12,
        "first": 2,
    }


# Settings


def test_unknown_names_come_with_what_is_spelt_alike_or_with_all():
    with pytest.raises(ValueError, match="here: unknown trian; did you mean train\\?"):
        check_names(["trian", "eval"], ["train", "eval"], "here")
    with pytest.raises(ValueError, match=r"here: unknown xyz; known are eval, train\."):
        check_names(["xyz"], ["train", "eval"], "here")


def test_mapping_must_be_one_and_complete():
    with pytest.raises(ValueError, match="place: expected a mapping, got \\['a'\\]"):
        from_mapping(SynthesisSource, ["a"], "place")
    with pytest.raises(ValueError, match="place: num_texts, texts missing"):
        from_mapping(SynthesisSource, {"language": "en"}, "place")


# Records


def test_record_says_what_was_run_and_other_settings_are_refused(tmp_path):
    settings = {"data": {"train": []}, "training": {"max_steps": 1}}
    assert not finished(tmp_path, settings, 3)
    write_record(tmp_path, "encoder", settings, {"seed": 3, "steps": 1})
    assert json.loads((tmp_path / "stage.json").read_text())["stage"] == "encoder"
    assert finished(tmp_path, settings, 3)
    for other, seed in (({**settings, "model": {}}, 3), ({"data": {}}, 3), (settings, 4)):
        with pytest.raises(ValueError, match="other settings"):
            finished(tmp_path, other, seed)


def test_last_complete_checkpoint_is_by_number_not_by_name_or_time(tmp_path):
    assert last_complete_checkpoint(tmp_path / "missing") is None
    for step in (1000, 90, 200):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text("{}")
    (tmp_path / "checkpoint-3000").mkdir()
    assert last_complete_checkpoint(tmp_path).name == "checkpoint-1000"


def test_conditions_of_an_evaluation_are_checked_and_made_sounds_are_a_test_set():
    assert list(EvaluationSection(guards=True, non_speech=3).test_sets()) == ["made sounds without speech"]
    with pytest.raises(ValueError, match="data: `guards` may be on, off, both, not 'sometimes'"):
        EvaluationSection(guards="sometimes")
    with pytest.raises(ValueError, match="data: `padded_silence`"):
        EvaluationSection(padded_silence=-1.0)
    with pytest.raises(ValueError, match="data: `non_speech`"):
        EvaluationSection(non_speech=-1)
    with pytest.raises(ValueError, match="`max_rows` is a number of rows from 1 on, not 0"):
        EvaluationSection(max_rows=0)
    with pytest.raises((ValueError, TypeError), match="padded_silence"):
        EvaluationSection(padded_silence="long")
