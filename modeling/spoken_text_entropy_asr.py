# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Text as it is read aloud: one form of Unicode, what has no sound left out, and which language reads which part."""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from .languages_entropy_asr import Language, readers


# Punctuation makes pauses; these symbols are said by their names ("five percent"), all others are silent.
_SYMBOLS = "$%&+@^\u00a2\u00a3\u00a5\u00b0\u00b1\u00d7\u00f7\u20a9\u20ac\u20b9\u2212"
_PUNCTUATION = "!\"'(),./:;?\\-\u00a1\u00ab\u00b7\u00bb\u00bf\u2010-\u2027\u2030-\u205e\u3001-\u3003\u3008-\u301f~"
# How apostrophes are typed beside ' and ’; an acute accent would become a blank in NFKC.
_APOSTROPHES = "`\u00b4\u02bb\u02bc\u2032"
_REWRITTEN = str.maketrans(dict.fromkeys(_APOSTROPHES, "'") | {"\u2010": "-", "\u2011": "-", "^": " "})
# NFKC alone would make "3²" a 32: an exponent is written "^2", which nothing else is.
_EXPONENTS = {
    character: f"^{digit}"
    for digit, character in enumerate("\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079")
}
_EXPONENTS |= {"\u33a1": "m^2", "\u33a0": "cm^2", "\u33a2": "km^2", "\u33a5": "m^3"}
_EXPONENT = re.compile(f"[{''.join(_EXPONENTS)}]")
_VULGAR_FRACTION = re.compile("[\u00bc-\u00be\u2150-\u215e\u2189]")
# Digits that touch the letters of a language that reads them ("2个", "$5亿"), where no other number goes before.
_DIGITS = r"(?:(?<![A-Za-z0-9.,])[-\u2212]?[$\u00a5\u20ac\u00a3]?[0-9][0-9.,/:%\u00b0^]*)"
# What follows the name of a script in the name of a character.
_SCRIPT_END = re.compile(
    r" (?:CAPITAL|SMALL|LETTERS?|SYLLABLE|SYLLABICS|VOWEL|CONSONANT|SIGN|MARK|DIGIT|NUMBER|NUMERAL|CHARACTER|POINT|"
    r"ACCENT|IDEOGRAPH|PROLONGED|ITERATION|CHOSEONG|JUNGSEONG|JONGSEONG|FINAL|INDEPENDENT|DEPENDENT)\b"
)


class _SpokenCharacters(dict):
    """Table for `str.translate`: what is left of a character of NFKC text for those who speak it."""

    def __init__(self, readable: re.Pattern):
        super().__init__()
        self.readable = readable

    def __missing__(self, code: int) -> str:
        self[code] = spoken = self._spoken(chr(code))
        return spoken

    def _spoken(self, character: str) -> str:
        kind, name = unicodedata.category(character), unicodedata.name(character, "")
        # Zero-width characters, soft hyphens; accents that no letter has, the circles around numbers, kinds of emoji.
        is_selector = name.startswith(("COMBINING", "VARIATION SELECTOR"))
        if kind in ("Cf", "Me") or (kind == "Mn" and is_selector and not self.readable.match(character)):
            return ""
        if self.readable.match(character):
            return character
        if character in _APOSTROPHES:
            return "'"
        if kind[0] in "PSZC":  # espeak-ng would read out "underscore", "rightwards arrow", "grinning face"
            return " "
        base = unicodedata.normalize("NFD", character)[0]
        return base if base.isascii() else character  # the letters of Vietnamese, but not another script's


@dataclass(frozen=True)
class _Scripts:
    """What can be read by the languages that have phonemes."""

    languages: tuple[Language, ...]
    spoken: _SpokenCharacters
    unreadable: re.Pattern

    @staticmethod
    def known() -> "_Scripts":
        return _scripts_of(readers())


@lru_cache(maxsize=16)
def _scripts_of(languages: tuple[Language, ...]) -> _Scripts:
    letters = "".join(language.letters for language in languages)
    readable = f"{letters}0-9{_SYMBOLS}{_PUNCTUATION}"
    return _Scripts(languages, _SpokenCharacters(re.compile(f"[{readable}]")), re.compile(rf"[^{readable}\s]+"))


def spoken_text(text: str) -> str:
    """Text as it is read aloud: in one form of Unicode, without what has no sound.

    Composed and decomposed letters, full-width letters and digits and ligatures become the same characters (NFKC);
    zero-width characters and soft hyphens are left out; pictures, mark-up and symbols without a name in speech become
    blanks; an exponent is written behind a "^". Characters of scripts that cannot be read stay as they are, see
    [`unreadable_characters`].
    """
    # Not `text.translate`: what is no string is a TypeError, as everywhere.
    text = _VULGAR_FRACTION.sub(_written_out, str.translate(text, _REWRITTEN))
    text = _EXPONENT.sub(lambda found: _EXPONENTS[found.group()], text)
    return unicodedata.normalize("NFKC", text).translate(_Scripts.known().spoken)


def _written_out(fraction: re.Match) -> str:
    """ " 1/2", as its own word: NFKC alone would make "2½" a 21."""
    return " " + unicodedata.normalize("NFKC", fraction.group()).replace("\u2044", "/")


def spoken_characters(text: str) -> list[tuple[str, int]]:
    """Characters of [`spoken_text`], each with the place in `text` of the character that it comes from."""
    starts = [index for index, character in enumerate(text) if not index or not _is_joined(character)]
    limits = pairwise([*starts, len(text)])
    return [(character, start) for start, end in limits for character in spoken_text(text[start:end])]


def _is_joined(character: str) -> bool:
    """Whether it may become one with the character before it: accents, parts of Korean and Japanese letters."""
    joined = unicodedata.combining(character) or unicodedata.category(character)[0] == "M"
    return bool(joined) or "\u1160" <= character <= "\u11ff" or character in "\uff9e\uff9f"


def unreadable_characters(text: str) -> list[tuple[str, str]]:
    """Runs of characters that have no phonemes here, each with the name of its script, in the order of the text.

    What is read are the letters of the languages that have phonemes, Latin letters with and without accents and
    Chinese characters among them, and the digits 0 to 9; punctuation is a pause, and symbols and pictures without a
    name in speech are silent.

    Example:

    ```python
    >>> unreadable_characters("Zürich, 北京 и Łódź 😀")
    [('и', 'Cyrillic')]
    ```
    """
    runs = dict.fromkeys(_Scripts.known().unreadable.findall(spoken_text(text)))
    return [(run, _script_of(run[0])) for run in runs]


def _script_of(character: str) -> str:
    script = _SCRIPT_END.split(unicodedata.name(character, "unknown").partition("-HIRAGANA")[0])[0].title()
    return "phonetic symbols" if script == "Latin" else script


def why_unreadable(text: str) -> str | None:
    """Why a text cannot be turned into phonemes, naming words, scripts and what can be read; None where it can."""
    runs = unreadable_characters(text)
    if not runs:
        return None
    named = ", ".join(f"{run!r} ({script})" for run, script in runs[:3]) + (", ..." if len(runs) > 3 else "")
    scripts = dict.fromkeys(language.script or f"letters of {language.name}" for language in readers())
    return f"{named} cannot be read: phonemes are known for {', '.join(scripts)} and the digits 0 to 9"


def reading_parts(text: str, language: Language) -> list[tuple[Language | None, str]]:
    """Cuts [`spoken_text`] into parts and says which language reads each; None for what nobody reads.

    Args:
        text: Any mixture of scripts.
        language: That of the text. It reads all but the letters of others: digits, punctuation and symbols too,
            unless digits touch the letters of a language that takes them.

    Example:
        >>> from entropy_asr.modeling.languages_entropy_asr import LANGUAGES
        >>> [(reader.code, part) for reader, part in reading_parts("用iPhone打15次", LANGUAGES["zh"])]
        [('zh', '用'), ('en', 'iPhone'), ('zh', '打15次')]
    """
    others, pattern = _foreign_parts(readers(), language)
    own = language.g2p.own_spans(text)
    parts: list[tuple[Language | None, str]] = []
    start = 0
    for match in pattern.finditer(text):
        if any(first <= match.start() < end for first, end in own):
            continue
        parts.append((language, _after_word(text[start : match.start()], start)))
        parts.append((others[match.lastindex - 1], match.group()))
        start = match.end()
    parts.append((language, _after_word(text[start:], start)))
    return [(reader, part) for reader, part in parts if reader is None or re.search(r"\w", part)]


def _after_word(part: str, start: int) -> str:
    """A part without the hyphen that joins it to the word before: no minus stands in "covid-19"."""
    return re.sub(r"^[-\u2212]", " ", part) if start else part


@lru_cache(maxsize=64)
def _foreign_parts(languages: tuple[Language, ...], language: Language) -> tuple[list[Language | None], re.Pattern]:
    """Runs of letters that are not this language's, one group for each other language and one for unreadable ones."""
    others = [other for other in languages if other is not language and other.letters != language.letters]
    groups = []
    for other in others:
        letter = f"(?:(?![{language.letters}])[{other.letters}])"
        run = rf"{letter}+(?:['’]{letter}+)*"
        groups.append(rf"({_DIGITS}?{run}(?:[0-9.,/:%]*{run})*[0-9]*)" if other.g2p.takes_digits else f"({run})")
    groups.append(f"({_scripts_of(languages).unreadable.pattern})")
    return [*others, None], re.compile("|".join(groups))


__all__ = ["reading_parts", "spoken_characters", "spoken_text", "unreadable_characters", "why_unreadable"]
