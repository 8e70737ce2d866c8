# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The languages of the models, and the many ways in which people and data sets write them.

A language is added by its entry, in a file as `language_english_entropy_asr.py`, and its name in `BUILT_IN` below; or
by [`register_language`] from outside, in every process that uses it and before tokenizers are made.
"""

import re
import unicodedata
from typing import Any

from .language_english_entropy_asr import ENGLISH
from .language_entry_entropy_asr import CHARACTER, Language
from .language_mandarin_entropy_asr import MANDARIN


# In the order that messages name them; the first one is taken for texts that do not show their language.
BUILT_IN = (ENGLISH, MANDARIN)
# What the language of audio without speech is called, and that of a request which leaves the choice to the model.
NON_SPEECH, AUTOMATIC = "none", "auto"
# First tokens of every phoneme vocabulary: padding, which is the CTC blank, and a sound without a symbol.
PAD_TOKEN, UNK_TOKEN = "<pad>", "<unk>"
# By code.
LANGUAGES: dict[str, Language] = {}


def register_language(language: Language, exist_ok: bool = False) -> None:
    """Make a language known: prompts, phonemes, error rates, cards and the rest ask its entry from then on.

    Args:
        language: The entry.
        exist_ok: Whether it may take the place of the entry of the same code.

    Raises:
        ValueError: its code or one of its names is another language's already.

    Example:
        >>> register_language(Language("cy", "Welsh", codes=("cym",), names=("cymraeg",)))
        >>> language_code("Cymraeg")
        'cy'
        >>> del LANGUAGES["cy"]
    """
    others = [entry for entry in LANGUAGES.values() if not (exist_ok and entry.code == language.code)]
    for word in (language.code, *language.codes, language.name, *language.names):
        words = _words(word)
        if words in (NON_SPEECH, AUTOMATIC):
            raise ValueError(f"language {language.code}: {word!r} has a meaning of its own and names no language")
        taken = next((entry for entry in others if entry.is_called(words)), None)
        if taken is not None:
            raise ValueError(f"language {language.code}: {word!r} is {taken.name} ({taken.code}) already")
    LANGUAGES[language.code] = language


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
        words = _words(language)
        if optional and words == AUTOMATIC:
            return None
        if non_speech and words == NON_SPEECH:
            return NON_SPEECH
        for code, entry in LANGUAGES.items():
            if entry.is_called(words, tuple(LANGUAGES)):
                return code
    understood = [f"{entry.name} ({', '.join([code, *entry.codes[:1]])})" for code, entry in LANGUAGES.items()]
    understood += [f"'{NON_SPEECH}' for audio without speech"] * non_speech
    understood += [f"None or '{AUTOMATIC}', with which the model decides"] * optional
    raise ValueError(f"language {language!r} is not understood: it may be {', '.join(understood)}.")


def _words(name: str) -> str:
    """A name or tag in lower case, with one blank between its parts."""
    return " ".join(re.split(r"[\s_,()-]+", unicodedata.normalize("NFKC", name).casefold())).strip()


def language_entry(language: str) -> Language:
    """The entry of a language in any usual form; a plain one, in words, for those that nobody registered.

    Data in other languages are scored and cleaned too. What needs to know a language asks [`language_code`] instead.
    """
    try:
        return LANGUAGES[language_code(language)]
    except ValueError:
        code = re.sub("[^a-z]", "", language.lower())[:8] if isinstance(language, str) else ""
        return Language(code if len(code) > 1 else "und", language if code else "undetermined")


def language_name(code: str) -> str:
    """What readers are told of a language: "Mandarin"; the code itself where nobody registered it."""
    return LANGUAGES[code].spoken_name if code in LANGUAGES else code


def readers() -> tuple[Language, ...]:
    """The languages that have phonemes, in the order in which they were registered."""
    return tuple(entry for entry in LANGUAGES.values() if entry.g2p is not None)


def language_of_text(text: str) -> Language:
    """Which language with phonemes reads a text that does not say: the first one that has letters of its own in it.

    The first language of all comes last: texts of others quote it ("卡拉OK").
    """
    first, *others = readers()
    return next((entry for entry in others if re.search(f"(?![{first.letters}])[{entry.letters}]", text)), first)


def written_languages(text: str, asked: str | None = None) -> list[str]:
    """Codes of the languages whose letters are in a text, in their order; none for digits alone.

    Args:
        text: A transcript.
        asked: Code of the language that was asked for: of several with the same letters it is this one, else the
            first.
    """
    order = sorted(LANGUAGES.values(), key=lambda entry: entry.code != asked)
    claimed, found = "", set()
    for entry in order:
        if entry.letters and re.search(f"(?![{claimed}])[{entry.letters}]" if claimed else f"[{entry.letters}]", text):
            found.add(entry.code)
        claimed += entry.letters
    return [code for code in LANGUAGES if code in found]


def is_other_script(text: str, asked: str | None) -> bool:
    """Whether a text is not in the script of the language that was asked for.

    Any language may quote words in the letters of the first one ("卡拉OK"), so these count only where nothing else is
    written.
    """
    written = written_languages(text, asked)
    if not written or asked not in LANGUAGES or not LANGUAGES[asked].letters:
        return False
    return asked not in written or not set(written) <= {asked, next(iter(LANGUAGES))}


def is_unspaced(character: str) -> bool:
    """Whether a character is a letter of a language that is written without blanks."""
    return any(entry.unit == CHARACTER and entry.writes(character) for entry in LANGUAGES.values())


def default_phonemes() -> tuple[str, ...]:
    """Phonemes of a new vocabulary in the order of their ids: blank, unknown, then those of each language."""
    symbols = (phoneme for entry in readers() for phoneme in entry.g2p.phonemes)
    return tuple(dict.fromkeys((PAD_TOKEN, UNK_TOKEN, *symbols)))


def coarser_phoneme(phoneme: str) -> str | None:
    """The phoneme that a vocabulary without this one has in its place; None where no language names one."""
    return next((entry.g2p.coarser[phoneme] for entry in readers() if phoneme in entry.g2p.coarser), None)


for _entry in BUILT_IN:
    register_language(_entry)


__all__ = [
    *("AUTOMATIC", "BUILT_IN", "LANGUAGES", "NON_SPEECH", "PAD_TOKEN", "UNK_TOKEN", "Language", "coarser_phoneme"),
    *("default_phonemes", "is_other_script", "is_unspaced", "language_code", "language_entry", "language_name"),
    *("language_of_text", "readers", "register_language", "written_languages"),
]
