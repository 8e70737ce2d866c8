# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Any data set of speech is brought to the shared columns, wherever its audio and texts are."""

import io

import numpy as np
import pytest
import soundfile
from datasets import Audio, ClassLabel, Dataset, DatasetDict, IterableDataset, List, Value
from training_helpers import small_encoder, trainer_arguments

from entropy_asr.modeling import EntropyASRFeatureExtractor
from entropy_asr.trainers import EncoderPretrainingConfig, EncoderPretrainingTrainer, JointSFTConfig, JointSFTTrainer
from entropy_asr.trainers.data.collation import CTCCollator
from entropy_asr.trainers.data.decoding import read_samples
from entropy_asr.trainers.data.sources import as_rows, load_sources
from entropy_asr.trainers.stages.sft import SFTModelSection


SECONDS = (0.5, 0.8)
TEXTS = ["we go", "open the door"]


def tone(seconds: float, rate: int = 16000) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def flac(seconds: float) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, tone(seconds), 16000, format="FLAC")
    return buffer.getvalue()


def audio_columns(folder) -> dict[str, Dataset]:
    """The same two recordings in every form."""
    paths = [str(folder / f"{seconds}.flac") for seconds in SECONDS]
    for path, seconds in zip(paths, SECONDS, strict=True):
        soundfile.write(path, tone(seconds), 16000)
    arrays = [{"array": tone(seconds, 8000), "sampling_rate": 8000} for seconds in SECONDS]
    integers = [(tone(seconds) * 32768).astype(np.int16) for seconds in SECONDS]
    made = Dataset.from_dict
    return {
        "Audio": made({"audio": paths}).cast_column("audio", Audio()),
        "Audio not decoded": made({"audio": paths}).cast_column("audio", Audio(decode=False)),
        "paths": made({"audio": paths}),
        "bytes": made({"audio": [flac(seconds) for seconds in SECONDS]}),
        "bytes in a mapping": made({"audio": [{"bytes": flac(seconds)} for seconds in SECONDS]}),
        "arrays": made({"audio": arrays}),
        "lists with a rate": made({"audio": [a["array"] for a in arrays], "sampling_rate": [8000, 8000]}),
        "samples": made({"samples": integers}),
        "samples with a rate": made(
            {"samples": [(a["array"] * 32768).astype(np.int16) for a in arrays], "sampling_rate": [8000, 8000]}
        ),
        "numpy": made({"audio": arrays}).with_format("numpy"),
    }


FORMS = ("Audio", "Audio not decoded", "paths", "bytes", "bytes in a mapping", "arrays", "lists with a rate")


def dataset_of(form: str, folder) -> Dataset:
    rows = audio_columns(folder)[form]
    return rows.add_column("text", TEXTS)


@pytest.mark.parametrize("stream", [False, True], ids=["loaded", "streamed"])
@pytest.mark.parametrize("form", [*FORMS, "samples", "samples with a rate", "numpy"])
def test_audio_of_every_form_is_heard(form, stream, tmp_path):
    given = dataset_of(form, tmp_path)
    rows = as_rows(given.to_iterable_dataset() if stream else given, language="English")
    assert isinstance(rows, IterableDataset if stream else Dataset)
    rows = list(rows)
    assert [row["duration"] for row in rows] == pytest.approx(SECONDS, abs=1e-3)
    assert [row["text"] for row in rows] == TEXTS and [row["language"] for row in rows] == ["en", "en"]
    for row, seconds in zip(rows, SECONDS, strict=True):
        assert np.abs(read_samples(row)[800:-800] - tone(seconds)[800:-800]).max() < 1e-2


def test_texts_and_labels_of_other_names(tmp_path):
    rows = dataset_of("paths", tmp_path).rename_column("text", "sentence").add_column("text", [1, 2])
    rows = rows.add_column("language", [1, 0]).cast_column("language", ClassLabel(names=["zh-CN", "en"]))
    made = as_rows(rows, text_column="sentence", name="mine")
    assert made["text"][:] == TEXTS and made["language"][:] == ["en", "zh"] and made["source"][:] == ["mine", "mine"]
    assert load_sources([made])["text"][:] == load_sources(made)["text"][:] == TEXTS


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows.remove_columns("text"), "no column 'text'; it has audio.*text_column=.*dataset_text_field"),
        (lambda rows: rows.remove_columns("audio"), "no column 'audio'; it has text"),
        (
            lambda rows: rows.remove_columns("audio").add_column("audio", [1, 2]),
            "'audio' holds int64; audio is",
        ),
        (
            lambda rows: rows.remove_columns("audio").add_column("audio", [[0.1], [0.2]]),
            "'audio' holds lists of float64, which need a column 'sampling_rate'",
        ),
        (lambda rows: rows.remove_columns("text").add_column("text", [1, 2]), "column 'text' holds int64, not text"),
        (lambda rows: rows.add_column("duration", ["1", "2"]), "column 'duration' holds string, not seconds"),
        (
            lambda rows: rows.add_column("samples", [[0.1], [0.2]]),
            "column 'samples' holds lists of float64, not int16 at 16 kHz",
        ),
        (lambda rows: rows.with_transform(lambda batch: batch), "its transform .* would be lost"),
        (lambda rows: DatasetDict(train=rows), "Give one split of the data set, .* it has train"),
        (lambda rows: list(rows), "not as list"),
    ],
)
def test_other_data_sets_are_refused_in_words(change, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        as_rows(change(dataset_of("paths", tmp_path)), language="en")


def test_data_without_a_language_asks_for_one(tmp_path):
    with pytest.raises(ValueError, match=r"no column 'language'; .* Set language=\.\.\."):
        as_rows(dataset_of("paths", tmp_path))
    with pytest.raises(ValueError, match="as_rows: unknown langage; did you mean language"):
        as_rows(dataset_of("paths", tmp_path), langage="en")


def test_damaged_arrays_are_named(tmp_path):
    broken = [{"array": [0.1] * 800, "sampling_rate": 8000}, {"array": [float("nan")] * 800, "sampling_rate": 8000}]
    rows = Dataset.from_dict({"audio": broken, "text": TEXTS})
    with pytest.raises(ValueError, match="1 of 2 rows cannot be used: row 1: it has no audio"):
        as_rows(rows, language="en")
    assert len(as_rows(rows, language="en", bad_rows="skip")) == 1


# Trainers


def joint_trainer(components, folder, rows, **arguments) -> JointSFTTrainer:
    model, processor = SFTModelSection(path=str(components / "full")).build()
    args = trainer_arguments(JointSFTConfig, folder, max_steps=1, entropy_steps=0, **arguments)
    eval_rows = None if isinstance(rows, IterableDataset) else rows
    return JointSFTTrainer(model, args, processing_class=processor, train_dataset=rows, eval_dataset=eval_rows)


@pytest.mark.parametrize("form", ["Audio", "arrays"])
def test_trainers_take_a_plain_data_set(components, tmp_path, form):
    rows = dataset_of(form, tmp_path).rename_column("text", "sentence").add_column("speaker", ["a", "b"])
    trainer = joint_trainer(components, tmp_path / "out", rows, language="en-US", dataset_text_field="sentence")
    assert trainer.train() and "speaker" in trainer.train_dataset.column_names
    assert trainer.evaluate()["eval_wer"] == trainer.evaluate(rows)["eval_wer"]
    assert len(trainer.predict(rows).predictions) == 2
    with pytest.raises(ValueError, match="no column 'sentence'"):
        trainer.evaluate(rows.remove_columns("sentence"))


def test_what_cannot_be_evaluated_on_is_refused_in_words(components, tmp_path):
    rows = dataset_of("Audio", tmp_path)
    trainer = joint_trainer(components, tmp_path / "out", rows.to_iterable_dataset(), language="en")
    with pytest.raises(ValueError, match="give the trainer an `eval_dataset`"):
        trainer.evaluate()
    for use in (trainer.evaluate, trainer.predict):
        with pytest.raises(ValueError, match="cannot be streamed"):
            use(rows.to_iterable_dataset())


def test_the_language_of_trainers_is_understood_or_refused_at_once(tmp_path):
    assert trainer_arguments(JointSFTConfig, tmp_path, language="en-US").language == "en"
    with pytest.raises(ValueError, match="language 'klingon' is not understood"):
        trainer_arguments(JointSFTConfig, tmp_path, language="klingon")


def test_trainers_take_a_plain_stream(components, tmp_path):
    rows = dataset_of("Audio", tmp_path).to_iterable_dataset()
    assert joint_trainer(components, tmp_path / "out", rows, language="en").train()


def test_bad_rows_of_a_trainer_are_named(components, tmp_path):
    rows = dataset_of("Audio", tmp_path).add_column("language", ["en", "xx"])
    with pytest.raises(ValueError, match=r"row 1 \(.*0\.8\.flac\): language 'xx' is not understood"):
        joint_trainer(components, tmp_path / "out", rows)


def test_shared_rows_are_left_alone(components, tmp_path):
    rows = as_rows(dataset_of("samples", tmp_path), language="en").cast_column("samples", List(Value("int16")))
    trainer = joint_trainer(components, tmp_path / "out", rows)
    assert trainer.train_dataset._fingerprint == rows._fingerprint


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("completion_only_loss", False),
        ("assistant_only_loss", True),
        ("packing", True),
        ("eval_packing", True),
        ("padding_free", True),
        ("dataset_num_proc", 2),
        ("dataset_kwargs", {"x": 1}),
        ("max_length", 100),
        ("pad_to_multiple_of", 8),
        ("shuffle_dataset", True),
        ("eos_token", "</s>"),
        ("pad_token", "<pad>"),
        ("chat_template_path", "x.jinja"),
        ("model_init_kwargs", {}),
    ],
)
def test_arguments_of_trl_without_effect_are_refused(tmp_path, argument, value):
    with pytest.raises(ValueError, match=rf"{argument}=.* cannot be honoured: .*"):
        JointSFTConfig(str(tmp_path), use_cpu=True, **{argument: value})


def test_arguments_that_say_what_is_done_anyway_are_taken(tmp_path):
    JointSFTConfig(str(tmp_path), use_cpu=True, completion_only_loss=True, packing=False, max_length=None)
    with pytest.raises(ValueError, match="per_device_train_batch_size=2 cannot be honoured"):
        EncoderPretrainingConfig(str(tmp_path), use_cpu=True, per_device_train_batch_size=2)


def test_encoder_pretraining_labels_a_plain_data_set_itself(tmp_path):
    rows = dataset_of("Audio", tmp_path)
    args = trainer_arguments(EncoderPretrainingConfig, tmp_path / "out", max_steps=1, entropy_steps=0, language="en")
    collator = CTCCollator(EntropyASRFeatureExtractor())
    trainer = EncoderPretrainingTrainer(small_encoder(), args, collator, train_dataset=rows, eval_dataset={"a": rows})
    assert trainer.train() and set(trainer.evaluate()) & {"eval_a_per"}
    assert all(trainer.train_dataset["phoneme_ids"][:])


@pytest.mark.parametrize("form", ["bytes", "arrays", "lists with a rate", "samples with a rate"])
def test_converted_columns_are_found_again_without_looking_through_this_package(form, tmp_path, caplog):
    rows = audio_columns(tmp_path)[form].add_column("text", TEXTS)
    first, second = (as_rows(rows, language="en") for _ in range(2))
    assert first._fingerprint == second._fingerprint
    assert "couldn't be hashed" not in caplog.text
