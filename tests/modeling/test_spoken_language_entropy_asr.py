# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Which language was spoken: what each of the two witnesses says, and what is made of it."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch

from entropy_asr.modeling import EntropyASRPipeline, StreamingTranscriber, load_audio, load_pipeline
from entropy_asr.modeling.language_entry_entropy_asr import Language
from entropy_asr.modeling.languages_entropy_asr import LANGUAGES, register_language
from entropy_asr.modeling.spoken_language_entropy_asr import (
    FirstTokenLanguages,
    known_languages,
    language_probabilities,
    phoneme_language_shares,
)
from entropy_asr.trainers.commands.models import default_model


EXAMPLES = Path(__file__).parents[2] / "spaces" / "demo" / "examples"


@pytest.fixture(scope="module")
def pipe(model, processor) -> EntropyASRPipeline:
    return EntropyASRPipeline(model=model, processor=processor, device="cpu", guards={"no_speech": False})


@pytest.fixture
def register():
    """Registers languages for one test."""
    known = dict(LANGUAGES)
    yield register_language
    LANGUAGES.clear()
    LANGUAGES.update(known)


def spoken(result: dict) -> tuple[str | None, float | None]:
    return result["language"], result["language_probability"]


# How the language model begins its answer


def first_scores(tokenizer, **weights: float) -> torch.Tensor:
    """Scores `(1, V)` of a language model that is to begin with these texts."""
    probabilities = torch.full((len(tokenizer),), 1e-9)
    for text, probability in weights.items():
        probabilities[tokenizer(text).input_ids[0]] = probability
    return probabilities.log()[None]


def test_probability_of_beginning_in_the_letters_of_a_language(tokenizer):
    """\"龙\" and \"中\" begin with one byte, which is no character yet; digits are of no language."""
    scores = first_scores(tokenizer, hello=0.5, 你好=0.2, 龙=0.1) + 3.0
    listener = FirstTokenLanguages(tokenizer, 1)
    assert listener(torch.zeros(1, 0, dtype=torch.long), scores) is scores
    assert [entry.code for entry in known_languages()] == ["en", "zh"]
    assert listener.mass[0].tolist() == pytest.approx([0.5 / 0.8, 0.3 / 0.8], abs=1e-4)
    digits = FirstTokenLanguages(tokenizer, 1)
    digits(torch.zeros(1, 0, dtype=torch.long), first_scores(tokenizer, **{"7": 1.0}))
    assert digits.mass[0].tolist() == pytest.approx([0.0, 0.0], abs=1e-6)


def test_only_the_first_token_counts_and_beams_are_copies(tokenizer):
    listener = FirstTokenLanguages(tokenizer, 2)
    first = torch.cat([first_scores(tokenizer, hello=1.0)] * 3 + [first_scores(tokenizer, 你好=1.0)] * 3)
    listener(torch.zeros(6, 0, dtype=torch.long), first)
    listener(torch.zeros(6, 1, dtype=torch.long), first.flip(0))
    assert listener.mass.tolist() == [pytest.approx([1, 0], abs=1e-4), pytest.approx([0, 1], abs=1e-4)]


def test_languages_of_one_script_begin_alike(tokenizer, register):
    register(Language("cy", "Welsh", letters=LANGUAGES["en"].letters))
    listener = FirstTokenLanguages(tokenizer, 1)
    listener(torch.zeros(1, 0, dtype=torch.long), first_scores(tokenizer, hello=0.9, 你好=0.1))
    told = language_probabilities(listener.mass[0], None)
    assert told == pytest.approx({"en": 0.9 / 1.9, "cy": 0.9 / 1.9, "zh": 0.1 / 1.9}, abs=1e-3)


# What the phoneme head hears


def test_share_of_phonemes_that_only_one_language_has(phoneme_tokenizer):
    ids = phoneme_tokenizer.convert_tokens_to_ids(["oʊ", "ong1"])
    frames = torch.full((4, len(phoneme_tokenizer)), 1e-9)
    frames[0, ids[0]], frames[1, ids[1]], frames[2, ids[1]], frames[3, 0] = 1.0, 1.0, 1.0, 1.0
    shares = phoneme_language_shares(frames.log(), phoneme_tokenizer)
    assert shares.tolist() == pytest.approx([2 / 5, 3 / 5], abs=1e-3)  # one frame of each before any
    assert phoneme_language_shares(frames[3:].log(), phoneme_tokenizer).tolist() == pytest.approx([0.5, 0.5], abs=1e-3)


def test_a_language_that_the_head_does_not_know_is_neither_heard_nor_not(phoneme_tokenizer, register):
    register(Language("ru", "Russian", letters="а-я"))
    frames = torch.full((8, len(phoneme_tokenizer)), 1e-9)
    frames[:, phoneme_tokenizer.convert_tokens_to_ids("ong1")] = 1.0
    told = language_probabilities(None, phoneme_language_shares(frames.log(), phoneme_tokenizer))
    assert told == pytest.approx({"en": 0.1 * 2 / 3, "zh": 0.9 * 2 / 3, "ru": 1 / 3}, abs=1e-3)


def test_two_witnesses_are_multiplied():
    told = language_probabilities(torch.tensor([0.6, 0.2]), torch.tensor([0.25, 0.75]))
    assert told == pytest.approx({"en": 0.5, "zh": 0.5}, abs=1e-3)
    assert sum(language_probabilities(torch.zeros(2), torch.zeros(2) + 0.5).values()) == pytest.approx(1.0)


# In the pipeline


def test_pipeline_tells_the_language_of_each_item(pipe, waveforms):
    """The same with and without beams, in a batch and alone, with "auto" and without; the text stays as it is."""
    results = pipe(waveforms[:3], return_language=True, batch_size=3, num_beams=2, language="auto")
    for result, waveform in zip(results, waveforms, strict=False):
        inputs = pipe.processor.apply_transcription_request(waveform)
        with torch.no_grad():
            scores = pipe.model(**inputs).logits[:, -1]
        scores[:, pipe.model.generation_config.suppress_tokens or []] = -torch.inf
        listener = FirstTokenLanguages(pipe.processor.tokenizer, 1)
        listener(inputs["input_ids"][:, :0], scores)
        logits, mask = pipe.model.get_phoneme_logits(inputs["input_features"], inputs["input_features_mask"])
        heard = phoneme_language_shares(logits[0][mask[0].bool()].log_softmax(-1), pipe.processor.phoneme_tokenizer)
        wanted = language_probabilities(listener.mass[0], heard)
        code = max(wanted, key=wanted.get)
        assert spoken(result) == (code, pytest.approx(wanted[code], abs=1e-4))
        alone = pipe(waveform, return_language=True)
        assert spoken(alone) == (code, pytest.approx(wanted[code], abs=1e-4))
        assert alone["text"] == pipe(waveform)["text"]
    assert len({result["language_probability"] for result in results}) == 3


def test_a_language_that_was_asked_for_is_no_evidence(pipe, waveforms):
    asked = [pipe(waveforms[0], return_language=True, language=language) for language in ("en", "zh")]
    assert spoken(asked[0]) == spoken(asked[1])
    inputs = pipe.processor(waveforms[0])
    logits, mask = pipe.model.get_phoneme_logits(inputs["input_features"], inputs["input_features_mask"])
    heard = phoneme_language_shares(logits[0][mask[0].bool()].log_softmax(-1), pipe.processor.phoneme_tokenizer)
    assert asked[0]["language_probability"] == pytest.approx(heard.max().item(), abs=1e-4)


def test_without_a_trained_head_the_language_model_tells_alone(model, processor, waveforms):
    model = copy.copy(model)
    model.config = copy.deepcopy(model.config)
    model.config.phoneme_head_trained = False
    pipe = EntropyASRPipeline(model=model, processor=processor, device="cpu", guards=False)
    assert 0.5 <= pipe(waveforms[0], return_language=True)["language_probability"] <= 1
    with pytest.raises(ValueError, match="return_language.*never trained"):
        pipe(waveforms[0], return_language=True, language="en")


def test_nobody_speaks_no_language(model, processor, waveforms):
    deaf = copy.deepcopy(model)
    with torch.no_grad():
        deaf.phoneme_head.output.bias[0] = 1000.0  # blanks everywhere
    pipe = EntropyASRPipeline(model=deaf, processor=processor, device="cpu")
    assert spoken(pipe(waveforms[0], return_language=True)) == (None, None)


@pytest.mark.parametrize(("file", "language"), [("english", "en"), ("mandarin", "zh")])
def test_bundled_checkpoint_tells_english_from_mandarin(file, language):
    pipe = load_pipeline(default_model(), device="cpu")
    code, probability = spoken(pipe(str(EXAMPLES / f"{file}.flac"), return_language=True))
    assert code == language and probability > 0.95


def test_each_segment_of_a_recording_has_its_language():
    """As if it were alone; what is told of the recording is put together from its segments."""
    english, mandarin = (load_audio(str(EXAMPLES / f"{name}.flac")) for name in ("english", "mandarin"))
    recording = np.concatenate([english, np.zeros(16000, np.float32), mandarin])
    pipe = load_pipeline(default_model(), device="cpu")
    result = pipe(recording, return_language=True, return_timestamps=True, chunk_length_s=2)
    assert len(result["chunks"]) == 2
    for chunk in result["chunks"]:
        start, end = (round(16000 * time) for time in chunk["timestamp"])
        alone = pipe(recording[start:end], return_language=True)
        assert spoken(chunk) == (alone["language"], pytest.approx(alone["language_probability"], abs=1e-3))
    assert spoken(result["chunks"][0]) == ("en", pytest.approx(1.0, abs=0.01))
    seconds = [chunk["timestamp"][1] - chunk["timestamp"][0] for chunk in result["chunks"]]
    english, mandarin = (chunk["language_probability"] for chunk in result["chunks"])
    share = (seconds[0] * english + seconds[1] * (1 - mandarin)) / sum(seconds)
    assert spoken(result) == ("en", pytest.approx(share, abs=1e-3))


# In streams


def test_streams_tell_the_language_of_each_segment():
    """As the pipeline tells it of the same audio; partial updates tell nothing yet."""
    english, mandarin = (load_audio(str(EXAMPLES / f"{name}.flac")) for name in ("english", "mandarin"))
    pipe = load_pipeline(default_model(), device="cpu")
    stream = StreamingTranscriber(pipe, return_language=True)
    updates = stream.push(np.concatenate([english, np.zeros(16000, np.float32), mandarin])) + stream.finish()
    final = [update for update in updates if update.is_final]
    assert [update.language for update in final] == ["en", "zh"]
    assert all(update.language_probability > 0.95 for update in final)
    assert {update.language for update in updates if not update.is_final} == {None}
    assert stream.batch.request.return_language and not pipe.request.return_language


def test_streams_tell_no_language_unasked_and_none_of_silence(model, processor, waveforms):
    deaf = copy.deepcopy(model)
    with torch.no_grad():
        deaf.phoneme_head.output.bias[0] = 1000.0  # blanks everywhere
    for spoken, asked in ((model, False), (deaf, True)):
        pipe = EntropyASRPipeline(model=spoken, processor=processor, device="cpu", return_language=asked)
        stream = StreamingTranscriber(pipe, use_vad=False, generate_kwargs={"max_new_tokens": 8})
        update = (stream.push(waveforms[0]) + stream.finish())[-1]
        assert update.is_final and (update.language, update.language_probability) == (None, None)
