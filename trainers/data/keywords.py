# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Keywords of transcripts and distractors that sound like them, for the stages that listen to contextual hints.

A keyword is a span of one or two words, or of two to four characters that begin and end at words. Rare spans of
few words are preferred: they are what users give as hotwords. A distractor is a keyword of another transcript whose
phonemes are close. An equal sound counts as close: at inference, where hints are retrieved by their phonemes,
homophones are hinted too.
"""

import os
import re
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from datasets import Dataset, Features, List, Value
from datasets.fingerprint import Hasher
from more_itertools import interleave_longest
from rapidfuzz import process
from rapidfuzz.distance import Levenshtein

from entropy_asr.modeling.language_entry_entropy_asr import CHARACTER
from entropy_asr.modeling.languages_entropy_asr import language_entry
from entropy_asr.modeling.tokenization_entropy_asr_phoneme import EntropyASRPhonemeTokenizer

from ..runs.settings import typed
from .columns_beside_audio import add_columns
from .text import contains, read_lines


MAX_WORDS = 2
# Where errors are counted in characters.
CHARACTERS = (2, 4)
# A word that short is hardly ever what a user wants to be found.
MIN_LETTERS = 3
# "<|audio|>", "</s>", "[PAD]": such words in a transcript are no keywords.
MARKUP = re.compile(r"<[^<>]+>|\[[A-Z]+\]")
COLUMNS = ("keywords", "distractors", "important")


@dataclass
@typed
class ContextConfig:
    """Section `context` of the stages that listen to hints.

    Args:
        max_keywords: Largest number of an utterance's own keywords in its prompt.
        max_distractors: Largest number of distractors in a prompt.
        no_hint_probability: Share of prompts without hints, so that the model goes on without them.
        distractors_only_probability: Share of the prompts with hints whose hints are all wrong, so that the model does
            not believe them against the audio.
        max_distance: Largest edit distance of the phonemes, over the longer one's length, that counts as alike;
            where fewer are alike, other keywords take their places.
        important_keywords: Words that matter wherever they are spoken, or the path of a UTF-8 file with one a line:
            the reinforcement stage rewards them without a hint too.
        vocabulary_rows: Number of rows, evenly spaced, whose keywords distractors come from.
        vocabulary_size: Largest number of such keywords of a language.
        seed: Seed of all choices.
    """

    max_keywords: int = 3
    max_distractors: int = 4
    no_hint_probability: float = 0.2
    distractors_only_probability: float = 0.2
    max_distance: float = 0.5
    important_keywords: list[str] | str = field(default_factory=list)
    vocabulary_rows: int = 50_000
    vocabulary_size: int = 20_000
    seed: int = 0

    def __post_init__(self):
        for name in ("max_keywords", "max_distractors", "vocabulary_rows", "vocabulary_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"context: {name} must be at least 1, got {getattr(self, name)}.")
        for name in ("no_hint_probability", "distractors_only_probability", "max_distance"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"context: {name} is a share, got {getattr(self, name)}.")

    def important(self) -> list[str]:
        """The important keywords.

        Raises:
            FileNotFoundError: there is no such file.
        """
        if isinstance(self.important_keywords, list):
            return self.important_keywords
        if not Path(self.important_keywords).is_file():
            raise FileNotFoundError(f"context.important_keywords: there is no file {self.important_keywords}")
        return list(read_lines([self.important_keywords]))


def keyword_spans(text: str, language: str) -> dict[str, int]:
    """All spans of a transcript that may be keywords, each with its number of words.

    Example:
        >>> keyword_spans("we met anna marsh", "en")
        {'we met': 2, 'met': 1, 'met anna': 2, 'anna': 1, 'anna marsh': 2, 'marsh': 1}
    """
    entry = language_entry(language)
    words = entry.split_words(text)
    spans: dict[str, int] = {}
    for start in range(len(words)):
        for stop in range(start + 1, len(words) + 1):
            span = entry.separator.join(words[start:stop])
            # A prompt refuses what looks like a token of its structure.
            if _too_long(span, stop - start, entry.unit) or MARKUP.search(span):
                break
            if len(span) >= (CHARACTERS[0] if entry.unit == CHARACTER else MIN_LETTERS):
                spans.setdefault(span, stop - start)
    return spans


def _too_long(span: str, num_words: int, unit: str) -> bool:
    return len(span) > CHARACTERS[1] if unit == CHARACTER else num_words > MAX_WORDS


class SoundAlikes:
    """Keywords of one language, found by what they sound like.

    Args:
        keywords: The keywords.
        sounds: Phonemes of each, one character a phoneme ([`spell_sounds`]).
    """

    def __init__(self, keywords: list[str], sounds: list[str]):
        self.keywords = keywords
        self.sounds = sounds

    def nearest(self, sound: str, max_distance: float, limit: int) -> list[str]:
        """Keywords whose phonemes differ least, the nearest first; distances are shares of the longer one."""
        found = process.extract(
            sound, self.sounds, scorer=Levenshtein.normalized_distance, score_cutoff=max_distance, limit=limit
        )
        return [self.keywords[index] for _, _, index in found]


def spell_sounds(texts: list[str], languages: list[str], tokenizer: EntropyASRPhonemeTokenizer) -> list[str]:
    """Phonemes of texts, one character each, so that string distances count phonemes."""
    phonemes = tokenizer.phonemize_batch(texts, languages)
    return ["".join(chr(0x100 + index) for index in tokenizer.convert_tokens_to_ids(row)) for row in phonemes]


class KeywordChooser:
    """Chooses keywords and distractors of transcripts, by a random generator that the caller brings.

    Args:
        rows: Rows with `text` and `language`; their keywords are what distractors come from.
        config: Section `context`.
        tokenizer: Gives the phonemes.
    """

    def __init__(self, rows: Dataset, config: ContextConfig, tokenizer: EntropyASRPhonemeTokenizer):
        self.config = config
        self.tokenizer = tokenizer
        self.important = config.important()
        self.fingerprint = Hasher.hash((rows._fingerprint, asdict(config), self.important))
        self.counts = _count_spans(rows, config.vocabulary_rows)
        self.vocabularies = {language: self._vocabulary(language) for language in self.counts}

    def _vocabulary(self, language: str) -> SoundAlikes:
        keywords = sorted(self.counts[language])
        if len(keywords) > self.config.vocabulary_size:
            rng = np.random.default_rng(self.config.seed)
            chosen = rng.choice(len(keywords), self.config.vocabulary_size, replace=False)
            keywords = [keywords[index] for index in sorted(chosen)]
        return SoundAlikes(keywords, spell_sounds(keywords, [language] * len(keywords), self.tokenizer))

    def choose(self, texts: list[str], languages: list[str], numbers: list[int]) -> dict[str, list[list[str]]]:
        """Columns `keywords`, `distractors` and `important` of rows with these texts, languages and row numbers."""
        generators = [np.random.default_rng([self.config.seed, number]) for number in numbers]
        triples = list(zip(texts, languages, generators, strict=True))
        keywords = [self._keywords(*triple) for triple in triples]
        languages_of = [language for language, chosen in zip(languages, keywords, strict=True) for _ in chosen]
        sounds = iter(
            spell_sounds([keyword for chosen in keywords for keyword in chosen], languages_of, self.tokenizer)
        )
        distractors = [
            self._distractors(*triple, [next(sounds) for _ in chosen])
            for triple, chosen in zip(triples, keywords, strict=True)
        ]
        important = [
            [word for word in self.important if contains(text, word, language)]
            for text, language in zip(texts, languages, strict=True)
        ]
        return {"keywords": keywords, "distractors": distractors, "important": important}

    def _keywords(self, text: str, language: str, rng: np.random.Generator) -> list[str]:
        """Up to `max_keywords` spans, none inside another; rare ones of few words are preferred."""
        spans = keyword_spans(text, language)
        if not spans:
            return []
        counts = self.counts.get(language, Counter())
        weights = np.array([1 / (words * max(1, counts[span])) for span, words in spans.items()])
        order = rng.choice(len(spans), len(spans), replace=False, p=weights / weights.sum())
        chosen: list[str] = []
        for span in (list(spans)[index] for index in order):
            if len(chosen) < self.config.max_keywords and not any(span in other or other in span for other in chosen):
                chosen.append(span)
        return chosen

    def _distractors(self, text: str, language: str, rng: np.random.Generator, sounds: list[str]) -> list[str]:
        """Up to `max_distractors` keywords of others: in turn what is nearest to each sound, then any."""
        wanted = self.config.max_distractors
        vocabulary = self.vocabularies.get(language)
        if vocabulary is None:
            # Audio without speech: any words, of any language, must leave the transcript empty.
            vocabulary = list(self.vocabularies.values())[rng.integers(len(self.vocabularies))]
        nearest = [vocabulary.nearest(sound, self.config.max_distance, 4 * wanted + 8) for sound in sounds]
        others = [vocabulary.keywords[index] for index in rng.integers(len(vocabulary.keywords), size=4 * wanted)]
        chosen: list[str] = []
        for candidate in [*interleave_longest(*nearest), *others]:
            if len(chosen) < wanted and candidate not in chosen and not contains(text, candidate, language):
                chosen.append(candidate)
        return chosen


def _count_spans(rows: Dataset, max_rows: int) -> dict[str, Counter]:
    """Number of rows each span occurs in, by language, over evenly spaced rows."""
    kept = np.unique(np.linspace(0, len(rows) - 1, min(max_rows, len(rows))).astype(int))
    counts: dict[str, Counter] = {}
    for row in rows.select_columns(["text", "language"]).select(kept):
        if spans := keyword_spans(row["text"], row["language"]):
            counts.setdefault(row["language"], Counter()).update(spans.keys())
    if not counts:
        raise ValueError("data: no transcript has a keyword: hints need texts of more than single short words.")
    return counts


def add_keywords(
    rows: Dataset, chooser: KeywordChooser, num_proc: int = 1, cache_dir: str | os.PathLike | None = None
) -> Dataset:
    """Adds the columns of [`KeywordChooser.choose`], chosen in `num_proc` processes.

    The rows need not be those the chooser was built from. Of rows in memory, which have no cache of their own, the
    words are kept in `cache_dir`: other processes and later runs then read them there.
    """
    texts = rows.select_columns(["text", "language"])
    cache_file = None
    if cache_dir is not None:
        name = Hasher.hash((texts["text"][:], texts["language"][:], chooser.fingerprint))
        cache_file = str(Path(cache_dir) / f"keywords-{name}.arrow")
    chosen = texts.map(
        lambda batch, numbers: chooser.choose(batch["text"], batch["language"], numbers),
        with_indices=True,
        batched=True,
        remove_columns=texts.column_names,
        features=Features({name: List(Value("string")) for name in COLUMNS}),
        # By default it would be a hash of the whole vocabulary, and different for equal ones.
        new_fingerprint=Hasher.hash((texts._fingerprint, chooser.fingerprint)),
        num_proc=num_proc if num_proc > 1 else None,
        cache_file_name=cache_file,
        desc="Keywords",
    )
    return add_columns(rows, chosen)


def add_words(rows: Dataset, **columns: list[list[str]]) -> Dataset:
    """Adds columns of lists of words, a list a row."""
    features = Features({name: List(Value("string")) for name in columns})
    return add_columns(rows, Dataset.from_dict(columns, features=features))


def draw_hints(row: dict, config: ContextConfig, rng: np.random.Generator) -> list[str]:
    """Hints of one prompt, in a random order: none, distractors alone, or own keywords among distractors.

    Args:
        row: A row of [`add_keywords`].
        config: Section `context`.
        rng: Generator of this prompt.
    """
    hinted, right = rng.random(2) >= (config.no_hint_probability, config.distractors_only_probability)
    if not hinted:
        return []
    own: list[str] = []
    if right and row["keywords"]:
        own = row["keywords"][: rng.integers(1, len(row["keywords"]) + 1)]
    # Without an own keyword there is at least one distractor: the shares say how many prompts have hints.
    least = 0 if own else min(1, len(row["distractors"]))
    distractors = row["distractors"][: rng.integers(least, len(row["distractors"]) + 1)]
    hints = [*own, *distractors]
    return [hints[index] for index in rng.permutation(len(hints))]
