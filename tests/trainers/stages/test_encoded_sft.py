# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Training on stored encoder frames, and on text that is heard through them."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from training_helpers import die_at, make_rows, same_tensors
from transformers import Trainer

from entropy_asr.modeling import EntropyASRFeatureExtractor, EntropyASRForConditionalGeneration, EntropyASRProcessor
from entropy_asr.trainers.data.collation import FeatureCollator, TranscriptionCollator
from entropy_asr.trainers.data.encoded_speech import EncodedSpeech, UnitInventory, encode_speech, encoded_or_loaded
from entropy_asr.trainers.data.keywords import ContextConfig, draw_hints
from entropy_asr.trainers.data.phoneme_labels import add_phoneme_ids
from entropy_asr.trainers.data.speech_dataset import SpeechDataset
from entropy_asr.trainers.recipes.recipe import run_section
from entropy_asr.trainers.runs.settings import SettingsError
from entropy_asr.trainers.stages.encoded_sft import (
    EncodedCollator,
    EncodedContextCollator,
    EncodedDataSection,
    EncodedSFTConfig,
    FrameInput,
    encoded_rows,
    with_keywords,
)
from entropy_asr.trainers.stages.sft import SFTModelSection


@pytest.fixture(scope="module")
def encoded(components):
    """Model, processor, rows and their encoded speech, without augmentation."""
    model, processor = SFTModelSection(path=str(components / "full")).build()
    rows = add_phoneme_ids(make_rows(), processor.phoneme_tokenizer)
    speech = encode_speech(model, rows, FeatureCollator(processor.feature_extractor), 1, 0, max_batch_duration=3.0)
    return model, processor, rows, speech


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
    arrays = {"rows": np.arange(len(ends)), "units": np.array(units)}
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


def test_loss_is_the_one_on_audio(encoded):
    model, processor, rows, speech = encoded
    collator = TranscriptionCollator(processor.feature_extractor, processor=processor)
    data = EncodedDataSection(train=[{"path": "not read"}])
    from_frames = encoded_rows(data, rows, speech, processor)
    keys = [(index, 0) for index in range(len(speech))]
    items = [from_frames[key] for key in keys]
    audio = collator([SpeechDataset(rows)[int(row)] for row in speech.rows])
    frames = EncodedCollator(processor.feature_extractor, processor=processor)(items)
    for batch in (audio, frames):
        batch.pop("durations")
    assert torch.equal(audio["input_ids"], frames["input_ids"]) and torch.equal(audio["labels"], frames["labels"])
    with torch.no_grad():
        expected = model(**audio).loss
        tower = model.model.audio_tower
        model.model.audio_tower = FrameInput(tower, model.config.audio_length_stages)
        try:
            loss = model(**frames).loss
        finally:
            model.model.audio_tower = tower
    torch.testing.assert_close(loss, expected, atol=1e-3, rtol=1e-3)


def test_batches_say_how_long_frames_of_another_rate_last():
    # Whisper's frames are 20 ms long.
    collator = EncodedCollator(EntropyASRFeatureExtractor(), features_per_frame=2)
    rows = [{"frames": np.zeros((length, 3), dtype=np.float32)} for length in (50, 75)]
    batch = collator.features(rows)
    assert batch["durations"].tolist() == [1.0, 1.5]
    assert batch["attention_mask"].sum(-1).tolist() == [100, 150]


def test_encoding_is_kept(encoded, tmp_path):
    *_, speech = encoded
    kept = encoded_or_loaded(tmp_path / "encoded", lambda: speech)
    again = encoded_or_loaded(tmp_path / "encoded", lambda: pytest.fail("encoded twice"))
    for one in (kept, again):
        assert np.array_equal(one.frames, speech.frames) and np.array_equal(one.units, speech.units)


def test_context_puts_hints_into_prompts_of_recordings_and_texts(encoded, tmp_path):
    _, processor, rows, speech = encoded
    (tmp_path / "text.txt").write_text("open the red door\n", encoding="utf-8")
    text = {"path": str(tmp_path / "text.txt"), "language": "en"}
    data = EncodedDataSection(train=[{"path": "not read"}], text=[text])
    context = ContextConfig(no_hint_probability=0.3)
    hinted = with_keywords(encoded_rows(data, rows, speech, processor), context, processor)
    items = [hinted[(index, 5 * index)] for index in range(len(hinted))]
    batch = EncodedContextCollator(processor.feature_extractor, processor=processor, context=context)(items)
    given = [draw_hints(item, context, np.random.default_rng([item["draw"], 2])) for item in items]
    assert any(given[: len(speech)]) and given[-1] and not all(given)
    for item, hints, ids, labels in zip(items, given, batch["input_ids"], batch["labels"], strict=True):
        prompt = processor.tokenizer.decode(ids[labels == -100])
        assert (f"<|audio|>\nContextual hints: {', '.join(hints)}.<|im_end|>" in prompt) == bool(hints)
        assert processor.tokenizer.decode(labels[labels != -100]) == item["text"] + "<|im_end|>"


def stage_settings(components, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("we open the red door\nthe dog\n" * 3, encoding="utf-8")
    return {
        "data": {
            "train": [{"path": str(components / "rows")}],
            "text": [{"path": str(text), "language": "en", "max_units": 3}],
            "cache_dir": str(tmp_path / "cache"),
        },
        "augmentation": {"speed_factors": [0.9, 1.1]},
        "model": {"path": str(components / "full")},
        "context": {"max_keywords": 1, "no_hint_probability": 0.5},
        "training": {
            "max_batch_duration": 4.0,
            "num_buckets": 3,
            "learning_rate": 1e-2,
            "muon": True,
            "max_steps": 6,
            "save_steps": 2,
            "logging_steps": 1,
            "report_to": "none",
            "use_cpu": True,
        },
    }


def test_stage_trains_all_but_the_encoder_and_resumes_exactly(components, tmp_path, monkeypatch):
    section = stage_settings(components, tmp_path)
    run_section("encoded_sft", section, tmp_path / "whole", 7)
    before = EntropyASRForConditionalGeneration.from_pretrained(components / "full", dtype=torch.float32).state_dict()
    after = EntropyASRForConditionalGeneration.from_pretrained(tmp_path / "whole", dtype=torch.float32).state_dict()
    changed = {name.split(".")[1] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"adaptor", "language_model", "weight"}  # "weight": lm_head's, tied to the embeddings
    # A checkpoint on the way is a whole model, with the encoder that did not run.
    checkpoint = tmp_path / "whole" / "checkpoints" / "checkpoint-2"
    on_the_way = EntropyASRForConditionalGeneration.from_pretrained(checkpoint, dtype=torch.float32).state_dict()
    encoder = [name for name in before if "audio_tower" in name]
    assert encoder and all(torch.equal(on_the_way[name], before[name]) for name in encoder)
    assert EntropyASRProcessor.from_pretrained(checkpoint).prompt("en")

    monkeypatch.setattr(Trainer, "training_step", die_at(3))
    with pytest.raises(KeyboardInterrupt):
        run_section("encoded_sft", section, tmp_path / "killed", 7)
    monkeypatch.undo()
    run_section("encoded_sft", section, tmp_path / "killed", 7)
    files = [load_file(tmp_path / name / "model.safetensors") for name in ("whole", "killed")]
    assert same_tensors(*files)


def test_what_cannot_be_done_is_refused(tmp_path):
    with pytest.raises(ValueError, match="eval"):
        EncodedDataSection(eval=[{"path": "somewhere"}])
    with pytest.raises(ValueError, match="eval_strategy"):
        EncodedSFTConfig(output_dir=str(tmp_path), eval_strategy="steps", eval_steps=1, use_cpu=True)
    with pytest.raises(ValueError, match="frozen"):
        EncodedSFTConfig(output_dir=str(tmp_path), freeze=[], use_cpu=True)


def test_text_is_not_heard_through_an_untrained_phoneme_head(components, tmp_path):
    model = EntropyASRForConditionalGeneration.from_pretrained(components / "full")
    model.config.phoneme_head_trained = False
    model.save_pretrained(tmp_path / "full")
    EntropyASRProcessor.from_pretrained(components / "full").save_pretrained(tmp_path / "full")
    section = stage_settings(components, tmp_path) | {"model": {"path": str(tmp_path / "full")}}
    with pytest.raises(SettingsError, match="phoneme head"):
        run_section("encoded_sft", section, tmp_path / "run", 7)
