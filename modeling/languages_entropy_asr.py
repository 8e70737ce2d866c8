# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The languages of the models, and the many ways in which people and data sets write them."""

import re
import unicodedata
from dataclasses import dataclass
from typing import Any


# What the language of audio without speech is called, and that of a request which leaves the choice to the model.
NON_SPEECH, AUTOMATIC = "none", "auto"
# Subtags that may follow a language's: its script, then a region ("en-US", "zh-Hans-CN", "es-419").
_SUBTAGS = re.compile(r"(?: (?:hans|hant|latn))?(?: (?:[a-z]{2}|\d{3}))?")


@dataclass(frozen=True)
class Language:
    """A language.

    Args:
        code: What it is called everywhere inside: ISO 639-1.
        name: What prompts call it.
        codes: Further first subtags of its tags.
        names: Further names, in any case.
    """

    code: str
    name: str
    codes: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    def is_called(self, words: str) -> bool:
        """Whether this is one of its tags or names; words in lower case, with one blank between them."""
        if words in (self.name.casefold(), *self.names):
            return True
        starts = (self.code, *self.codes, self.name.casefold(), *self.names)
        rests = (words[len(start) :] for start in starts if words.startswith(start))
        return any(_SUBTAGS.fullmatch(rest) and rest[-2:] not in LANGUAGES for rest in rests)


# In the order that messages name them.
LANGUAGES = {
    language.code: language
    for language in (
        Language(
            "en",
            "English",
            codes=("eng",),
            names=("american english", "british english", "us english", "uk english", "英语", "英語", "英文"),
        ),
        Language(
            "zh",
            "Chinese",
            codes=("cmn", "zho", "chi", "zh cmn"),
            names=(
                *("mandarin", "mandarin chinese", "chinese mandarin", "standard chinese", "putonghua", "zhongwen"),
                *("simplified chinese", "chinese simplified", "traditional chinese", "chinese traditional"),
                *("中文", "普通话", "普通話", "汉语", "漢語", "国语", "國語", "华语", "華語"),
                *("简体中文", "繁体中文", "繁體中文", "中文 简体", "中文 繁体", "中文 繁體"),
            ),
        ),
    )
}


def language_code(language: Any, optional: bool = False, non_speech: bool = False) -> str | None:
    """Code of a language, however it is written: "English", "en-US" and "eng" are "en".

    Args:
        language: A code, a language tag or a name; case and white space do not matter.
        optional: Whether None and "auto" are understood; both give None.
        non_speech: Whether "none" is: what the language of audio without speech is called.

    Raises:
        ValueError: For anything else; names it and what is understood.

    Example:
        >>> [language_code(name) for name in ("English", "en_GB", "zh-Hans", "Mandarin", "中文")]
        ['en', 'en', 'zh', 'zh', 'zh']
    """
    if optional and language is None:
        return None
    if isinstance(language, str):
        if language in LANGUAGES:
            return language
        words = " ".join(re.split(r"[\s_,()-]+", unicodedata.normalize("NFKC", language).casefold())).strip()
        if optional and words == AUTOMATIC:
            return None
        if non_speech and words == NON_SPEECH:
            return NON_SPEECH
        for code, entry in LANGUAGES.items():
            if entry.is_called(words):
                return code
    understood = [f"{entry.name} ({', '.join([code, *entry.codes[:1]])})" for code, entry in LANGUAGES.items()]
    understood += [f"'{NON_SPEECH}' for audio without speech"] * non_speech
    understood += [f"None or '{AUTOMATIC}', with which the model decides"] * optional
    raise ValueError(f"language {language!r} is not understood: it may be {', '.join(understood)}.")


__all__ = ["AUTOMATIC", "LANGUAGES", "NON_SPEECH", "Language", "language_code"]
