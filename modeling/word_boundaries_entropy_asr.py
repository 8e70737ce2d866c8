# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Where words begin and end in phonemes that have no spaces: the cheapest reading of them as common and unknown words.

A reading cuts the phonemes into words. A common word costs what its rank says (Zipf's law); any other stretch may be
an unknown word, which costs something to begin and something for each phoneme. All costs are negative logarithms of
probabilities, in nats. What is asked of a reading is what it costs on the left of a place and on its right: a hotword
was said where putting it between the two makes the whole no dearer than it is without the hotword.

[`CommonWords.read`] takes the phonemes as they are (a few dozen microseconds). `misheard_words_entropy_asr.py` also
lets common words be misheard.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import NamedTuple

from .hotword_entries_entropy_asr import import_daachorse
from .languages_entropy_asr import UNK_TOKEN, Language, readers
from .tokenization_entropy_asr_phoneme import EntropyASRPhonemeTokenizer


# Costs of a word by its rank, log((rank + _RANK_SHIFT) * _RANK_SCALE): Zipf's law over 30,000 words.
_RANK_SHIFT, _RANK_SCALE = 2.7, 9.2
# What an unknown word costs at its beginning, for each phoneme, and more for being of 1, 2 or 3 phonemes.
UNKNOWN_WORD, UNKNOWN_SHORT = 3.0, (6.0, 3.0, 1.0)
_UNKNOWN_PHONEME, _UNKNOWN_FINAL = 3.3, 4.5
# Words so common that how they sound beside others counts ("to": t ə, t ʊ, t uː), and the rank of endings.
_WEAK_WORDS, _ENDING_RANK = 800, 60
NEVER = 1e6
# An ending that would cost more by itself belongs to the word before it.
_FRAGMENT = 3.0
# How far an unknown word may reach beyond a hotword in it.
_LONGEST_UNKNOWN = 12
# Of the latest languages, vocabularies and words.
_PRONOUNCED: dict[tuple, dict[tuple[str, ...], float]] = {}


class Reading(NamedTuple):
    """Costs of the cheapest readings up to each place and from it on, `length + 1` numbers each; ends are words' ends.

    `before[-1]` is the cost of the whole.
    """

    before: Sequence[float]
    after: Sequence[float]

    def excess(self, start: int, end: int) -> float:
        """By how much the whole gets dearer if one word is from `start` to `end`, without what that word costs."""
        return self.before[start] + self.after[end] - self.before[-1]


class CommonWords:
    """Pronunciations of common words, each with its cost.

    Args:
        costs: Cost of each pronunciation in nats; pronunciations are strings of one character a phoneme, the code of
            the phoneme in `phonemes` plus 256.
        phonemes: Symbol of each code.
    """

    def __init__(self, costs: Mapping[str, float], phonemes: Sequence[str]):
        self.costs = dict(costs)
        self.phonemes = list(phonemes)
        self._costs_in_order = list(self.costs.values())
        self._automaton = import_daachorse().CharwiseDoubleArrayAhoCorasick(list(self.costs))

    def __len__(self) -> int:
        return len(self.costs)

    def read(self, text: str, phonemes: Sequence[str], others: Sequence[tuple[int, int, float]] = ()) -> Reading:
        """Cheapest readings of phonemes that are taken as they are.

        Args:
            text: The phonemes, one character each.
            phonemes: The same as symbols.
            others: Words known to be there: start, end and cost.
        """
        length = len(text)
        ending: list[list[tuple[int, float]]] = [[] for _ in range(length + 1)]
        beginning: list[list[tuple[int, float]]] = [[] for _ in range(length + 1)]
        words = self._automaton.find_overlapping(text)
        known = [(start, end, self._costs_in_order[word]) for start, end, word in words]
        for start, end, cost in (*known, *others):
            ending[end].append((start, cost))
            beginning[length - start].append((length - end, cost))
        whole, if_unknown = whole_syllables(phonemes), costs_if_unknown(phonemes)
        before = _cheapest(ending, whole, if_unknown)
        return Reading(before, _cheapest(beginning, whole[::-1], if_unknown[::-1])[::-1])


def whole_syllables(phonemes: Sequence[str]) -> list[bool]:
    """Places, `length + 1`, at which an unknown word may begin or end: not between initial and final of a syllable."""
    initials, finals = _syllable_parts(readers())
    inner = [not (other in finals and one in initials) for one, other in pairwise(phonemes)]
    return [True, *inner, True] if len(phonemes) else [True]


def costs_if_unknown(phonemes: Sequence[str]) -> list[float]:
    """Cost of each phoneme of an unknown word: a toned final says more than a consonant."""
    finals = _syllable_parts(readers())[1]
    return [_UNKNOWN_FINAL if phoneme in finals else _UNKNOWN_PHONEME for phoneme in phonemes]


@lru_cache(maxsize=16)
def _syllable_parts(languages: tuple[Language, ...]) -> tuple[frozenset[str], frozenset[str]]:
    """Initials and finals of the languages whose syllables are of two phonemes."""
    syllabic = [language.g2p for language in languages if language.g2p.initials]
    initials = frozenset().union(*(g2p.initials for g2p in syllabic))
    return initials, frozenset().union(*(g2p.vowels for g2p in syllabic))


def _cheapest(
    ending: list[list[tuple[int, float]]], whole: Sequence[bool], if_unknown: Sequence[float]
) -> list[float]:
    """Cost of the cheapest reading up to each place, by the common words (start, cost) that end there.

    `one` to `more`: that of an unknown word of 1, 2, 3 and of more phonemes which goes on.
    """
    costs = [0.0]
    one = two = three = more = NEVER
    short_1, short_2, short_3 = UNKNOWN_SHORT
    for place in range(1, len(ending)):
        sound = if_unknown[place - 1]
        more = (more if more < three else three) + sound
        three, two = two + sound, one + sound
        one = costs[-1] + UNKNOWN_WORD + sound if whole[place - 1] else NEVER
        best = min(one + short_1, two + short_2, three + short_3, more) if whole[place] else NEVER
        for start, cost in ending[place]:
            if costs[start] + cost < best:
                best = costs[start] + cost
        costs.append(best)
    return costs


def is_derived(reading: Reading, phonemes: Sequence[str], end: int) -> bool:
    """Whether a word that ends at a place goes on as another one: "New York" in "New Yorker".

    An ending does that which is no common word by itself, nor the beginning of one.
    """
    return any(
        tuple(phonemes[end : end + len(ending)]) == ending
        and reading.after[end] - reading.after[end + len(ending)] > _FRAGMENT
        for ending in _derivations(readers())
    )


@lru_cache(maxsize=16)
def _derivations(languages: tuple[Language, ...]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(ending.split()) for language in languages for ending in language.g2p.derivations)


def inside_unknown(reading: Reading, phonemes: Sequence[str], start: int, end: int) -> float:
    """By how much the whole gets dearer, at least, if some phonemes are part of a longer word that is not common."""
    whole, if_unknown = whole_syllables(phonemes), costs_if_unknown(phonemes)
    sums = [0.0, *accumulate(if_unknown)]
    firsts = [place for place in range(max(0, start - _LONGEST_UNKNOWN), start + 1) if whole[place]]
    lasts = [place for place in range(end, min(len(phonemes), end + _LONGEST_UNKNOWN) + 1) if whole[place]]
    costs = [
        reading.before[first] + UNKNOWN_WORD + sums[last] - sums[first] + reading.after[last]
        for first in firsts
        for last in lasts
        if last - first > max(end - start, 3)
    ]
    return min(costs, default=NEVER) - reading.before[-1]


def rank_cost(rank: int) -> float:
    """Cost of a word by its place in the order of frequency, from 0."""
    return math.log((rank + _RANK_SHIFT) * _RANK_SCALE)


def common_pronunciations(
    tokenizer: EntropyASRPhonemeTokenizer, words: Sequence[str] | None = None
) -> dict[tuple[str, ...], float]:
    """Pronunciations of common words, each with its cost.

    Args:
        tokenizer: Says how they sound.
        words: The words, most common first; by default those of all languages. The first call takes half a second.

    Raises:
        ValueError: `words` is a string in place of a list, or an item is no string.
        ImportError: The extra `g2p` is missing; the message names it.
    """
    if isinstance(words, (str, bytes, Mapping)):
        raise ValueError(f"`common_words` must be a list of words, not {words!r}.")
    words = None if words is None else tuple(words)
    for word in words or ():
        if not isinstance(word, str):
            raise ValueError(f"`common_words` must be strings, not {word!r}.")
    lists = tuple(_common_words(language, tokenizer) for language in readers()) if words is None else words
    key = (readers(), tuple(tokenizer.get_vocab()), lists)
    if key not in _PRONOUNCED:
        if len(_PRONOUNCED) > 7:
            _PRONOUNCED.clear()
        _PRONOUNCED[key] = _pronounce(tokenizer, words)
    return dict(_PRONOUNCED[key])


def _pronounce(tokenizer: EntropyASRPhonemeTokenizer, words: Sequence[str] | None) -> dict[tuple[str, ...], float]:
    if words is not None:
        pairs = _ranked(words, None, tokenizer)
    else:
        pairs = [pair for language in readers() for pair in _words_of_language(language, tokenizer)]
    return _cheapest_of_each(
        (tuple(phonemes), cost) for phonemes, cost in pairs if phonemes and UNK_TOKEN not in phonemes
    )


def _words_of_language(language: Language, tokenizer: EntropyASRPhonemeTokenizer) -> list[tuple[list[str], float]]:
    words, joined_words = (text.split() for text in _common_words(language, tokenizer))
    code = language.code
    pairs = _ranked(words, code, tokenizer)
    for context in language.g2p.contexts:
        pairs += _in_context(words[:_WEAK_WORDS], context, code, tokenizer)
    costs = {word: rank_cost(rank) for rank, word in enumerate(words)}
    joined = [pair.split("_") for pair in joined_words]
    phonemes = tokenizer.phonemize_batch([" ".join(pair) for pair in joined], code)
    pairs += zip(phonemes, [sum(costs[word] for word in pair) for pair in joined], strict=True)
    return pairs + [(ending.split(), rank_cost(_ENDING_RANK)) for ending in language.g2p.endings]


def _common_words(language: Language, tokenizer: EntropyASRPhonemeTokenizer) -> tuple[str, str]:
    """Common words and pairs said as one: those of the language's entry, else those that the tokenizer brings."""
    own = language.g2p.common_words, language.g2p.joined_words
    return own if own[0] else tokenizer.common_words(language.code)


def _ranked(
    words: Sequence[str], code: str | None, tokenizer: EntropyASRPhonemeTokenizer
) -> list[tuple[list[str], float]]:
    phonemes = tokenizer.phonemize_batch(list(words), code)
    return [(sounds, rank_cost(rank)) for rank, sounds in enumerate(phonemes)]


def _cheapest_of_each(pairs: Iterable[tuple[tuple[str, ...], float]]) -> dict[tuple[str, ...], float]:
    """Cost of each pronunciation: of words that sound the same, that of the commonest."""
    costs: dict[tuple[str, ...], float] = {}
    for phonemes, cost in pairs:
        costs[phonemes] = min(cost, costs.get(phonemes, cost))
    return costs


def _in_context(
    words: list[str], context: str, code: str, tokenizer: EntropyASRPhonemeTokenizer
) -> list[tuple[list[str], float]]:
    """How words sound in a text whose other words keep their sounds."""
    before, after = (tokenizer.phonemize(part, code) for part in context.split("{}"))
    found: list[tuple[list[str], float]] = []
    for rank, phonemes in enumerate(tokenizer.phonemize_batch([context.format(word) for word in words], code)):
        inner = phonemes[len(before) : len(phonemes) - len(after)]
        if phonemes == [*before, *inner, *after]:
            found.append((inner, rank_cost(rank)))
    return found


__all__ = ["CommonWords", "Reading", "common_pronunciations", "inside_unknown", "is_derived", "rank_cost"]
