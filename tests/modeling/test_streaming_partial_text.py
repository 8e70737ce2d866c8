# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Partial texts of streams: what stays, what is taken back, and that nothing stable is decoded again."""

import numpy as np
import pytest
from small_models import build_model, small_config, small_encoder_config

from entropy_asr.modeling import StreamingBatch, StreamingTranscriber, load_audio, load_pipeline
from entropy_asr.modeling.decoding_entropy_asr import Transcript
from entropy_asr.modeling.pipeline_entropy_asr import EntropyASRPipeline
from entropy_asr.modeling.streaming_state_entropy_asr import StreamingUpdate, StreamSegment, common_length
from entropy_asr.modeling.vad_entropy_asr import EndpointSettings
from entropy_asr.trainers.commands.models import default_model


EXAMPLE = default_model().parent / "examples" / "english.flac"
STREAM = {
    "chunk_ms": 160,
    "left_chunks": 2,
    "preview_chunks": 1,
    "use_vad": False,
    "endpoints": EndpointSettings(max_segment=10),
    "guards": {"no_speech": False},
}


@pytest.fixture(scope="module")
def pipe(processor) -> EntropyASRPipeline:
    """A model that writes up to twelve tokens, whatever it hears."""
    model = build_model(small_config(small_encoder_config()))
    return EntropyASRPipeline(model=model, processor=processor, device="cpu", max_new_tokens=12)


@pytest.fixture(scope="module")
def sound(waveforms) -> np.ndarray:
    return waveforms[4]


@pytest.fixture(scope="module")
def bundled() -> EntropyASRPipeline:
    return load_pipeline(default_model(), device="cpu")


def updates_of(pipe, samples: np.ndarray, **options) -> list[StreamingUpdate]:
    stream = StreamingTranscriber(pipe, **STREAM | options)
    return stream.push(samples) + stream.finish()


def decoded_tokens(pipe, samples: np.ndarray, **options) -> tuple[int, str]:
    """How many tokens the language model chose one after the other, and the final text."""
    steps = []
    hook = pipe.model.register_forward_hook(lambda module, args, output: steps.append(output.logits.shape[0]))
    text = updates_of(pipe, samples, **options)[-1].text
    hook.remove()
    return sum(steps), text


def check_updates(updates: list[StreamingUpdate]) -> None:
    """No text takes back what was stable before it; what it takes back of the last one is counted."""
    stable, shown = "", ""
    for update in updates:
        assert update.text.startswith(stable) and update.text.startswith(update.stable_text)
        assert update.stable_text.startswith(stable)
        assert update.revised == len(shown) - common_length(shown, update.text) <= len(shown) - len(stable)
        stable, shown = update.stable_text, update.text
    assert updates[-1].is_final and updates[-1].stable_text == updates[-1].text


def test_what_is_stable_is_never_taken_back(pipe, sound):
    updates = updates_of(pipe, sound)
    check_updates(updates)
    assert any(update.stable_text for update in updates[:-1])


def test_of_real_speech_too_and_nothing_stable_is_decoded_again(bundled):
    """The sentence's text goes on; the final one is that of a stream without previews, for less work."""
    samples = load_audio(str(EXAMPLE))
    options = {"chunk_ms": 320, "left_chunks": -1, "language": "en"}
    updates = updates_of(bundled, samples, **options)
    check_updates(updates)
    assert any(update.stable_text for update in updates[:-1])
    again, free_text = decoded_tokens(bundled, samples, stable_previews=False, **options)
    kept, text = decoded_tokens(bundled, samples, **options)
    assert kept < again
    if free_text.startswith(updates[-2].stable_text):
        assert text == free_text


def test_without_stable_previews_the_final_text_is_that_without_previews(pipe, sound):
    free = updates_of(pipe, sound, stable_previews=False)
    assert free[-1].text == updates_of(pipe, sound, preview_chunks=0)[-1].text
    assert {update.stable_text for update in free[:-1]} == {""}


def test_what_goes_on_from_a_stable_beginning_knows_it(pipe, sound):
    """A ban on repeated tokens holds across it, and so does the longest text that is asked for."""
    stream = StreamingTranscriber(pipe, **STREAM, generate_kwargs={"no_repeat_ngram_size": 1})
    for start in range(0, len(sound), 1600):
        stream.push(sound[start : start + 1600])
        for segment in stream._stream.segments:
            tokens = segment.transcript.token_ids
            assert len(set(tokens)) == len(tokens) <= 12 and tokens[: len(segment.stable)] == segment.stable


def test_tokens_that_two_previews_agree_on_are_stable_but_the_last():
    segment = StreamSegment(0, 0, features=None)
    stable = []
    for tokens in ((1, 2, 3), (1, 2, 4), (1, 2, 4, 5), (1, 2, 4, 5), (1, 2, 4, 5, 6)):
        segment.take(Transcript(token_ids=tokens), keeps_beginning=True)
        stable.append(segment.stable)
    assert stable == [(), (1, 2), (1, 2, 4), (1, 2, 4), (1, 2, 4, 5)]


def test_streams_of_a_batch_keep_beginnings_of_their_own(pipe, waveforms):
    alone = [updates_of(pipe, waveform) for waveform in waveforms[:3]]
    batch = StreamingBatch(pipe, **STREAM)
    streams = [batch.join() for _ in alone]
    for stream, waveform in zip(streams, waveforms, strict=False):
        batch.push(stream, waveform)
        batch.finish(stream)
    together: dict = {stream: [] for stream in streams}
    while batch.has_work:
        for stream, update in batch.step():
            together[stream].append(update)
    assert [[update.text for update in updates] for updates in together.values()] == [
        [update.text for update in updates] for updates in alone
    ]


def test_the_language_is_that_of_the_first_token_also_where_it_is_stable(bundled):
    samples = load_audio(str(EXAMPLE))
    final = updates_of(bundled, samples, return_language=True, chunk_ms=320, left_chunks=-1)[-1]
    assert final.language == "en" and final.language_probability > 0.95


def test_previews_with_beams_go_on_from_what_is_stable(pipe, sound):
    check_updates(updates_of(pipe, sound, generate_kwargs={"num_beams": 2}))


def test_the_shortest_text_that_is_asked_for_counts_what_is_stable(bundled):
    """A bound that the text reaches by itself changes nothing, however much of it stands already."""
    samples = load_audio(str(EXAMPLE))
    options = {"chunk_ms": 320, "left_chunks": -1, "language": "en"}
    updates = updates_of(bundled, samples, **options)
    assert len(updates[-2].stable_text.split()) >= 3
    bounded = updates_of(bundled, samples, **options, generate_kwargs={"min_new_tokens": 4})
    assert bounded[-1].text == updates[-1].text


def test_where_nobody_spoke_after_all_nothing_is_stable_and_no_language_is_told(bundled):
    """A few sounds at the beginning are speech for a moment, and too few for what follows."""
    samples = np.concatenate([load_audio(str(EXAMPLE))[:16000], np.zeros(16000 * 6, np.float32)])
    nearly_deaf = {"min_phoneme_probability": 1.0}
    updates = updates_of(bundled, samples, guards=nearly_deaf, return_language=True, chunk_ms=320)
    assert any(update.stable_text for update in updates[:-1])
    assert (updates[-1].text, updates[-1].flags) == ("", ("no_speech",))
    assert (updates[-1].language, updates[-1].language_probability) == (None, None)
    assert all(update.text.startswith(update.stable_text) for update in updates)
