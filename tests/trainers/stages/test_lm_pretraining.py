# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The small language model: its tokenizer, its material, what of it is learnt."""

import math
from collections import Counter

import numpy as np
import pytest
import torch
from training_helpers import make_rows, small_text_config
from transformers import Qwen3ForCausalLM

from entropy_asr.modeling import EntropyASRPhonemeTokenizer
from entropy_asr.trainers.stages.lm_pretraining import (
    LanguageModelSection,
    TextSection,
    build_blocks,
    disturb,
    prompt_texts,
    train_tokenizer,
)


TEXTS = ["the red dog runs", "open the door", "红狗在学校睡觉", "我们今天去北京"]


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(iter([*prompt_texts(), *TEXTS] * 20), 400)


def test_tokenizer_is_the_same_every_time_and_loses_nothing(tokenizer, tmp_path):
    """A resumed run trains it again."""
    again = train_tokenizer(iter([*prompt_texts(), *TEXTS] * 20), 400)
    assert again.get_vocab() == tokenizer.get_vocab()
    for text in [*TEXTS, "Zürich — 它的 emoji 🙂"]:
        assert tokenizer.decode(tokenizer(text).input_ids) == text
        assert again(text).input_ids == tokenizer(text).input_ids


def test_tokenizer_has_the_markers_of_the_prompt(tokenizer):
    for marker in ("<|im_start|>", "<|im_end|>", "<|audio|>", "<|endoftext|>"):
        assert len(tokenizer(marker).input_ids) == 1
    assert tokenizer.eos_token == "<|im_end|>"


def test_pieces_of_files_and_transcripts(tmp_path):
    (tmp_path / "en.txt").write_text("One two, three four.\n")
    make_rows("en none").save_to_disk(tmp_path / "rows")
    section = TextSection(
        text=[{"path": str(tmp_path / "en.txt"), "language": "en", "max_units": 2, "repeat": 2}],
        transcripts=[{"path": str(tmp_path / "rows")}],
    )
    pieces = list(section.pieces())
    plain = [text for text, _, from_phonemes in pieces if not from_phonemes]
    assert plain == ["one two three four"] * 2 + ["the red dog"]
    spoken = [text for text, _, from_phonemes in pieces if from_phonemes]
    assert " ".join(spoken[: len(spoken) // 2]) == "one two three four"
    assert spoken[-1] == "the red dog"
    section.transcripts_from_phonemes = False
    assert [piece for piece in section.pieces() if piece not in pieces] == []
    assert len(list(section.pieces())) == len(pieces) - 1 and not list(section.pieces())[-1][2]


def test_simplified_characters_where_asked_for(tmp_path):
    pytest.importorskip("opencc")
    (tmp_path / "zh.txt").write_text("學習語言\n", encoding="utf-8")
    source = {"path": str(tmp_path / "zh.txt"), "language": "zh", "from_phonemes": False}
    assert [text for text, _, _ in TextSection(text=[source]).pieces()] == ["學習語言"]
    assert [text for text, _, _ in TextSection(text=[{**source, "simplify": True}]).pieces()] == ["学习语言"]


def test_text_is_learnt_as_it_is_written_where_asked_for(tmp_path):
    (tmp_path / "en.txt").write_text("“Yes,” he said.\n", encoding="utf-8")
    source = {"path": str(tmp_path / "en.txt"), "language": "en", "style": "written", "max_units": 2}
    pieces = list(TextSection(text=[source]).pieces())
    assert pieces == [("Yes, he said.", "en", False), ("Yes,", "en", True), ("he said.", "en", True)]
    with pytest.raises(ValueError, match=r"`style` of a text must be one of .*'spoken'"):
        TextSection(text=[{**source, "style": "spoken"}])


def test_texts_are_learnt_and_phonemes_are_not(tokenizer):
    pieces = [("the red dog runs", "en", False), ("红狗在学校睡觉", "zh", True)] * 10
    blocks = build_blocks(TextSection(block_size=16, phoneme_errors=0.0), pieces, tokenizer)
    ids, labels = np.concatenate(blocks["input_ids"]), np.concatenate(blocks["labels"])
    assert set(map(len, blocks["input_ids"])) == {16}
    learnt = tokenizer.decode(ids[labels != -100])
    assert np.array_equal(ids[labels != -100], labels[labels != -100])
    assert set(learnt.split("<|im_end|>")[1:-1]) == {"the red dog runs", "红狗在学校睡觉"}
    phonemes = " ".join(EntropyASRPhonemeTokenizer().phonemize("红狗在学校睡觉", "zh"))
    unlearnt = tokenizer.decode(ids[labels == -100])
    assert f"<|im_start|>user\n{phonemes}<|im_end|>\n<|im_start|>assistant\n" in unlearnt


def test_an_example_does_not_see_its_neighbours(tokenizer):
    pieces = [("the red dog runs", "en", True), ("红狗在学校睡觉", "zh", True)] * 10
    blocks = build_blocks(TextSection(block_size=128, phoneme_errors=0.0), pieces, tokenizer).with_format("torch")
    torch.manual_seed(0)
    model = Qwen3ForCausalLM(small_text_config(len(tokenizer))).eval()
    positions = blocks[0]["position_ids"]
    first, second, third = (positions == 0).nonzero().flatten()[:3].tolist()
    assert first == 0
    with torch.no_grad():
        # Trainer switches the cache off too, without which transformers does not look at where positions start anew.
        inputs = {name: values[None] for name, values in blocks[0].items()}
        in_block = model(**inputs, use_cache=False).logits[0, second:third]
        alone = model(blocks[0]["input_ids"][None, second:third]).logits[0]
    torch.testing.assert_close(in_block, alone, rtol=1e-4, atol=1e-5)


def test_special_tokens_in_text_are_spelt(tokenizer):
    pieces = [("one <|im_end|> two <|audio|>", "en", False)] * 40
    blocks = build_blocks(TextSection(block_size=64), pieces, tokenizer)
    end, audio = tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|audio|>"])
    ids = np.concatenate(blocks["input_ids"])
    assert audio not in ids and tokenizer.decode(ids).count("one <|im_end|> two <|audio|><|im_end|>") > 5
    assert abs(int((ids == end).sum()) - tokenizer.decode(ids).count("two")) <= 1


def test_too_little_text_is_an_error(tokenizer):
    with pytest.raises(ValueError, match="do not fill one block of 256"):
        build_blocks(TextSection(), [("one", "en", False)], tokenizer)


def test_disturbed_phonemes():
    phonemes = ["a", "b", "c", "d"] * 500
    assert disturb(phonemes, 0.0, np.random.default_rng(0)) == phonemes
    disturbed = disturb(phonemes, 0.3, np.random.default_rng(0))
    assert disturbed == disturb(phonemes, 0.3, np.random.default_rng(0))
    assert set(disturbed) == set(phonemes) and disturbed != phonemes
    assert abs(len(disturbed) - len(phonemes)) < 100


def test_as_many_phonemes_are_disturbed_as_was_asked_for():
    """Each is dropped, doubled or exchanged; exchanges bring every phoneme once more in a tenth of cases (Poisson)."""
    phonemes = [str(number) for number in range(6000)]
    counts = Counter(disturb(phonemes, 0.3, np.random.default_rng(0)))
    gone, twice = (sum(counts[phoneme] == count for phoneme in phonemes) / 6000 for count in (0, 2))
    not_brought = math.exp(-0.1)
    assert gone == pytest.approx((0.1 + 0.1) * not_brought, abs=0.01)
    assert twice == pytest.approx((0.1 + 0.1 * 0.7) * not_brought, abs=0.01)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"text": [{"path": "x", "langage": "en"}]}, r"data.text\[0\]: unknown langage"),
        ({"phoneme_errors": 1.5}, "phoneme_errors"),
    ],
)
def test_wrong_fields_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        TextSection(**fields)


def test_only_the_small_preset_is_trained_from_scratch():
    with pytest.raises(ValueError, match="'paper'.*only 'tiny'"):
        LanguageModelSection(preset="paper")


def test_number_of_layers_may_be_chosen(tokenizer):
    config = LanguageModelSection(num_layers=7).text_config(tokenizer)
    assert (config.num_hidden_layers, len(config.layer_types)) == (7, 7)
    assert (config.vocab_size, config.eos_token_id) == (len(tokenizer), tokenizer.eos_token_id)
    with pytest.raises(ValueError, match="`num_layers` must be at least 1, not 0"):
        LanguageModelSection(num_layers=0)
