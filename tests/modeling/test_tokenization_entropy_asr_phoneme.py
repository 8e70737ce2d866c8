# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What a user of the phoneme tokenizer would notice: pronunciations, ids, words, decoding, saving."""

import builtins
import json
import os
import pickle
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch

from entropy_asr.modeling import language_english_entropy_asr
from entropy_asr.modeling.languages_entropy_asr import default_phonemes
from entropy_asr.modeling.tokenization_entropy_asr_phoneme import EntropyASRPhonemeTokenizer
from entropy_asr.spaces import demo


@pytest.fixture(scope="module")
def tokenizer() -> EntropyASRPhonemeTokenizer:
    return EntropyASRPhonemeTokenizer()


@pytest.mark.parametrize(
    ("text", "language", "phonemes"),
    [
        ("hello world", None, "h ə l oʊ w ɜː l d"),
        ("Near here!", "en", "n ɪɹ h ɪɹ"),
        ("_emphasis_ 😀", "en", "ɛ m f ə s ɪ s"),
        ("15", "en", "f ɪ f t iː n"),
        ("中国", None, "zh ong1 ɡ uo2"),
        ("經濟學", "zh", "tɕ ing1 tɕ i4 x ve2"),
        ("银行行长", "zh", "in2 h ang2 h ang2 zh ang3"),
        ("重庆很重要", "zh", "ch ong2 q ing4 h en3 zh ong4 iao4"),
        ("我们的", "zh", "uo3 m en5 d e5"),
        ("ma1 lv4 nü3 yue4 er5 zi3", "zh", "m a1 l v4 n v3 ve4 er5 ts ɿ3"),
        ("hm2 ng2 嗯", "zh", "h m2 ng2 n2"),
        ("小S用logo", "zh", "x iao3 ɛ s iong4 l oʊ ɡ oʊ"),
        ("S A M", "zh", "ɛ s eɪ ɛ m"),
        ("I love 北京", "en", "aɪ l ʌ v b ei3 tɕ ing1"),
        ("リ最", "zh", "<unk> ts uei4"),
        ("", "zh", ""),
        ("...!", "en", ""),
        ("", "none", ""),
    ],
)
def test_pronunciation(tokenizer: EntropyASRPhonemeTokenizer, text: str, language: str | None, phonemes: str) -> None:
    assert tokenizer.phonemize(text, language) == phonemes.split()


def test_vocabulary_is_fixed(tokenizer: EntropyASRPhonemeTokenizer) -> None:
    """Trained heads depend on the order: these ids must never change."""
    assert len(set(default_phonemes())) == len(default_phonemes()) == tokenizer.vocab_size == len(tokenizer)
    assert (tokenizer.pad_token_id, tokenizer.blank_token_id, tokenizer.unk_token_id) == (0, 0, 1)
    anchors = {"i": 2, "oʊ": 12, "p": 34, "w": 59, "tɕ": 60, "a1": 69, "ng5": 268, "ɿ1": 269, "ʅ5": 278}
    assert {phoneme: tokenizer.convert_tokens_to_ids(phoneme) for phoneme in anchors} == anchors


def test_letters_of_two_languages_do_not_share_tokens_by_accident(tokenizer: EntropyASRPhonemeTokenizer) -> None:
    """The `j` of "yes" and the `z` of "zoo" are not the initials of 鸡 and 字."""
    assert set(tokenizer.phonemize("yes zoo", "en")).isdisjoint(tokenizer.phonemize("鸡 字 日 西", "zh"))
    assert tokenizer.phonemize("mama", "en")[0] == tokenizer.phonemize("妈妈", "zh")[0] == "m"


@pytest.mark.parametrize("language", ["en", "zh", None])
def test_the_phonemes_of_the_words_are_those_of_the_text(tokenizer: EntropyASRPhonemeTokenizer, language) -> None:
    rng = random.Random(0)
    for _ in range(200):
        text = "".join(rng.choices("一二不个5.-$/:%百万a'’b ，。+×é°CF年你我~½①и", k=rng.randint(0, 9)))
        spoken = [phoneme for _, phonemes in tokenizer.phonemize_words(text, language) for phoneme in phonemes]
        assert spoken == tokenizer.phonemize(text, language), text


def test_batch_equals_single(tokenizer: EntropyASRPhonemeTokenizer) -> None:
    texts = ["hello there", "中国", "", "the iPhone 北京", "hello there"]
    languages = ["en", "zh", "none", None, "en"]
    assert tokenizer.phonemize_batch(texts, languages) == [
        tokenizer.phonemize(text, language) for text, language in zip(texts, languages, strict=True)
    ]
    assert tokenizer.phonemize_batch([], "en") == []


def test_call_gives_padded_ids(tokenizer: EntropyASRPhonemeTokenizer) -> None:
    batch = tokenizer(["hi", "中国"], language=["en", "zh"], padding=True, return_tensors="pt")
    assert batch["input_ids"].shape == (2, 4)
    assert torch.equal(batch["attention_mask"], torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1]]))
    assert batch["input_ids"][0, 2:].tolist() == [0, 0]
    single = tokenizer("ma1", language="zh")
    assert tokenizer.convert_ids_to_tokens(single.input_ids) == ["m", "a1"]
    assert tokenizer.encode("ma1", language="zh") == single.input_ids
    assert tokenizer("中国", truncation=True, max_length=3).input_ids == tokenizer("中国").input_ids[:3]


def test_decode_collapses_like_ctc(tokenizer: EntropyASRPhonemeTokenizer) -> None:
    h, ou = tokenizer.convert_tokens_to_ids(["h", "oʊ"])
    frames = [0, h, h, 0, h, ou, ou, 0, 1]
    assert tokenizer.decode(frames, group_tokens=True) == "h h oʊ <unk>"
    assert tokenizer.decode(frames) == "h h h oʊ oʊ <unk>"
    assert tokenizer.decode(frames, group_tokens=True, skip_special_tokens=True) == "h h oʊ"
    assert tokenizer.batch_decode(torch.tensor([[h, h], [0, ou]]), group_tokens=True) == ["h", "oʊ"]
    assert tokenizer.decode(tokenizer("hello").input_ids) == "h ə l oʊ"


def test_errors_name_the_input(tokenizer: EntropyASRPhonemeTokenizer) -> None:
    with pytest.raises(ValueError, match="'fr'"):
        tokenizer.phonemize("bonjour", "fr")
    with pytest.raises(ValueError, match="2 texts but 1 languages"):
        tokenizer.phonemize_batch(["a", "b"], ["en"])
    with pytest.raises(ValueError, match="max_length"):
        tokenizer("hello", truncation=True)
    with pytest.raises(TypeError, match="text_pair"):
        tokenizer("hello", text_pair="there")


def test_save_and_load(tokenizer: EntropyASRPhonemeTokenizer, tmp_path: Path) -> None:
    tokenizer.save_pretrained(tmp_path)
    loaded = EntropyASRPhonemeTokenizer.from_pretrained(tmp_path)
    assert (tmp_path / "phonemes.json").is_file()
    assert loaded.get_vocab() == tokenizer.get_vocab()
    assert loaded("hello 中国").input_ids == tokenizer("hello 中国").input_ids
    assert pickle.loads(pickle.dumps(loaded)).get_vocab() == tokenizer.get_vocab()
    assert loaded.common_words("zh") == tokenizer.common_words("zh")


def test_common_words_of_the_folder_go_before_the_built_in_ones(tokenizer: EntropyASRPhonemeTokenizer, tmp_path: Path):
    """A checkpoint without the file, as older ones are, has the built-in ones."""
    tokenizer.save_pretrained(tmp_path)
    lists = {"en": {"words": ["the raft", "is"], "joined": ["is_the"]}}
    (tmp_path / "common_words.json").write_text(json.dumps(lists), encoding="utf-8")
    own = EntropyASRPhonemeTokenizer.from_pretrained(tmp_path)
    assert own.common_words("en") == ("the raft is", "is_the") and own.common_words("zh") == ("", "")
    (tmp_path / "common_words.json").unlink()
    words, joined = EntropyASRPhonemeTokenizer.from_pretrained(tmp_path).common_words("en")
    assert len(words.split()) == len(set(words.split())) == 6000 and "of_the" in joined.split()


def test_vocabulary_file_is_honoured(tmp_path: Path) -> None:
    path = tmp_path / "phonemes.json"
    path.write_text(json.dumps({"<pad>": 0, "<unk>": 1, "h": 2, "oʊ": 3}), encoding="utf-8")
    assert EntropyASRPhonemeTokenizer(str(path))("hello").input_ids == [2, 1, 1, 3]
    path.write_text(json.dumps({"<pad>": 1, "<unk>": 0}), encoding="utf-8")
    with pytest.raises(ValueError, match="<pad> must have the id 0"):
        EntropyASRPhonemeTokenizer(str(path))


def test_a_vocabulary_without_the_finer_vowels_gets_the_coarser_one_that_it_has(tmp_path: Path) -> None:
    """A head is trained on its own vocabulary: older ones have one i for the vowels of 资, 知 and 鸡."""
    older = default_phonemes()[:269]
    path = tmp_path / "phonemes.json"
    path.write_text(json.dumps({phoneme: index for index, phoneme in enumerate(older)}), encoding="utf-8")
    tokenizer = EntropyASRPhonemeTokenizer(str(path))
    assert tokenizer.phonemize("资知鸡") == ["ts", "i1", "zh", "i1", "tɕ", "i1"]
    assert tokenizer.unk_token_id not in tokenizer("资知鸡").input_ids
    assert dict(tokenizer.phonemize_words("日子"))["日"] == ["r", "i4"]
    assert EntropyASRPhonemeTokenizer().phonemize("资知鸡") == ["ts", "ɿ1", "zh", "ʅ1", "tɕ", "i1"]


def test_the_bundled_checkpoint_reads_with_its_own_vocabulary() -> None:
    folder = Path(demo.__file__).parent / "checkpoint"
    tokenizer = EntropyASRPhonemeTokenizer.from_pretrained(folder / "phoneme_tokenizer")
    assert len(tokenizer) == json.loads((folder / "config.json").read_text())["phoneme_vocab_size"]
    assert tokenizer.unk_token_id not in tokenizer("资知鸡是四个字 the quick brown fox").input_ids


def test_loads_as_remote_code_from_a_subfolder(tokenizer: EntropyASRPhonemeTokenizer, tmp_path: Path) -> None:
    """A processor keeps the tokenizer in a subfolder of a model repository, with its code beside it."""
    folder = tmp_path / "repository" / "phoneme_tokenizer"
    tokenizer.save_pretrained(folder)
    script = (
        "import sys; sys.modules['entropy_asr'] = None\n"
        "from transformers import AutoTokenizer\n"
        f"t = AutoTokenizer.from_pretrained({str(folder)!r}, trust_remote_code=True)\n"
        "print(type(t).__module__, t.vocab_size, t('hello').input_ids)"
    )
    environment = {**os.environ, "HF_MODULES_CACHE": str(tmp_path / "modules")}
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=False
    )
    assert result.returncode == 0, result.stderr
    name, *rest = result.stdout.split(maxsplit=2)
    assert name.startswith("transformers_modules")
    assert rest == [str(tokenizer.vocab_size), f"{tokenizer('hello').input_ids}\n"]


@pytest.mark.parametrize(
    ("package", "text"), [("phonemizer", "hello"), ("espeakng_loader", "hello"), ("pypinyin", "中国")]
)
def test_missing_package_is_named(
    tokenizer: EntropyASRPhonemeTokenizer, monkeypatch: pytest.MonkeyPatch, package: str, text: str
) -> None:
    genuine = builtins.__import__

    def refuse(name: str, *arguments, **keywords):
        if name.partition(".")[0] == package:
            raise ModuleNotFoundError(f"No module named {name!r}")
        return genuine(name, *arguments, **keywords)

    language_english_entropy_asr._backend.cache_clear()
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ImportError, match=rf"{package.replace('_', '.')}.*entropy-asr\[g2p\]"):
        tokenizer.phonemize(text)


def test_phonemizer_stays_quiet(tokenizer: EntropyASRPhonemeTokenizer, capfd: pytest.CaptureFixture, caplog) -> None:
    tokenizer.phonemize_batch(["one of the men in the house", "über Utrecht"], "en")
    assert not caplog.records
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("no JSON", "cannot be read as JSON"),
        ("[1]", "must hold a JSON object, not a list"),
        ('{"<pad>": 0, "<unk>": 1, "a": 3}', "must have the ids 0 to 2, each of them once"),
        ('{"<pad>": 0, "<unk>": 1, "a": 1}', "must have the ids 0 to 2, each of them once"),
        ('{"<pad>": 0, "<unk>": true, "a": null}', "must have the ids 0 to 2, each of them once"),
    ],
)
def test_a_damaged_vocabulary_is_named(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "phonemes.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"phonemes.json: .*{reason}"):
        EntropyASRPhonemeTokenizer(str(path))


@pytest.mark.parametrize("text", ['{"en": 3}', '{"en": {"words": "the of"}}', '{"en": {"words": [1]}}', "[]"])
def test_damaged_lists_of_common_words_are_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "common_words.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="common_words.json: "):
        EntropyASRPhonemeTokenizer(common_words_file=str(path))


def _read_texts(data_dir: Path) -> dict[str, list[str]]:
    texts: dict[str, list[str]] = {"en": [], "zh": []}
    for path in sorted(data_dir.glob("text_lm/*.txt")):
        if "LICENSE" not in path.name:
            language = "zh" if path.name.startswith(("zh_", "chinese_")) else "en"
            texts[language] += [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    for path in sorted(data_dir.glob("*/metadata.jsonl")):
        for row in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
            if row["language"] in texts:
                texts[row["language"]].append(row["text"])
    return texts


@pytest.mark.slow
@pytest.mark.parametrize("language", ["en", "zh"])
def test_vocabulary_covers_real_text(tokenizer: EntropyASRPhonemeTokenizer, data_dir: Path, language: str) -> None:
    """At least 99.99 % of phonemes are known."""
    texts = _read_texts(data_dir)[language]
    phonemized = tokenizer.phonemize_batch(texts, language)
    counts = Counter(phoneme for phonemes in phonemized for phoneme in phonemes)
    unknown = sum(count for phoneme, count in counts.items() if phoneme not in default_phonemes()[2:])
    assert unknown <= 1e-4 * counts.total()
