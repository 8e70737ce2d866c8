# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Mandarin: its entry, and how it is read.

Phonemes are pinyin initials and toned finals (`zh` `ong1`). An initial shares its token with the English phone that
its letter also names in IPA (`m`, `s`, `t`, ...); the three whose letter is no IPA symbol or another sound's are
written in IPA (see `_INITIALS`). The i of 资 and that of 知 are vowels of their own, `ɿ` and `ʅ`.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from itertools import groupby

from .language_english_entropy_asr import LATIN
from .language_entry_entropy_asr import CHARACTER, GraphemeToPhoneme, Language, missing_g2p
from .numerals_mandarin_entropy_asr import NUMBER, read_number
from .tones_mandarin_entropy_asr import spoken_tones


HAN = "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
# The initials b p m f d t n l g k h s share an English token.
INITIALS = ("tɕ", "q", "x", "zh", "ch", "sh", "r", "ts", "c")
# fmt: off
_RHYMES = (
    "a", "ai", "an", "ang", "ao", "e", "ê", "ei", "en", "eng", "er", "i", "ia", "ian", "iang", "iao", "ie", "in",
    "ing", "iong", "iou", "o", "ong", "ou", "u", "ua", "uai", "uan", "uang", "uei", "uen", "ueng", "uo", "v", "van",
    "ve", "vn", "m", "n", "ng",
)
# fmt: on
# The vowels of 资 and 知, which every pinyin initial but z c s, zh ch sh r excludes.
_APICAL = ("ɿ", "ʅ")
FINALS = tuple(f"{rhyme}{tone}" for rhyme in _RHYMES for tone in "12345")
APICAL_FINALS = tuple(f"{rhyme}{tone}" for rhyme in _APICAL for tone in "12345")

# In IPA, ASCII g is not a letter of its own, j is the glide of "yes" and z is the voiced s.
_INITIALS = {"g": "ɡ", "j": "tɕ", "z": "ts"}
_SYLLABIC_NASAL = re.compile(r"(h?)(m|ng|n)([1-5])")
_PINYIN = re.compile(rf"(?<![{LATIN}])[a-zêü]+[1-5](?![0-9])")
_PIECE = re.compile(rf"(?P<han>[{HAN}])|(?P<pinyin>{_PINYIN.pattern})|(?P<number>{NUMBER})")
_UNKNOWN = "<unk>"


@lru_cache(maxsize=4096)
def _syllable(pinyin: str) -> tuple[str, ...]:
    """Initial and toned final of one pinyin syllable with its tone number: `zhong1` -> `("zh", "ong1")`."""
    try:
        from pypinyin.contrib.tone_convert import to_finals_tone3, to_initials
    except ImportError as error:
        raise missing_g2p("pypinyin", error) from error
    syllable = pinyin.lower().replace("ü", "v").replace("u:", "v")
    nasal = _SYLLABIC_NASAL.fullmatch(syllable)
    if nasal:
        breath, consonant, tone = nasal.groups()
        return ("h", consonant + tone) if breath else (consonant + tone,)
    if re.fullmatch("r[1-5]", syllable):  # 儿 as the ending of the syllable before it
        return ("er" + syllable[1],)
    initial = to_initials(syllable, strict=True)
    final = to_finals_tone3(syllable, strict=True, v_to_u=False, neutral_tone_with_five=True)
    if final not in FINALS:
        return (_UNKNOWN,)
    if final[:-1] == "i" and initial in ("z", "c", "s", "zh", "ch", "sh", "r"):
        final = _APICAL[len(initial) == 2 or initial == "r"] + final[-1]
    return (_INITIALS.get(initial, initial), final) if initial else (final,)


def _read_characters(text: str) -> list[str]:
    """Pinyin of each character of a phrase as it is spoken; polyphones are read by pypinyin's phrases."""
    try:
        from pypinyin import Style, lazy_pinyin
        from pypinyin.seg import mmseg
    except ImportError as error:
        raise missing_g2p("pypinyin", error) from error
    syllables = lazy_pinyin(text, style=Style.TONE3, neutral_tone_with_five=True, errors=list)
    return spoken_tones(text, syllables, list(mmseg.seg.cut(text)))


class MandarinPhonemes(GraphemeToPhoneme):
    """Pronunciation by pypinyin, with tones and numbers as they are said.

    A word is one character, one number, or one pinyin syllable with its tone in lower case (`ma1`).
    """

    phonemes = (*INITIALS, *FINALS, *APICAL_FINALS)
    vowels = frozenset((*FINALS, *APICAL_FINALS))
    # `v` would be taken for the consonant.
    toneless = {final: final[:-1].replace("v", "ü") for final in (*FINALS, *APICAL_FINALS)}
    sound_classes = (
        *("s sh", "tɕ q", "zh ts", "ch c", "ɿ ʅ"),
        *("an ang", "en eng", "in ing", "ian iang", "uan uang"),
    )
    # Vocabularies of before have one i for all three.
    coarser = {f"{rhyme}{tone}": f"i{tone}" for rhyme in _APICAL for tone in "12345"}
    initials = frozenset((*INITIALS, "b", "p", "m", "f", "d", "t", "n", "l", "ɡ", "k", "h", "s"))
    contexts = ("{}好", "{}去")
    takes_digits = True

    def own_spans(self, text: str) -> list[tuple[int, int]]:
        spans = [match.span() for match in _PINYIN.finditer(text) if _syllable(match.group()) != (_UNKNOWN,)]
        return spans + [match.span() for match in re.finditer(r"(?<=[0-9])°[CF](?![A-Za-z])", text)]

    def words(self, text: str) -> list[tuple[str, list[str]]]:
        words: list[tuple[str, list[str]]] = []
        pieces = list(_pieces(text))
        for is_spoken, phrase in groupby(_with_phrases(pieces), key=lambda piece: piece[0]):
            phrase = [(written, spoken) for _, written, spoken in phrase]
            if is_spoken is None:
                words += [(written, list(_syllable(written))) for written, _ in phrase]
                continue
            syllables = iter(_read_characters("".join(spoken for _, spoken in phrase)))
            for written, spoken in phrase:
                words.append((written, [unit for _ in spoken for unit in _syllable(next(syllables))]))
        return words


def _pieces(text: str) -> Iterator[tuple[int, int, str, str | None]]:
    """Characters, numbers and pinyin syllables: start, end, what is written, and what is said in characters."""
    for match in _PIECE.finditer(text):
        written, spoken = match.group(), match.group()
        if match.lastgroup == "number":
            spoken = read_number(written, text[: match.start()][-24:], text[match.end() :][:24])
        elif match.lastgroup == "pinyin":
            spoken = None if _syllable(written) != (_UNKNOWN,) else ""
        yield match.start(), match.end(), written, spoken


def _with_phrases(pieces: list[tuple[int, int, str, str | None]]) -> Iterator[tuple[int | None, str, str]]:
    """Each piece with the number of its phrase, which ends where anything stands between; None for pinyin."""
    phrase, last_end = 0, 0
    for start, end, written, spoken in pieces:
        if start != last_end:
            phrase += 1
        last_end = end
        if spoken is None:
            phrase += 1
            yield None, written, ""
        elif spoken:
            yield phrase, written, spoken


def _clean(text: str) -> str:
    """As Mandarin transcripts are written: characters and letters, without punctuation, digits and blanks."""
    return "".join(re.findall(r"[\u4e00-\u9fffA-Za-z]", text))


def _normalize(text: str) -> str:
    """Lower case without punctuation, symbols and white space; numerals and script stay as they are."""
    return "".join(character for character in text.lower() if unicodedata.category(character)[0] in "LMN")


def _split_words(text: str) -> list[str]:
    """Words by the phrase table of pypinyin, which reads the phonemes too; needs the extra g2p."""
    try:
        from pypinyin.seg import mmseg
    except ImportError as error:
        raise missing_g2p("pypinyin", error) from error
    return [word for word in mmseg.seg.cut(text) if re.search(r"\w", word)]


MANDARIN = Language(
    "zh",
    "Chinese",
    codes=("cmn", "zho", "chi", "zh cmn"),
    names=(
        *("mandarin", "mandarin chinese", "chinese mandarin", "standard chinese", "putonghua", "zhongwen"),
        *("simplified chinese", "chinese simplified", "traditional chinese", "chinese traditional"),
        *("中文", "普通话", "普通話", "汉语", "漢語", "国语", "國語", "华语", "華語"),
        *("简体中文", "繁体中文", "繁體中文", "中文 简体", "中文 繁体", "中文 繁體"),
    ),
    spoken_name="Mandarin",
    unit=CHARACTER,
    letters=HAN,
    script="Chinese characters",
    g2p=MandarinPhonemes(),
    split_words=_split_words,
    transcript_style=_clean,
    normalize=_normalize,
    voices=tuple(
        ("sit/cmn", variant)
        for variant in ("f1", "f2", "f3", "f5", "m1", "m3", "m6", "m7", "belinda", "Annie", "Michael", "Andy")
    ),
    synthesis_text=lambda text: text.replace("ü", "v"),
)


__all__ = ["APICAL_FINALS", "FINALS", "HAN", "INITIALS", "MANDARIN", "MandarinPhonemes"]
