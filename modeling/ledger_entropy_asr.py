# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The entropy ledger: how many nats of a transcript the language model, the encoder and both together remove.

Surprisal is -ln p in nats, of every token of the transcript given the ones before it:

- uniform: ln V, where nothing is known; V is the size of the language model's vocabulary.
- LLM alone: this model's language model after its own prompt, with the audio's places taken out of it. Joint training
  may have taught it that audio is missing there: it is the prior that this model has, not that of a general LLM. Where
  it leaves more than uniform, it is a broken prior (`is_prior_broken`).
- encoder alone: the phoneme head's CTC probability of the transcript's phonemes, without any language model. By the
  chain rule a phoneme costs the ratio of two CTC prefix probabilities; a token has the phonemes of its letters.
  Spelling is not part of it: which of several homophones was meant costs nothing here.
- full model: with the audio.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from entropy_asr.modeling import EntropyASRForConditionalGeneration, EntropyASRProcessor


@dataclass
class UtteranceLedger:
    """Surprisals of one transcript in nats, one a token; the last token is the end of the transcript.

    Attributes:
        tokens: Text of each token.
        uniform: ln V, the same for every token.
        llm_alone, encoder_alone, full: Surprisals; `encoder_alone` is infinite where the audio has fewer frames than
            the phonemes need.
        num_phonemes: Phonemes of the transcript.
    """

    tokens: list[str]
    uniform: float
    llm_alone: list[float]
    encoder_alone: list[float]
    full: list[float]
    num_phonemes: int

    def totals(self) -> dict[str, float]:
        """Nats of the whole transcript left by each."""
        left = {name: float(sum(getattr(self, name))) for name in ("llm_alone", "encoder_alone", "full")}
        return {"uniform": self.uniform * len(self.tokens), **left}

    @property
    def is_prior_broken(self) -> bool:
        """Whether the language model alone guesses the transcript worse than one that knows nothing."""
        return is_prior_broken(self.totals())

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"totals": self.totals(), "is_prior_broken": self.is_prior_broken}


def is_prior_broken(left: dict[str, float]) -> bool:
    """Whether what `llm_alone` leaves is more than `uniform`: then the language model alone is no prior.

    Training that never lets it see a prompt without audio can do that. What it seems to remove is negative, and its
    difference to the full model is mostly its own error: neither is information of the language model or the audio.
    """
    return left["llm_alone"] > left["uniform"]


@torch.no_grad()
def utterance_ledger(
    model: EntropyASRForConditionalGeneration,
    processor: EntropyASRProcessor,
    audio: Any,
    text: str,
    language: str | None = None,
) -> UtteranceLedger:
    """Surprisal of each token of a transcript under the LLM alone, the encoder alone and the full model.

    Args:
        model: A full model.
        processor: Its processor; the language model's tokenizer must be a fast one.
        audio: Anything that the processor takes for audio.
        text: The transcript.
        language: "en" or "zh": named in the prompt and to the phonemizer. None: not named in the prompt.

    Raises:
        AudioError: audio that cannot be used.
        ImportError: the extra `g2p` is missing: phonemes come from there.
    """
    # Special tokens in a transcript are spelt: it is what somebody said.
    encoded = processor.tokenizer(
        text, add_special_tokens=False, return_offsets_mapping=True, split_special_tokens=True
    )
    target = [*encoded.input_ids, processor.end_of_text_id]
    inputs = processor(audio=audio, text=[processor.prompt(language)]).to(model.device)
    features, mask = inputs.pop("input_features"), inputs.pop("input_features_mask")
    with_audio = inputs["input_ids"][0].tolist()
    without_audio = [token for token in with_audio if token != processor.audio_token_id]
    full = _token_surprisals(model, with_audio, target, input_features=features, input_features_mask=mask)
    alone = _token_surprisals(model, without_audio, target)
    words = _words(processor, text, language)
    phonemes = [phoneme for _, _, own in words for phoneme in own]
    logits, frame_mask = model.get_phoneme_logits(features, mask)
    log_probs = logits[0][frame_mask[0].bool()].float().log_softmax(-1).cpu().numpy()
    spent = prefix_surprisals(log_probs, phonemes, model.config.phoneme_blank_token_id)
    return UtteranceLedger(
        tokens=[*token_texts(text, encoded.offset_mapping), processor.tokenizer.decode([target[-1]])],
        uniform=math.log(model.config.text_config.vocab_size),
        llm_alone=alone,
        encoder_alone=_share_out(spent, words, encoded.offset_mapping, len(text)),
        full=full,
        num_phonemes=len(phonemes),
    )


def _token_surprisals(model, prompt: list[int], target: list[int], **audio) -> list[float]:
    """-ln p of each target token after the prompt and the target tokens before it."""
    ids = torch.tensor([prompt + target], device=model.device)
    logits = model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False, **audio).logits
    log_probs = logits[0, len(prompt) - 1 : -1].float().log_softmax(-1)
    return (-log_probs.gather(1, ids[0, len(prompt) :, None])[:, 0]).tolist()


def token_texts(text: str, offsets: list[tuple[int, int]]) -> list[str]:
    """What each token stands for; a character that is cut into several tokens belongs to the first of them."""
    texts, end = [], 0
    for start, stop in offsets:
        texts.append(text[max(start, end) : stop])
        end = max(end, stop)
    return texts


def _words(processor: EntropyASRProcessor, text: str, language: str | None) -> list[tuple[int, int, list[int]]]:
    """First character, end (exclusive) and phoneme ids of each word of a text."""
    tokenizer, words, position = processor.phoneme_tokenizer, [], 0
    for surface, phonemes in tokenizer.phonemize_words(text, language):
        start = text.find(surface, position)
        # Normalisation (full-width letters) may have changed it: then it lies where the last word ended.
        start = position if start < 0 else start
        position = min(len(text), start + max(1, len(surface)))
        words.append((start, position, tokenizer.convert_tokens_to_ids(phonemes)))
    return words


def prefix_surprisals(log_probs: np.ndarray, phonemes: list[int], blank: int = 0) -> list[float]:
    """Surprisal in nats of each phoneme given those before it under CTC, and of the end after the last one.

    Args:
        log_probs: Log-probabilities `(T, V)`.
        phonemes: The L phonemes.
        blank: Id of the blank.

    Returns:
        L + 1 non-negative values; they add up to the CTC loss. Infinite where no path exists.
    """
    labels = np.asarray(phonemes, dtype=np.int64)
    log_probs = np.asarray(log_probs, dtype=np.float64)
    repeated = np.concatenate([[False], labels[1:] == labels[:-1]]) if len(labels) else np.zeros(0, bool)
    # Log-probability that exactly the first k phonemes are out, the last frame being a phoneme or a blank.
    sounding, silent = np.full(len(labels) + 1, -np.inf), np.full(len(labels) + 1, -np.inf)
    silent[0] = 0.0
    begun = np.full(len(labels), -np.inf)  # that the first k phonemes begin the output, whatever follows
    with np.errstate(invalid="ignore"):
        for frame in log_probs:
            # A phoneme that repeats its neighbour needs a blank between them.
            ready = np.logaddexp(silent[:-1], np.where(repeated, -np.inf, sounding[:-1]))
            begun = np.logaddexp(begun, ready + frame[labels])
            total = np.logaddexp(silent, sounding)
            sounding[1:] = np.logaddexp(sounding[1:], ready) + frame[labels]
            silent = total + frame[blank]
    chain = np.concatenate([[0.0], begun, [np.logaddexp(silent[-1], sounding[-1])]])
    if not np.isfinite(chain).all():
        return [math.inf] * (len(labels) + 1)
    return np.maximum(chain[:-1] - chain[1:], 0.0).tolist()


def _share_out(spent: list[float], words: list, offsets: list[tuple[int, int]], num_characters: int) -> list[float]:
    """Nats of each token: of the phonemes of its characters; the last token has the end's."""
    by_token, owner = [0.0] * (len(offsets) + 1), _owners(offsets, num_characters)
    position = 0
    for start, end, phonemes in words:
        for index in range(len(phonemes)):
            character = start + index * (end - start) // len(phonemes)
            by_token[owner[min(character, num_characters - 1)]] += spent[position]
            position += 1
    by_token[-1] += spent[-1]
    return by_token


def _owners(offsets: list[tuple[int, int]], num_characters: int) -> list[int]:
    """Token that each character belongs to: the first one that covers it, else the token before it."""
    owners, last = [-1] * num_characters, 0
    for token, (start, end) in enumerate(offsets):
        for character in range(start, end):
            owners[character] = token if owners[character] < 0 else owners[character]
    for character, token in enumerate(owners):
        last = owners[character] = last if token < 0 else token
    return owners


def summarize_ledgers(ledgers: list[UtteranceLedger]) -> dict[str, Any]:
    """Mean nats a token left by each, over utterances in which the encoder has a path, and what was removed."""
    usable = [ledger for ledger in ledgers if math.isfinite(sum(ledger.encoder_alone))]
    tokens = sum(len(ledger.tokens) for ledger in usable)
    counts = {"num_utterances": len(usable), "num_impossible": len(ledgers) - len(usable), "num_tokens": tokens}
    if not usable:
        return counts
    totals = [ledger.totals() for ledger in usable]
    left = {name: sum(total[name] for total in totals) / tokens for name in totals[0]}
    removed = {name: left["uniform"] - left[name] for name in ("llm_alone", "encoder_alone", "full")}
    return {
        **counts,
        "num_phonemes": sum(ledger.num_phonemes for ledger in usable),
        "nats_per_token_left": left,
        "nats_per_token_removed": removed,
        "is_prior_broken": is_prior_broken(left),
        "removed_by_encoder_after_llm": left["llm_alone"] - left["full"],
        "removed_by_llm_after_encoder": left["encoder_alone"] - left["full"],
    }
