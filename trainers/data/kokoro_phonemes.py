# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Texts as the phonemes that Kokoro-82M reads, from the packages that write them as it was trained on.

English comes from `hibari-tts` (American and British, no spaCy, no download), Mandarin from `misaki`. A sentence with
both is cut where the script changes and each part read as its own language, whatever the voice: misaki would leave
Latin letters as they are, and hibari would leave Chinese characters out.
"""

import logging
import re
import unicodedata
from functools import cache

from entropy_asr.modeling.languages_entropy_asr import language_name


_LATIN = "A-Za-zÀ-ÖØ-öø-ɏ"
# What in a text of one language is in the script of the other; digits and punctuation are read in the text's language.
_FOREIGN = {"en": re.compile("[一-鿿]+"), "zh": re.compile(f"[{_LATIN}](?:[{_LATIN}'’ -]*[{_LATIN}])?")}


def _missing(package: str, error: ImportError) -> ImportError:
    return ImportError(
        f"Speech by Kokoro needs the package `{package}`, which cannot be imported ({error}): "
        'pip install "entropy-asr[kokoro]"'
    )


@cache
def english_reader(british: bool):
    """Reader of English, loaded once: a function of the text."""
    try:
        from hibari.g2p import G2P
    except ImportError as error:
        raise _missing("hibari-tts", error) from error
    return G2P(british=british)


@cache
def mandarin_reader():
    """Reader of Mandarin, loaded once: a function of the text, to its phonemes and None."""
    try:
        import jieba
        from misaki.zh import ZHG2P
    except ImportError as error:
        raise _missing("misaki[zh]", error) from error
    jieba.setLogLevel(logging.WARNING)  # it tells how long its dictionary took
    return ZHG2P()


def _readable(text: str) -> str:
    """The text in one form of Unicode.

    Raises:
        ValueError: it has letters of a script that would be left out.
    """
    text = unicodedata.normalize("NFKC", text).replace("〇", "零")
    for character in text:
        latin_or_chinese = re.match(f"[{_LATIN}一-鿿]", character)
        if unicodedata.category(character).startswith("L") and not latin_or_chinese:
            raise ValueError(
                f"Kokoro cannot speak {character!r} in {text!r}: it reads Latin letters and Chinese characters"
            )
    return text


def kokoro_phonemes(text: str, language: str, british: bool = False) -> str:
    """What Kokoro is given to speak a text.

    Args:
        text: In English or Mandarin, or both.
        language: Code of the text's language: numbers are read in it.
        british: Read English as in Britain, for the voices from there.

    Raises:
        ValueError: a language, or a script, that is neither of the two.
        ImportError: a package that is needed is missing.

    Example:
        >>> kokoro_phonemes("hello there", "en"), kokoro_phonemes("打开windows", "zh")
        ('həlˈO ðˈɛɹ', 'ta↓kʰai→ wˈɪndOz')
    """
    if language not in _FOREIGN:
        spoken = " and ".join(map(language_name, _FOREIGN))
        raise ValueError(f"Kokoro speaks {spoken} here, not {language_name(language)}: {text!r}")
    text, parts, start = _readable(text), [], 0
    for found in _FOREIGN[language].finditer(text):
        parts += [(text[start : found.start()], language), (found[0], "zh" if language == "en" else "en")]
        start = found.end()
    parts.append((text[start:], language))
    read = (_read(part, code, british).strip() for part, code in parts if part.strip())
    return " ".join(phonemes for phonemes in read if phonemes)


def _read(text: str, language: str, british: bool) -> str:
    return mandarin_reader()(text)[0] if language == "zh" else english_reader(british)(text)
