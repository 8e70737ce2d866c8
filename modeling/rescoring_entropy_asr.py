# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""How probable language model and phoneme head find several hypotheses of one utterance, and their order.

The language model has read speech and prompt and says how probable a text is; the phoneme head has read the speech
alone and says how probable the text's phonemes are, whatever way they may be aligned (CTC), against its own best path.
Both are taken for a unit, so that long texts are no worse than short ones, and one weight joins them:

    score = (1 - weight) * log P(text | speech, prompt) / tokens
          + weight * (log P(phonemes of the text | frames) - log P(best path)) / phonemes

exp(score) is the joint confidence, in [0, 1]; at weight 1 it is [`transcript_confidence`]. Logits processors of the
caller's, such as an external language model (shallow fusion), add to the first log-probability where texts are ranked.
"""

import heapq
import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import torch
from transformers.generation import LogitsProcessorList
from transformers.modeling_utils import PreTrainedModel

from .ctc_entropy_asr import ctc_log_probs
from .hypotheses_entropy_asr import RESCORING_WEIGHT, Hypothesis
from .streaming_cache_entropy_asr import CACHE
from .tokenization_entropy_asr_phoneme import EntropyASRPhonemeTokenizer


@torch.no_grad()
def next_token_log_probs(
    model: PreTrainedModel, prompt: torch.Tensor, token_ids: Sequence[Sequence[int]]
) -> torch.Tensor:
    """Log-probabilities of what comes next along continuations of one prompt, which is read once: `(N, T, V)`.

    Args:
        model ([`EntropyASRForConditionalGeneration`]): the model.
        prompt: embeddings `(L, hidden_size)` of a prompt with its speech, without padding.
        token_ids: N continuations of at most T tokens, T at least 1; what is behind the end of one means nothing.
    """
    read = model(inputs_embeds=prompt[None], use_cache=True, logits_to_keep=1)
    logits = read.logits.expand(len(token_ids), -1, -1)  # (N, 1, V)
    rows = padded(token_ids, prompt.device)[:, :-1]
    if rows.shape[1]:
        cache = read[CACHE]
        cache.batch_repeat_interleave(len(rows))
        # Padding is behind all that is read of a row.
        logits = torch.cat([logits, model(input_ids=rows, use_cache=True, **{CACHE: cache}).logits], dim=1)
    return logits.float().log_softmax(-1)


def padded(token_ids: Sequence[Sequence[int]], device: torch.device) -> torch.Tensor:
    """Rows of tokens as one tensor `(N, T)`, zeros behind them."""
    longest = max(map(len, token_ids))
    return torch.tensor([[*row, *[0] * (longest - len(row))] for row in token_ids], device=device)


def with_llm_scores(
    model: PreTrainedModel,
    prompt: torch.Tensor,
    hypotheses: Sequence[Hypothesis],
    processors: LogitsProcessorList | None = None,
) -> list[Hypothesis]:
    """Hypotheses of one utterance with what the language model says of their tokens, and what others add to that.

    Args:
        model: the model.
        prompt: embeddings `(L, hidden_size)` of the prompt with its speech, without padding.
        hypotheses: N hypotheses.
        processors: logits processors of the caller's, such as an external language model.
    """
    ids = [one.token_ids for one in hypotheses]
    if not any(ids):
        return [replace(one, token_log_probs=()) for one in hypotheses]
    log_probs, rows = next_token_log_probs(model, prompt, ids), padded(ids, prompt.device)
    own = log_probs.gather(-1, rows[..., None])[..., 0]  # (N, T)
    added = torch.zeros_like(own)
    for step in range(rows.shape[1] if processors else 0):
        changed = processors(rows[:, :step], log_probs[:, step].clone())
        added[:, step] = changed.gather(-1, rows[:, step, None])[:, 0] - own[:, step]
    scores = zip(hypotheses, own.tolist(), added.tolist(), strict=True)
    return [
        replace(
            one,
            token_log_probs=tuple(values[: len(one.token_ids)]),
            external_score=sum(more[: len(one.token_ids)]) if processors else None,
        )
        for one, values, more in scores
    ]


def scored(
    hypothesis: Hypothesis, ctc_log_prob: float | None, num_phonemes: int, best_path: float, weight: float
) -> Hypothesis:
    """A hypothesis with its token log-probabilities, with the joint score and confidence.

    Args:
        hypothesis: the hypothesis.
        ctc_log_prob: log-probability of its phonemes; left aside, and maybe `None`, where the weight is 0.
        num_phonemes: phonemes of its text.
        best_path: log-probability of the most probable label of each frame, whatever it is.
        weight: of the phoneme head, 0 to 1.
    """
    llm, ctc = llm_log_prob(hypothesis), ctc_log_prob if weight else 0.0
    num_tokens = max(1, len(hypothesis.token_ids))
    acoustic = min(0.0, ctc - best_path) / max(1, num_phonemes) if weight else 0.0
    own = (1 - weight) * llm / num_tokens + weight * acoustic
    # What others forbid has minus infinity there, which without a share is nothing.
    added = (1 - weight) * (hypothesis.external_score or 0.0) / num_tokens if weight < 1 else 0.0
    return replace(hypothesis, ctc_log_prob=ctc_log_prob, score=own + added, confidence=math.exp(own))


def llm_log_prob(hypothesis: Hypothesis) -> float:
    """Log-probability of the whole text under the language model."""
    return sum(hypothesis.token_log_probs)


def as_result(hypothesis: Hypothesis) -> dict[str, Any]:
    """What pipelines return of it: JSON has no infinity, so `None` where the audio is too short for the text."""
    result = {
        "text": hypothesis.text,
        "score": _finite(hypothesis.score),
        "llm_log_prob": llm_log_prob(hypothesis),
        "token_log_probs": list(hypothesis.token_log_probs),
        "ctc_log_prob": _finite(hypothesis.ctc_log_prob),
        "confidence": hypothesis.confidence,
    }
    external = hypothesis.external_score
    return result if external is None else result | {"external_score": _finite(external)}


def _finite(value: float | None) -> float | None:
    return None if value is None or math.isinf(value) else value


def ranked(hypotheses: Iterable[Hypothesis]) -> tuple[Hypothesis, ...]:
    """Scored hypotheses, the best by the joint score first; of equal ones that which the language model prefers."""
    return tuple(sorted(hypotheses, key=lambda one: (one.score, llm_log_prob(one)), reverse=True))


def rescored(
    model: PreTrainedModel,
    phoneme_tokenizer: EntropyASRPhonemeTokenizer,
    prompts: Sequence[torch.Tensor],
    frames: Sequence[torch.Tensor],
    groups: Sequence[Sequence[Hypothesis]],
    weight: float = RESCORING_WEIGHT,
    language: str | None = None,
    processors: LogitsProcessorList | None = None,
) -> list[tuple[Hypothesis, ...]]:
    """Hypotheses of B utterances with their scores, ranked by the joint one. The extra `g2p` gives their phonemes.

    The phoneme head's scores are those of one call for the batch; the language model reads each prompt once.

    Args:
        model ([`EntropyASRForConditionalGeneration`]): the model.
        phoneme_tokenizer: vocabulary of its phoneme head.
        prompts: embeddings `(L, hidden_size)` of each utterance's prompt with its speech, without padding.
        frames: log-probabilities `(T, V)` of the phoneme head for each utterance's valid frames.
        groups: hypotheses of each utterance, at least one.
        weight: share of the phoneme head, 0 to 1; with 0 it is not asked, and the extra is not needed.
        language: which language reads digits.
        processors: logits processors of the caller's; what they add to the language model's scores counts as these.
    """
    ctc_scores = iter(_ctc_scores(phoneme_tokenizer, frames, groups, language) if weight else ())
    results = []
    for prompt, rows, group in zip(prompts, frames, groups, strict=True):
        best_path = rows.max(-1).values.sum().item()
        by_llm = with_llm_scores(model, prompt, group, processors)
        ctc = [next(ctc_scores) if weight else (None, 0) for _ in group]
        results.append(ranked(scored(one, *own, best_path, weight) for one, own in zip(by_llm, ctc, strict=True)))
    return results


def _ctc_scores(
    phoneme_tokenizer: EntropyASRPhonemeTokenizer,
    frames: Sequence[torch.Tensor],
    groups: Sequence[Sequence[Hypothesis]],
    language: str | None,
) -> list[tuple[float, int]]:
    """Log-probability of each hypothesis' phonemes, and how many these are."""
    pairs = [(one.text, rows) for group, rows in zip(groups, frames, strict=True) for one in group]
    read = phoneme_tokenizer([text for text, _ in pairs], language)["input_ids"]
    ids = [[index for index in row if index != phoneme_tokenizer.unk_token_id] for row in read]
    values = ctc_log_probs([rows for _, rows in pairs], ids, phoneme_tokenizer.blank_token_id)
    return [(value, len(row)) for value, row in zip(values, ids, strict=True)]


def best_paths(
    segments: Sequence[Sequence[dict[str, Any]]], seconds: Sequence[float]
) -> list[list[dict[str, Any] | None]]:
    """The most probable ways to take one hypothesis of each segment, the best first; as many as a segment has at most.

    Args:
        segments: hypotheses of each segment as pipelines return them; of one without speech none, whose place is
            taken by `None`.
        seconds: length of each segment; the score of a way is the mean over the speech.
    """
    most = max(map(len, segments), default=0)
    paths: list[list[dict[str, Any] | None]] = [[]] if most else []
    for number, hypotheses in enumerate(segments):
        longer = ([*path, hypothesis] for path in paths for hypothesis in hypotheses or [None])
        paths = heapq.nlargest(most, longer, key=lambda path: _sum_of_scores(path, seconds[: number + 1]))
    return paths


def _sum_of_scores(path: Sequence[dict[str, Any] | None], seconds: Sequence[float]) -> float:
    spoken = [(one["score"], length) for one, length in zip(path, seconds, strict=True) if one is not None]
    return sum(-math.inf if score is None else score * length for score, length in spoken)


def joined_path(path: Sequence[dict[str, Any] | None], text: str, seconds: Sequence[float]) -> dict[str, Any]:
    """One hypothesis of a recording from those of its segments, which are independent of each other.

    Args:
        path: of [`best_paths`].
        text: their texts, joined.
        seconds: length of each segment; score and confidence are means over the speech.
    """
    spoken = [(one, length) for one, length in zip(path, seconds, strict=True) if one is not None]
    ctc = [one["ctc_log_prob"] for one, _ in spoken]
    scores, total = [one["score"] for one, _ in spoken], sum(length for _, length in spoken)
    external = [one["external_score"] for one, _ in spoken if "external_score" in one]
    added = {"external_score": None if None in external else sum(external)} if external else {}
    return added | {
        "text": text,
        "score": None if None in scores else sum(one["score"] * length for one, length in spoken) / total,
        "llm_log_prob": sum(one["llm_log_prob"] for one, _ in spoken),
        "token_log_probs": [value for one, _ in spoken for value in one["token_log_probs"]],
        "ctc_log_prob": None if None in ctc else sum(ctc),
        "confidence": sum(one["confidence"] * length for one, length in spoken) / total,
    }


__all__ = ["as_result", "best_paths", "joined_path", "ranked", "rescored", "scored", "with_llm_scores"]
