# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The processor of a pipeline, from whatever of it is given."""

import pytest
from small_models import build_tokenizer
from transformers import (
    AutoModelForSpeechSeq2Seq,
    AutoProcessor,
    AutoTokenizer,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2Processor,
    pipeline,
)

from entropy_asr.modeling import EntropyASRForConditionalGeneration, EntropyASRPipeline, EntropyASRProcessor


TASK = "automatic-speech-recognition"


@pytest.fixture
def loaded(checkpoint) -> tuple[EntropyASRForConditionalGeneration, EntropyASRProcessor]:
    """Model and processor as other people's code has them: objects."""
    return AutoModelForSpeechSeq2Seq.from_pretrained(checkpoint), AutoProcessor.from_pretrained(checkpoint)


def parts_of(processor) -> dict:
    return {"tokenizer": processor.tokenizer, "feature_extractor": processor.feature_extractor}


@pytest.mark.parametrize(
    "given",
    [
        lambda processor, folder: {"processor": processor},
        lambda processor, folder: parts_of(processor),  # the recipe of Whisper's cards
        lambda processor, folder: {"processor": processor, **parts_of(processor)},
        lambda processor, folder: {"processor": folder},
        lambda processor, folder: {"tokenizer": folder, "feature_extractor": folder},
        lambda processor, folder: {"tokenizer": processor.tokenizer},
        lambda processor, folder: {},
    ],
)
def test_loaded_models_are_taken_with_what_is_given_of_their_processor(checkpoint, loaded, waveforms, texts, given):
    model, processor = loaded
    made = pipeline(TASK, model=model, device="cpu", **given(processor, str(checkpoint)))
    assert made(waveforms[0])["text"] == texts[0]
    assert made.processor.phoneme_tokenizer.get_vocab() == processor.phoneme_tokenizer.get_vocab()


def test_processor_is_put_together_where_nothing_says_where_it_lies(model, processor, waveforms, texts):
    """A model that was made in this process, with its default prompt and phonemes."""
    made = EntropyASRPipeline(model=model, device="cpu", **parts_of(processor))
    assert made(waveforms[0])["text"] == texts[0] and made.processor.chat_template == processor.chat_template


def test_missing_processor_is_told_with_where_it_was_looked_for(model, tmp_path):
    model.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=rf"processor was not found \({tmp_path}: .+\). Pass it: `processor="):
        pipeline(TASK, str(tmp_path), device="cpu")


def test_given_tokenizer_takes_the_place_of_the_loaded_one(checkpoint):
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    tokenizer.given_by_a_user = True
    assert pipeline(TASK, str(checkpoint), tokenizer=tokenizer, device="cpu").tokenizer.given_by_a_user


def test_processor_of_another_model_is_refused(model, processor, tokenizer):
    other = build_tokenizer(["<|audio|>", "<|im_start|>", "<|im_end|>"])
    with pytest.raises(ValueError, match="token 1, the model's `audio_token_id` is 3"):
        EntropyASRPipeline(model=model, tokenizer=other, feature_extractor=processor.feature_extractor)
    with pytest.raises(ValueError, match=r"EntropyASRProcessor.*Wav2Vec2Processor"):
        EntropyASRPipeline(model=model, processor=Wav2Vec2Processor(Wav2Vec2FeatureExtractor(), tokenizer))
