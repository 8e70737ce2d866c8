# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Frames that are encoded once: of recordings, and of texts heard through them."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, local

import numpy as np
import pytest
import torch

from entropy_asr.trainers.data.collation import FeatureCollator
from entropy_asr.trainers.data.encoded_speech import EncodedSpeech, UnitInventory, encode_speech, encoded_or_loaded
from entropy_asr.trainers.data.phoneme_errors import count_errors
from entropy_asr.trainers.data.speech_dataset import SpeechDataset


def test_recordings_are_encoded_in_the_chunks_that_are_drawn(encoded):
    model, processor, rows, whole = encoded
    collator = FeatureCollator(processor.feature_extractor, chunk_sizes=[2], left_chunks=[0])
    drawn = encode_speech(model, rows, collator, 1, 0, max_batch_duration=3.0)
    config = model.config.audio_config
    config.chunk_size, config.left_chunks = 2, 0
    try:
        own = encode_speech(model, rows, FeatureCollator(processor.feature_extractor), 1, 0, max_batch_duration=3.0)
    finally:
        config.chunk_size, config.left_chunks = 0, -1
    assert np.array_equal(drawn.frames, own.frames)
    assert not np.array_equal(drawn.frames, whole.frames)


def errors_counted(utterances):
    """As of an encoder that takes each 5 for a 6 and hears the others right."""
    counts = np.zeros((10, 10), dtype=np.int64)
    for said in [[phoneme for phoneme, _ in utterance if phoneme] for utterance in utterances]:
        count_errors(counts, said, [6 if phoneme == 5 else phoneme for phoneme in said])
    return counts


def inventory_of(utterances):
    """Inventory of utterances [(phoneme, number of frames), ...]; a frame holds (utterance, position, phoneme)."""
    frames, ends, units = [], [], []
    for number, utterance in enumerate(utterances):
        position = 0
        for phoneme, length in utterance:
            units.append((number, phoneme, position, position + length))
            frames += [(number, position + offset, phoneme) for offset in range(length)]
            position += length
        ends.append(len(frames))
    arrays = {"rows": np.arange(len(ends)), "units": np.array(units), "errors": errors_counted(utterances)}
    return UnitInventory(
        EncodedSpeech(np.array(frames, dtype=np.float16), np.array(ends), **arrays), max_silence=12, max_unit=10
    )


def test_joined_phonemes_come_from_the_same_neighbourhood():
    inventory = inventory_of(
        [
            [(0, 2), (5, 1), (6, 2), (7, 1), (0, 1)],
            [(0, 1), (8, 1), (6, 3), (7, 2), (0, 1)],
            [(0, 1), (5, 2), (9, 1), (0, 0)],
        ]
    )
    for seed in range(20):
        frames = inventory.frames([5, 6, 7], np.random.default_rng(seed))
        spoken = [tuple(frame) for frame in frames.astype(int).tolist() if frame[2] != 0]
        # 5 before 6 and 6 between 5 and 7 were said in utterance 0 only; 7 between 6 and the end in both.
        assert spoken[:3] == [(0, 2, 5), (0, 3, 6), (0, 4, 6)]
        assert spoken[3:] in ([(0, 5, 7)], [(1, 5, 7), (1, 6, 7)])
    nowhere = inventory.frames([7, 9], np.random.default_rng(0)).astype(int)
    assert [phoneme for phoneme in nowhere[:, 2] if phoneme] in ([7, 9], [7, 7, 9])
    assert inventory.has([5, 9]) and not inventory.has([5, 4])
    with pytest.raises(ValueError, match="Phoneme 4"):
        inventory.frames([5, 4], np.random.default_rng(0))


def test_a_pause_is_not_taken_for_a_phoneme():
    inventory = inventory_of([[(0, 2), (5, 30), (6, 11), (0, 1)], [(0, 1), (5, 2), (7, 3), (0, 40)]])
    for seed in range(20):
        phonemes = inventory.frames([5, 6], np.random.default_rng(seed)).astype(int)[:, 2].tolist()
        # 5 was said in two frames; no shorter 6 was recorded.
        assert phonemes.count(5) == 2 and phonemes.count(6) == 11
    assert inventory.expected_length([5, 6]) == inventory.expected_length([]) + 13


def test_a_text_is_misheard_as_recordings_are():
    inventory = inventory_of([[(0, 2), (5, 2), (6, 3), (0, 1)], [(7, 1), (8, 1)]])
    heard = [inventory.misheard([5, 7, 8], 0.1, np.random.default_rng(seed)) for seed in range(200)]
    assert {tuple(row) for row in heard} == {(5, 7, 8), (6, 7, 8)}
    assert heard.count([6, 7, 8]) == pytest.approx(0.4 * 200 * 0.75, rel=0.35)
    # A 6 that nobody recorded cannot be joined.
    alone = inventory_of([[(5, 2)], [(7, 1)]])
    assert all(alone.misheard([5, 7], 0.5, np.random.default_rng(seed)) == [5, 7] for seed in range(50))


def test_errors_of_an_encoder_are_counted_while_it_runs(encoded):
    model, _, rows, speech = encoded
    said = sum(len(row) for row in rows["phoneme_ids"])
    assert speech.errors.shape == (model.config.phoneme_vocab_size,) * 2
    assert speech.errors[0, 0] == said == speech.errors[1:].sum()


def test_expected_length_is_the_mean_of_what_is_joined(encoded):
    """Texts are batched by it."""
    *_, rows, speech = encoded
    inventory = UnitInventory(speech, max_silence=12, max_unit=10)
    phoneme_ids = next(row for row in rows["phoneme_ids"] if len(row) > 3)
    lengths = [len(inventory.frames(phoneme_ids, np.random.default_rng(seed))) for seed in range(200)]
    # Contexts decide what is drawn and are left out of the estimate.
    assert inventory.expected_length(phoneme_ids) == pytest.approx(np.mean(lengths), rel=0.35)
    alike = inventory_of([[(0, 4), (5, 1), (6, 2), (0, 4)], [(0, 4), (5, 3), (6, 2), (0, 0)]])
    lengths = [len(alike.frames([5, 6], np.random.default_rng(seed))) for seed in range(2000)]
    assert alike.expected_length([5, 6]) == pytest.approx(np.mean(lengths), rel=0.03)


def test_stored_frames_are_the_encoders(encoded):
    model, processor, rows, speech = encoded
    assert sorted(speech.rows) == list(range(len(rows)))
    for recording, row in enumerate(speech.rows):
        features = processor.feature_extractor(
            SpeechDataset(rows)[int(row)]["samples"], sampling_rate=16000, return_tensors="pt"
        )["input_features"]
        with torch.no_grad():
            expected = model.model.audio_tower(features).last_hidden_state[0]
        torch.testing.assert_close(
            torch.from_numpy(speech.recording(recording)).float(), expected, atol=2e-3, rtol=2e-3
        )


def test_units_cover_each_recording_in_order(encoded):
    *_, rows, speech = encoded
    for recording, row in enumerate(speech.rows.tolist()):
        units = speech.units[speech.units[:, 0] == recording]
        assert units[0, 2] == 0 and units[-1, 3] == speech.lengths[recording]
        assert (units[1:, 2] == units[:-1, 3]).all()
        assert [phoneme for phoneme in units[:, 1].tolist() if phoneme] == rows[row]["phoneme_ids"]


def test_encoding_is_kept(encoded, tmp_path):
    *_, speech = encoded
    kept = encoded_or_loaded(tmp_path / "encoded", lambda share: speech)
    again = encoded_or_loaded(tmp_path / "encoded", lambda share: pytest.fail("encoded twice"))
    for one in (kept, again):
        assert np.array_equal(one.frames, speech.frames) and np.array_equal(one.units, speech.units)


def test_a_process_may_have_nothing_to_encode(encoded, tmp_path):
    model, processor, rows, alone = encoded
    collator = FeatureCollator(processor.feature_extractor)
    parts = [encode_speech(model, rows, collator, 1, 0, 60.0, (index, 3)) for index in range(3)]
    assert [len(part) for part in parts].count(0) == 2
    for index, part in enumerate(parts):
        part.save(tmp_path / str(index))
    joined = EncodedSpeech.joined([EncodedSpeech.load(tmp_path / str(index)) for index in range(3)])
    assert sorted(joined.rows) == sorted(alone.rows) and joined.rows.dtype == np.int64
    assert joined.recording(len(joined) - 1).shape[1] == model.config.audio_config.hidden_size


def test_machines_may_share_a_folder(encoded, tmp_path, monkeypatch):
    *_, speech = encoded
    barrier, others = Barrier(4), local()
    monkeypatch.setattr("socket.gethostname", lambda: others.name)

    def process(number: int) -> EncodedSpeech:
        machine, index = divmod(number, 2)
        others.name = f"machine{machine}"
        return encoded_or_loaded(tmp_path / "encoded", lambda share: speech, (index, 2), barrier.wait)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(process, range(4)))
    assert {len(one) for one in found} == {2 * len(speech)}
    assert [path.name for path in tmp_path.iterdir()] == ["encoded"]


def test_a_machine_that_has_it_already_waits_as_often_as_one_that_has_not(encoded, tmp_path):
    *_, speech = encoded
    speech.save(tmp_path / "machine0")
    barrier = Barrier(2, timeout=20)
    with ThreadPoolExecutor(2) as pool:
        found = list(
            pool.map(
                lambda number: encoded_or_loaded(
                    tmp_path / f"machine{number}", lambda share: speech, (0, 1), barrier.wait
                ),
                range(2),
            )
        )
    assert [len(one) for one in found] == [len(speech)] * 2


def test_processes_encode_each_recording_once_as_one_alone_does(encoded, tmp_path):
    model, processor, rows, alone = encoded
    collator, barrier = FeatureCollator(processor.feature_extractor), Barrier(2)

    def process(index: int) -> EncodedSpeech:
        encode = lambda share: encode_speech(model, rows, collator, 1, 0, 3.0, share)  # noqa: E731
        return encoded_or_loaded(tmp_path / "encoded", encode, (index, 2), barrier.wait)

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(process, range(2))
    assert np.array_equal(first.frames, second.frames) and np.array_equal(first.errors, alone.errors)
    assert [path.name for path in tmp_path.iterdir()] == ["encoded"]
    assert sorted(first.rows) == sorted(alone.rows) and len(set(first.rows)) == len(first)
    for recording, row in enumerate(first.rows):
        (same,) = np.flatnonzero(alone.rows == row)
        assert np.array_equal(first.recording(recording), alone.recording(same))
        ours, theirs = (one.units[one.units[:, 0] == number] for one, number in ((first, recording), (alone, same)))
        assert np.array_equal(ours[:, 1:], theirs[:, 1:])
