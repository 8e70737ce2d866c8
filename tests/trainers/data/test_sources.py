# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
import io
import json
import logging
import re
import time

import numpy as np
import pytest
import soundfile
from datasets import Audio, Dataset, DatasetDict, Features, IterableDataset, List, Value, concatenate_datasets
from torch.utils.data import DataLoader

from entropy_asr.modeling.audio import AudioError
from entropy_asr.trainers.data import sources
from entropy_asr.trainers.data.batching import DurationBatchSampler
from entropy_asr.trainers.data.rows import add_beside
from entropy_asr.trainers.data.sources import (
    DataSource,
    SpeechDataset,
    decode_ahead,
    load_source,
    load_sources,
    read_samples,
)


COLUMNS = ["audio", "text", "language", "duration", "source"]


def tone(seconds, rate=16000, frequency=440):
    return (0.3 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def encode(waveform, rate=16000, container="OGG", subtype="OPUS"):
    buffer = io.BytesIO()
    soundfile.write(buffer, waveform, rate, format=container, subtype=subtype)
    return buffer.getvalue()


def dummy_row(number, seconds, **changes):
    audio = {"bytes": encode(tone(seconds)), "path": f"{number}.ogg"}
    return {"audio": audio, "text": f"text {number}", "language": "en", "duration": seconds} | changes


def write_parquet(folder, split="train", seconds=(0.5, 1.0, 2.0), rows=None, drop=()):
    """Writes a split in the layout of a Hub data set; gives its folder."""
    rows = rows or [dummy_row(number, length) for number, length in enumerate(seconds)]
    dataset = Dataset.from_list([{key: value for key, value in row.items() if key not in drop} for row in rows])
    (folder / "data").mkdir(parents=True, exist_ok=True)
    dataset.cast_column("audio", Audio(decode=False)).to_parquet(folder / "data" / f"{split}-00000-of-00001.parquet")
    return folder


def write_audio_folder(folder, seconds=(0.5, 1.5)):
    """Writes WAV files beside a metadata.jsonl without durations."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for number, length in enumerate(seconds):
        soundfile.write(folder / f"{number}.wav", tone(length), 16000)
        lines.append(json.dumps({"file_name": f"{number}.wav", "text": f"text {number}"}))
    (folder / "metadata.jsonl").write_text("\n".join(lines))
    return folder


@pytest.fixture
def load(tmp_path):
    return lambda *args, **kwargs: load_source(DataSource(*map(str, args), **kwargs), tmp_path / "cache")


def test_parquet_folder_gives_the_shared_columns_and_split(tmp_path, load):
    folder = write_parquet(tmp_path / "words")
    write_parquet(folder, "test", [0.7])
    rows = load(folder)
    assert rows.column_names == COLUMNS
    assert rows.features["audio"] == {"bytes": Value("binary"), "path": Value("string")}
    first = rows[0]
    np.testing.assert_allclose(read_samples(first)[200:-200], tone(0.5)[200:-200], atol=0.05)
    assert first.pop("audio")["path"] == "0.ogg"
    assert first == {"text": "text 0", "language": "en", "duration": 0.5, "source": "words"}
    assert load(folder, split="test")["text"][:] == ["text 0"]


def test_folder_with_a_readme_follows_its_splits(tmp_path, load):
    folder = write_parquet(tmp_path / "words")
    write_parquet(folder, "odd", [0.7])
    (folder / "README.md").write_text(
        "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: dev\n    path: data/odd-*.parquet\n---\n"
    )
    (folder / "metadata.jsonl").write_text('{"file_name": "elsewhere.ogg"}\n')
    assert len(load(folder, split="dev")) == 1
    with pytest.raises(ValueError, match="no split 'train'; it has dev"):
        load(folder)


def test_parquet_file_and_names(tmp_path, load):
    file = write_parquet(tmp_path) / "data" / "train-00000-of-00001.parquet"
    assert set(load(file)["source"]) == {file.name}
    assert set(load(file, name="tones", language="zh")["language"]) == {"zh"}
    assert set(load(file, name="tones")["source"]) == {"tones"}


def test_audio_files_with_metadata_get_their_durations(tmp_path, load):
    rows = load(write_audio_folder(tmp_path / "recordings"), language="en")
    assert rows["text"][:] == ["text 0", "text 1"]
    assert rows["duration"][:] == [0.5, 1.5]
    np.testing.assert_allclose(SpeechDataset(rows)[1]["samples"], tone(1.5), atol=1e-4)


def test_saved_datasets_and_decoded_samples_are_read(tmp_path, load):
    rows = [{"samples": [1, 2, 3] * 1600, "sentence": "", "language": "none"}]
    features = Features({"samples": List(Value("int16")), "sentence": Value("string"), "language": Value("string")})
    saved = Dataset.from_list(rows, features=features)
    saved.save_to_disk(tmp_path / "one")
    DatasetDict(dev=saved).save_to_disk(tmp_path / "several")
    for path, split in ((tmp_path / "one", "train"), (tmp_path / "several", "dev")):
        loaded = load(path, split=split, text_column="sentence")
        assert loaded[0]["duration"] == 0.3
        assert loaded.column_names == ["samples", *COLUMNS[1:]]
    with pytest.raises(ValueError, match="it has dev"):
        load(tmp_path / "several")


def test_duration_bounds_then_max_rows(tmp_path, load):
    folder = write_parquet(tmp_path, seconds=[0.2, 1.0, 3.0, 0.6, 1.5])
    assert load(folder, min_duration=0.5, max_duration=2.0)["duration"][:] == [1.0, 0.6, 1.5]
    assert load(folder, min_duration=0.5, max_rows=2)["duration"][:] == [1.0, 3.0]
    with pytest.raises(ValueError, match=r"no row of split 'train' has a duration within \[5.0"):
        load(folder, min_duration=5.0)


def test_sources_are_joined_and_repeated(tmp_path):
    write_parquet(tmp_path / "a", seconds=[0.2])
    write_audio_folder(tmp_path / "b")
    rows = load_sources(
        [
            {"path": str(tmp_path / "a"), "repeat": 3},
            DataSource(str(tmp_path / "b"), language="zh", max_rows=1),
        ],
        tmp_path / "cache",
        tmp_path / "decoded",
    )
    assert list(zip(rows["source"], rows["language"], strict=True)) == [("a", "en")] * 3 + [("b", "zh")]
    assert rows.column_names == ["text", "language", "duration", "source", "samples"]


def test_repeated_rows_are_decoded_once(tmp_path, monkeypatch):
    write_parquet(tmp_path / "a", seconds=[0.2, 0.3])
    decoded = []
    monkeypatch.setattr(sources, "read_samples", lambda row: decoded.append(row) or read_samples(row))
    rows = load_sources([{"path": str(tmp_path / "a"), "repeat": 4}], tmp_path / "cache", tmp_path / "decoded")
    assert (len(rows), len(decoded)) == (8, 2)


def test_wrong_sources_are_refused_with_what_exists(tmp_path, load):
    folder = write_parquet(tmp_path / "words")
    for kwargs, message in (
        ({"split": "dev"}, "words: no split 'dev'; it has train"),
        ({"text_column": "sentence"}, "no column 'sentence'; it has audio, text, language, duration"),
    ):
        with pytest.raises(ValueError, match=message):
            load(folder, **kwargs)
    with pytest.raises(ValueError, match="no column 'language'.*Set language="):
        load(write_audio_folder(tmp_path / "recordings"))
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(ValueError, match="must be parquet"):
        load(tmp_path / "notes.txt")
    for path in (tmp_path / "absent", "some-org/some-dataset"):
        with pytest.raises(FileNotFoundError, match=str(path)):
            load(path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="no parquet"):
        load(tmp_path / "empty")
    with pytest.raises(ValueError, match=r"unknown fields \['splits'\]"):
        load_sources([{"path": "x", "splits": "dev"}])
    with pytest.raises(ValueError, match="no 'path'"):
        load_sources([{"split": "dev"}])
    with pytest.raises(ValueError, match="No data sources"):
        load_sources([])


@pytest.mark.parametrize("change", [{"repeat": 0}, {"max_rows": 0}, {"min_duration": 3.0, "max_duration": 2.0}])
def test_wrong_fields_are_refused_by_name(change):
    with pytest.raises(ValueError, match=next(iter(change)).replace("min", "max")):
        DataSource("x", **change)


def test_text_must_be_there_for_speech_and_empty_for_noise(tmp_path, load):
    noise = dummy_row(1, 0.3, language="none", text="")
    assert load(write_parquet(tmp_path / "noise", rows=[noise]))["text"][:] == [""]
    with pytest.raises(ValueError, match="'bark'"):
        load(write_parquet(tmp_path / "labels", rows=[noise | {"text": "bark"}]))
    with pytest.raises(ValueError, match=r"gaps: 1 of 2 rows cannot be used: row 1 \(1\.ogg\): it has no text\. Mend"):
        load(write_parquet(tmp_path / "gaps", rows=[dummy_row(0, 0.2), dummy_row(1, 0.2, text=None)]))


def test_files_that_do_not_fit_together_are_told_by_source(tmp_path, load):
    folder = write_audio_folder(tmp_path / "mixed")
    lines = [{"file_name": "0.wav", "text": "one"}, {"file_name": "1.wav", "text": 2}]
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)))
    with pytest.raises(ValueError, match="mixed: its files cannot be read: .*text.* changed from string to number"):
        load(folder, language="en")


def test_decoded_rows_hold_16_khz_mono_and_true_durations(tmp_path, load):
    stereo = np.stack([tone(0.5, 44100)] * 2, axis=1)
    rows = [
        dummy_row(0, 0.5, duration=9.0),
        dummy_row(1, 0.5, audio={"bytes": encode(stereo, 44100, "WAV", "PCM_16"), "path": "stereo.wav"}),
    ]
    decoded = decode_ahead(load(write_parquet(tmp_path, rows=rows)), tmp_path / "decoded")
    assert decoded["duration"][:] == pytest.approx([0.5, 0.5], abs=1e-3)
    assert decoded.features["samples"] == List(Value("int16"))
    row = SpeechDataset(decoded)[1]
    assert row["samples"].dtype == np.float32
    np.testing.assert_allclose(row["samples"][200:-200], tone(0.5)[200:-200], atol=2e-3)
    np.testing.assert_array_equal(row["samples"], read_samples(decoded[1]))


def test_16_bit_audio_is_decoded_without_loss(tmp_path, load):
    integers = np.array([-32768, -1, 0, 1, 32767] * 400, dtype=np.int16)
    row = dummy_row(0, 0.125, audio={"bytes": encode(integers, 16000, "WAV", "PCM_16"), "path": "a.wav"})
    decoded = SpeechDataset(decode_ahead(load(write_parquet(tmp_path, rows=[row])), tmp_path / "decoded"))
    np.testing.assert_array_equal(decoded.integer_samples(0), integers)


def test_bad_audio_is_left_out_with_its_name_each_time(tmp_path, load, caplog):
    good = dummy_row(0, 0.5)
    truncated = dummy_row(1, 0.5, audio={"bytes": good["audio"]["bytes"][:900], "path": "cut.ogg"})
    rows = [good, truncated, dummy_row(2, 0.5, audio={"bytes": b"hello", "path": "notes.txt"}), dummy_row(3, 0.6)]
    dataset = load(write_parquet(tmp_path, rows=rows))
    for _ in range(2):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            decoded = decode_ahead(dataset, tmp_path / "decoded")
        warnings = [record.message for record in caplog.records if "left out" in record.message]
        assert len(warnings) == 2
        assert "cut.ogg" in warnings[0]
        assert "notes.txt" in warnings[1]
        assert decoded["text"][:] == ["text 0", "text 3"]
    with pytest.raises(AudioError, match="cut.ogg"):
        SpeechDataset(dataset)[1]
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        in_place = SpeechDataset(dataset, replace_unreadable=True)[1]
    assert in_place["text"] == "text 0", "text 3 is longer, and the next one unreadable too"
    assert "Row 1 is replaced" in caplog.text and "cut.ogg" in caplog.text
    with pytest.raises(AudioError, match="cut.ogg"):
        SpeechDataset(dataset.select([1, 2]), replace_unreadable=True)[0]
    with pytest.raises(ValueError, match="None of the 2 rows has readable audio; the first: cut.ogg"):
        decode_ahead(dataset.select([1, 2]), tmp_path / "decoded")


def test_unreadable_audio_without_a_duration_is_left_out_by_name(tmp_path, load, caplog):
    rows = [dummy_row(0, 0.5), dummy_row(1, 0.5, audio={"bytes": b"hello", "path": "notes.txt"})]
    folder = write_parquet(tmp_path, rows=rows, drop=["duration"])
    with caplog.at_level(logging.WARNING):
        assert load(folder)["duration"][:] == pytest.approx([0.5], abs=1e-3)
    assert f"{folder}: row 1 is left out: notes.txt" in caplog.text
    for streaming in (False, True):
        with pytest.raises(ValueError, match=f"{re.escape(str(folder))}: .*notes.txt"):
            list(load(folder, bad_rows="refuse", streaming=streaming))


def test_second_decoding_reads_the_cache(tmp_path, load, monkeypatch):
    folder = write_parquet(tmp_path / "a")
    decode_ahead(load(folder), tmp_path / "decoded")
    files = sorted((tmp_path / "decoded").iterdir())
    monkeypatch.setattr(sources, "load_audio", lambda *args, **kwargs: pytest.fail("decoded again"))
    again = decode_ahead(load(folder), tmp_path / "decoded")
    assert decode_ahead(again, tmp_path / "elsewhere") is again
    assert sorted((tmp_path / "decoded").iterdir()) == files
    assert SpeechDataset(again)[2]["samples"].shape == (32000,)


def test_decoding_in_two_processes_gives_the_same_rows(tmp_path, load):
    dataset = load(write_parquet(tmp_path))
    one = SpeechDataset(decode_ahead(dataset, tmp_path / "one"))
    two = SpeechDataset(decode_ahead(dataset, tmp_path / "two", num_proc=2))
    for index in range(3):
        np.testing.assert_array_equal(one[index]["samples"], two[index]["samples"])
        assert one[index]["text"] == two[index]["text"]


def test_selected_and_joined_rows_keep_their_own_audio(tmp_path, load):
    decoded = decode_ahead(load(write_parquet(tmp_path, seconds=[0.1, 0.2, 0.3, 0.4])), tmp_path / "decoded")
    rows = SpeechDataset(concatenate_datasets([decoded.select([3, 1]), decoded.select([0])]))
    assert [(row["text"], len(row["samples"])) for row in (rows[0], rows[1], rows[2])] == [
        ("text 3", 6400),
        ("text 1", 3200),
        ("text 0", 1600),
    ]


def test_decoded_rows_are_read_fast(tmp_path):
    features = Features({"samples": List(Value("int16")), "text": Value("string")})
    integers = np.arange(160000, dtype=np.int16)
    Dataset.from_dict({"samples": [integers] * 40, "text": ["a"] * 40}, features=features).save_to_disk(tmp_path)
    rows = SpeechDataset(Dataset.load_from_disk(tmp_path))
    timings = []
    for index in range(40):
        start = time.perf_counter()
        rows[index]
        timings.append(time.perf_counter() - start)
    assert np.median(timings) < 1e-3


def test_a_loader_gives_rows_with_their_draws(tmp_path, load):
    decoded = decode_ahead(load(write_parquet(tmp_path)), tmp_path / "decoded")
    sampler = DurationBatchSampler(decoded["duration"][:], 4.0)
    for num_workers in (0, 2):
        loader = DataLoader(SpeechDataset(decoded), batch_sampler=sampler, collate_fn=list, num_workers=num_workers)
        got = [(row["index"], row["draw"], row["text"]) for batch in loader for row in batch]
        assert got == [(index, draw, f"text {index}") for batch in sampler for index, draw in batch]


def test_streamed_rows_have_the_same_columns(tmp_path, load):
    folder = write_parquet(tmp_path, seconds=[0.2, 0.5, 1.0, 2.0], drop=["language"])
    kwargs = {"language": "en", "min_duration": 0.3, "max_rows": 2}
    stream = load(folder, streaming=True, **kwargs)
    assert isinstance(stream, IterableDataset)
    assert list(stream) == list(load(folder, **kwargs))
    with pytest.raises(ValueError, match="only parquet can be streamed"):
        load(write_audio_folder(tmp_path / "recordings"), **kwargs | {"streaming": True})
    with pytest.raises(ValueError, match="Streamed sources can neither be mixed"):
        load_sources([DataSource(str(folder), streaming=True), DataSource(str(folder))])


def test_streamed_rows_without_a_duration_get_one(tmp_path, load, caplog):
    rows = [dummy_row(0, 0.5), dummy_row(1, 0.5, audio={"bytes": b"hello", "path": "notes.txt"})]
    stream = load(write_parquet(tmp_path, rows=rows, drop=["duration"]), streaming=True)
    with caplog.at_level(logging.WARNING):
        assert [row["duration"] for row in stream] == pytest.approx([0.5], abs=1e-3)
    assert "notes.txt" in caplog.text


def test_a_streamed_row_of_negative_duration_is_not_taken_for_a_short_one(tmp_path, load):
    rows = [dummy_row(0, 0.5), dummy_row(1, 0.5, duration=-1.0)]
    assert len(list(load(write_parquet(tmp_path, rows=rows), streaming=True))) == 2, "told where it is read"


def test_real_sets_load_and_decode(tmp_path, data_dir):
    for name, language in (("aishell_sample", "zh"), ("fsdd_digits", "en"), ("esc10_noise", "none")):
        source = DataSource(str(data_dir / name), split="test", max_rows=8)
        rows = load_sources([source], tmp_path / "cache", tmp_path / "decoded")
        assert set(rows["language"]) == {language}
        assert all(bool(text) == (language != "none") for text in rows["text"])
        for index, declared in enumerate(load_source(source, tmp_path / "cache")["duration"]):
            samples = SpeechDataset(rows)[index]["samples"]
            assert len(samples) / 16000 == pytest.approx(declared, abs=0.05)
            assert 0.001 < np.abs(samples).max() <= 1.0


@pytest.mark.parametrize("selected", [[5, 1, 3], [0, 1, 2], [2, 2, 4]])
def test_columns_are_laid_beside_selected_rows_without_copying_their_audio(tmp_path, selected):
    rows = Dataset.from_dict({"samples": [[n] * 50 for n in range(6)], "text": [f"text {n}" for n in range(6)]})
    rows.save_to_disk(tmp_path)
    rows = Dataset.load_from_disk(tmp_path).select(selected)
    labels = Dataset.from_dict({"label": [10, 20, 30]})
    joined = add_beside(rows, labels)
    assert joined.to_dict() == {**rows.to_dict(), **labels.to_dict()}
    memory = [table.data.column("samples").chunk(0).buffers() for table in (rows, joined)]
    is_shared = memory[0][-1].address == memory[1][-1].address
    assert is_shared == (len(set(selected)) == len(selected))  # a row twice is written twice


def test_columns_beside_a_part_of_repeated_and_joined_sources(tmp_path):
    parts = [Dataset.from_dict({"text": [f"{name}{n}" for n in range(4)]}) for name in "ab"]
    rows = concatenate_datasets([parts[0].select([3, 0, 1]).repeat(2), parts[1]]).select([0, 2, 4, 5, 8])
    labels = rows.map(lambda row, number: {"label": f"{row['text']} {number}"}, with_indices=True)
    joined = add_beside(rows, labels.select_columns("label"))
    assert joined["text"][:] == ["a3", "a1", "a0", "a1", "b2"]
    assert joined["label"][:] == ["a3 0", "a1 1", "a0 2", "a1 3", "b2 4"]


def with_flac_total(total: int, seconds: float = 1.5) -> bytes:
    """A FLAC file that states another number of samples; 0 as an encoder does that writes to a pipe."""
    flac = bytearray(encode(tone(seconds), container="FLAC", subtype="PCM_16"))
    flac[21:26] = (int.from_bytes(flac[21:26]) >> 36 << 36 | total).to_bytes(5)
    return bytes(flac)


def mp3_without_tag(seconds: float = 1.5) -> bytes:
    mp3 = encode(tone(seconds), container="MP3", subtype="MPEG_LAYER_III")
    return mp3[mp3.index(mp3[:2], 200) :]


def wav_with_size(size: int, seconds: float = 1.5) -> bytes:
    wav = bytearray(encode(tone(seconds), container="WAV", subtype="PCM_16"))
    wav[40:44] = size.to_bytes(4, "little")
    return bytes(wav)


@pytest.mark.parametrize(
    "data",
    [
        with_flac_total(0),
        with_flac_total(8000),
        mp3_without_tag(),
        wav_with_size(0xFFFFFFFF),
        wav_with_size(0),
        wav_with_size(8000),
        encode(tone(0.75)) * 2,
    ],
    ids=["FLAC from a pipe", "FLAC, too little", "MP3", "WAV from a pipe", "WAV, none", "WAV, too little", "two Opus"],
)
@pytest.mark.parametrize("streaming", [False, True])
def test_durations_are_true_where_headers_lie(tmp_path, load, data, streaming):
    rows = [dummy_row(number, 1.5, audio={"bytes": data, "path": "x.bin"}) for number in range(2)]
    folder = write_parquet(tmp_path / "lies", rows=rows, drop=["duration"])
    loaded = load(folder, min_duration=1.2, max_duration=1.8, streaming=streaming)
    assert [row["duration"] for row in loaded] == pytest.approx([1.5, 1.5], abs=0.15 if data[:1] == b"\xff" else 1e-6)


def test_a_row_that_is_shorter_than_its_header_says_is_left_out_by_name(tmp_path, load, caplog):
    bad = {"bytes": with_flac_total(48000), "path": "cut.flac"}
    rows = [dummy_row(0, 1.0), dummy_row(1, 3.0, audio=bad)]
    loaded = load(write_parquet(tmp_path / "cut", rows=rows, drop=["duration"]))
    assert len(loaded) == 1
    assert "cut.flac" in caplog.text and "24000 of 48000 samples" in caplog.text
