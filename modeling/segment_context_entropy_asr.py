# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What a segment of a long recording is told of the one before it: its last sentence, as a hint.

A model that was trained with keywords as hints takes a sentence for one more of them. Whether that helps is for a
checkpoint to tell: `tests/benchmarks/benchmark_segment_context.py` measures it.
"""

import re

from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from .decoding_entropy_asr import Transcript
from .guards_entropy_asr import LENGTH_LIMIT
from .prompts_entropy_asr import structure_tokens


# A sentence that is longer, or a text without marks, is cut to its last so many characters.
MAX_CHARACTERS = 100
# Behind the marks that end a sentence; a full stop within a number ends none.
_SENTENCE_END = re.compile(r"(?<=[.!?…])\s+|(?<=[。！？])\s*")


def next_context(transcript: Transcript, before: str, tokenizer: PreTrainedTokenizerBase) -> str:
    """What the next segment is told.

    Silence changes nothing. A text that reached its bound is most likely a loop, which nobody should go on with: the
    next segment is told nothing.

    Args:
        transcript: of a segment.
        before: what this segment was told.
        tokenizer: the language model's: a text that reads like a part of its prompt cannot be told.
    """
    if LENGTH_LIMIT in transcript.flags:
        return ""
    if not transcript.text:
        return before
    sentence = last_sentence(transcript.text)
    return "" if any(token in sentence for token in structure_tokens(tokenizer).values()) else sentence


def last_sentence(text: str) -> str:
    """The last sentence of a text, or the end of a long one; without the full stop, which ends the hints."""
    sentences = [" ".join(part.split()).rstrip(".。") for part in _SENTENCE_END.split(text)]
    sentence = next((one for one in reversed(sentences) if one), "")
    if len(sentence) <= MAX_CHARACTERS:
        return sentence
    end = sentence[-MAX_CHARACTERS:]
    # A cut word would be another one; scripts without blanks are cut anywhere.
    return end.partition(" ")[2] or end


__all__ = ["MAX_CHARACTERS", "last_sentence", "next_context"]
