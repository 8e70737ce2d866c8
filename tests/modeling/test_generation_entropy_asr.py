# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What reads token ids in generation reads the transcript alone: not the instruction, nor hints, audio, padding."""

import numpy as np
import pytest
import torch
from small_models import build_model, small_config, small_encoder_config
from transformers.generation import (
    GenerationConfig,
    LogitsProcessor,
    MaxLengthCriteria,
    NoRepeatNGramLogitsProcessor,
    StoppingCriteria,
    StoppingCriteriaList,
)

from entropy_asr.modeling import EntropyASRPipeline, StreamingBatch
from entropy_asr.modeling.generation_entropy_asr import TranscriptCriteria, transcript_tokens
from entropy_asr.modeling.vad_entropy_asr import EndpointSettings


LIMITS = {"max_new_tokens": 8}
STREAM = {"chunk_ms": 160, "left_chunks": 2, "use_vad": False, "endpoints": EndpointSettings(max_segment=5)}
GUARDS = {"no_speech": False}


@pytest.fixture(scope="module")
def pipe(processor) -> EntropyASRPipeline:
    """Pipeline whose encoder runs under the streams' chunk mask, so that both give one text."""
    encoder = small_encoder_config(chunk_size=4, left_chunks=2)
    return EntropyASRPipeline(model=build_model(small_config(encoder)), processor=processor, guards=GUARDS)


@pytest.fixture(scope="module")
def sounds(waveforms) -> list[np.ndarray]:
    """Four lengths, so that prompts of a batch are padded."""
    return [waveforms[index] for index in (0, 2, 3, 4)]


class Recorder(LogitsProcessor, StoppingCriteria):
    """Keeps the token ids it is shown; as a criterion it ends nothing."""

    def __init__(self):
        self.seen = []

    def __call__(self, input_ids, scores):
        self.seen.append(input_ids.clone())
        return scores if isinstance(scores, torch.Tensor) else torch.zeros(len(input_ids), dtype=torch.bool)


def generated(pipe, sounds, hotwords=None, **kwargs) -> torch.Tensor:
    """New tokens of the model's own `generate`."""
    inputs = pipe.processor.apply_transcription_request(sounds, hotwords=hotwords)
    sequences = pipe.model.generate(**inputs, **LIMITS, **kwargs)
    return sequences[:, inputs["input_ids"].shape[1] :]


def generated_from_embeddings(pipe, sounds, hotwords=None, **kwargs) -> torch.Tensor:
    """The same without token ids of the prompt: there is no other text than the transcript."""
    inputs = pipe.processor.apply_transcription_request(sounds, hotwords=hotwords)
    speech = pipe.model.encode_speech(inputs["input_features"], inputs["input_features_mask"])
    embeds = pipe.model.embed_prompt(inputs["input_ids"], speech)
    return pipe.model.generate(
        inputs_embeds=embeds, attention_mask=inputs["attention_mask"], pad_token_id=0, **LIMITS, **kwargs
    )


def streamed(pipe, sounds, **kwargs) -> list[str]:
    """Texts of streams that are decoded together."""
    batch = StreamingBatch(pipe, max_streams=len(sounds), generate_kwargs={**LIMITS, **kwargs}, **STREAM)
    streams = [batch.join() for _ in sounds]
    for stream, sound in zip(streams, sounds, strict=True):
        batch.push(stream, sound)
        batch.finish(stream)
    texts = {}
    while batch.has_work:
        texts.update({stream: update.text for stream, update in batch.step() if update.is_final})
    return [texts[stream] for stream in streams]


def texts_of(pipe, sounds, batch_size=1, **kwargs) -> list[str]:
    outputs = pipe(list(sounds), batch_size=batch_size, generate_kwargs={**LIMITS, **kwargs})
    return [output["text"] for output in outputs]


# What is seen


@pytest.mark.parametrize("mode", [{}, {"num_beams": 3}, {"do_sample": True}, {"cache_implementation": "static"}])
def test_processors_and_criteria_see_the_transcript_alone(pipe, sounds, mode):
    processor, criterion = Recorder(), Recorder()
    new = generated(pipe, sounds, logits_processor=[processor], stopping_criteria=[criterion], **mode)
    assert [ids.shape[1] for ids in processor.seen] == list(range(8))
    assert [ids.shape[1] for ids in criterion.seen] == list(range(1, 9))
    if "num_beams" not in mode:
        assert torch.equal(processor.seen[-1], new[:, :7])
        assert torch.equal(criterion.seen[-1], new)


@pytest.mark.parametrize("mode", [{}, {"num_beams": 2}, {"do_sample": True, "temperature": 0.7}])
@pytest.mark.parametrize("batch_size", [1, 4])
def test_pipeline_and_streams_show_the_transcript_alone(pipe, sounds, batch_size, mode):
    for run in (texts_of, streamed):
        recorder, criterion = Recorder(), Recorder()
        settings = {"logits_processor": [recorder], "stopping_criteria": criterion, **mode}  # one needs no list
        for first in range(0, 4, batch_size):
            run(pipe, sounds[first : first + batch_size], **settings)
        assert {ids.shape[1] for ids in recorder.seen} == set(range(8))
        assert {ids.shape[1] for ids in criterion.seen} == set(range(1, 9))


def test_lengths_of_all_criteria_and_their_list_agree(pipe):
    """`generate` asks the list for the longest sequence, with the prompt; its members count the transcript."""
    criteria = TranscriptCriteria(StoppingCriteriaList([MaxLengthCriteria(3)]), prompt_length=10)
    assert criteria.max_length == 13
    assert [criteria(torch.zeros(1, length), None).item() for length in (12, 13)] == [False, True]


def test_tokens_of_a_transcript_end_with_its_end_and_not_with_padding():
    config = GenerationConfig(eos_token_id=[2, 9], pad_token_id=0)
    sequences = torch.tensor([[5, 6, 2, 0, 0], [5, 6, 7, 8, 0], [9, 0, 0, 0, 0], [5, 0, 6, 0, 2]])
    tokens = transcript_tokens(sequences, torch.tensor([5, 4, 5, 4]), config)
    assert tokens == [[5, 6, 2], [5, 6, 7, 8], [9], [5, 0, 6]]


# Each setting: as where there is no prompt to be seen


def ids_of_prompt(pipe) -> list[int]:
    return pipe.processor.tokenizer(pipe.processor.prompt(None), add_special_tokens=False).input_ids


def first_token(pipe, sounds) -> int:
    return int(generated(pipe, sounds[:1])[0, 0])


SETTINGS = {
    "repetition_penalty": lambda pipe, first: 5.0,
    "no_repeat_ngram_size": lambda pipe, first: 1,
    # Sequences that begin with the prompt's last token.
    "bad_words_ids": lambda pipe, first: [[ids_of_prompt(pipe)[-1], first]],
    "sequence_bias": lambda pipe, first: [[[ids_of_prompt(pipe)[-1], first], -100.0]],
    "min_new_tokens": lambda pipe, first: 6,
    "exponential_decay_length_penalty": lambda pipe, first: (3, 1.5),
    "begin_suppress_tokens": lambda pipe, first: [first],
    "forced_eos_token_id": lambda pipe, first: 2,
}


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("mode", [{}, {"num_beams": 2}])
def test_settings_act_on_the_transcript_alone(pipe, sounds, name, mode):
    """Hints and instruction are no text to be repeated or banned; each item of a batch is as it is alone."""
    settings = {name: SETTINGS[name](pipe, first_token(pipe, sounds)), "eos_token_id": 2, **mode}
    wanted = generated_from_embeddings(pipe, sounds, **settings)
    assert torch.equal(generated(pipe, sounds, **settings), wanted)
    texts = [pipe.processor.decode(row).strip() for row in wanted.tolist()]
    assert texts_of(pipe, sounds, **settings) == texts_of(pipe, sounds, batch_size=4, **settings) == texts
    assert streamed(pipe, sounds, **settings) == texts


def test_hints_are_not_banned(pipe, sounds):
    hinted = {"hotwords": ["hello world"]}
    plain = generated(pipe, sounds, **hinted)
    ids = pipe.processor.apply_transcription_request(sounds[:1], **hinted)["input_ids"][0].tolist()
    repeated = {"no_repeat_ngram_size": 2, "bad_words_ids": [[ids[-1], int(plain[0, 0])]], "repetition_penalty": 1.3}
    for name, value in repeated.items():
        wanted = generated_from_embeddings(pipe, sounds, **hinted, **{name: value})
        assert torch.equal(generated(pipe, sounds, **hinted, **{name: value}), wanted), name


def test_first_token_can_be_forced(pipe, sounds):
    new = generated(pipe, sounds, forced_bos_token_id=77)
    assert new[:, 0].tolist() == [77] * 4 and 77 not in new[:, 1].tolist()
    text = pipe.processor.decode(new[0].tolist()).strip()
    assert texts_of(pipe, sounds[:1], forced_bos_token_id=77) == [text]
    assert streamed(pipe, sounds[:1], forced_bos_token_id=77) == [text]


def test_min_length_counts_the_transcript(pipe, sounds):
    end = {"eos_token_id": first_token(pipe, sounds)}  # at which the transcript ends at once
    ended = [pipe.processor.decode([end["eos_token_id"]]).strip()]
    assert texts_of(pipe, sounds[:1], **end) == streamed(pipe, sounds[:1], **end) == ended
    wanted = texts_of(pipe, sounds[:1], **end, min_new_tokens=5)
    assert texts_of(pipe, sounds[:1], **end, min_length=5) == streamed(pipe, sounds[:1], **end, min_length=5) == wanted
    assert wanted != ended
    with pytest.raises(ValueError, match=r"min_new_tokens.*9.*above.*max_new_tokens.*8"):
        pipe(sounds[0], generate_kwargs={**LIMITS, "min_new_tokens": 9})


def test_min_length_is_honoured_beyond_the_bound_of_short_audio(pipe, waveforms):
    recorder = Recorder()
    settings = {"min_new_tokens": 30, "eos_token_id": 2, "logits_processor": recorder}
    pipe(waveforms[1], generate_kwargs=settings)  # 44 ms: 8 tokens and 4
    assert len(recorder.seen) == 30


@pytest.mark.parametrize("run", [texts_of, streamed])
def test_rows_are_forced_to_end_at_their_own_bound(pipe, waveforms, run):
    """Bounds of 12 to 56 tokens: the last of each is an end, in a batch as alone."""
    settings = {"forced_eos_token_id": 2, "eos_token_id": 2, "max_new_tokens": None}
    alone = [run(pipe, [sound], **settings)[0] for sound in (waveforms[0], waveforms[5])]
    together = run(pipe, [waveforms[0], waveforms[5]], **({"batch_size": 2} if run is texts_of else {}), **settings)
    assert together == alone


def test_stop_strings_begin_in_the_transcript(pipe, sounds):
    """One that begins in the prompt and ends in the first token ends nothing; one of the transcript does."""
    tokenizer = pipe.processor.tokenizer
    new = generated(pipe, sounds[:1])[0]
    before = tokenizer.decode(ids_of_prompt(pipe)[-1:])
    begun = before[-1] + tokenizer.decode(new[:1])
    text = texts_of(pipe, sounds[:1])[0]
    assert texts_of(pipe, sounds[:1], stop_strings=begun) == streamed(pipe, sounds[:1], stop_strings=begun) == [text]
    inner = tokenizer.decode(new[2:3])
    stopped = texts_of(pipe, sounds[:1], stop_strings=[inner])[0]
    assert stopped == tokenizer.decode(new[: 1 + new.tolist().index(int(new[2]))]).strip() != text
    assert streamed(pipe, sounds[:1], stop_strings=[inner]) == [stopped]


def test_a_criterion_of_the_caller_is_no_length_limit(pipe, sounds):
    output = pipe(sounds[0], return_flags=True, generate_kwargs={"stopping_criteria": [MaxLengthCriteria(3)]})
    assert output["flags"] == [] and len(pipe.processor.tokenizer(output["text"]).input_ids) <= 3
    assert pipe(sounds[0], return_flags=True, generate_kwargs=LIMITS)["flags"] == ["length_limit"]


def test_a_processor_of_the_caller_replaces_that_of_the_setting(pipe, sounds):
    """As in transformers."""
    own = generated(pipe, sounds, no_repeat_ngram_size=1, logits_processor=[NoRepeatNGramLogitsProcessor(8)])
    assert torch.equal(own, generated(pipe, sounds, no_repeat_ngram_size=8))


def test_prefixes_are_those_of_the_transcript(pipe, sounds):
    prefixes = []

    def allowed(row, prefix):
        prefixes.append(prefix.tolist())
        return [50 + len(prefix)]

    new = generated(pipe, sounds[:2], prefix_allowed_tokens_fn=allowed)
    assert new.tolist() == [list(range(50, 58))] * 2 and prefixes[0] == [] and prefixes[-1] == list(range(50, 57))


def test_guidance_goes_on_behind_the_prompt(pipe, sounds):
    assert not torch.equal(generated(pipe, sounds, guidance_scale=3.0), generated(pipe, sounds))


@pytest.mark.parametrize(
    "setting", [{"encoder_repetition_penalty": 1.5}, {"encoder_no_repeat_ngram_size": 2}, {"token_healing": True}]
)
def test_settings_about_other_token_ids_are_refused(pipe, sounds, setting):
    (name,) = setting
    for run in (texts_of, streamed):
        with pytest.raises(ValueError, match=name):
            run(pipe, sounds[:1], **setting)
    if name.startswith("encoder"):
        with pytest.raises(ValueError, match=name):
            generated(pipe, sounds, **setting)


@pytest.mark.parametrize("inputs", ["missing.wav", ["missing.wav"]])
def test_settings_are_refused_before_audio_is_read(pipe, inputs):
    with pytest.raises(ValueError, match="max_new_tokens"):
        pipe(inputs, generate_kwargs={"max_length": 100})
