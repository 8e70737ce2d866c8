# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Streaming: what is pushed in portions equals the whole, streams in a batch equal single ones, nothing is redone."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_models import build_model, small_config, small_encoder_config

from entropy_asr.modeling import AudioError, HotwordIndex, StreamingBatch, StreamingTranscriber
from entropy_asr.modeling.guards_entropy_asr import GuardSettings
from entropy_asr.modeling.pipeline_entropy_asr import EntropyASRPipeline
from entropy_asr.modeling.vad_entropy_asr import EndpointSettings


CHUNK, LEFT_CHUNKS = 4, 2  # encoder frames: 160 ms, so that a second has many chunks
LIMITS = {"max_new_tokens": 12}
STREAM = {"chunk_ms": 160, "left_chunks": LEFT_CHUNKS, "generate_kwargs": LIMITS}


@pytest.fixture(scope="module")
def pipe(processor) -> EntropyASRPipeline:
    """Pipeline whose encoder always runs under the streams' chunk mask."""
    encoder = small_encoder_config(chunk_size=CHUNK, left_chunks=LEFT_CHUNKS)
    model = build_model(small_config(encoder))
    torch.nn.init.normal_(model.phoneme_head.output.weight, std=0.3)  # so that it finds many phonemes
    return EntropyASRPipeline(model=model, processor=processor)


@pytest.fixture(scope="module")
def sound(waveforms) -> np.ndarray:
    """2.4 seconds."""
    return np.concatenate([waveforms[0], waveforms[2]])[:38000]


def portions(samples: np.ndarray, seed: int, count: int) -> list[np.ndarray]:
    """Cut at random places; some portions are empty, some single samples."""
    rng = np.random.default_rng(seed)
    cuts = rng.integers(0, len(samples) + 1, count)
    return np.split(samples, np.sort(np.concatenate([cuts, np.minimum(cuts[: count // 4] + 1, len(samples))])))


def transcribe(pipe, pieces, **kwargs):
    """Updates of a stream, and the encoder's output frames."""
    frames = []
    hook = pipe.model.model.audio_tower.register_forward_hook(
        lambda module, args, output: frames.append(output.last_hidden_state[0])
    )
    stream = StreamingTranscriber(pipe, use_vad=kwargs.pop("use_vad", False), **{**STREAM, **kwargs})
    updates = sum((stream.push(piece) for piece in pieces), []) + stream.finish()
    hook.remove()
    return updates, torch.cat(frames)


def offline(pipe, samples, **kwargs) -> str:
    return pipe(samples, **LIMITS, **kwargs)["text"]


def offline_frames(pipe, samples) -> torch.Tensor:
    features = pipe.processor.feature_extractor(samples, return_tensors="pt")
    with torch.no_grad():
        return pipe.model.model.audio_tower(features["input_features"]).last_hidden_state[0]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(0, 60), length=st.integers(1, 38000))
def test_any_portions_give_the_offline_frames_and_transcript(pipe, sound, seed, count, length):
    samples = sound[:length]
    updates, frames = transcribe(pipe, portions(samples, seed, count))
    expected = offline_frames(pipe, samples)
    assert frames.shape == expected.shape
    assert (frames - expected).abs().max() < 1e-5
    assert [update.is_final for update in updates] == [False] * (len(updates) - 1) + [True]
    assert updates[-1].text == offline(pipe, samples)
    assert updates[-1].end == pytest.approx(length / 16000)


def test_single_samples(pipe, sound):
    samples = sound[:9001]
    updates, frames = transcribe(pipe, np.split(samples, len(samples)))
    assert (frames - offline_frames(pipe, samples)).abs().max() < 1e-5
    whole, _ = transcribe(pipe, [samples])
    assert updates[-1] == whole[-1]
    assert updates[-1].text == offline(pipe, samples) != ""


def test_transcripts_of_these_tests_depend_on_the_audio(pipe, waveforms):
    assert len({offline(pipe, waveform) for waveform in waveforms}) > 4


@pytest.mark.parametrize(("chunk_ms", "left_chunks"), [(160, 0), (320, 1), (640, 4), (480, -1)])
def test_chunk_size_and_left_context_are_honoured(processor, sound, chunk_ms, left_chunks):
    encoder = small_encoder_config(chunk_size=chunk_ms // 40, left_chunks=left_chunks)
    pipe = EntropyASRPipeline(model=build_model(small_config(encoder)), processor=processor)
    updates, frames = transcribe(pipe, [sound], chunk_ms=chunk_ms, left_chunks=left_chunks)
    assert (frames - offline_frames(pipe, sound)).abs().max() < 1e-5
    assert updates[-1].text == offline(pipe, sound)


def test_partial_phonemes_are_the_ctc_hypothesis_so_far(pipe, sound):
    updates, frames = transcribe(pipe, [sound])
    with torch.no_grad():
        best = pipe.model.phoneme_head(frames).argmax(-1).tolist()
    decode = pipe.processor.phoneme_tokenizer.decode
    assert updates[-1].phonemes == decode(best, group_tokens=True) != ""
    for index, update in enumerate(updates[:-1]):
        assert update.phonemes == decode(best[: CHUNK * (index + 1)], group_tokens=True)
        assert update.text is None


@pytest.mark.parametrize("request_", [{"language": "zh-CN"}, {"language": "en"}])
def test_the_language_equals_the_pipelines(pipe, sound, request_):
    updates, _ = transcribe(pipe, [sound], **request_)
    assert updates[-1].text == offline(pipe, sound, **request_)
    assert updates[-1].text != offline(pipe, sound)


def test_hotwords_that_were_heard_are_hints_as_in_the_pipeline(pipe, sound):
    heard = transcribe(pipe, [sound])[0][-1].phonemes.split()
    index = HotwordIndex({"spoken": heard[1:4], "unspoken": [*heard[1:3], "uan5", "aɪ"]})
    limits = {"endpoints": EndpointSettings(max_segment=10)}
    updates, _ = transcribe(pipe, [sound], hotwords=index, **limits)
    assert updates[-1].text == offline(pipe, sound, hotwords=index)
    assert updates[-1].text != offline(pipe, sound)
    unspoken = HotwordIndex({"unspoken": [*heard[1:3], "uan5", "aɪ"]})
    assert transcribe(pipe, [sound], hotwords=unspoken, **limits)[0][-1].text == offline(pipe, sound)
    near = nearly(heard)
    updates, _ = transcribe(pipe, [sound], hotwords=near, hotword_tolerance=0.3, **limits)
    assert updates[-1].text == offline(pipe, sound, hotwords=near, hotword_tolerance=0.3)


def test_guards_are_the_pipelines(pipe, sound, monkeypatch):
    flags = pipe(sound, return_flags=True, **LIMITS)["flags"]
    assert list(transcribe(pipe, [sound])[0][-1].flags) == flags == ["length_limit"]
    monkeypatch.setattr("entropy_asr.modeling.decoding_entropy_asr.is_speech_absent", lambda *args: True)
    guarded, _ = transcribe(pipe, [sound])
    assert (guarded[-1].text, guarded[-1].flags) == ("", ("no_speech",))
    assert transcribe(pipe, [sound], return_confidence=True)[0][-1].confidence == 1.0  # as offline
    assert transcribe(pipe, [sound], guards=False)[0][-1].text == offline(pipe, sound, guards=False) != ""
    with pytest.raises(ValueError, match="guards"):
        StreamingBatch(pipe, guards={"volume": 11})


def test_confidence_and_flags_are_those_of_the_pipeline_and_its_defaults_hold(pipe, sound):
    certain = copy.deepcopy(pipe.model)
    certain.phoneme_head.output.weight.data *= 20  # a flat head finds any text as good as another
    pipe = EntropyASRPipeline(model=certain, processor=pipe.processor)
    expected = pipe(sound, return_confidence=True, **LIMITS)
    update = transcribe(pipe, portions(sound, 6, 12), return_confidence=True)[0][-1]
    assert update.confidence == pytest.approx(expected["confidence"], rel=1e-2) and update.confidence < 0.1
    assert list(update.flags) == expected["flags"] == ["length_limit", "low_agreement"]
    assert transcribe(pipe, [sound])[0][-1].confidence is None
    guards = {"no_speech": False, "min_confidence": 0.0}
    made = EntropyASRPipeline(model=certain, processor=pipe.processor, return_confidence=True, guards=guards)
    update = transcribe(made, [sound])[0][-1]
    assert update.confidence == pytest.approx(expected["confidence"], rel=1e-2)
    assert list(update.flags) == made(sound, **LIMITS)["flags"] == ["length_limit"]
    update = transcribe(made, [sound], guards=True, return_confidence=False)[0][-1]
    assert (update.confidence, update.flags) == (None, ("length_limit",))
    assert StreamingBatch(made, guards=True).guards == GuardSettings() != StreamingBatch(made).guards


def test_generation_arguments_equal_the_pipelines(pipe, sound):
    updates, _ = transcribe(pipe, [sound], generate_kwargs={"num_beams": 3, "max_new_tokens": 7})
    assert updates[-1].text == pipe(sound, num_beams=3, max_new_tokens=7)["text"]
    default, _ = transcribe(pipe, [sound[:9000]], endpoints=EndpointSettings(max_segment=2.0), generate_kwargs={})
    assert default[-1].text == pipe(sound[:9000])["text"]


def test_what_the_pipeline_was_made_with_holds_and_arguments_win(pipe, sound):
    made = {"language": "zh", "max_new_tokens": 7, "num_beams": 3, "generate_kwargs": {"repetition_penalty": 1.5}}
    made = EntropyASRPipeline(model=pipe.model, processor=pipe.processor, **made)
    expected = made(sound)["text"]
    assert transcribe(made, [sound], generate_kwargs=None)[0][-1].text == expected
    others = {"max_new_tokens": 12, "num_beams": 1, "repetition_penalty": 1.0}
    for request in ({}, {"language": "en"}):
        text = transcribe(made, [sound], generate_kwargs=others, **request)[0][-1].text
        assert text == offline(pipe, sound, **{"language": "zh", **request}) != expected


def nearly(phonemes: list[str]) -> HotwordIndex:
    """A word that was spoken in another tone, which is found with a tolerance alone."""
    place = next(n for n, phoneme in enumerate(phonemes) if n and phoneme[-1] in "12345" and len(phoneme) > 2)
    other = phonemes[place][:-1] + ("4" if phonemes[place][-1] == "5" else "5")
    index = HotwordIndex({"nearly": [*phonemes[place - 1 : place], other, *phonemes[place + 1 : place + 4]]})
    assert index.find_hints(phonemes, 0.3) == ["nearly"] and index.find_hints(phonemes) == []
    return index


def test_the_pipelines_hotwords_are_listened_for(pipe, sound):
    phonemes = transcribe(pipe, [sound])[0][-1].phonemes.split()
    near = nearly(phonemes)
    made = EntropyASRPipeline(model=pipe.model, processor=pipe.processor, hotwords=near, hotword_tolerance=0.3)
    expected, without = made(sound, **LIMITS)["text"], offline(pipe, sound)
    limits = {"endpoints": EndpointSettings(max_segment=10)}
    assert transcribe(made, [sound], **limits)[0][-1].text == expected != without
    assert transcribe(made, [sound], hotwords=[], **limits)[0][-1].text == without
    assert transcribe(made, [sound], hotword_tolerance=0.0, **limits)[0][-1].text == without


def test_the_flag_of_a_bound_does_not_depend_on_the_batch(pipe, sound):
    """A row at its bound is padded until the others end; here the padding is an end token as well."""
    pad, end = pipe.model.generation_config.pad_token_id, pipe.processor.end_of_text_id
    unending = {"eos_token_id": [pad, end], "suppress_tokens": [pipe.processor.audio_token_id, pad, end]}
    endpoints = EndpointSettings(max_segment=2)
    settings = {"chunk_ms": 160, "use_vad": False, "endpoints": endpoints, "generate_kwargs": unending}
    batch = StreamingBatch(pipe, **settings)
    long, short = batch.join(), batch.join()
    batch.push(long, sound[: 6 * batch.chunk_samples])
    while batch.has_work:
        batch.step()
    batch.push(short, sound[:2500])
    batch.finish(long)
    batch.finish(short)
    updates = dict(batch.step())
    assert updates[long].is_final and updates[short].is_final
    assert len(updates[long].text) > len(updates[short].text)
    assert updates[long].flags == updates[short].flags == ("length_limit",)


def test_eager_attention(pipe, sound):
    eager = EntropyASRPipeline(model=copy.deepcopy(pipe.model), processor=pipe.processor)
    eager.model.set_attn_implementation("eager")
    updates, _ = transcribe(eager, portions(sound, 3, 9))
    assert updates[-1].text == offline(pipe, sound)


def test_every_frame_is_encoded_once_and_every_token_prefilled_once(pipe, sound):
    """No re-encoding and no refreshed hypotheses: what goes through the models is what an offline run needs."""
    tokens = []
    model = pipe.model.model.language_model
    stream = StreamingTranscriber(pipe, use_vad=False, **STREAM)
    stream.push(sound[:8000])  # the prefix is computed now
    stream.reset()
    hook = model.register_forward_pre_hook(
        lambda module, args, kwargs: tokens.append(kwargs["inputs_embeds"].shape[1]), with_kwargs=True
    )
    for piece in portions(sound, 1, 40):
        stream.push(piece)
    before_the_end = sum(tokens)
    stream.finish()
    hook.remove()
    processor = pipe.processor
    num_frames = processor.feature_extractor.num_frames(len(sound))
    after = processor.prompt().split(processor.audio_token)[1]
    assert before_the_end <= processor.num_audio_tokens(num_frames)
    suffix = len(processor.tokenizer(after, add_special_tokens=False).input_ids)
    assert sum(tokens) == processor.num_audio_tokens(num_frames) + suffix + LIMITS["max_new_tokens"] - 1


def test_previews_do_not_disturb(pipe, sound):
    plain, plain_frames = transcribe(pipe, [sound])
    previewed, frames = transcribe(pipe, [sound], preview_chunks=3, stable_previews=False)
    assert torch.equal(frames, plain_frames)
    assert replace(previewed[-1], revised=0) == plain[-1]
    for index, update in enumerate(previewed[:-1]):
        assert (update.text is not None) == ((index + 1) % 3 == 0)
    # What the encoder has after three chunks: 48 feature frames, and the 15 ms by which the last one's window extends.
    assert previewed[2].text == offline(pipe, sound[: 48 * 160 + 240])


def test_a_batch_of_streams_equals_single_streams(pipe, waveforms):
    """Streams join when others are in the middle, are portioned at random, and leave when they are done."""
    index = HotwordIndex({"on the mat": ["uan5", "aɪɚ"], "cat": ["eng5", "ing3"]})
    requests = [{"language": lang, "hotwords": hot} for lang in (None, "en", "zh") for hot in (None, index)]
    audio = [np.concatenate([wave, waveforms[index - 1]]) for index, wave in enumerate(waveforms[:6])]
    endpoints = EndpointSettings(max_segment=10)
    requests_of = [{"endpoints": endpoints, **request} for request in requests]
    expected = [transcribe(pipe, [x], **request)[0] for x, request in zip(audio, requests_of, strict=True)]
    batch = StreamingBatch(pipe, use_vad=False, max_streams=4, endpoints=endpoints, **STREAM)
    rng = np.random.default_rng(0)
    waiting, active, results = list(range(6)), {}, {index: [] for index in range(6)}
    while waiting or active:
        if waiting and len(active) < 4 and rng.random() < 0.5:
            index = waiting.pop(0)
            pieces = portions(audio[index], index, 12)
            active[batch.join(**requests[index])] = (index, pieces)
        for stream, (_, pieces) in active.items():
            if pieces and rng.random() < 0.7:
                batch.push(stream, pieces.pop(0))
            elif not pieces:
                batch.finish(stream)
        for stream, update in batch.step():
            results[active[stream][0]].append(update)
        for stream in [stream for stream in active if batch.is_done(stream)]:
            batch.leave(stream)
            active.pop(stream)
    for index in range(6):
        assert results[index] == expected[index]


def test_leaving_in_the_middle_frees_a_clean_slot(pipe, sound, waveforms):
    batch = StreamingBatch(pipe, use_vad=False, max_streams=1, **STREAM)
    first = batch.join()
    with pytest.raises(RuntimeError, match="max_streams"):
        batch.join()
    batch.push(first, sound)
    batch.step()
    batch.leave(first)
    second = batch.join(language="en")
    batch.push(second, waveforms[2])
    batch.finish(second)
    updates = []
    while batch.has_work:
        updates += batch.step()
    assert updates[-1][1].text == offline(pipe, waveforms[2], language="en")


def test_a_stream_that_has_left_takes_nothing_more(pipe, sound):
    batch = StreamingBatch(pipe, use_vad=False, max_streams=2, **STREAM)
    gone, other = batch.join(sampling_rate=8000), batch.join()
    batch.push(gone, sound)
    batch.leave(gone)
    waiting = gone.seconds_waiting
    for call in (lambda: batch.push(gone, sound), lambda: batch.finish(gone), lambda: batch.leave(gone)):
        with pytest.raises(ValueError, match="not in this batch"):
            call()
    assert gone.seconds_waiting == waiting and not gone.is_finished
    with pytest.raises(ValueError, match="not in this batch"):
        StreamingBatch(pipe, use_vad=False, **STREAM).push(other, sound)
    batch.push(other, sound)
    batch.finish(other)
    updates = []
    while batch.has_work:
        updates += batch.step()
    assert updates[-1][1].text == offline(pipe, sound)


def test_segments_are_transcribed_like_separate_recordings(pipe, waveforms, loudness_vad):
    gap = np.zeros(16000, dtype=np.float32)
    parts = [waveforms[0], waveforms[2], waveforms[7]]
    samples = np.concatenate([gap, parts[0], gap, parts[1], gap[:4000], parts[2], gap])
    updates, _ = transcribe(pipe, portions(samples, 5, 50), use_vad=True)
    final = [update for update in updates if update.is_final]
    assert [update.segment for update in final] == [0, 1]  # 0.25 s of silence do not end a segment
    for update in final:
        bounds = round(update.start * 16000), round(update.end * 16000)
        assert update.text == offline(pipe, samples[slice(*bounds)])
    assert final[0].start == pytest.approx(1 - 0.3, abs=0.032)
    assert final[0].end == pytest.approx(2 + 0.3, abs=0.032)
    # The end is known half a second after the speech.
    assert final[0].end_known == pytest.approx(2.5, abs=0.064)


def test_silence_behind_a_cut_in_speech_stops_no_stream(pipe, sound, loudness_vad):
    endpoints = EndpointSettings(padding=0, max_segment=1.6)
    loud = np.where(np.abs(sound) > 0.03, sound, 0.03)[:25600].astype(np.float32)
    samples = np.concatenate([loud, np.zeros(16000, np.float32), loud[:8192], np.zeros(16000, np.float32)])
    updates, _ = transcribe(pipe, [samples], use_vad=True, endpoints=endpoints)
    bounds = [(update.segment, update.start, update.end) for update in updates if update.is_final]
    assert bounds[0] == (0, 0.0, 1.6) and [number for number, _, _ in bounds] == [0, 1]


def test_silence_gives_nothing(pipe):
    stream = StreamingTranscriber(pipe, **STREAM)
    assert stream.push(np.zeros(40000, dtype=np.float32)) + stream.finish() == []


def test_long_speech_is_cut_without_loss(pipe, sound):
    updates, _ = transcribe(pipe, portions(sound, 2, 20), endpoints=EndpointSettings(max_segment=1.0))
    final = [update for update in updates if update.is_final]
    assert [(update.start, update.end) for update in final] == [(0.0, 1.0), (1.0, 2.0), (2.0, 2.375)]
    assert final[1].text == offline(pipe, sound[16000:32000])
    # The end of the stream lies in the window in which it was cut: what is behind the cut is a segment of its own.
    updates, _ = transcribe(pipe, [sound[:16200]], endpoints=EndpointSettings(max_segment=1.0))
    assert [(update.start, update.end) for update in updates if update.is_final] == [(0.0, 1.0), (1.0, 1.0125)]


def test_integer_pcm_and_other_rates(pipe, sound):
    pcm = (sound * 32767).astype(np.int16)
    whole, _ = transcribe(pipe, [pcm.astype(np.float32) / 32768])
    assert transcribe(pipe, portions(pcm, 4, 7))[0][-1] == whole[-1]
    slow, _ = transcribe(pipe, [sound], sampling_rate=8000)
    portioned, _ = transcribe(pipe, portions(sound, 5, 30), sampling_rate=8000)
    assert portioned[-1] == slow[-1]
    assert slow[-1].end == pytest.approx(2 * len(sound) / 16000)


def test_what_is_no_audio_is_refused_and_the_stream_goes_on(pipe, sound):
    stream = StreamingTranscriber(pipe, use_vad=False, **STREAM)
    stream.push(sound[:5000])
    for bad, reason in (
        (np.array([0.1, np.nan], dtype=np.float32), "NaN"),
        (np.array(["a"]), "samples must be floats"),
        (np.full(10, 20000.0), "must be in"),
    ):
        with pytest.raises(AudioError, match=reason):
            stream.push(bad)
    with pytest.raises(ValueError, match="one axis"):
        stream.push(sound[:10].reshape(2, 5))
    assert stream.push(sound[:0]) == []
    assert (stream.push(sound[5000:]) + stream.finish())[-1].text == offline(pipe, sound)
    with pytest.raises(ValueError, match="finished"):
        stream.push(sound)
    stream.reset()
    assert stream.push(sound)


@pytest.mark.parametrize(
    ("kwargs", "reason"),
    [
        ({"chunk_ms": 600}, "multiple of 160 ms"),
        ({"chunk_ms": 0}, "multiple of 160 ms"),
        ({"left_chunks": -2}, "left_chunks"),
        ({"max_streams": 0}, "max_streams"),
        ({"preview_chunks": -1}, "preview_chunks"),
        ({"generate_kwargs": {"max_length": 5}}, "max_new_tokens"),
        ({"generate_kwargs": {"language": "en"}}, "`language` .* give it beside"),
        ({"generate_kwargs": {"hotwords": ["cat"]}}, "`hotwords` .* give it beside"),
        ({"generate_kwargs": {"hotword_tolerance": 0.1}}, "`hotword_tolerance` .* give it beside"),
        ({"generate_kwargs": {"guards": False}}, "`guards` .* give it beside"),
    ],
)
def test_settings_that_cannot_be_honoured(pipe, kwargs, reason):
    with pytest.raises(ValueError, match=reason):
        StreamingBatch(pipe, **kwargs)


@pytest.mark.parametrize(
    "setting",
    [
        {"use_cache": False},
        {"cache_implementation": "static"},
        {"prompt_lookup_num_tokens": 2},
        {"assistant_model": None},
        {"past_key_values": None},
    ],
)
def test_generation_from_another_state_than_the_streams_is_refused(pipe, setting):
    made = EntropyASRPipeline(model=pipe.model, processor=pipe.processor, generate_kwargs=setting)
    for make in (lambda: StreamingTranscriber(pipe, generate_kwargs=setting), lambda: StreamingTranscriber(made)):
        with pytest.raises(ValueError, match=next(iter(setting))):
            make()


def test_requests_that_cannot_be_honoured(pipe):
    batch = StreamingBatch(pipe, **STREAM)
    for request, reason in (
        ({"language": "xx"}, "language"),
        ({"language": ["en"]}, "language"),
        ({"hotwords": [1]}, "hotwords"),
        ({"hotword_tolerance": 0.2}, "`hotword_tolerance` .* give `hotwords`"),
        ({"sampling_rate": 0}, "sampling_rate"),
    ):
        with pytest.raises(ValueError, match=reason):
            batch.join(**request)
    with pytest.raises(ValueError, match=r"max_segment.*at most"):
        StreamingTranscriber(pipe, endpoints=EndpointSettings(max_segment=3600))


def test_models_that_cannot_stream_are_refused(pipe, processor):
    model = copy.deepcopy(pipe.model)
    model.model.language_model.config.layer_types = ["full_attention", "sliding_attention"]
    with pytest.raises(ValueError, match="full attention in all layers"):
        StreamingBatch(EntropyASRPipeline(model=model, processor=processor))
    model = copy.deepcopy(pipe.model)
    model.model.language_model.config._attn_implementation = "flash_attention_2"
    with pytest.raises(ValueError, match="sdpa"):
        StreamingBatch(EntropyASRPipeline(model=model, processor=processor))


def test_streams_differ_from_the_pipeline_by_what_their_encoder_sees(model, processor, waveforms):
    """One chunk as long as the utterance gives the pipeline's text; the usual ones hear less around each sound."""
    usual = EntropyASRPipeline(model=model, processor=processor, generate_kwargs=LIMITS)
    differ = []
    for waveform in (waveforms[0], waveforms[2], waveforms[7]):
        wanted = usual(waveform)["text"]
        assert transcribe(usual, [waveform], chunk_ms=1600, left_chunks=-1)[0][-1].text == wanted
        differ.append(transcribe(usual, [waveform])[0][-1].text != wanted)
    assert any(differ)
