# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Units of a reference and a hypothesis as they are spoken, with their places in what was written."""

from functools import lru_cache

from rapidfuzz.distance import Levenshtein

from .text_normalization import write_as_spoken
from .units import Units, has_ideographs, split_units


# Sounds of hesitation: they are said or left out, transcribed or not, and no words either way.
FILLERS = frozenset(
    [
        *("uh", "uhh", "uhm", "um", "umm", "er", "err", "erm", "hm", "hmm", "mm", "mmm", "mhm"),
        *("ah", "ahh", "oh", "ooh", "eh", "huh"),
        *"嗯呃啊哦噢喔哎唉诶欸唔呀嘛呢吧啦",
    ]
)
# As [`text_normalization.write_as_spoken`] writes them.
CURRENCIES = frozenset(["dollar", "pound", "euro", "cent", "元"])


def spoken_units(reference: str, hypothesis: str) -> tuple[Units, Units]:
    """Units of both, as [`text_normalization.write_as_spoken`] writes them; places are those in the raw texts."""
    with_chinese = has_ideographs(reference) or has_ideographs(hypothesis)
    return _spoken(reference, with_chinese), _spoken(hypothesis, with_chinese)


def without_fillers(units: Units) -> Units:
    """Units that are words; all of them where there are none else."""
    kept = [index for index, text in enumerate(units.texts) if text not in FILLERS]
    return units.select(kept) if kept else units


def without_unnamed_currency(hyp: Units, ref: Units) -> Units:
    """Units of a hypothesis without the currencies behind its numbers, where the reference names none.

    An amount is often said without: "nineteen ninety nine" is "$19.99".
    """
    if CURRENCIES & {*ref.texts}:
        return hyp
    texts = hyp.texts
    unnamed: set[int] = set()
    for index in range(1, len(texts)):
        if texts[index - 1].isdigit() and texts[index] in CURRENCIES:
            unnamed.add(index)
        elif texts[index - 1].isdigit() and texts[index : index + 2] == ("美", "元"):
            unnamed |= {index, index + 1}
    return hyp.select([index for index in range(len(texts)) if index not in unnamed]) if unnamed else hyp


@lru_cache(maxsize=1 << 12)  # a reference is compared with the output of several models or settings
def _spoken(text: str, with_chinese: bool) -> Units:
    raw = split_units(text)
    if raw.is_symbols or not raw.texts:
        return raw
    spoken = split_units(write_as_spoken(text, with_chinese)).texts
    starts: list[int] = []
    ends: list[int] = []
    # A unit that is as it was written keeps its place; what was rewritten has the place of all that it stands for.
    for step in Levenshtein.opcodes(raw.texts, spoken):
        for index in range(step.dest_end - step.dest_start):
            if step.tag == "equal":
                first, end = step.src_start + index, step.src_start + index + 1
            else:
                first, end = min(step.src_start, len(raw.texts) - 1), max(step.src_end, step.src_start + 1)
            starts.append(raw.starts[first])
            ends.append(raw.ends[min(end, len(raw.texts)) - 1])
    return Units(tuple(spoken), tuple(starts), tuple(ends))
