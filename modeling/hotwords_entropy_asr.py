# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Which hotwords were spoken: an index of up to millions of words, searched by the phonemes that the CTC head heard.

Each hotword's phonemes are a pattern of an Aho-Corasick automaton (daachorse: a double array in Rust), one character a
phoneme; a hypothesis is scanned once, whatever the number of words. Only what is found goes into the prompt, so that
words that were not spoken cannot leak into the transcript. Matching is exact unless a tolerance is given: a wrong hint
harms more than a missing one (paper, Inference).
"""

import json
import os
import unicodedata
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np
from transformers.utils import logging

from .hotwords_tolerant_entropy_asr import TolerantMatcher, check_tolerance, import_daachorse
from .languages_entropy_asr import UNK_TOKEN, default_phonemes
from .spoken_text_entropy_asr import explain_unreadable
from .tokenization_entropy_asr_phoneme import EntropyASRPhonemeTokenizer


logger = logging.get_logger(__name__)

# A single phoneme is in every sentence.
MIN_PHONEMES = 2
# Room in the prompt; of more matches in one utterance the longest are kept.
MAX_HINTS = 32
# Texts given to the grapheme-to-phoneme backends at once.
_G2P_BATCH = 10_000
# Phoneme codes become characters from here on, clear of control characters and surrogates. Code 0 is in no word.
_FIRST_CHARACTER = 0x100
# Words added later have a small automaton of their own until they are this many, or this share of the whole.
_MAX_RECENT, _MAX_RECENT_SHARE = 4096, 8
# Words named in an error, and in a warning of what was left out.
_NAMED, _NAMED_LEFT_OUT = 5, 50
_FORMAT = 1
# Of inexact matches: what a full edit costs in phonemes of length, and by how much the best must beat the next.
_DISTANCE_WEIGHT, _CLEAR_MARGIN = 3.0, 0.5


@dataclass(frozen=True, slots=True)
class HotwordMatch:
    """A hotword heard in `phonemes[start:end]`; `distance` in phonetically weighted edits, 0 for an exact match."""

    word: str
    start: int
    end: int
    distance: float = 0.0


class _Candidate(NamedTuple):
    """A match before it is known whether it is kept: `entry` of `segment`."""

    start: int
    end: int
    segment: "_Segment"
    entry: int
    distance: float = 0.0

    def length(self) -> int:
        """Phonemes of the word, not of what was heard."""
        first, last = self.segment.entries.code_offsets[self.entry : self.entry + 2].tolist()
        return last - first

    def key(self) -> bytes:
        """Phonemes of the word: equal for words that sound the same."""
        first, last = self.segment.entries.code_offsets[self.entry : self.entry + 2].tolist()
        return self.segment.entries.codes[first:last].tobytes()

    def to_match(self) -> HotwordMatch:
        return HotwordMatch(self.segment.entries.word(self.entry), self.start, self.end, round(self.distance, 3))


class _Entries(NamedTuple):
    """Words and their phoneme codes in four arrays: compact in memory, and saved as they are.

    `words` is UTF-8 in uint8, `codes` uint16; entry i has `words[word_offsets[i]:word_offsets[i + 1]]` and the like.
    """

    words: np.ndarray
    word_offsets: np.ndarray
    codes: np.ndarray
    code_offsets: np.ndarray

    @classmethod
    def pack(cls, pairs: Iterable[tuple[str, Sequence[int]]]) -> "_Entries":
        words, word_ends, codes, code_ends = bytearray(), array("q", [0]), array("H"), array("q", [0])
        for word, word_codes in pairs:
            words += word.encode("utf-8")
            codes.extend(word_codes)
            word_ends.append(len(words))
            code_ends.append(len(codes))
        return cls(
            np.array(words, np.uint8),
            np.array(word_ends, np.int64),
            np.array(codes, np.uint16),
            np.array(code_ends, np.int64),
        )

    def __len__(self) -> int:  # not the number of arrays
        return len(self.word_offsets) - 1

    def word(self, entry: int) -> str:
        return self.words[self.word_offsets[entry] : self.word_offsets[entry + 1]].tobytes().decode("utf-8")

    def pairs(self) -> Iterator[tuple[str, list[int]]]:
        text, codes = self.words.tobytes(), self.codes.tolist()
        limits = zip(pairwise(self.word_offsets.tolist()), pairwise(self.code_offsets.tolist()), strict=True)
        for (start, end), (first, last) in limits:
            yield text[start:end].decode("utf-8"), codes[first:last]

    def keys(self) -> list[str]:
        text = _to_text(self.codes)
        return [text[start:end] for start, end in pairwise(self.code_offsets.tolist())]


class _Segment:
    """Entries that share an automaton; `live` is False for those that were removed since."""

    def __init__(self, entries: _Entries, automaton: Any = None):
        self.entries = entries
        self.live = np.ones(len(entries), bool)
        # Overlapping matches need the standard kind; which of them win is decided in `_drop_contained`.
        self.automaton = automaton or import_daachorse().CharwiseDoubleArrayAhoCorasick(entries.keys())
        self._tolerant: TolerantMatcher | None = None

    def exact(self, text: str) -> Iterator[_Candidate]:
        for start, end, entry in self.automaton.find_overlapping(text):
            if self.live[entry]:
                yield _Candidate(start, end, self, entry)

    def tolerant(self, codes: np.ndarray, phonemes: list[str], tolerance: float) -> Iterator[_Candidate]:
        """Inexact matches; the matcher of a tolerance is built at its first use."""
        if self._tolerant is None or (self._tolerant.tolerance, self._tolerant.phonemes) != (tolerance, phonemes):
            entries = self.entries
            self._tolerant = TolerantMatcher(entries.codes, entries.code_offsets, list(phonemes), tolerance)
        for entry, start, end, distance in self._tolerant.search(codes, self.live):
            if distance > 0:
                yield _Candidate(start, end, self, entry, distance)


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

    def __init__(self, pronunciations: Mapping[str, Sequence[str]] | Iterable[tuple[str, Sequence[str]]] = ()):
        """Index of words with given phonemes; `build` takes words as they are written.

        Args:
            pronunciations: Mapping from word to phonemes, or pairs of them where a word has several pronunciations.

        Raises:
            ValueError: A word of fewer than two phonemes or with `<unk>`.
            ImportError: The package `daachorse` is missing; the message names the extra.
        """
        # All that the built-in vocabulary can hear, so that a tolerant search knows the sound of what no word has.
        self._phonemes = ["", *default_phonemes()]
        self._codes = _number(self._phonemes)
        self._base = _Segment(_Entries.pack(_unique(self._encoded(_check_pairs(pronunciations)))))
        self._recent = _Segment(_Entries.pack([]))

    @classmethod
    def build(
        cls,
        words: Iterable[str],
        phoneme_tokenizer: EntropyASRPhonemeTokenizer,
        language: str | None = None,
        skip_unusable: bool = False,
    ) -> "HotwordIndex":
        """Index of words and phrases as they are written; their phonemes need the extra `g2p`.

        Args:
            words: Words or phrases, in any mixture of the languages; repeated ones count once, and so do those that
                differ in the form of Unicode alone (composed or decomposed accents, full width, zero-width
                characters). They are shown as they were first written.
            phoneme_tokenizer: The model's (`processor.phoneme_tokenizer`).
            language: "en" or "zh" reads the digits, as in [`EntropyASRPhonemeTokenizer.phonemize`].
            skip_unusable: Leave out, with a warning that names them, words that cannot be found by their sound.

        Raises:
            ValueError: Words that cannot be found by their sound: without letters, in another script (the message
                names word and script), or of a single phoneme; or a sequence of characters in place of a list.
            ImportError: A package is missing; the message names the extra.
        """
        return cls(_phonemize(words, phoneme_tokenizer, language, skip_unusable))

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
            remove: Words, with all their pronunciations; taken out first. One pass over all entries.
            phoneme_tokenizer, language: As in `build`.

        Raises:
            KeyError: a word to remove is not in the index; nothing has changed then.
            ValueError: as where an index is made; nothing has changed then.
        """
        if isinstance(add, Mapping):
            pairs = _check_pairs(add)
        elif phoneme_tokenizer is None and not isinstance(add, str) and not (add := list(add)):
            pairs = []
        elif phoneme_tokenizer is None:
            raise ValueError("Words to add need `phoneme_tokenizer`, or a mapping from word to phonemes.")
        else:
            pairs = _phonemize(add, phoneme_tokenizer, language, skip_unusable=False)
        self._remove(_as_words(remove))
        self._add(list(self._encoded(pairs)))

    def _remove(self, words: list[str]) -> None:
        wanted = {_identity(word): word for word in words}
        found: list[tuple[_Segment, int, str]] = []
        for segment in (self._base, self._recent) if wanted else ():
            entries = enumerate(segment.entries.pairs())
            keys = ((entry, _identity(word)) for entry, (word, _) in entries if segment.live[entry])
            found += [(segment, entry, key) for entry, key in keys if key in wanted]
        missing = [word for key, word in wanted.items() if key not in {key for *_, key in found}]
        if missing:
            raise KeyError(f"not in the hotword index: {', '.join(sorted(missing)[:5])}")
        for segment, entry, _ in found:
            segment.live[entry] = False

    def _add(self, pairs: list[tuple[str, tuple[int, ...]]]) -> None:
        fresh = [pair for pair in _unique(pairs) if not self._holds(*pair)]
        if not fresh:
            return
        recent = [(word, tuple(codes)) for word, codes in _live(self._recent)] + fresh
        if len(recent) > max(_MAX_RECENT, len(self._base.entries) // _MAX_RECENT_SHARE):
            recent = [*((word, tuple(codes)) for word, codes in _live(self._base)), *recent]
            self._base = _Segment(_Entries.pack(recent))
            recent = []
        self._recent = _Segment(_Entries.pack(recent))

    def _holds(self, word: str, codes: Sequence[int]) -> bool:
        whole = (0, len(codes))
        text = _to_text(codes)
        candidates = [*self._base.exact(text), *self._recent.exact(text)]
        same = [found.to_match().word for found in candidates if (found.start, found.end) == whole]
        return _identity(word) in map(_identity, same)

    def search(self, phonemes: Sequence[str], tolerance: float = 0.0) -> list[HotwordMatch]:
        """Hotwords in a phoneme hypothesis, in the order of their start.

        The longest match wins: one inside a longer one is dropped, two that overlap in part are both given, as are
        words that sound the same.

        Args:
            phonemes: What was heard, such as a greedy CTC hypothesis, as symbols.
            tolerance: Largest distance of a match, in phonetically weighted edits for each phoneme of the hotword (see
                `phonetics_entropy_asr.py`), 0 to 0.3. At 0.2, a word of five phonemes may have one of them wrong; a
                shorter one always matches exactly. Where two different words are about as near, none of them is
                given, and an inexact match gives way to an exact one that is better for its length. The first search
                at a tolerance builds its tables (seconds for a million words).

        Raises:
            ValueError: `tolerance` is outside its range, or `phonemes` is a string.
        """
        check_tolerance(tolerance)
        if isinstance(phonemes, str):
            raise ValueError("`phonemes` must be a sequence of phoneme symbols, not a string.")
        codes = [self._codes.get(phoneme, 0) for phoneme in phonemes]
        text = _to_text(codes)
        matches = _drop_contained([*self._base.exact(text), *self._recent.exact(text)])
        if tolerance and codes:
            matches += self._search_inexact(np.array(codes, np.uint16), list(phonemes), matches, tolerance)
            matches.sort(key=lambda match: (match.start, match.end))
        return [match.to_match() for match in matches]

    def _search_inexact(
        self, codes: np.ndarray, heard: list[str], exact: list[_Candidate], tolerance: float
    ) -> list[_Candidate]:
        found = [
            candidate
            for segment in (self._base, self._recent)
            if len(segment.entries)
            for candidate in segment.tolerant(codes, self._phonemes, tolerance)
        ]
        return _choose_inexact(found, exact)

    def find_hints(
        self, phonemes: Sequence[str], tolerance: float = 0.0, max_hints: int | None = MAX_HINTS
    ) -> list[str]:
        """Words for the prompt of one utterance: those that `search` finds, each once, in the order of their start.

        Args:
            phonemes, tolerance: As in `search`.
            max_hints: Of more words than that the ones with most phonemes are kept; `None` keeps all.
        """
        matches = self.search(phonemes, tolerance)
        longest = sorted(matches, key=lambda match: match.start - match.end)  # stable: the earlier one of equals
        kept = list(dict.fromkeys(match.word for match in longest))[:max_hints]
        return [word for word in dict.fromkeys(match.word for match in matches) if word in set(kept)]

    def save(self, path: str | os.PathLike) -> None:
        """Write the index, automaton included, to one `.npz` file (about 130 MB for a million words).

        Raises:
            ValueError: the name ends otherwise.
        """
        path = Path(path)
        if path.suffix != ".npz":
            raise ValueError(f"{path}: a hotword index is saved with the ending .npz")
        if len(self._recent.entries) or not self._base.live.all():
            self._base, self._recent = _Segment(_Entries.pack(self._live_pairs())), _Segment(_Entries.pack([]))
        header = {"format": _FORMAT, "daachorse": _daachorse_version(), "phonemes": self._phonemes}
        arrays = {
            "header": np.frombuffer(json.dumps(header).encode(), np.uint8),
            "automaton": np.frombuffer(self._base.automaton.serialize(), np.uint8),
            **self._base.entries._asdict(),
        }
        scratch = path.with_name(f".{path.stem}.{os.getpid()}.npz")
        try:
            np.savez(scratch, **arrays)
            os.replace(scratch, path)
        finally:
            scratch.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | os.PathLike) -> "HotwordIndex":
        """Read an index that `save` wrote.

        Raises:
            FileNotFoundError: no such file.
            ValueError: the file is no hotword index.
        """
        index = cls()
        try:
            with np.load(path, allow_pickle=False) as arrays:
                header = json.loads(arrays["header"].tobytes())
                if header["format"] != _FORMAT:
                    raise ValueError(f"its format is {header['format']}, and {_FORMAT} can be read")
                entries = _Entries(*(arrays[name] for name in _Entries._fields))
                automaton = None
                # Another release may lay its automaton out differently: it is built again then.
                if header["daachorse"] == _daachorse_version():
                    automaton_class = import_daachorse().CharwiseDoubleArrayAhoCorasick
                    automaton = automaton_class.deserialize(arrays["automaton"].tobytes())
        except (ValueError, TypeError, KeyError, EOFError, OSError, BadZipFile) as error:
            if isinstance(error, FileNotFoundError):
                raise
            raise ValueError(f"{path}: not a hotword index: {error}") from error
        index._phonemes = header["phonemes"]
        index._codes = _number(index._phonemes)
        index._base = _Segment(entries, automaton)
        return index

    def _live_pairs(self) -> Iterator[tuple[str, list[int]]]:
        yield from _live(self._base)
        yield from _live(self._recent)

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
    """Codes of known phonemes, from 1; 0 is for the others."""
    return {phoneme: code for code, phoneme in enumerate(phonemes) if code}


def _live(segment: _Segment) -> Iterator[tuple[str, list[int]]]:
    return (pair for pair, live in zip(segment.entries.pairs(), segment.live.tolist(), strict=True) if live)


def _to_text(codes: Sequence[int] | np.ndarray) -> str:
    """One character a phoneme code."""
    return (np.asarray(codes, dtype="<u2") + np.uint16(_FIRST_CHARACTER)).tobytes().decode("utf-16-le")


def _daachorse_version() -> str:
    from importlib.metadata import version

    return version("daachorse")


def _drop_contained(candidates: list[_Candidate]) -> list[_Candidate]:
    """Leave out what lies inside a longer match; equal spans (words that sound the same) stay."""
    kept: list[_Candidate] = []
    reach = 0
    for candidate in sorted(candidates, key=lambda found: (found.start, -found.end)):
        if candidate.end > reach or (kept and candidate[:2] == kept[-1][:2]):
            kept.append(candidate)
            reach = candidate.end
    return kept


def _choose_inexact(found: list[_Candidate], exact: list[_Candidate]) -> list[_Candidate]:
    """Of inexact matches those that are clearly the best where they are.

    Taken from the best one down: what overlaps a better one, exact, taken or given up as ambiguous, is left.
    """
    ranked = sorted(found, key=_score, reverse=True)
    decided = list(exact)
    kept: list[_Candidate] = []
    for position, best in enumerate(ranked):
        if any(_overlap(best, other) and _score(other) >= _score(best) for other in decided):
            continue
        decided.append(best)
        rivals = []
        for other in ranked[position + 1 :]:
            if _score(best) - _score(other) > _CLEAR_MARGIN:
                break
            if _overlap(best, other):
                rivals.append(other)
        same = [other for other in rivals if other.key() == best.key()]
        if len(same) == len(rivals):
            kept += [best, *(other for other in same if other[:2] == best[:2])]
    return kept


def _score(candidate: _Candidate) -> float:
    """Longer is better, and nearer: a full edit outweighs `_DISTANCE_WEIGHT` phonemes."""
    return candidate.length() - _DISTANCE_WEIGHT * candidate.distance


def _overlap(one: _Candidate, other: _Candidate) -> bool:
    return one.start < other.end and other.start < one.end


def _as_words(words: Iterable[str]) -> list[str]:
    """Words without surrounding white space and empty ones.

    Raises:
        ValueError: one string in place of a list, or an item that is no string.
    """
    if isinstance(words, (str, bytes, Mapping)):
        raise ValueError(f"Hotwords must be a list of words, not {words!r}.")
    words = list(words)
    for word in words:
        if not isinstance(word, str):
            raise ValueError(f"Hotwords must be strings, not {word!r}.")
    return [stripped for word in words if (stripped := word.strip())]


def _identity(word: str) -> str:
    """What makes a word another one: neither the form of Unicode, nor characters that nobody sees, nor blanks."""
    if not word.isascii():
        word = "".join(c for c in unicodedata.normalize("NFKC", word) if unicodedata.category(c) != "Cf")
    return " ".join(word.split())


def _unique(pairs: Iterable[tuple[str, tuple[int, ...]]]) -> list[tuple[str, tuple[int, ...]]]:
    """The first of each word and pronunciation, as it was written."""
    found: dict[tuple, tuple[str, tuple[int, ...]]] = {}
    for word, codes in pairs:
        found.setdefault((_identity(word), codes), (word, codes))
    return list(found.values())


def _phonemize(
    words: Iterable[str], tokenizer: EntropyASRPhonemeTokenizer, language: str | None, skip_unusable: bool
) -> list[tuple[str, list[str]]]:
    first: dict[str, str] = {}
    for word in _as_words(words):
        first.setdefault(_identity(word), word)
    words = list(first.values())
    pairs: list[tuple[str, list[str]]] = []
    for start in range(0, len(words), _G2P_BATCH):
        batch = words[start : start + _G2P_BATCH]
        pairs += zip(batch, tokenizer.phonemize_batch(batch, language), strict=True)
    known = tokenizer.get_vocab()
    problems = {word: problem for word, phonemes in pairs if (problem := _problem_of_word(word, phonemes, known))}
    if problems and not skip_unusable:
        raise ValueError(f"Hotwords that cannot be found by their sound: {_name_problems(problems, _NAMED)}.")
    if problems:
        named = _name_problems(problems, _NAMED_LEFT_OUT)
        logger.warning(f"{len(problems)} of {len(words)} hotwords are left out: {named}")
    return [(word, phonemes) for word, phonemes in pairs if word not in problems]


def _check_pairs(
    pairs: Mapping[str, Sequence[str]] | Iterable[tuple[str, Sequence[str]]],
) -> list[tuple[str, Sequence[str]]]:
    pairs = list(pairs.items() if isinstance(pairs, Mapping) else pairs)
    problems = {word: problem for word, phonemes in pairs if (problem := _problem_of(phonemes))}
    if problems:
        raise ValueError(f"Hotwords that cannot be found by their sound: {_name_problems(problems, _NAMED)}.")
    return pairs


def _problem_of_word(word: str, phonemes: Sequence[str], known: Mapping[str, int]) -> str | None:
    if UNK_TOKEN in phonemes and (reason := explain_unreadable(word)):
        return f"cannot be used: {reason}"
    if strange := [phoneme for phoneme in phonemes if phoneme not in known]:
        return f"has the sound {strange[0]!r}, which the vocabulary of phonemes lacks"
    return _problem_of(phonemes)


def _problem_of(phonemes: Sequence[str]) -> str | None:
    if isinstance(phonemes, str):
        return f"has the string {phonemes!r} in place of a list of phonemes"
    if UNK_TOKEN in phonemes:
        return "has a sound or script without phonemes"
    if len(phonemes) < MIN_PHONEMES:
        return f"has {len(phonemes)} phonemes, {MIN_PHONEMES} are needed"
    return None


def _name_problems(problems: dict[str, str], limit: int) -> str:
    named = "; ".join(f"{word!r} {problem}" for word, problem in list(problems.items())[:limit])
    return named + (f"; and {len(problems) - limit} more" if len(problems) > limit else "")


__all__ = ["HotwordIndex", "HotwordMatch", "as_index", "is_index"]
