# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The entropy ledger: how the uncertainty of a transcript is shared out, H(Y) = I(Y;Z) + H(Y|Z), token by token.

Y is the transcript and Z the speech embeddings that the language model reads (arXiv 2604.08003, appendix C). Surprisal
is -ln p in nats, of every token of the transcript and of its end, given the tokens before it:

- prior, H(Y): the language model on text alone, in the form that it learnt text in: from the start of a document,
  without a prompt. (A prompt whose audio is missing is a form that no training has shown it.) Where it leaves more
  than ln V, which knowing nothing leaves, it is a broken prior (`is_prior_broken`).
- encoder: what the encoder's phonemes leave, H(Y | phonemes). By the chain rule that is what the phoneme head's CTC
  leaves of the transcript's phonemes, a phoneme costing the ratio of two prefix probabilities, and what the phonemes
  leave of the text, its spelling: the prior's choice among the tokens of its vocabulary that sound the same.
- full, H(Y|Z): the language model with the audio.

The encoder takes away prior - encoder, the language model that reads it encoder - full, and full is left: the three
add up to the prior. Of a text that is not in the sound the encoder leaves more than the prior: its share is negative
and no allocation, and the ledger is marked (`is_text_unheard`). Where the audio has fewer frames than the text's
phonemes need, CTC has no path at all (`is_impossible`): such ledgers are counted and left out of a summary.
"""

import math
from collections import defaultdict
from dataclasses import asdict, dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch

from .languages_entropy_asr import is_unspaced
from .modeling_entropy_asr import EntropyASRForConditionalGeneration
from .phoneme_head_entropy_asr import check_phoneme_head
from .processing_entropy_asr import EntropyASRProcessor
from .prompts_entropy_asr import TOKENIZER_LOCK
from .spoken_text_entropy_asr import why_unreadable


# Of each tokenizer: tokens that sound like a token, by its id.
_SAME_SOUND: WeakKeyDictionary = WeakKeyDictionary()


@dataclass
class UtteranceLedger:
    """Surprisals of one transcript in nats, one a token; the last token is the end of the transcript.

    Attributes:
        tokens: Text of each token.
        uniform: ln V, the same for every token; V is the size of the language model's vocabulary.
        prior, encoder, full: What each leaves of a token; `encoder` is infinite where the audio has fewer frames than
            the phonemes need.
        spelling: The part of `encoder` that the phonemes themselves leave.
        num_phonemes: Phonemes of the transcript.
    """

    tokens: list[str]
    uniform: float
    prior: list[float]
    encoder: list[float]
    full: list[float]
    spelling: list[float]
    num_phonemes: int

    def totals(self) -> dict[str, float]:
        """Nats of the whole transcript left by each."""
        left = {name: float(sum(getattr(self, name))) for name in ("prior", "encoder", "full")}
        return {"uniform": self.uniform * len(self.tokens), **left}

    @property
    def is_prior_broken(self) -> bool:
        """Whether the language model alone guesses the transcript worse than one that knows nothing."""
        return is_prior_broken(self.totals())

    @property
    def is_impossible(self) -> bool:
        """Whether no path of the phoneme head writes the text, or what a model says of it is no number."""
        return not all(map(math.isfinite, self.totals().values()))

    @property
    def is_text_unheard(self) -> bool:
        """Whether the text is not in the sound; see [`is_text_unheard`]."""
        return is_text_unheard(self.totals())

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON, which has no infinity: None stands for what is impossible."""
        marks = {name: getattr(self, name) for name in ("is_prior_broken", "is_text_unheard", "is_impossible")}
        return _finite(asdict(self) | {"totals": self.totals(), **marks})


def is_prior_broken(left: dict[str, float]) -> bool:
    """Whether what `prior` leaves is more than `uniform`: then the language model alone is no prior.

    Training can make it forget how text goes on. Its difference to the others is then mostly its own error, and no
    information of the encoder or the audio.
    """
    return left["prior"] > left["uniform"]


def is_text_unheard(left: dict[str, float]) -> bool:
    """Whether the encoder leaves more of a text than the language model without any audio, or has no path to it.

    Its output speaks against the text then: it is another than what was said, or the encoder fails on it.
    """
    return not left["encoder"] <= left["prior"]


def _finite(value: Any) -> Any:
    """The same with None for numbers that are not finite."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def share_out(left: dict[str, float]) -> dict[str, float]:
    """How H(Y) is shared out, in the unit of `left`; the parts add up to `prior`.

    Args:
        left: What `prior`, `encoder` and `full` leave.

    Returns:
        `encoder`: removed by the encoder, as phonemes (negative where the text is not in the sound, see
        [`is_text_unheard`]); `llm`: removed by the language model that reads its output
        (negative where it understands less than the phoneme head); `left`: removed by nobody.
    """
    return {"encoder": left["prior"] - left["encoder"], "llm": left["encoder"] - left["full"], "left": left["full"]}


@torch.no_grad()
def utterance_ledger(
    model: EntropyASRForConditionalGeneration,
    processor: EntropyASRProcessor,
    audio: Any,
    text: str,
    language: str | None = None,
) -> UtteranceLedger:
    """What prior, encoder and full model leave of each token of a transcript, in nats.

    Args:
        model: A full model.
        processor: Its processor; the language model's tokenizer must be a fast one.
        audio: Anything that the processor takes for audio.
        text: The transcript.
        language: Of the transcript, in any usual form: named in the prompt and to the phonemizer. None: not named in
            the prompt.

    Raises:
        AudioError: audio that cannot be used.
        ImportError: the extra `g2p` is missing: phonemes come from there.
        ValueError: the transcript is no string or cannot be read as phonemes, the language is unknown, or the phoneme
            head was never trained.
    """
    check_phoneme_head(model.config, "The ledger")
    if not isinstance(text, str):
        raise ValueError(f"`text` must be one transcript, a string, not {text!r}.")
    words = _words(processor, text, language)
    # Special tokens in a transcript are spelt: it is what somebody said.
    with TOKENIZER_LOCK:
        encoded = processor.tokenizer(
            text, add_special_tokens=False, return_offsets_mapping=True, split_special_tokens=True
        )
    offsets, target = encoded.offset_mapping, [*encoded.input_ids, processor.end_of_text_id]
    inputs = processor(audio=audio, text=[processor.prompt(language)]).to(model.device)
    features, mask = inputs.pop("input_features"), inputs.pop("input_features_mask")
    prompt, audio = inputs["input_ids"][0].tolist(), {"input_features": features, "input_features_mask": mask}
    full = _log_probs(model, prompt, target, **audio).gather(1, torch.tensor(target)[:, None])[:, 0]
    alone = _log_probs(model, [document_start(processor.tokenizer)], target)
    prior, spelling = _prior_surprisals(alone, target, processor)
    phonemes = [phoneme for _, _, own in words for phoneme in own]
    logits, frame_mask = model.get_phoneme_logits(features, mask)
    log_probs = logits[0][frame_mask[0].bool()].float().log_softmax(-1).cpu().numpy()
    spent = prefix_surprisals(log_probs, phonemes, model.config.phoneme_blank_token_id)
    sound = _of_tokens(spent, words, offsets, len(text))
    return UtteranceLedger(
        tokens=[*token_texts(text, offsets), processor.tokenizer.decode([target[-1]])],
        uniform=math.log(model.config.text_config.vocab_size),
        prior=prior,
        encoder=[a + b for a, b in zip(sound, spelling, strict=True)],
        full=(-full).tolist(),
        spelling=spelling,
        num_phonemes=len(phonemes),
    )


def document_start(tokenizer) -> int:
    """Token after which a language model has learnt that text begins; where it has none, the end of another text."""
    ids = (tokenizer.bos_token_id, tokenizer.pad_token_id, tokenizer.eos_token_id)
    return next(token for token in ids if token is not None)


def _log_probs(model, prompt: list[int], target: list[int], **audio) -> torch.Tensor:
    """ln p of the whole vocabulary at each target token, `(len(target), V)`, given all before it."""
    ids = torch.tensor([prompt + target], device=model.device)
    logits = model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False, **audio).logits
    return logits[0, len(prompt) - 1 : -1].float().log_softmax(-1).cpu()


def _prior_surprisals(
    log_probs: torch.Tensor, target: list[int], processor: EntropyASRProcessor
) -> tuple[list[float], list[float]]:
    """Nats of each target token without audio, and what is left of them by a listener who knows all phonemes.

    Args:
        log_probs: Of the language model on text alone, `(len(target), V)`.
        target: Tokens of the transcript and its end.
        processor: Whose tokenizers they are.
    """
    same_sound = tokens_of_same_sound(processor)
    # However a document ends in the text that it has learnt, the transcript ends.
    tokenizer = processor.tokenizer
    ends = {target[-1], tokenizer.eos_token_id, tokenizer.pad_token_id, tokenizer.bos_token_id} - {None}
    prior = [-float(row[token]) for row, token in zip(log_probs, target, strict=True)]
    prior[-1] = -float(log_probs[-1, sorted(ends)].logsumexp(0))
    spelling = [
        float(row[same_sound[token]].logsumexp(0) - row[token]) if token in same_sound else 0.0
        for row, token in zip(log_probs, target[:-1], strict=False)
    ]
    return prior, [*spelling, 0.0]


def tokens_of_same_sound(processor: EntropyASRProcessor) -> dict[int, list[int]]:
    """Tokens of the language model that sound like a token, itself among them; only of those that are not alone.

    Pieces of words have no sound of their own: a token counts where its letters are written without blanks (Chinese),
    or where it begins a word and is one that stands by itself. One of several readings is taken, and the beginning of
    a longer word counts as a word.
    """
    tokenizer = processor.tokenizer
    if tokenizer not in _SAME_SOUND:
        ids = [index for index in range(len(tokenizer)) if index not in tokenizer.all_special_ids]
        texts = tokenizer.batch_decode([[index] for index in ids])
        spoken = {
            index: text.strip()
            for index, text in zip(ids, texts, strict=True)
            if text.strip().isalpha() and ((text.isascii() and text[0] == " ") or all(map(is_unspaced, text)))
        }
        sounds = processor.phoneme_tokenizer.phonemize_batch(list(spoken.values())) if spoken else []
        by_sound = defaultdict(list)
        for index, phonemes in zip(spoken, sounds, strict=True):
            by_sound[spoken[index].isascii(), tuple(phonemes)].append(index)
        groups = (group for (_, phonemes), group in by_sound.items() if phonemes and len(group) > 1)
        _SAME_SOUND[tokenizer] = {index: group for group in groups for index in group}
    return _SAME_SOUND[tokenizer]


def token_texts(text: str, offsets: list[tuple[int, int]]) -> list[str]:
    """What each token stands for; a character that is cut into several tokens belongs to the first of them."""
    texts, end = [], 0
    for start, stop in offsets:
        texts.append(text[max(start, end) : stop])
        end = max(end, stop)
    return texts


def _words(processor: EntropyASRProcessor, text: str, language: str | None) -> list[tuple[int, int, list[int]]]:
    """First character, end (exclusive) and phoneme ids of each word of a text; a ValueError names what has none."""
    tokenizer, words, position = processor.phoneme_tokenizer, [], 0
    for surface, phonemes in tokenizer.phonemize_words(text, language):
        start = text.find(surface, position)
        # Normalisation (full-width letters) may have changed it: then it lies where the last word ended.
        start = position if start < 0 else start
        position = min(len(text), start + max(1, len(surface)))
        ids = tokenizer.convert_tokens_to_ids(phonemes)
        if tokenizer.unk_token_id in ids:  # which the encoder never gives: its surprisal would say nothing
            reason = why_unreadable(text) or f"{surface!r} has sounds that the phoneme head does not know"
            raise ValueError(f"The ledger needs the phonemes of the whole transcript: {reason}.")
        words.append((start, position, ids))
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


def _of_tokens(spent: list[float], words: list, offsets: list[tuple[int, int]], num_characters: int) -> list[float]:
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
