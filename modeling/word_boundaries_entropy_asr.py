# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Where words begin and end in phonemes that have no spaces: the cheapest reading of them as common and unknown words.

A reading cuts the phonemes into words. A common word costs what its rank says (Zipf's law); any other stretch may be
an unknown word, which costs something to begin and something for each phoneme. All costs are negative logarithms of
probabilities, in nats. What is asked of a reading is what it costs on the left of a place and on its right: a hotword
was said where putting it between the two makes the whole no dearer than it is without the hotword.

`read` takes the phonemes as they are (a few dozen microseconds); `read_noisy` also lets common words be misheard, by
one dynamic programme over a trie of them (milliseconds).
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, lru_cache
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np

from .hotwords_tolerant_entropy_asr import import_daachorse
from .languages_entropy_asr import UNK_TOKEN, Language, readers
from .phonetics_entropy_asr import EDIT_COST, cost_matrix
from .tokenization_entropy_asr_phoneme import EntropyASRPhonemeTokenizer


# Costs of a word by its rank, log((rank + _RANK_SHIFT) * _RANK_SCALE): Zipf's law over 30,000 words.
_RANK_SHIFT, _RANK_SCALE = 2.7, 9.2
# What an unknown word costs at its beginning, for each phoneme, and more for being of 1, 2 or 3 phonemes.
_UNKNOWN_WORD, _UNKNOWN_SHORT = 3.0, (6.0, 3.0, 1.0)
_UNKNOWN_PHONEME, _UNKNOWN_FINAL = 3.3, 4.5
# Words so common that how they sound beside others counts ("to": t ə, t ʊ, t uː), and the rank of endings.
_WEAK_WORDS, _ENDING_RANK = 800, 60
# Mishearing: a phoneme that is right, one too many, one missing; another one from the first to the last, by its sound.
_RIGHT, _INSERTED, _MISSING = 0.1, 6.5, 3.5
_OTHER, _OTHER_BY_SOUND, _OTHER_AT_MOST = 3.0, 3.0, 6.5
_NEVER = 1e6
# An ending that would cost more by itself belongs to the word before it.
_FRAGMENT = 3.0
# How far an unknown word may reach beyond a hotword in it.
_LONGEST_UNKNOWN = 12
_FIRST_CHARACTER = 0x100
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
        whole, if_unknown = _whole_syllables(phonemes), _costs_if_unknown(phonemes)
        before = _cheapest(ending, whole, if_unknown)
        return Reading(before, _cheapest(beginning, whole[::-1], if_unknown[::-1])[::-1])

    def read_noisy(self, codes: np.ndarray, phonemes: Sequence[str]) -> Reading:
        """Cheapest readings of phonemes some of which are wrong, too many or missing.

        Args:
            codes: Codes of the phonemes, `(length,)`.
            phonemes: The same as symbols.
        """
        whole, if_unknown = _whole_syllables(phonemes), _costs_if_unknown(phonemes)
        forward, backward = self._tries
        after = backward.cheapest(codes[::-1], whole[::-1], if_unknown[::-1])[::-1]
        return Reading(forward.cheapest(codes, whole, if_unknown), after)

    @cached_property
    def mishearing(self) -> np.ndarray:
        """What it costs that one phoneme was said and another one heard, `(phonemes, phonemes)` float32."""
        distances = cost_matrix(self.phonemes)
        other = np.minimum(_OTHER + _OTHER_BY_SOUND * distances / EDIT_COST, _OTHER_AT_MOST)
        return np.where(distances == 0, _RIGHT, other).astype(np.float32)

    @cached_property
    def _tries(self) -> tuple["_Trie", "_Trie"]:
        backwards = {text[::-1]: cost for text, cost in self.costs.items()}
        return _Trie(self.costs, self.mishearing), _Trie(backwards, self.mishearing)


def _whole_syllables(phonemes: Sequence[str]) -> list[bool]:
    """Places, `length + 1`, at which an unknown word may begin or end: not between initial and final of a syllable."""
    initials, finals = _syllable_parts(readers())
    inner = [not (other in finals and one in initials) for one, other in pairwise(phonemes)]
    return [True, *inner, True] if len(phonemes) else [True]


def _costs_if_unknown(phonemes: Sequence[str]) -> list[float]:
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
    one = two = three = more = _NEVER
    short_1, short_2, short_3 = _UNKNOWN_SHORT
    for place in range(1, len(ending)):
        sound = if_unknown[place - 1]
        more = (more if more < three else three) + sound
        three, two = two + sound, one + sound
        one = costs[-1] + _UNKNOWN_WORD + sound if whole[place - 1] else _NEVER
        best = min(one + short_1, two + short_2, three + short_3, more) if whole[place] else _NEVER
        for start, cost in ending[place]:
            if costs[start] + cost < best:
                best = costs[start] + cost
        costs.append(best)
    return costs


class _Trie:
    """Common words by their beginnings, each node a beginning; words that are misheard are found along with others."""

    def __init__(self, words: Mapping[str, float], costs: np.ndarray):
        """`costs`: `CommonWords.mishearing`."""
        children: dict[tuple[int, str], int] = {}
        parents, sounds, ends = [0], [0], []
        for word in words:
            node = 0
            for character in word:
                if (node, character) not in children:
                    children[node, character] = len(parents)
                    parents.append(node)
                    sounds.append(ord(character) - _FIRST_CHARACTER)
                node = children[node, character]
            ends.append(node)
        self.parents, self.ends = np.array(parents), np.array(ends, np.int64)
        self.sounds, self.costs = np.array(sounds), costs
        self.word_costs = np.array(list(words.values()), np.float32)
        self._costs_by_code: dict[int, np.ndarray] = {}

    def cheapest(self, codes: np.ndarray, whole: Sequence[bool], if_unknown: Sequence[float]) -> list[float]:
        """Cost of the cheapest reading up to each place of a hypothesis."""
        parents, ends, costs = self.parents, self.ends, [0.0]
        unknown = [_NEVER] * 4  # unknown words of 1, 2, 3 and of more phonemes that go on
        ends_without_last = parents[ends]
        going = np.full(len(parents), _NEVER, np.float32)  # (nodes,): cost of being at each, in the middle of a word
        going[0] = 0.0
        going = np.minimum(going, going.take(parents) + np.float32(_MISSING))
        for place, code in enumerate(codes.tolist(), start=1):
            going = np.minimum(going.take(parents) + self._substitution_costs(code), going + np.float32(_INSERTED))
            going[0] = _NEVER
            word_ends = np.minimum(going.take(ends), going.take(ends_without_last) + np.float32(_MISSING))
            begun = costs[-1] + _UNKNOWN_WORD if whole[place - 1] else _NEVER
            unknown = [cost + if_unknown[place - 1] for cost in (begun, *unknown[:2], min(unknown[2:]))]
            best = float((word_ends + self.word_costs).min(initial=_NEVER))
            if whole[place]:
                best = min(best, *(cost + more for cost, more in zip(unknown, (*_UNKNOWN_SHORT, 0.0), strict=True)))
            costs.append(best)
            going[0] = best
            going = np.minimum(going, going.take(parents) + np.float32(_MISSING))
        return costs

    def _substitution_costs(self, code: int) -> np.ndarray:
        """`(nodes,)`: that the phoneme was heard where each node's was said; of the few that occur they are kept."""
        if code not in self._costs_by_code:
            self._costs_by_code[code] = self.costs[self.sounds, code]
        return self._costs_by_code[code]


def align_word(
    pattern: np.ndarray, hypothesis: np.ndarray, reading: Reading, first: int, costs: np.ndarray
) -> tuple[float, int, int]:
    """Cheapest reading of the whole with a word in a part of it, misheard or not: `(cost, start, end)`.

    Args:
        pattern: Codes of the word.
        hypothesis: Codes of the part of the whole hypothesis that begins at `first`.
        reading: Of the whole.
        first: Place of the part.
        costs: `CommonWords.mishearing`.
    """
    substitutions = costs[np.ix_(pattern, hypothesis)].tolist()
    row = [(reading.before[first + place], first + place) for place in range(len(hypothesis) + 1)]
    for place in range(len(hypothesis)):
        row[place + 1] = min(row[place + 1], (row[place][0] + _INSERTED, row[place][1]))
    for sounds in substitutions:
        last, row = row, [(row[0][0] + _MISSING, row[0][1])]
        for place, cost in enumerate(sounds):
            row.append(
                min(
                    (last[place][0] + cost, last[place][1]),
                    (last[place + 1][0] + _MISSING, last[place + 1][1]),
                    (row[place][0] + _INSERTED, row[place][1]),
                )
            )
    ends = [(cost + reading.after[first + place], start, first + place) for place, (cost, start) in enumerate(row)]
    # Where leaving it out altogether is cheapest everywhere, it was not heard.
    return min((end for end in ends if end[1] < end[2]), default=(math.inf, first, first + len(hypothesis)))


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
    whole, if_unknown = _whole_syllables(phonemes), _costs_if_unknown(phonemes)
    sums = [0.0, *accumulate(if_unknown)]
    firsts = [place for place in range(max(0, start - _LONGEST_UNKNOWN), start + 1) if whole[place]]
    lasts = [place for place in range(end, min(len(phonemes), end + _LONGEST_UNKNOWN) + 1) if whole[place]]
    costs = [
        reading.before[first] + _UNKNOWN_WORD + sums[last] - sums[first] + reading.after[last]
        for first in firsts
        for last in lasts
        if last - first > max(end - start, 3)
    ]
    return min(costs, default=_NEVER) - reading.before[-1]


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
    key = (readers(), tuple(tokenizer.get_vocab()), words)
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
    words, code = language.g2p.common_words.split(), language.code
    pairs = _ranked(words, code, tokenizer)
    for context in language.g2p.contexts:
        pairs += _in_context(words[:_WEAK_WORDS], context, code, tokenizer)
    costs = {word: rank_cost(rank) for rank, word in enumerate(words)}
    joined = [pair.split("_") for pair in language.g2p.joined_words.split()]
    phonemes = tokenizer.phonemize_batch([" ".join(pair) for pair in joined], code)
    pairs += zip(phonemes, [sum(costs[word] for word in pair) for pair in joined], strict=True)
    return pairs + [(ending.split(), rank_cost(_ENDING_RANK)) for ending in language.g2p.endings]


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


__all__ = [
    "CommonWords",
    "Reading",
    "align_word",
    "common_pronunciations",
    "inside_unknown",
    "is_derived",
    "rank_cost",
]
