# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The prompt around the speech: its wording and template, and texts whose tokens must not be taken for its own."""

import threading
import unicodedata
from typing import Any

from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from .languages_entropy_asr import LANGUAGES, language_code


AUDIO_TOKEN, TURN_START, TURN_END = "<|audio|>", "<|im_start|>", "<|im_end|>"
SYSTEM_PROMPT = "You are a multilingual speech recognition model."
# {language} is " English" and so on, or nothing.
INSTRUCTION = "Transcribe the speech into{language} text."
HINTS = "Contextual hints: {hints}."
# A fast tokenizer keeps padding, and how special tokens are read, from the call before: calls of several threads would
# change it under each other. One lock for all tokenizers, of the module: processors are copied, pickled and saved.
TOKENIZER_LOCK = threading.RLock()

# Prompt order of the paper: what never changes first, then the speech, then the hints, so that a prefix can be cached
# and speech be prefilled as it arrives. A user message with audio but no text gets the default instruction.
CHAT_TEMPLATE = (
    "{%- if messages[0]['role'] != 'system' -%}"
    "{{ '<|im_start|>system\\n" + SYSTEM_PROMPT + "<|im_end|>\\n' }}"
    "{%- endif -%}"
    "{%- for message in messages -%}"
    "{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{%- if message['content'] is string -%}{{ message['content'] }}"
    "{%- else -%}"
    "{%- if not message['content'] | selectattr('type', 'equalto', 'text') | list -%}"
    "{{ '" + INSTRUCTION.format(language="") + "\\n' }}"
    "{%- endif -%}"
    "{%- for item in message['content'] -%}"
    "{%- if item['type'] == 'text' -%}{{ item['text'] }}{%- else -%}{{ '<|audio|>' }}{%- endif -%}"
    "{%- endfor -%}"
    "{%- endif -%}"
    "{{ '<|im_end|>\\n' }}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}"
)


def prompt_messages(
    tokenizer: PreTrainedTokenizerBase, language: str | None, hotwords: list[str] | tuple[str, ...]
) -> list[dict[str, Any]]:
    """Messages for the chat template that ask for the transcript of one utterance.

    Args:
        tokenizer: of the language model.
        language: in any form that [`language_code`] understands; the model decides by default.
        hotwords: hints.

    Raises:
        ValueError: for a language the model was not trained on, or a hint that would read as a part of the prompt.
    """
    code = language_code(language, optional=True)
    name = "" if code is None else f" {LANGUAGES[code].name}"
    content = [{"type": "text", "text": INSTRUCTION.format(language=name) + "\n"}, {"type": "audio"}]
    if hotwords:
        check_hints(tokenizer, hotwords)
        # Composed: a decomposed accent would be another token than the one of the texts that were learned.
        hints = unicodedata.normalize("NFC", ", ".join(hotwords))
        content.append({"type": "text", "text": "\n" + HINTS.format(hints=hints)})
    return [{"role": "user", "content": content}]


def check_hints(tokenizer: PreTrainedTokenizerBase, hotwords: list[str] | tuple[str, ...]) -> None:
    """Special tokens in a hint would end the user's turn, or ask for audio that is not there.

    Raises:
        ValueError: names such a hint.
    """
    if isinstance(hotwords, str):
        raise ValueError(f"`hotwords` is a list of words, not the one string {hotwords!r}.")
    for word in hotwords:
        token = next((token for token in structure_tokens(tokenizer).values() if token in word), None)
        if token is not None or "\n" in word:
            raise ValueError(f"Hotword {word!r} holds {token or 'a line break'!r}, which is part of the prompt.")


def answer_tokens(tokenizer: PreTrainedTokenizerBase, token_ids: list[int]) -> list[int]:
    """Tokens of the model's answer: prompt and what follows the end are cut off."""
    with TOKENIZER_LOCK:
        marker = tokenizer(f"{TURN_START}assistant\n", add_special_tokens=False).input_ids
    starts = [i for i in range(len(token_ids) - len(marker) + 1) if token_ids[i : i + len(marker)] == marker]
    answer = token_ids[starts[-1] + len(marker) :] if starts else token_ids
    end = tokenizer.convert_tokens_to_ids(TURN_END)
    return answer[: answer.index(end)] if end in answer else answer


def structure_tokens(tokenizer: PreTrainedTokenizerBase) -> dict[int, str]:
    """Tokens by which prompts are built: special ones, and added ones in angle brackets, such as `<think>`.

    Words that were added to the vocabulary are none.
    """
    return {
        index: token.content
        for index, token in tokenizer.added_tokens_decoder.items()
        if token.special or (token.content.startswith("<") and token.content.endswith(">"))
    }


def encode_texts(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> list[list[int]]:
    """Token ids of what people said or wrote: what reads like a token of the prompt's structure is spelt, not meant.

    A transcript with "<|im_end|>" in it would teach to stop there, one with "<|audio|>" would ask for audio that is
    not there.

    Args:
        tokenizer: of the language model.
        texts: any texts; those without such a token get the ids that the tokenizer gives.
    """
    structure = structure_tokens(tokenizer)
    with TOKENIZER_LOCK:
        rows = tokenizer(texts, add_special_tokens=False).input_ids if texts else []
        return [
            _spelt(tokenizer, text, structure) if not structure.keys().isdisjoint(ids) else ids
            for text, ids in zip(texts, rows, strict=True)
        ]


def _spelt(tokenizer: PreTrainedTokenizerBase, text: str, structure: dict[int, str]) -> list[int]:
    ids = tokenizer(text, add_special_tokens=False, split_special_tokens=True).input_ids
    token = next((token for token in structure.values() if len(token) > 1 and token in text), None)
    # What is in the ids but not in the text is the token of unknown characters.
    if token is None or structure.keys().isdisjoint(ids):
        return ids
    # An added token that is not a special one is cut in two.
    before, after = text.split(token, 1)
    pieces = (before + token[0], token[1:] + after)
    return [index for piece in pieces for index in _spelt(tokenizer, piece, structure)]


__all__ = ["TOKENIZER_LOCK", "answer_tokens", "check_hints", "encode_texts", "prompt_messages", "structure_tokens"]
