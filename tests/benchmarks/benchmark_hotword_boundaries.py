# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""False hints among 3,000 rare words in real sentences, matched anywhere and from word to word, under phoneme errors.

    python tests/benchmarks/benchmark_hotword_boundaries.py --data_dir ../shared/data [--rows 300] [--development]

English: sentences of LibriSpeech dev-clean; rare are words outside the 5,000 commonest of train-clean-100. Mandarin:
dev and test sentences of aishell_sample; rare are words of two characters or more outside the 3,000 commonest of
zh_tw_cc0_sentences and aishell's training part. The list is the sentences' own rare words, filled up with others to
3,000. Phonemes are those of the sentence, each with an error at the given rate: a third substitutions, deletions and
insertions each, by any sound of the language.

A hint is right if it is a word of the sentence and wrong else; those that sound like a word of it, and 's forms, are
counted apart. Costs were chosen on other sentences: `--development`, of dev-clean and of aishell's training part, and
sentences of zh_tw_cc0 in simplified characters.
"""

import argparse
import json
import random
import re
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from entropy_asr.modeling import EntropyASRPhonemeTokenizer, HotwordIndex
from entropy_asr.modeling.language_mandarin_entropy_asr import MANDARIN
from entropy_asr.modeling.languages_entropy_asr import LANGUAGES


NUM_HOTWORDS = 3000
ERROR_RATES = (0.0, 0.05, 0.1, 0.2)
TOLERANCES = (0.0, 0.1, 0.2, 0.3)
COMMONEST = {"en": 5000, "zh": 3000}


class Sentence(NamedTuple):
    words: set[str]
    phonemes: list[str]


def read_lines(path: Path) -> list[str]:
    return [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def english(data_dir: Path, rows: int, development: bool) -> tuple[list[list[str]], Counter]:
    """Words of each sentence, and counts of words elsewhere."""
    texts = read_lines(data_dir / "text_lm" / "librispeech_dev_clean_text.txt")
    random.Random(0).shuffle(texts)
    chosen = texts[:rows] if development else texts[600 : 600 + rows]
    elsewhere = read_lines(data_dir / "text_lm" / "librispeech_train_clean_100_text.txt")
    return [text.split() for text in chosen], Counter(word for text in elsewhere for word in text.split())


def mandarin(data_dir: Path, rows: int, development: bool) -> tuple[list[list[str]], Counter]:
    metadata = map(json.loads, read_lines(data_dir / "aishell_sample" / "metadata.jsonl"))
    aishell = [(row["split"], row["text"]) for row in metadata]
    training = [text for split, text in aishell if split == "train"]
    held_out = [text for split, text in aishell if split != "train"]
    chosen, training = (training[:rows], training[rows:]) if development else (held_out[:rows], training)
    elsewhere = read_lines(data_dir / "text_lm" / "zh_tw_cc0_sentences.txt") + training
    words = [MANDARIN.split_words(re.sub(r"[^\u4e00-\u9fff]", " ", text).strip()) for text in chosen]
    return words, Counter(word for text in elsewhere for word in MANDARIN.split_words(text))


def rare_words(sentences: list[list[str]], counts: Counter, language: str) -> list[str]:
    """The sentences' rare words, and others of the corpus up to `NUM_HOTWORDS`."""
    rng = random.Random(1)
    common = {word for word, _ in counts.most_common(COMMONEST[language])}
    shape = r"[a-z]+" if language == "en" else r"[\u4e00-\u9fff]{2,}"

    def is_rare(word: str) -> bool:
        return word not in common and re.fullmatch(shape, word) is not None

    own = sorted({word for words in sentences for word in words if is_rare(word)})
    others = sorted({word for word in counts if is_rare(word)} - set(own))
    own = rng.sample(own, min(len(own), NUM_HOTWORDS))
    return own + rng.sample(others, max(0, min(len(others), NUM_HOTWORDS - len(own))))


def with_errors(phonemes: list[str], rate: float, sounds: list[str], rng: random.Random) -> list[str]:
    heard: list[str] = []
    for phoneme in phonemes:
        kind = rng.randrange(3) if rng.random() < rate else 3
        others = rng.choice(sounds)
        heard += [[others], [], [phoneme, others], [phoneme]][kind]
    return heard


def measure(
    search: Callable[[list[str]], list[str]],
    sentences: list[Sentence],
    listed: set[str],
    sounds: dict[str, tuple[str, ...]],
    heard: list[list[str]],
) -> dict[str, float]:
    right = missed = wrong = spoiled = alike = 0
    times = []
    for sentence, phonemes in zip(sentences, heard, strict=True):
        start = time.thread_time()
        hints = set(search(phonemes))
        times.append(1000 * (time.thread_time() - start))
        wanted = sentence.words & listed
        stems = {re.sub(r"'s?$", "", word) for word in sentence.words}
        said = {sounds[word] for word in sentence.words}
        false = {word for word in hints - wanted - stems if sounds[word] not in said}
        alike += len(hints - wanted) - len(false)
        right, missed, wrong = right + len(hints & wanted), missed + len(wanted - hints), wrong + len(false)
        spoiled += bool(false)
    return {
        "precision": round(right / max(1, right + wrong), 3),
        "recall": round(right / max(1, right + missed), 3),
        "utterances_with_false_hints": round(spoiled / len(sentences), 3),
        "sound_alike": alike,
        "p50_cpu_ms": round(sorted(times)[len(times) // 2], 2),
    }


def run(language: str, data_dir: Path, rows: int, development: bool) -> None:
    tokenizer = EntropyASRPhonemeTokenizer()
    words, counts = (english if language == "en" else mandarin)(data_dir, rows, development)
    texts = [("" if language == "zh" else " ").join(sentence) for sentence in words]
    phonemes = tokenizer.phonemize_batch(texts, language)
    sentences = [Sentence(set(spoken), sounds) for spoken, sounds in zip(words, phonemes, strict=True)]
    hotwords = rare_words(words, counts, language)
    every = sorted({*hotwords, *(word for spoken in words for word in spoken)})
    pronounced = dict(zip(every, map(tuple, tokenizer.phonemize_batch(every, language)), strict=True))
    indices = {
        "anywhere": HotwordIndex.build(hotwords, tokenizer, skip_unusable=True, common_words=[]),
        "words": HotwordIndex.build(hotwords, tokenizer, skip_unusable=True),
    }
    listed = set(indices["words"].words())
    for name, index in indices.items():
        for tolerance in TOLERANCES:
            for rate in ERROR_RATES:
                rng = random.Random(5)
                inventory = list(LANGUAGES[language].g2p.phonemes)
                heard = [with_errors(sentence.phonemes, rate, inventory, rng) for sentence in sentences]
                row = {"language": language, "matched": name, "tolerance": tolerance, "error_rate": rate}
                report = measure(_search(index, tolerance), sentences, listed, pronounced, heard)
                print(json.dumps(row | report), flush=True)


def _search(index: HotwordIndex, tolerance: float) -> Callable[[list[str]], list[str]]:
    return lambda phonemes: index.find_hints(phonemes, tolerance, max_hints=None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=300)
    parser.add_argument("--development", action="store_true", help="the sentences that costs were chosen on")
    args = parser.parse_args()
    for language in ("en", "zh"):
        run(language, args.data_dir, args.rows, args.development)


if __name__ == "__main__":
    main()
