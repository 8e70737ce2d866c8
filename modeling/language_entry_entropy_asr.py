# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What a language is to this library: one [`Language`] entry, which everything else asks.

Nothing here needs more than Python: what an entry needs beyond that is imported at the first text.
"""

import re
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


# Subtags that may follow a language's: its script, then a region ("en-US", "zh-Hans-CN", "es-419").
_SUBTAGS = re.compile(r"(?: (?:hans|hant|latn))?(?: (?:[a-z]{2}|\d{3}))?")
WORD, CHARACTER = "word", "character"
# Letters that are no ASCII letter with a mark beside it.
_WITHOUT_ACCENT = str.maketrans({"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th"})


def missing_g2p(package: str, error: ImportError) -> ImportError:
    """The error where a package that gives phonemes cannot be imported; names the extra."""
    return ImportError(
        f'Phonemes need the package `{package}`, which cannot be imported ({error}): pip install "entropy-asr[g2p]"'
    )


class GraphemeToPhoneme(ABC):
    """How a language is read aloud: a subclass with [`words`] is what a language needs to have phonemes.

    Attributes:
        phonemes: All that it gives, in the order in which a new vocabulary gets them. Symbols that another language
            has too share its token. Heads are trained on the order: further phonemes are added at the end.
        vowels: Those that are vowels or hold one.
        toneless: What is left of a phoneme that carries a tone, where the language has tones.
        sound_classes: Groups of phonemes, without tone and separated by blanks, that are easily taken for each other.
        coarser: For a phoneme that an older vocabulary may lack, the one that this has in its place.
        initials: Phonemes that begin a syllable whose rest is one of `vowels`, where no word ends inside a syllable.
        common_words: Its commonest words, the most common first, separated by blanks: what hotwords are told from.
            Empty: those that the phoneme tokenizer brings for it (`common_words.json`), if any.
        joined_words: Pairs of common words that are said as one, with an underscore in between.
        contexts: Texts with a `{}` for a common word, which then sounds as it does among others ("to": t ə, t ʊ).
        endings: What any word may end in further or lend to the next, as phonemes separated by blanks.
        derivations: Endings that make another word of one ("New Yorker"), as phonemes separated by blanks; none with
            which words begin.
        takes_digits: Whether digits that touch its letters are read by it in a text of another language ("2个").
    """

    phonemes: tuple[str, ...] = ()
    vowels: frozenset[str] = frozenset()
    toneless: Mapping[str, str] = {}
    sound_classes: tuple[str, ...] = ()
    coarser: Mapping[str, str] = {}
    initials: frozenset[str] = frozenset()
    common_words: str = ""
    joined_words: str = ""
    contexts: tuple[str, ...] = ()
    endings: tuple[str, ...] = ()
    derivations: tuple[str, ...] = ()
    takes_digits = False

    @abstractmethod
    def words(self, text: str) -> list[tuple[str, list[str]]]:
        """Words of a text with their phonemes as spoken in it, in the order of the text.

        Args:
            text: In the language's letters, with digits, punctuation and symbols, as
                [`~spoken_text_entropy_asr.spoken_text`] gives it. A word stands in it as it is returned.
        """

    def phonemize(self, texts: Sequence[str]) -> list[list[str]]:
        """Phonemes of each text; where a backend reads many texts faster at once, a subclass does."""
        return [[phoneme for _, phonemes in self.words(text) for phoneme in phonemes] for text in texts]

    def own_spans(self, text: str) -> list[tuple[int, int]]:
        """Places in a text of this language that it reads itself though they are in another's letters (pinyin)."""
        return []


def plain_style(text: str) -> str:
    """Lower-case letters, marks and numbers, with single blanks where anything else was; inner apostrophes stay."""
    text = re.sub(r"(?<=\w)['’](?=\w)", "'", text.lower())
    kept = (char if char == "'" or unicodedata.category(char)[0] in "LMN" else " " for char in text)
    return " ".join(word.strip("'") for word in "".join(kept).split() if word.strip("'"))


def plain_normalize(text: str) -> str:
    """Lower case without punctuation and symbols, for any language; words are joined by single blanks."""
    # Only what scores text needs it, and its package takes seconds.
    from transformers.models.whisper.english_normalizer import BasicTextNormalizer

    return " ".join(BasicTextNormalizer()(text).split())


def latin_style(text: str) -> str:
    """Lower-case letters without accents, and inner apostrophes: as English transcripts are written."""
    letters = unicodedata.normalize("NFD", text.lower().translate(_WITHOUT_ACCENT))
    text = re.sub(r"[-\u2010-\u2015\u2212]", " ", letters)
    words = (re.sub(r"[^a-z']", "", word).strip("'") for word in text.split())
    return " ".join(word for word in words if word)


@dataclass(frozen=True, eq=False)
class Language:
    """A language: all that differs from one to the other.

    Args:
        code: What it is called everywhere inside: ISO 639-1 where it has such a code, else ISO 639-3.
        name: What prompts call it, and a name that is understood.
        codes: Further first subtags of its tags.
        names: Further names, in any case.
        spoken_name: What readers of cards and pages are told, `name` by default: "Mandarin" is heard, "Chinese" read.
        unit: What errors are counted in: "word", or "character" for scripts without spaces.
        letters: Its letters beside ASCII digits, as the inside of a character class of `re` ("A-Za-z"). The first
            language that has a letter reads it in texts of others.
        script: What these are called: "Latin letters".
        g2p: How it is read; None: its texts have no phonemes, so no hotwords, times, confidence or encoder training.
        split_words: Cuts a transcript into words, which keywords are made of.
        transcript_style: A text as transcripts have it: what language models are trained to write.
        normalize: A text as error rates compare it: words joined by single blanks, or units without any.
        min_confidence: A transcript is flagged where the phoneme head supports it less than this, 0 to 1.
        voices: Speakers of synthetic speech, as accent and variant of espeak-ng.
        synthesis_text: A text as those voices need it.

    The functions of `transcript_style` and `normalize` are given text in one form of Unicode, without what nobody
    sees.
    """

    code: str
    name: str
    codes: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    spoken_name: str = ""
    unit: str = WORD
    letters: str = ""
    script: str = ""
    g2p: GraphemeToPhoneme | None = None
    split_words: Callable[[str], list[str]] = str.split
    transcript_style: Callable[[str], str] = plain_style
    normalize: Callable[[str], str] = plain_normalize
    min_confidence: float = 0.1
    voices: tuple[tuple[str, str], ...] = ()
    synthesis_text: Callable[[str], str] = str

    def __post_init__(self):
        if not re.fullmatch("[a-z]{2,8}", self.code):
            raise ValueError(f"the code of a language is two to eight lower-case letters, not {self.code!r}")
        if not self.name.strip():
            raise ValueError(f"language {self.code}: `name` is empty, and prompts need one")
        if self.unit not in (WORD, CHARACTER):
            raise ValueError(f"language {self.code}: `unit` is 'word' or 'character', not {self.unit!r}")
        if not 0 <= self.min_confidence <= 1:
            raise ValueError(f"language {self.code}: `min_confidence` is 0 to 1, not {self.min_confidence}")
        if self.g2p is not None and not self.letters:
            raise ValueError(f"language {self.code}: `g2p` needs `letters`, which say what of a text it reads")
        if self.g2p is not None and (not self.g2p.phonemes or isinstance(self.g2p.phonemes, str)):
            raise ValueError(
                f"language {self.code}: `g2p` needs `phonemes`, all symbols that it gives as a tuple, not "
                f"{self.g2p.phonemes!r}: vocabularies are made of them"
            )
        try:
            re.compile(f"[{self.letters or 'a'}]")
        except re.error as error:
            raise ValueError(
                f"language {self.code}: `letters` {self.letters!r} is no character class: {error}"
            ) from None
        object.__setattr__(self, "spoken_name", self.spoken_name or self.name)

    @property
    def separator(self) -> str:
        """What stands between two words, or units: a blank, or nothing where a unit is a character."""
        return "" if self.unit == CHARACTER else " "

    def units(self, text: str) -> list[str]:
        """What errors are counted in, of a text without punctuation."""
        return list("".join(text.split())) if self.unit == CHARACTER else text.split()

    def writes(self, text: str) -> bool:
        """Whether any of its letters is in a text."""
        return bool(self.letters) and re.search(f"[{self.letters}]", text) is not None

    def is_called(self, words: str, codes: Sequence[str] = ()) -> bool:
        """Whether this is one of its tags or names.

        Args:
            words: In lower case, with one blank between them.
            codes: Of all languages: "en zh" is no region of English.
        """
        names = (self.name.casefold(), *(name.casefold() for name in self.names))
        if words in names:
            return True
        starts = (self.code, *self.codes, *names)
        rests = (words[len(start) :] for start in starts if words.startswith(start))
        return any(_SUBTAGS.fullmatch(rest) and rest[-2:] not in codes for rest in rests)


__all__ = [
    "CHARACTER",
    "WORD",
    "GraphemeToPhoneme",
    "Language",
    "latin_style",
    "missing_g2p",
    "plain_normalize",
    "plain_style",
]
