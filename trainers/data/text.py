# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Text files as material for language models and synthetic speech."""

import re
import unicodedata
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

import numpy as np

from entropy_asr.modeling.language_entry_entropy_asr import CHARACTER
from entropy_asr.modeling.languages_entropy_asr import language_entry
from entropy_asr.spaces.hallucination_rate.units import fold_text


# Stands for jieba's dictionary where a text file is named.
DICTIONARY = "jieba"
# How texts are written that are learnt: as the transcripts of their language, or as they are.
TRANSCRIPT, WRITTEN = STYLES = ("transcript", "written")
_CLAUSE = re.compile(r"[，。！？；：、,.!?;:\s]")
# Behind what ends a clause or a sentence, and blanks or Chinese characters follow; not behind "Mr." and initials.
_CLAUSE_END = re.compile(r"(?<=[，。！？；：、])|(?<=[,.!?;:])(?<!\b[A-Z]\.)(?<!\b[DMS][rst]\.)(?<!\bMrs\.)(?=\s)")
# Pairs that a cut would part, and what stands between clauses without a sound of its own.
_PAIRED = re.compile(r"[\"“”„‟«»‹›()\[\]{}（）［］「」『』《》〈〉【】_*]|(?<!\w)['‘’]|['‘’](?!\w)")
_DASH = re.compile(r"\s*(?:-{2,}|[–—―─]+)\s*")


def read_lines(files: list[str]) -> Iterator[str]:
    """Non-empty lines of UTF-8 text files, blanks collapsed."""
    for path in files:
        with Path(path).expanduser().open(encoding="utf-8") as file:
            for line in file:
                if line := " ".join(line.split()):
                    yield line


def frequent_words(max_words: int | None) -> list[str]:
    """Chinese words of at most four characters from jieba's dictionary, the most frequent first (extra g2p)."""
    package = find_spec("jieba")  # its import would load what is not needed here
    if package is None:
        raise ImportError('The Chinese dictionary needs jieba: pip install "entropy-asr[g2p]".')
    dictionary = Path(package.submodule_search_locations[0]) / "dict.txt"
    entries = [line.split(" ") for line in dictionary.read_text(encoding="utf-8").splitlines()]
    entries.sort(key=lambda entry: -int(entry[1]))
    words = (word for word, *_ in entries if re.fullmatch(r"[\u4e00-\u9fff]{1,4}", word))
    return list(islice(words, max_words))


def simplify_characters(text: str) -> str:
    """Traditional Chinese characters as simplified ones (needs `opencc-python-reimplemented`, in the extra g2p)."""
    return _converter().convert(text)


@cache
def _converter():
    # Once a process: loading its dictionaries takes a second.
    try:
        from opencc import OpenCC
    except ImportError as error:
        raise ImportError('Simplified characters need opencc: pip install "entropy-asr[g2p]".') from error
    return OpenCC("t2s")


def transcript_style(text: str, language: str) -> str:
    """Text as the transcripts of a language have it, see its entry: English lower-case with apostrophes only.

    The form of Unicode makes no difference ([`fold_text`]). Of a language that nobody registered, letters and digits
    of any script stay, in lower case.

    Example:
        >>> transcript_style("Café, “OK”!", "en"), transcript_style("你好，OK！", "zh"), transcript_style("Où ?", "fr")
        ('cafe ok', '你好OK', 'où')
    """
    return language_entry(language).transcript_style(fold_text(text))


def check_style(style: str) -> None:
    """Refuse a style of texts that there is not.

    Raises:
        ValueError: names it.
    """
    if style not in STYLES:
        raise ValueError(f"`style` of a text must be one of {STYLES}, not {style!r}.")


def written_style(text: str) -> str:
    """Text as it is written, with its marks, capitals and digits; quotes and brackets are left out, dashes are blanks.

    Nobody hears those, and a cut would part pairs of them.

    Example:
        >>> written_style("“It’s late,” he said—twice. (Really?)"), written_style("他說：「好！」")
        ("It's late, he said twice. Really?", '他說：好！')
    """
    text = unicodedata.normalize("NFC", _PAIRED.sub("", _DASH.sub(" ", text)))
    return " ".join(text.replace("’", "'").replace("‘", "'").split())


def cut_text(line: str, language: str, max_units: int, seed: int, style: str = TRANSCRIPT) -> list[str]:
    """Pieces of 1 to `max_units` words of a line; where characters are counted, clauses of 2 on.

    Lengths are drawn from a generator of `seed` and the line, so the pieces of a line never change. Clauses, which
    end at punctuation, are left out where they are longer: without blanks between words, a cut would part words.

    Args:
        line: a line of text.
        language: its language.
        max_units: largest number of words or characters, marks not counted.
        seed: of the lengths.
        style: "transcript": as [`transcript_style`]; "written": as [`written_style`], cut behind marks alone, so that
            what ends without one ended so in the text.
    """
    rng = np.random.default_rng([seed, len(line), sum(map(ord, line))])
    if style == WRITTEN:
        return _joined_clauses(written_style(line), language, max_units, rng)
    if language_entry(language).unit == CHARACTER:
        clauses = (transcript_style(clause, language) for clause in _CLAUSE.split(line))
        return [clause for clause in clauses if 2 <= len(clause) <= max_units]
    words = transcript_style(line, language).split()
    pieces, start = [], 0
    while start < len(words):
        size = int(rng.integers(1, max_units + 1))
        pieces.append(" ".join(words[start : start + size]))
        start += size
    return pieces


def _joined_clauses(text: str, language: str, max_units: int, rng: np.random.Generator) -> list[str]:
    """Clauses of a text with their marks, as many together as have a drawn number of units at most; at least one."""
    pieces: list[str] = []
    piece, size, wanted = "", 0, 0
    for clause in _CLAUSE_END.split(text):
        length = len(units(clause, language))
        if piece and size + length > wanted:
            pieces.append(piece)
            piece, size = "", 0
        if not length or length > max_units:
            continue
        if not piece:
            wanted = int(rng.integers(1, max_units + 1))
        piece, size = f"{piece}{clause}", size + length
    return [stripped for one in [*pieces, piece] if (stripped := one.strip())]


def comparable(text: str, language: str) -> str:
    """Lower-case letters, marks and numbers; words with single blanks between them, or none where none are written.

    Example:
        >>> comparable("Don't (um) STOP!", "en"), comparable("打开 Wi-Fi。", "zh")
        ('don t um stop', '打开wifi')
    """
    kept = (character if unicodedata.category(character)[0] in "LMN" else " " for character in fold_text(text).lower())
    return language_entry(language).separator.join("".join(kept).split())


def units(text: str, language: str) -> list[str]:
    """Words, or characters where errors are counted in those.

    Example:
        >>> units("turn it on.", "en"), units("打开门", "zh")
        (['turn', 'it', 'on'], ['打', '开', '门'])
    """
    return language_entry(language).units(comparable(text, language))


def contains(text: str, keyword: str, language: str) -> bool:
    """Whether a keyword occurs in a text, in whole words where the language has words.

    Example:
        >>> contains("a category", "cat", "en"), contains("the cat sat", "Cat sat", "en")
        (False, True)
    """
    wanted, spoken = units(keyword, language), units(text, language)
    starts = range(len(spoken) - len(wanted) + 1)
    return bool(wanted) and any(spoken[start : start + len(wanted)] == wanted for start in starts)
