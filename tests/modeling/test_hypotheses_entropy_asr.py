# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Several hypotheses of one utterance: whose scores they have, how these are joined, and which one is the text."""

import copy
import math

import pytest
import torch
from transformers.generation import LogitsProcessor

from entropy_asr.modeling import EntropyASRPipeline, StreamingBatch
from entropy_asr.modeling.guards_entropy_asr import transcript_confidence
from entropy_asr.modeling.hypotheses_entropy_asr import Hypothesis, distinct
from entropy_asr.modeling.rescoring_entropy_asr import as_result, best_paths, joined_path, scored


LIMIT = {"max_new_tokens": 10}
WITHOUT_HEAD = {"num_return_sequences": 3, "rescoring_weight": 0}


@pytest.fixture(scope="module")
def pipe(model, processor) -> EntropyASRPipeline:
    return EntropyASRPipeline(model=model, processor=processor, device="cpu", guards={"no_speech": False}, **LIMIT)


@pytest.fixture
def needs_phonemes():
    pytest.importorskip("phonemizer")
    pytest.importorskip("pypinyin")


def frames_of(pipe, waveform) -> torch.Tensor:
    """Log-probabilities `(T, V)` of the phoneme head."""
    inputs = pipe.processor(waveform)
    logits, mask = pipe.model.get_phoneme_logits(inputs["input_features"], inputs["input_features_mask"])
    return logits[0][mask[0].bool()].log_softmax(-1)


def heard_as(pipe, waveform, text: str) -> float:
    """The phoneme head's confidence in a text."""
    tokenizer = pipe.processor.phoneme_tokenizer
    ids = [index for index in tokenizer(text)["input_ids"] if index != tokenizer.unk_token_id]
    return transcript_confidence(frames_of(pipe, waveform), ids)


# The language model's scores


@pytest.mark.parametrize("mode", [{"num_beams": 3}, {"num_beams": 4, "repetition_penalty": 3.0}])
def test_scores_of_the_language_model_are_those_of_its_own_logits(pipe, waveforms, mode):
    """As transformers computes them, and whatever penalties searched for the texts."""
    found = pipe(waveforms[2], **WITHOUT_HEAD, generate_kwargs=mode)["hypotheses"]
    inputs = pipe.processor.apply_transcription_request(waveforms[2])
    output = pipe.model.generate(
        **inputs, **LIMIT, **mode, num_return_sequences=3, return_dict_in_generate=True, output_logits=True
    )
    scores = pipe.model.compute_transition_scores(
        output.sequences, output.logits, output.beam_indices, normalize_logits=True
    )
    sequences = output.sequences[:, inputs["input_ids"].shape[1] :]
    wanted = {}
    for row, values in zip(sequences.tolist(), scores.tolist(), strict=True):
        length = row.index(2) + 1 if 2 in row else len(row)  # 2 is the end of a turn
        wanted.setdefault(pipe.processor.decode(row).strip(), values[:length])
    assert len(wanted) == len(found)
    for one in found:
        assert one["token_log_probs"] == pytest.approx(wanted[one["text"]], abs=1e-4)
        assert one["llm_log_prob"] == pytest.approx(sum(one["token_log_probs"]))
        assert one["score"] == pytest.approx(one["llm_log_prob"] / len(one["token_log_probs"]))
        assert one["confidence"] == pytest.approx(math.exp(one["score"]))


def test_one_hypothesis_of_greedy_search_is_its_text_with_scores(pipe, waveforms):
    result = pipe(waveforms[0], num_return_sequences=1, rescoring_weight=0)
    assert [one["text"] for one in result["hypotheses"]] == [pipe(waveforms[0])["text"]] == [result["text"]]
    assert result["hypotheses"][0]["llm_log_prob"] < 0
    assert result["hypotheses"][0]["ctc_log_prob"] is None
    assert "hypotheses" not in pipe(waveforms[0])


@pytest.mark.parametrize("batch_size", [2, 8])
def test_hypotheses_do_not_depend_on_the_batch(pipe, waveforms, needs_phonemes, batch_size):
    for item, result in zip(waveforms, pipe(waveforms, num_return_sequences=3, batch_size=batch_size), strict=True):
        alone = pipe(item, num_return_sequences=3)
        assert result["text"] == alone["text"]
        for one, other in zip(result["hypotheses"], alone["hypotheses"], strict=True):
            assert one["text"] == other["text"]
            assert one["score"] == pytest.approx(other["score"], abs=1e-3)


def test_samples_are_hypotheses_too(pipe, waveforms):
    sampling = {"do_sample": True, "temperature": 3.0}
    found = pipe(waveforms[:2], **WITHOUT_HEAD, generate_kwargs=sampling, batch_size=2)
    for result in found:
        texts = [one["text"] for one in result["hypotheses"]]
        scores = [one["score"] for one in result["hypotheses"]]
        assert len(texts) == len(set(texts)) == 3
        assert scores == sorted(scores, reverse=True)


# The joint score


def test_joint_score_is_of_both_and_ranks_the_hypotheses(pipe, waveforms, needs_phonemes):
    tokenizer, frames = pipe.processor.phoneme_tokenizer, frames_of(pipe, waveforms[4])
    unranked = pipe(waveforms[4], num_return_sequences=4, rescoring_weight=0)["hypotheses"]
    result = pipe(waveforms[4], num_return_sequences=4, rescoring_weight=0.4)
    found = result["hypotheses"]
    assert {one["text"] for one in found} == {one["text"] for one in unranked}
    assert result["text"] == found[0]["text"]
    for one in found:
        ids = [index for index in tokenizer(one["text"])["input_ids"] if index != tokenizer.unk_token_id]
        lengths = torch.tensor([len(frames)]), torch.tensor([len(ids)])
        loss = torch.nn.functional.ctc_loss(frames[:, None], torch.tensor([ids]), *lengths, reduction="sum").item()
        assert one["ctc_log_prob"] == pytest.approx(-loss, abs=1e-3)
        heard = math.log(transcript_confidence(frames, ids))
        believed = one["llm_log_prob"] / len(one["token_log_probs"])
        assert one["score"] == pytest.approx(0.6 * believed + 0.4 * heard, abs=1e-3)
        assert one["confidence"] == pytest.approx(math.exp(one["score"]))
    scores = [one["score"] for one in found]
    assert scores == sorted(scores, reverse=True)


def test_weight_decides_whether_the_best_guessed_or_the_best_heard_comes_first(
    pipe, waveforms, needs_phonemes, monkeypatch
):
    """Beam search is made to find first a text that the phoneme head hardly hears, then one that it hears."""
    texts = ["a", "banana"]
    assert heard_as(pipe, waveforms[0], "a") < 0.1 < heard_as(pipe, waveforms[0], "banana")
    orders = {}
    for weight in (0, 1):
        found = iter(texts)
        monkeypatch.setattr(pipe.processor, "decode", lambda row, found=found: next(found))
        result = pipe(waveforms[0], num_return_sequences=2, rescoring_weight=weight)
        orders[weight] = [one["text"] for one in result["hypotheses"]]
        assert result["text"] == orders[weight][0]
    assert orders == {0: ["a", "banana"], 1: ["banana", "a"]}


def test_a_text_too_long_for_the_audio_comes_last(pipe, waveforms, needs_phonemes, monkeypatch):
    """700 samples are one frame. JSON has no infinity."""
    texts = iter(["a", "banana", "strengths"])
    monkeypatch.setattr(pipe.processor, "decode", lambda row: next(texts))
    found = pipe(waveforms[1], num_return_sequences=3)["hypotheses"]
    assert found[0]["text"] == "a" and found[0]["score"] is not None
    assert [(one["score"], one["ctc_log_prob"], one["confidence"]) for one in found[1:]] == [(None, None, 0.0)] * 2


def test_what_a_processor_forbids_has_no_score_unless_the_phoneme_head_decides_alone():
    forbidden = Hypothesis("a", (1,), token_log_probs=(-1.0,), external_score=-math.inf)
    assert as_result(scored(forbidden, -2.0, 2, -1.0, weight=0.3))["score"] is None
    assert scored(forbidden, -2.0, 2, -1.0, weight=1.0).score == pytest.approx(-0.5)


def test_audio_without_speech_has_no_hypotheses(model, processor, waveforms):
    deaf = copy.deepcopy(model)
    with torch.no_grad():
        deaf.phoneme_head.output.bias[0] = 1000.0  # blanks everywhere
    result = EntropyASRPipeline(model=deaf, processor=processor, device="cpu")(waveforms[0], **WITHOUT_HEAD)
    assert result == {"text": "", "hypotheses": []}


# An external language model by shallow fusion


class ToyLanguageModel(LogitsProcessor):
    """Adds, with a weight, log-probabilities of a language model that knows one text; keeps what it was shown."""

    def __init__(self, token_ids: list[int], vocab_size: int, weight: float):
        self.token_ids, self.vocab_size, self.weight = token_ids, vocab_size, weight
        self.shown = []

    def __call__(self, input_ids, scores):
        self.shown.append(input_ids.shape[1])
        log_probs = torch.full((len(scores), self.vocab_size), -20.0)
        log_probs[:, self.token_ids[input_ids.shape[1]]] = 0.0
        return scores + self.weight * log_probs


@pytest.mark.parametrize("mode", [{}, {"num_beams": 3}, {"num_return_sequences": 2, "rescoring_weight": 0}])
def test_shallow_fusion_of_an_external_language_model(pipe, waveforms, mode):
    """It sees the transcript from its first token on, its weight counts, and the model's own scores leave it out."""
    tokenizer = pipe.processor.tokenizer
    ids = [*tokenizer("hello world").input_ids, pipe.processor.end_of_text_id]
    words = {weight: ToyLanguageModel(ids + [0] * 20, 300, weight) for weight in (0.0, 5.0)}
    results = {
        weight: pipe(waveforms[0], generate_kwargs={"logits_processor": [one]}, **mode)
        for weight, one in words.items()
    }
    assert results[0.0]["text"] == pipe(waveforms[0], **mode)["text"] != "hello world"
    assert results[5.0]["text"] == "hello world"
    assert words[5.0].shown[: len(ids)] == list(range(len(ids)))
    if "num_return_sequences" in mode:
        inputs = pipe.processor.apply_transcription_request(waveforms[0])
        told = {**inputs, "input_ids": torch.cat([inputs["input_ids"], torch.tensor([ids])], dim=1)}
        told["attention_mask"] = torch.ones_like(told["input_ids"])
        with torch.no_grad():
            log_probs = pipe.model(**told).logits[0, -len(ids) - 1 : -1].log_softmax(-1)
        wanted = log_probs[torch.arange(len(ids)), torch.tensor(ids)].tolist()
        first, second = results[5.0]["hypotheses"]
        assert first["token_log_probs"] == pytest.approx(wanted, abs=1e-4)
        assert (first["external_score"], first["score"]) == (0.0, pytest.approx(sum(wanted) / len(ids), abs=1e-3))
        assert second["external_score"] == pytest.approx(-100.0)  # one token that the external model does not know
        assert second["score"] == pytest.approx((second["llm_log_prob"] - 100.0) / len(second["token_log_probs"]))


# What cannot be honoured


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"num_return_sequences": 0}, "num_return_sequences"),
        ({"num_return_sequences": 2.5}, "num_return_sequences"),
        ({"num_return_sequences": 4, "num_beams": 2}, "num_return_sequences"),
        ({"num_return_sequences": 2, "rescoring_weight": 1.5}, "rescoring_weight.*between 0 and 1"),
        ({"rescoring_weight": 0.5}, "num_return_sequences"),
        ({"generate_kwargs": {"rescoring_weight": 0.5}}, "rescoring_weight.*beside"),
    ],
)
def test_hypotheses_that_cannot_be_had_are_refused(pipe, waveforms, arguments, reason):
    with pytest.raises(ValueError, match=reason):
        pipe(waveforms[0], **arguments)


def test_an_untrained_phoneme_head_is_not_asked(model, processor, waveforms):
    model = copy.copy(model)
    model.config = copy.deepcopy(model.config)
    model.config.phoneme_head_trained = False
    pipe = EntropyASRPipeline(model=model, processor=processor, device="cpu", guards=False, **LIMIT)
    with pytest.raises(ValueError, match="rescoring_weight=0.*never trained"):
        pipe(waveforms[0], num_return_sequences=2)
    assert pipe(waveforms[0], num_return_sequences=2, rescoring_weight=0)["hypotheses"]


def test_streams_refuse_hypotheses(model, processor):
    pipe = EntropyASRPipeline(model=model, processor=processor, device="cpu", num_return_sequences=2)
    with pytest.raises(ValueError, match="num_return_sequences"):
        StreamingBatch(pipe)


# Of a recording's segments


def result_of(text: str, score: float | None, seconds: float = 0.5) -> dict:
    return {"text": text, "score": score, "llm_log_prob": -1.0, "token_log_probs": [-1.0], "confidence": seconds} | {
        "ctc_log_prob": None if score is None else 2 * score
    }


def test_hypotheses_of_a_recording_are_the_best_ways_through_its_segments():
    first, last = [result_of("a", -1.0), result_of("b", -2.4)], [result_of("c", -1.0), result_of("d", -1.5)]
    segments = [first, [], [*last, result_of("e", None)]]
    paths = best_paths(segments, [1.0, 9.0, 3.0])
    assert ["".join(one["text"] for one in path if one) for path in paths] == ["ac", "bc", "ad"]
    joined = joined_path(paths[2], "a d", [1.0, 9.0, 3.0])
    assert joined == {
        "text": "a d",
        "score": pytest.approx((-1.0 - 3 * 1.5) / 4),
        "llm_log_prob": -2.0,
        "token_log_probs": [-1.0, -1.0],
        "ctc_log_prob": -5.0,
        "confidence": pytest.approx(0.5),
    }
    assert joined_path([first[0], None, segments[2][2]], "a e", [1.0, 1.0, 1.0])["score"] is None
    assert best_paths([[], []], [1.0, 1.0]) == best_paths([], []) == []


def test_of_two_ways_to_write_a_text_in_tokens_the_first_stays():
    found = distinct([Hypothesis("a", (5,)), Hypothesis("b", (6,)), Hypothesis("a", (7, 8))])
    assert [one.token_ids for one in found] == [(5,), (6,)]
