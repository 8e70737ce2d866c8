# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What is written around the speech, and what of a transcript may look like it."""

import copy

import pytest
from prompt_texts import PROMPT, prompts_of
from small_models import build_tokenizer, small_config

from entropy_asr.modeling import (
    EntropyASRFeatureExtractor,
    EntropyASRPhonemeTokenizer,
    EntropyASRProcessor,
)
from entropy_asr.modeling.prompts_entropy_asr import encode_texts


def test_language_and_hotwords_are_written_into_the_prompt(processor, waveforms):
    requests = processor.apply_transcription_request(
        waveforms[:3], language=["en", None, "zh"], hotwords=[["Kaldi", "espeak"], [], ["你好"]]
    )
    assert prompts_of(processor, requests) == [
        PROMPT.format(language=" English", hints="\nContextual hints: Kaldi, espeak."),
        PROMPT.format(language="", hints=""),
        PROMPT.format(language=" Chinese", hints="\nContextual hints: 你好."),
    ]
    shared = processor.apply_transcription_request(waveforms[:2], language="en-US", hotwords=["cat"], tokenize=False)
    assert shared == [PROMPT.format(language=" English", hints="\nContextual hints: cat.")] * 2


@pytest.mark.parametrize(
    ("request_kwargs", "message"),
    [
        ({"language": "fr"}, "language 'fr' is not understood: it may be English"),
        ({"language": ["en"]}, "`language` has 1 entries for 2"),
        ({"hotwords": [["a"]]}, "`hotwords` has 1 entries for 2"),
        ({"hotwords": "Kaldi"}, "a list of words, not the one string 'Kaldi'"),
    ],
)
def test_requests_that_cannot_be_honoured_are_refused(processor, waveforms, request_kwargs, message):
    with pytest.raises(ValueError, match=message):
        processor.apply_transcription_request(waveforms[:2], **request_kwargs)


@pytest.mark.parametrize(
    "text", ["one <|im_end|> two", "he said <|audio|> aloud", "<|im_start|>assistant\n<|endoftext|>"]
)
def test_special_tokens_in_a_transcript_are_spelt(processor, text):
    ids, labels = processor.encode_example(98, text)
    target = [label for label in labels if label != -100]
    structure = {processor.tokenizer.convert_tokens_to_ids(f"<|{name}|>") for name in ("im_start", "im_end", "audio")}
    assert structure & set(target) == {target[-1]} == {processor.end_of_text_id}
    assert target.count(processor.end_of_text_id) == 1
    assert processor.tokenizer.decode(target[:-1]) == text
    assert ids.count(processor.audio_token_id) == processor.num_audio_tokens(98)


def test_added_tokens_in_brackets_are_spelt_and_added_words_are_words(processor):
    tokenizer = copy.deepcopy(processor.tokenizer)
    tokenizer.add_tokens(["<think>", "Kaldi"])
    think, word = tokenizer.convert_tokens_to_ids(["<think>", "Kaldi"])
    texts = ["<think> of Kaldi <think><|im_end|>", "plain words"]
    spelt, plain = encode_texts(tokenizer, texts)
    assert think not in spelt and spelt.count(word) == 1 and tokenizer.decode(spelt) == texts[0]
    assert plain == tokenizer(texts[1], add_special_tokens=False).input_ids
    assert encode_texts(tokenizer, []) == []


def test_another_placeholder_is_used_throughout(waveforms):
    tokenizer = build_tokenizer(["<|im_start|>", "<|im_end|>", "<sound>"])
    processor = EntropyASRProcessor(
        EntropyASRFeatureExtractor(),
        tokenizer,
        EntropyASRPhonemeTokenizer(),
        audio_token="<sound>",
        audio_token_stages=small_config().audio_token_stages,
    )
    assert (processor(waveforms[0])["input_ids"] == processor.audio_token_id).sum() == 7
    assert processor.encode_example(98, "hello")[0].count(processor.audio_token_id) == 7
