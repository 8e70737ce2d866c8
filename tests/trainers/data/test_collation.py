# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Batches of the supervised stages: labels, prompts, named languages, augmentation that can be repeated."""

import pytest
import torch
from training_helpers import AUGMENTATION, make_rows
from transformers import WhisperFeatureExtractor

from entropy_asr.modeling import (
    AudioError,
    EntropyASRFeatureExtractor,
    EntropyASRPhonemeTokenizer,
    EntropyASRProcessor,
)
from entropy_asr.trainers.data.augmentation import AugmentationConfig, SpeechAugmenter
from entropy_asr.trainers.data.collation import CTCCollator, FeatureCollator, TranscriptionCollator
from entropy_asr.trainers.data.phoneme_labels import add_phoneme_ids
from entropy_asr.trainers.data.speech_dataset import SpeechDataset


@pytest.fixture(scope="module")
def processor(components) -> EntropyASRProcessor:
    return EntropyASRProcessor.from_pretrained(components / "full")


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    dataset = SpeechDataset(make_rows())
    return [dataset[index, 1000 + index] for index in range(len(dataset))]


def augmenter() -> SpeechAugmenter:
    return SpeechAugmenter(AugmentationConfig(**AUGMENTATION), make_rows("none none", seed=1))


def collator(processor, **kwargs) -> TranscriptionCollator:
    return TranscriptionCollator(processor.feature_extractor, processor=processor, **kwargs)


def test_labels_are_the_transcription_and_its_end(processor, rows):
    batch = collator(processor)(rows)
    for row, ids, labels, mask in zip(
        rows, batch["input_ids"], batch["labels"], batch["attention_mask"].bool(), strict=True
    ):
        learnt = labels[labels != -100]
        expected = [*processor.tokenizer(row["text"]).input_ids, processor.end_of_text_id]
        assert learnt.tolist() == expected
        # At the end of what is attended to, in one piece.
        assert labels[mask][-len(expected) :].tolist() == expected
        assert ids[mask][-len(expected) :].tolist() == expected
        assert (labels[~mask] == -100).all()


def test_rows_without_speech_teach_an_empty_transcript(processor, rows):
    batch = collator(processor, language_prompt_probability=1.0)(rows)
    for row, labels in zip(rows, batch["labels"], strict=True):
        if row["language"] == "none":
            assert labels[labels != -100].tolist() == [processor.end_of_text_id]
    text = processor.tokenizer.batch_decode(batch["input_ids"])
    named = ["English text" in prompt or "Chinese text" in prompt for prompt in text]
    assert named == [row["language"] != "none" for row in rows]


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_prompts_are_those_of_inference(processor, rows, share):
    """Token by token what the processor builds for `generate`, with the language named or not."""
    batch = collator(processor, language_prompt_probability=share)(rows)
    for row, ids, labels in zip(rows, batch["input_ids"], batch["labels"], strict=True):
        language = row["language"] if share and row["language"] != "none" else None
        request = processor.apply_transcription_request(row["samples"], language=language)
        start = int((labels != -100).nonzero()[0])
        assert ids[:start].tolist() == request["input_ids"][0].tolist()


def test_evaluation_prompts_are_padded_on_the_left_and_numbered(processor, rows):
    training = collator(processor, language_prompt_probability=1.0, augmenter=augmenter())
    batch = training.evaluation()([rows[2], rows[0], rows[1]])
    assert batch["row_numbers"].tolist() == [2, 0, 1]
    waveforms = [rows[index]["samples"] for index in (2, 0, 1)]
    request = processor.apply_transcription_request(waveforms)
    assert torch.equal(batch["prompt_ids"], request["input_ids"])
    assert torch.equal(batch["prompt_mask"], request["attention_mask"])
    torch.testing.assert_close(batch["input_features"], request["input_features"])
    assert torch.equal(batch["input_features_mask"].long(), request["input_features_mask"].long())
    assert training.augmenter is not None and not training.generates


def test_language_is_named_for_the_share_of_rows_and_always_the_same(processor, rows):
    named = collator(processor, language_prompt_probability=0.3)
    row = next(row for row in rows if row["language"] == "zh")
    choices = [named.requested_language({**row, "draw": draw}) for draw in range(2000)]
    assert set(choices) == {"zh", None}
    assert 0.26 < sum(choice == "zh" for choice in choices) / 2000 < 0.34
    assert choices == [named.requested_language({**row, "draw": draw}) for draw in range(2000)]


def test_augmentation_depends_on_the_draw_alone(processor, rows):
    """Not on the batch, the position in it, or what was drawn before: so a resumed run hears the same."""
    make = collator(processor, augmenter=augmenter(), language_prompt_probability=0.5)
    together, alone = make(rows), [make([row]) for row in rows]
    for index, single in enumerate(alone):
        assert together["durations"][index] == single["durations"][0]
        length = int(single["input_features_mask"].sum())
        assert int(together["input_features_mask"][index].sum()) == length
        assert torch.equal(together["input_features"][index, :length], single["input_features"][0, :length])
    other = make([{**row, "draw": row["draw"] + 1} for row in rows])
    assert not torch.equal(other["durations"], together["durations"])


def test_durations_are_those_after_augmentation(processor, rows):
    slow = SpeechAugmenter(AugmentationConfig(speed_factors=[0.5]))
    batch = collator(processor, augmenter=slow)(rows)
    expected = torch.tensor([2 * len(row["samples"]) / 16000 for row in rows])
    torch.testing.assert_close(batch["durations"], expected, atol=1e-3, rtol=0)


def test_rows_that_augmentation_makes_too_long_for_the_features_stay_as_they_are(rows):
    slow = SpeechAugmenter(AugmentationConfig(speed_factors=[0.5]))
    longest = {**rows[0], "samples": torch.ones(16000 * 29).numpy() / 10}
    batch = FeatureCollator(WhisperFeatureExtractor(), augmenter=slow).features([rows[0], longest])
    expected = torch.tensor([2 * len(rows[0]["samples"]) / 16000, 29.0])
    torch.testing.assert_close(batch["durations"], expected, atol=1e-3, rtol=0)
    with pytest.raises(AudioError, match=r"lasts 31\.0 s, .* at most 30\.0 s"):
        FeatureCollator(WhisperFeatureExtractor()).features([{**rows[0], "samples": torch.ones(16000 * 31).numpy()}])


def test_time_masks_stay_inside_the_utterance(processor, rows):
    """Padding would take the masks of short utterances in long batches."""
    config = AugmentationConfig(num_time_masks=1, time_mask_width=50, time_mask_share=1.0)
    plain = collator(processor)(rows)["input_features"]
    masked = collator(processor, augmenter=SpeechAugmenter(config))(rows)
    for frames, clean, length in zip(
        masked["input_features"], plain, masked["input_features_mask"].sum(-1).tolist(), strict=True
    ):
        changed = (frames != clean).any(-1).nonzero()[:, 0]
        assert not len(changed) or int(changed.max()) < length


def test_ctc_batches_pad_labels_with_the_ignored_index():
    dataset = SpeechDataset(add_phoneme_ids(make_rows("en none zh"), EntropyASRPhonemeTokenizer()))
    rows = [dataset[index] for index in range(3)]
    batch = CTCCollator(EntropyASRFeatureExtractor())(rows)
    assert set(batch) == {"input_features", "attention_mask", "durations", "labels"}
    assert [labels[labels != -100].tolist() for labels in batch["labels"]] == [row["phoneme_ids"] for row in rows]
