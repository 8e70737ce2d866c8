# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Punctuation and capitals of transcripts, which error rates leave out: how many are right.

Words of reference and hypothesis are aligned as for an error rate. A mark is right where the reference has the same
one behind the word that stands there, whether or not that word is right; a capital where the reference's word has one.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rapidfuzz.distance import Levenshtein

from entropy_asr.modeling.language_entry_entropy_asr import CHARACTER
from entropy_asr.modeling.languages_entropy_asr import NON_SPEECH, language_entry
from entropy_asr.spaces.hallucination_rate.units import fold_text

from .error_rates import scored_as


# Marks that are heard as pauses and melody, in half width; of two widths one counts.
MARKS = ",.?!:;"
_HALF = str.maketrans("，。？！：；、", ",.?!:;,")
_NO_MARK = rf"[^\s{re.escape(MARKS)}]"
# A word, with marks inside of numbers ("3.50"), and what stands behind it up to the next blank.
_WORD = re.compile(rf"(?P<word>{_NO_MARK}+(?:[{re.escape(MARKS)}]\w{_NO_MARK}*)*)(?P<behind>\S*)")
# Between characters that are words of their own.
_BETWEEN = re.compile(rf"(?<=[^\x00-\x7f])(?={_NO_MARK})|(?<=[\x00-\x7f])(?=[^\x00-\x7f])")


@dataclass(frozen=True)
class WrittenWord:
    """A word as it is compared, whether it begins with a capital, and the mark behind it, maybe none."""

    folded: str
    is_capital: bool
    mark: str


@dataclass
class Agreement:
    """How many of something the references have, the hypotheses have, and both."""

    wanted: int = 0
    written: int = 0
    right: int = 0

    def add(self, wanted: bool, written: bool, right: bool) -> None:
        """Count one place."""
        self.wanted += wanted
        self.written += written
        self.right += right

    def to_dict(self) -> dict[str, Any]:
        """Counts, and precision, recall and F1, `None` where the references have none."""
        rates = dict.fromkeys(("precision", "recall", "f1"))
        if self.wanted:
            rates = {
                "precision": self.right / self.written if self.written else 0.0,
                "recall": self.right / self.wanted,
                "f1": 2 * self.right / (self.wanted + self.written),
            }
        return {"wanted": self.wanted, "written": self.written, "right": self.right, **rates}


def written_marks(
    references: Sequence[str], hypotheses: Sequence[str], languages: Sequence[str]
) -> dict[str, dict[str, Any]] | None:
    """Marks and capitals of transcripts against those of references.

    Args:
        references: What was said, as it is written.
        hypotheses: What was recognised, in the same order.
        languages: Language of each utterance.

    Returns:
        `marks` and `capitals`, each `wanted`, `written`, `right` (counts), `precision`, `recall` and `f1`; None where
        no reference has a mark: such references do not say how people write.

    Example:
        >>> found = written_marks(["Yes, he did."], ["yes, they did"], ["en"])
        >>> found["marks"]["recall"], found["capitals"]["written"]
        (0.5, 0)
    """
    marks, capitals = Agreement(), Agreement()
    for reference, hypothesis, language in zip(references, hypotheses, languages, strict=True):
        if scored_as(language) == NON_SPEECH:
            continue
        for wanted, written in _aligned(written_words(reference, language), written_words(hypothesis, language)):
            marks.add(bool(wanted.mark), bool(written.mark), bool(wanted.mark) and wanted.mark == written.mark)
            capitals.add(wanted.is_capital, written.is_capital, wanted.is_capital and written.is_capital)
    return {"marks": marks.to_dict(), "capitals": capitals.to_dict()} if marks.wanted else None


def written_words(text: str, language: str) -> list[WrittenWord]:
    """Words of a text, or its characters where errors are counted in those.

    Example:
        >>> [(word.folded, word.mark) for word in written_words("It cost 3.50, no?", "en")]
        [('it', ''), ('cost', ''), ('3.50', ','), ('no', '?')]
    """
    text = fold_text(text).translate(_HALF)
    if language_entry(scored_as(language)).unit == CHARACTER:
        text = _BETWEEN.sub(" ", text)
    words = []
    for match in _WORD.finditer(text):
        first = next((character for character in match["word"] if character.isalnum()), "")
        if first:
            mark = next((character for character in match["behind"] if character in MARKS), "")
            folded = re.sub(r"^\W+|\W+$", "", match["word"].lower())
            words.append(WrittenWord(folded, first.isupper(), mark))
    return words


NOTHING = WrittenWord("", False, "")


def _aligned(reference: list[WrittenWord], hypothesis: list[WrittenWord]) -> Iterator[tuple[WrittenWord, WrittenWord]]:
    """Pairs of words; one that has no partner is beside `NOTHING`."""
    pieces = Levenshtein.opcodes([word.folded for word in reference], [word.folded for word in hypothesis])
    for piece in pieces:
        first, second = reference[piece.src_start : piece.src_end], hypothesis[piece.dest_start : piece.dest_end]
        for place in range(max(len(first), len(second))):
            yield (first[place] if place < len(first) else NOTHING, second[place] if place < len(second) else NOTHING)
