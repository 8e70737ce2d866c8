# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Which hotwords were spoken: an index of up to millions of words, searched by the phonemes that the CTC head found.

Each hotword's phonemes are a pattern of an Aho-Corasick automaton (daachorse: a double array in Rust), one character a
phoneme; a hypothesis is scanned once, whatever the number of words. Only what is found goes into the prompt, so that
words that were not spoken cannot leak into the transcript. Matching is exact unless a tolerance is given: a wrong hint
harms more than a missing one (paper, Inference).
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .hotword_entries_entropy_asr import (
    Entries,
    as_words,
    check_pairs,
    check_tolerance,
    identity,
    phonemize_hotwords,
    spelling,
    to_codes,
    to_text,
    unique_pairs,
)
from .hotword_matches_entropy_asr import Candidate, HotwordMatch, IndexPart, at_word_boundaries, drop_contained
from .languages_entropy_asr import coarser_phoneme, default_phonemes
from .optional_parts_entropy_asr import needed_for
from .tokenization_entropy_asr_phoneme import EntropyASRPhonemeTokenizer
from .word_boundaries_entropy_asr import CommonWords, common_pronunciations


# Room in the prompt; of more matches in one utterance the longest are kept.
MAX_HINTS = 32
# Words added later have a small automaton of their own until they are this many, or this share of the whole.
_MAX_RECENT, _MAX_RECENT_SHARE = 4096, 8


class HotwordIndex:
    """Words and phrases to listen for, found by their phonemes.

    Example:

    ```python
    >>> from entropy_asr.modeling import EntropyASRPhonemeTokenizer, HotwordIndex
    >>> tokenizer = EntropyASRPhonemeTokenizer()
    >>> index = HotwordIndex.build(["Kaldi", "Kaldi toolkit", "北京"], tokenizer)
    >>> [match.word for match in index.search(tokenizer.phonemize("we use the Kaldi toolkit in 北京"))]
    ['Kaldi toolkit', '北京']
    >>> index.save("hotwords.npz")
    >>> len(HotwordIndex.load("hotwords.npz"))
    3
    ```
    """

    def __init__(
        self,
        pronunciations: Mapping[str, Sequence[str]] | Iterable[tuple[str, Sequence[str]]] = (),
        common_words: Mapping[tuple[str, ...], float] | None = None,
    ):
        """Index of words with given phonemes; `build` takes words as they are written.

        Args:
            pronunciations: Mapping from word to phonemes, or pairs of them where a word has several pronunciations.
            common_words: Pronunciations of the words said around them, each with its cost in nats, as
                [`common_pronunciations`] gives. Hotwords are matched from word to word then; without, anywhere.

        Raises:
            ValueError: A word of fewer than two phonemes or with `<unk>`.
            ImportError: The package `daachorse` is missing; the message names the extra.
        """
        # All that the built-in vocabulary can have, so that a tolerant search knows the sound of what no word has.
        self._phonemes = ["", *default_phonemes()]
        self._codes = _number(self._phonemes)
        self._base = IndexPart(Entries.pack(unique_pairs(self._encoded(check_pairs(pronunciations)))))
        self._recent = IndexPart(Entries.pack([]))
        self._common: CommonWords | None = None
        if common_words:
            coded = zip(self._encoded(("", word) for word in common_words), common_words.values(), strict=True)
            self._common = CommonWords({to_text(codes): cost for (_, codes), cost in coded}, self._phonemes)

    @classmethod
    def build(
        cls,
        words: Iterable[str],
        phoneme_tokenizer: EntropyASRPhonemeTokenizer,
        language: str | None = None,
        skip_unusable: bool = False,
        common_words: Sequence[str] | None = None,
    ) -> "HotwordIndex":
        """Index of words and phrases as they are written; their phonemes need the extra `g2p`.

        Args:
            words: Words or phrases, in any mixture of the languages; repeated ones count once, and so do those that
                differ in the form of Unicode alone (composed or decomposed accents, full width, zero-width
                characters), or in case alone and sound the same ("Kaldi", "kaldi"; but "US", "us"). They are shown
                as they were first written.
            phoneme_tokenizer: The model's (`processor.phoneme_tokenizer`).
            language: Which language reads the digits, as in [`EntropyASRPhonemeTokenizer.phonemize`].
            skip_unusable: Leave out, with a warning that names them, words that cannot be found by their sound.
            common_words: Words that are said around the hotwords, the most common first, so that these are matched
                from word to word; by default the commonest of English and Mandarin. With an empty list hotwords are
                matched anywhere, in the middle of other words too.

        Raises:
            ValueError: Words that cannot be found by their sound: without letters, in another script (the message
                names word and script), or of a single phoneme; or a sequence of characters in place of a list.
            ImportError: A package is missing; the message names the extra.
        """
        pairs = phonemize_hotwords(words, phoneme_tokenizer, language, skip_unusable)
        return cls(pairs, common_pronunciations(phoneme_tokenizer, common_words))

    def __len__(self) -> int:
        """Number of entries: a word with two pronunciations is two."""
        return int(self._base.live.sum() + self._recent.live.sum())

    def words(self) -> list[str]:
        """All words, as often as they have pronunciations."""
        return [word for word, _ in self._live_pairs()]

    def update(
        self,
        add: Iterable[str] | Mapping[str, Sequence[str]] = (),
        remove: Iterable[str] = (),
        phoneme_tokenizer: EntropyASRPhonemeTokenizer | None = None,
        language: str | None = None,
    ) -> None:
        """Add and remove words in place; the cost is that of the words added, but for a rebuild now and then.

        Args:
            add: Words as in `build`, which need `phoneme_tokenizer`, or a mapping to phonemes as to make an index.
                A word that is there already is not added again.
            remove: Words, with all their pronunciations, in another case where they are not there in their own; taken
                out first. One pass over all entries.
            phoneme_tokenizer, language: As in `build`.

        Raises:
            KeyError: a word to remove is not in the index; nothing has changed then.
            ValueError: as where an index is made; nothing has changed then.
        """
        if isinstance(add, Mapping):
            pairs = check_pairs(add)
        elif phoneme_tokenizer is None and not isinstance(add, str) and not (add := list(add)):
            pairs = []
        elif phoneme_tokenizer is None:
            raise ValueError("Words to add need `phoneme_tokenizer`, or a mapping from word to phonemes.")
        else:
            pairs = phonemize_hotwords(add, phoneme_tokenizer, language, skip_unusable=False)
        self._remove(as_words(remove))
        self._add(list(self._encoded(pairs)))
        if self._common and len(self._common.phonemes) < len(self._phonemes):
            self._common = CommonWords(self._common.costs, self._phonemes)

    def _remove(self, words: list[str]) -> None:
        wanted = {identity(word): word for word in words}
        spellings = {spelling(word) for word in words}
        found: dict[str, list[tuple[IndexPart, int]]] = {}
        for part in (self._base, self._recent) if wanted else ():
            for entry, (word, _) in enumerate(part.entries.pairs()):
                if part.live[entry] and spelling(word) in spellings:
                    found.setdefault(identity(word), []).append((part, entry))
        # One that is not there in its own case may have been another's second spelling.
        in_any_case = {spelling(key): entries for key, entries in found.items()}
        chosen = {word: found.get(key, in_any_case.get(spelling(word), [])) for key, word in wanted.items()}
        if missing := [word for word, entries in chosen.items() if not entries]:
            raise KeyError(f"not in the hotword index: {', '.join(sorted(missing)[:5])}")
        for part, entry in sum(chosen.values(), []):
            part.live[entry] = False

    def _add(self, pairs: list[tuple[str, tuple[int, ...]]]) -> None:
        fresh = [pair for pair in unique_pairs(pairs) if not self._holds(*pair)]
        if not fresh:
            return
        recent = [(word, tuple(codes)) for word, codes in self._recent.live_pairs()] + fresh
        if len(recent) > max(_MAX_RECENT, len(self._base.entries) // _MAX_RECENT_SHARE):
            recent = [*((word, tuple(codes)) for word, codes in self._base.live_pairs()), *recent]
            self._base = IndexPart(Entries.pack(recent))
            recent = []
        self._recent = IndexPart(Entries.pack(recent))

    def _holds(self, word: str, codes: Sequence[int]) -> bool:
        whole = (0, len(codes))
        text = to_text(codes)
        candidates = [*self._base.exact(text), *self._recent.exact(text)]
        same = [found.to_match().word for found in candidates if (found.start, found.end) == whole]
        return spelling(word) in map(spelling, same)

    def search(self, phonemes: Sequence[str], tolerance: float = 0.0) -> list[HotwordMatch]:
        """Hotwords in a phoneme hypothesis, in the order of their start.

        A match begins and ends where words do, as far as common words tell (an index of `build` knows them): where
        they explain the phonemes better without the hotword, it is no match. The longest match wins: one inside a
        longer one is dropped, two that overlap in part are both given, as are words that sound the same.

        Args:
            phonemes: Of the utterance, such as a greedy CTC hypothesis, as symbols.
            tolerance: Largest distance of a match, in phonetically weighted edits for each phoneme of the hotword (see
                `phonetics_entropy_asr.py`), 0 to 0.3. At 0.2, a word of five phonemes may have one of them wrong; one
                of fewer than four (of five without common words, or among 100,000 hotwords) always matches exactly.
                Common words may be misheard as well then, and of matches that overlap the best is given; where two
                different words are about as near, none. Among 3,000 rare words this keeps the precision of hints at
                .95 up to 10 % wrong phonemes and at .94 with 20 %, in English at 0.3, in Mandarin at 0.2
                (`tests/benchmarks/benchmark_hotword_boundaries.py`). The first search at a tolerance builds its
                tables (seconds for a million words), and each takes tens of milliseconds.

        Raises:
            ValueError: `tolerance` is outside its range, or `phonemes` is a string or holds ids.
        """
        check_tolerance(tolerance)
        if isinstance(phonemes, str):
            raise ValueError("`phonemes` must be a sequence of phoneme symbols, not a string.")
        phonemes = list(phonemes)
        if strange := [phoneme for phoneme in phonemes if not isinstance(phoneme, str)]:
            raise ValueError(f"`phonemes` must be a sequence of phoneme symbols, not of such as {strange[0]!r}.")
        text = to_text([self._codes.get(phoneme, 0) for phoneme in phonemes])
        exact = [*self._base.exact(text), *self._recent.exact(text)]
        if tolerance and text:
            matches = self._with_inexact(exact, text, phonemes, tolerance)
        else:
            matches = at_word_boundaries(exact, self._common, text, phonemes) if self._common else exact
            matches = drop_contained(matches)
        return [match.to_match() for match in sorted(matches, key=lambda match: (match.start, match.end))]

    def _with_inexact(
        self, exact: list[Candidate], text: str, phonemes: list[str], tolerance: float
    ) -> list[Candidate]:
        """Of exact and inexact matches those that were said."""
        with needed_for("`hotword_tolerance`"):
            from .hotwords_inexact_entropy_asr import choose_inexact, choose_without_context
        inexact = self._inexact(text, tolerance)
        if self._common:
            return choose_inexact([*exact, *inexact], self._common, text, phonemes, len(self))
        matches = drop_contained(exact)
        return matches + choose_without_context(inexact, matches)

    def _inexact(self, text: str, tolerance: float) -> list[Candidate]:
        return [
            candidate
            for part in (self._base, self._recent)
            if len(part.entries)
            for candidate in part.tolerant(to_codes(text), self._phonemes, tolerance, self._common is not None)
        ]

    def find_hints(
        self, phonemes: Sequence[str], tolerance: float = 0.0, max_hints: int | None = MAX_HINTS
    ) -> list[str]:
        """Words for the prompt of one utterance: those that `search` finds, each once, in the order of their start.

        Args:
            phonemes, tolerance: As in `search`.
            max_hints: Of more words than that the ones with most phonemes are kept; `None` keeps all.

        Raises:
            ValueError: as in `search`, or `max_hints` is negative or no whole number.
        """
        if max_hints is not None and (isinstance(max_hints, bool) or not isinstance(max_hints, int) or max_hints < 0):
            raise ValueError(f"`max_hints` must be None or a whole number from 0 on, not {max_hints!r}.")
        matches = self.search(phonemes, tolerance)
        longest = sorted(matches, key=lambda match: match.start - match.end)  # stable: the earlier one of equals
        kept = list(dict.fromkeys(match.word for match in longest))[:max_hints]
        return [word for word in dict.fromkeys(match.word for match in matches) if word in set(kept)]

    def save(self, path: str | os.PathLike) -> None:
        """Write the index, automaton included, to one `.npz` file (about 130 MB for a million words).

        Raises:
            ValueError: the name ends otherwise.
        """
        with needed_for("a file of hotwords"):
            from .hotword_files_entropy_asr import write_index
        if len(self._recent.entries) or not self._base.live.all():
            self._base, self._recent = IndexPart(Entries.pack(self._live_pairs())), IndexPart(Entries.pack([]))
        write_index(Path(path), self._phonemes, self._base, self._common)

    @classmethod
    def load(cls, path: str | os.PathLike) -> "HotwordIndex":
        """Read an index that `save` wrote; one of an earlier release gets a warning that says what it lacks.

        Raises:
            FileNotFoundError: no such file.
            ValueError: the file is no hotword index.
        """
        with needed_for("a file of hotwords"):
            from .hotword_files_entropy_asr import read_index
        index = cls()
        index._phonemes, index._base, common = read_index(path)
        index._codes = _number(index._phonemes)
        index._common = CommonWords(common, index._phonemes) if common else None
        return index

    def _live_pairs(self) -> Iterator[tuple[str, list[int]]]:
        yield from self._base.live_pairs()
        yield from self._recent.live_pairs()

    def _encoded(self, pairs: Iterable[tuple[str, Sequence[str]]]) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Phonemes as codes; a phoneme met for the first time gets the next one."""
        for word, phonemes in pairs:
            for phoneme in phonemes:
                if phoneme not in self._codes:
                    self._codes[phoneme] = len(self._phonemes)
                    self._phonemes.append(phoneme)
            yield word, tuple(self._codes[phoneme] for phoneme in phonemes)


def as_index(hotwords: Iterable[str] | HotwordIndex, phoneme_tokenizer: EntropyASRPhonemeTokenizer) -> HotwordIndex:
    """An index as it is; words as an index of them, with the errors of [`HotwordIndex.build`]."""
    if isinstance(hotwords, str):
        raise ValueError(f"`hotwords` is a list of words, not the one string {hotwords!r}.")
    return hotwords if is_index(hotwords) else HotwordIndex.build(hotwords, phoneme_tokenizer)


def is_index(hotwords: Any) -> bool:
    """Whether hotwords are an index; by what it can do, since as remote code its class may exist twice."""
    return callable(getattr(hotwords, "find_hints", None))


def _number(phonemes: list[str]) -> dict[str, int]:
    """Codes of known phonemes, from 1; 0 is for the others.

    A phoneme that some vocabularies lack has the code of the coarser one that these have in its place: an index finds
    its words in the output of heads of both kinds.
    """
    codes = {phoneme: code for code, phoneme in enumerate(phonemes) if code}
    finer = [phoneme for phoneme in (*phonemes, *default_phonemes()) if coarser_phoneme(phoneme) in codes]
    return codes | {phoneme: codes[coarser_phoneme(phoneme)] for phoneme in finer}


__all__ = ["HotwordIndex", "HotwordMatch", "as_index", "is_index"]
