# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""In which letters a transcript may be: those of the language that is asked for, and those of hints."""

import re

import pytest
import torch
from small_models import build_model, small_config

from entropy_asr.modeling import EntropyASRPipeline, StreamingTranscriber
from entropy_asr.modeling.guards_entropy_asr import GuardSettings
from entropy_asr.modeling.language_entry_entropy_asr import Language
from entropy_asr.modeling.languages_entropy_asr import LANGUAGES, register_language
from entropy_asr.modeling.letters_entropy_asr import LettersProcessor, other_letters


LATIN, HAN = re.compile("[A-Za-z]"), re.compile("[\u4e00-\u9fff]")
LIMITS = {"max_new_tokens": 30}
LOUD = {"no_speech": False}


@pytest.fixture(scope="module")
def babbler(processor) -> EntropyASRPipeline:
    """A model that writes anything: both Latin letters and Chinese characters, in no order."""
    model = build_model(small_config())
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        weight = model.get_output_embeddings().weight
        weight.copy_(torch.randn(weight.shape, generator=generator))
    return EntropyASRPipeline(model=model, processor=processor, device="cpu", guards=LOUD)


def allowed(tokenizer, language, hints=()) -> set[str]:
    """Texts of the tokens that an utterance may have."""
    processor = LettersProcessor(tokenizer, [language], [hints])
    scores = processor(torch.zeros(1, 0, dtype=torch.long), torch.zeros(1, len(tokenizer)))
    return {tokenizer.decode([index]) for index in (scores[0] == 0).nonzero().flatten().tolist()}


def can_write(tokenizer, text: str, language, hints=()) -> bool:
    ids = tokenizer(text).input_ids
    scores = LettersProcessor(tokenizer, [language], [hints])(torch.zeros(1, 0), torch.zeros(1, len(tokenizer)))
    return bool((scores[0, ids] == 0).all())


def test_mandarin_is_written_without_english_letters_and_english_without_chinese_characters(tokenizer):
    assert not any(LATIN.search(text) for text in allowed(tokenizer, "zh") if not text.startswith("<|"))
    for text in ("你好，世界！", "龙 2025 年", "3.5%"):
        assert can_write(tokenizer, text, "zh"), text
    for text in ("hello", "卡拉OK", "ñ", "Ж"):
        assert not can_write(tokenizer, text, "zh"), text
    assert can_write(tokenizer, "Don't, café: 25!", "en") and not can_write(tokenizer, "hello 龙", "en")
    assert can_write(tokenizer, "hello 龙 ñ", None)


def test_what_ends_a_transcript_stays_possible(tokenizer):
    for language in ("en", "zh"):
        assert "<|im_end|>" in allowed(tokenizer, language)


def test_hints_stay_possible_and_other_words_do_not(tokenizer):
    for text in ("我用Kaldi", "我用 kaldi 训练"):
        assert can_write(tokenizer, text, "zh", ["Kaldi"]), text
    assert not can_write(tokenizer, "hello", "zh", ["Kaldi"])
    assert can_write(tokenizer, "in 龙 city", "en", ["龙"])


def test_a_language_that_has_no_letters_may_write_any(tokenizer):
    known = dict(LANGUAGES)
    register_language(Language("cy", "Welsh"))
    assert can_write(tokenizer, "hello 龙", "cy")
    LANGUAGES.clear()
    LANGUAGES.update(known)


def test_rows_are_asked_for_languages_of_their_own_and_beams_are_copies(tokenizer):
    scores = torch.zeros(6, len(tokenizer))
    written = LettersProcessor(tokenizer, lambda: ["zh", None, "en"], [[], [], []])(torch.zeros(6, 0), scores)
    tables = [other_letters(tokenizer, len(tokenizer), LANGUAGES[code].letters) for code in ("zh", "en")]
    for row, table in zip((0, 1, 4, 5), (tables[0], tables[0], tables[1], tables[1]), strict=True):
        assert torch.equal(written[row].isinf(), table)
    assert torch.equal(written[2:4], scores[2:4]) and tables[0].any() and not torch.equal(*tables)


def test_pipeline_writes_the_language_that_is_asked_for(babbler, waveforms):
    """Alone and in a batch, greedily and with beams; without a language, or without guards, all letters come."""
    free = [babbler(waveform, **LIMITS)["text"] for waveform in waveforms]
    assert any(LATIN.search(text) for text in free)
    for options in ({}, {"num_beams": 2}):
        texts = [one["text"] for one in babbler(waveforms, language="zh", batch_size=4, **LIMITS, **options)]
        assert all(texts) and not any(LATIN.search(text) for text in texts)
    off = {"guards": {**LOUD, "letters": False}}
    assert [babbler(waveform, language="auto", **LIMITS, **off)["text"] for waveform in waveforms] == free
    asked = [babbler(waveform, language="zh", **LIMITS, **off)["text"] for waveform in waveforms]
    assert any(LATIN.search(text) for text in asked)


def test_streams_write_the_language_that_is_asked_for(babbler, waveforms):
    for language, free in (("zh", False), (None, True)):
        stream = StreamingTranscriber(babbler, language, use_vad=False, chunk_ms=160, generate_kwargs=LIMITS)
        updates = stream.push(waveforms[4]) + stream.finish()
        assert bool(LATIN.search(updates[-1].text)) is free


def test_one_language_an_utterance_where_none_is_asked_for(babbler, waveforms):
    """That which is told; a text that would have had letters of two has those of one."""
    guards = {**LOUD, "one_language": True}
    for result in babbler(waveforms, return_language=True, guards=guards, batch_size=8, **LIMITS):
        other = HAN if result["language"] == "en" else LATIN
        assert result["text"] and not other.search(result["text"])
    with pytest.raises(ValueError, match="`letters` is off"):
        GuardSettings(one_language=True, letters=False)
