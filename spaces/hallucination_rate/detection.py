# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Signs of hallucination in one transcript: text out of nothing, unsupported text, inserted bursts, loops.

Reference and hypothesis are compared as they are spoken ([`spoken.spoken_units`]), so that numbers, times, amounts and
spellings make no difference. A stretch of the hypothesis is supported if its words are in the reference in order, or
if it sounds like what the reference has in its place (`sounds`): a misheard word is an error, not a hallucination.
Nothing else is repaired: loops stay.
"""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from numbers import Integral, Real

from rapidfuzz.distance import Indel, Levenshtein

from .sounds import can_read_chinese, contained_share, likeness, number_of_sounds
from .spoken import spoken_units, without_fillers, without_unnamed_currency
from .units import Units, is_character, join_spelled, split_units, without_remarks


@dataclass(frozen=True)
class Thresholds:
    """When a sign counts. The numbers of U, B and L were chosen on the training part of HALAS (English).

    Args:
        unsupported: U: share of the hypothesis's letters and characters that nothing supports, above which.
        alike: U, B: likeness of sound to what the reference has in its place from which a stretch is supported.
        replaced: U: likeness below which a stretch of two words or four characters or more, with
        replaced_sounds: sounds or more (one less for each word after the second), is text in place of what was said,
            however long the rest is.
        burst_words: B: this many words inserted in a row (a character counts for its share, see below).
        burst_characters: B: this many characters inserted in a row.
        loop_repeats: L: this many repetitions of an n-gram in a row,
        long_loop_repeats: or this many
        long_loop_units: of an n-gram of this many units or more.
        loop_units: L: longest n-gram looked at.
        length_ratio: The paper's rule: more than this many times the reference's units,
        overlap: of which no larger share than this occurs in the reference.
    """

    unsupported: float = 0.35
    alike: float = 0.4
    replaced: float = 0.3
    replaced_sounds: int = 7
    burst_words: int = 2
    burst_characters: int = 4
    loop_repeats: int = 3
    long_loop_repeats: int = 2
    long_loop_units: int = 4
    loop_units: int = 8
    length_ratio: float = 1.5
    overlap: float = 0.0

    def __post_init__(self):
        counts = ("burst_words", "burst_characters", "loop_units", "long_loop_units", "replaced_sounds")
        whole = (*counts, "loop_repeats", "long_loop_repeats")
        for item in fields(self):
            value = getattr(self, item.name)
            kind = Integral if item.name in whole else Real
            if isinstance(value, bool) or not isinstance(value, kind):
                raise ValueError(
                    f"`{item.name}` must be a {'whole ' if kind is Integral else ''}number, got {value!r}."
                )
        if any(getattr(self, name) < 1 for name in counts) or min(self.loop_repeats, self.long_loop_repeats) < 2:
            raise ValueError(f"Counts must be at least 1, repeats at least 2: {self}.")
        shares = (self.unsupported, self.alike, self.replaced, self.overlap)
        if not all(0 <= share <= 1 for share in shares) or not self.length_ratio >= 1:
            raise ValueError(f"Shares must be in [0, 1], length_ratio at least 1: {self}.")


@dataclass
class Detection:
    """What was found in one transcript.

    Attributes:
        reasons: "empty_reference", "unsupported", "burst", "loop": those that apply; a hallucination has one or more.
        spans: For each reason the `start` and `end` (exclusive) in the raw hypothesis of the worst stretch.
        unsupported: Share of letters and characters that the reference does not support, in [0, 1]; 0 for an empty
            hypothesis.
        paper: Whether the paper's rule applies.
        nonspeech: Whether the reference has no words.
    """

    reasons: list[str] = field(default_factory=list)
    spans: dict[str, tuple[int, int]] = field(default_factory=dict)
    unsupported: float = 0.0
    paper: bool = False
    nonspeech: bool = False


@dataclass(frozen=True)
class Stretch:
    """Units of the reference and of the hypothesis in the same place, between units that agree.

    Attributes:
        ref: Units of the reference, none for an insertion.
        first, end: Bounds of the hypothesis's units.
        hyp: These units.
    """

    ref: tuple[str, ...]
    first: int
    end: int
    hyp: tuple[str, ...]


def detect(reference: str, hypothesis: str, thresholds: Thresholds | None = None) -> Detection:
    """Look for all signs of hallucination in one transcript.

    Symbols without any word ("♪♪♪", "!!!!") are no transcript: as a reference they say that nobody speaks; as a
    hypothesis they are output, which no speech supports. Pauses alone ("...", "。") are an empty hypothesis.
    """
    limits = thresholds or Thresholds()
    reference = without_remarks(reference)
    raw_ref, raw_hyp = split_units(reference), split_units(hypothesis)
    found = Detection(nonspeech=not raw_ref.is_speech)
    if not raw_hyp.texts or raw_hyp.texts == raw_ref.texts:
        return found
    if found.nonspeech:
        ref, hyp = split_units(""), raw_hyp
    else:
        ref, hyp = spoken_units(reference, hypothesis)
    hyp = without_unnamed_currency(join_spelled(hyp, ref), ref)
    signs = {"loop": find_loop(ref, hyp, limits)}
    ref, hyp = without_fillers(ref), without_fillers(hyp)
    found.paper = is_long_and_unrelated(ref, hyp, limits)
    if found.nonspeech:
        found.unsupported = 1.0
        signs["empty_reference"] = raw_hyp.span(0, len(raw_hyp.texts))
    else:
        found.unsupported, own = _unsupported_signs(ref, hyp, limits)
        if any(own.values()) and _may_be_words(raw_ref, raw_hyp):
            # A numeral may be the spelling of words that sound like it: 意义, 一亿.
            share, others = _unsupported_signs(without_fillers(raw_ref), without_fillers(raw_hyp), limits)
            if not any(others.values()):
                found.unsupported, own = share, others
        signs |= own
    found.spans = {reason: span for reason, span in signs.items() if span is not None}
    found.reasons = sorted(found.spans)
    return found


def _unsupported_signs(ref: Units, hyp: Units, limits: Thresholds) -> tuple[float, dict[str, tuple[int, int] | None]]:
    """Share of what nothing supports, and the places of the signs U and B."""
    stretches = list(disagreeing_stretches(ref, hyp))
    share, place = find_unsupported(ref, hyp, stretches, limits)
    return share, {"unsupported": place, "burst": find_burst(ref, hyp, limits)}


def _may_be_words(ref: Units, hyp: Units) -> bool:
    """Whether numbers, if there are any, are written in Chinese characters on both sides."""
    return all(
        any(map(is_character, units.texts)) and not any(map(str.isdigit, "".join(units.texts))) for units in (ref, hyp)
    )


def disagreeing_stretches(ref: Units, hyp: Units) -> Iterator[Stretch]:
    """Stretches of the hypothesis, with what the reference has there, between the units on which both agree."""
    ref_end = hyp_end = 0
    for block in Levenshtein.editops(ref.texts, hyp.texts).as_matching_blocks():  # the last is empty, at both ends
        if block.b > hyp_end:
            yield Stretch(ref.texts[ref_end : block.a], hyp_end, block.b, hyp.texts[hyp_end : block.b])
        ref_end, hyp_end = block.a + block.size, block.b + block.size


def is_supported(stretch: Stretch, limits: Thresholds) -> bool:
    """Whether a stretch is what was said, cut, spelled or understood otherwise, or one word in place of another."""
    if not stretch.ref:
        return False
    if "".join(stretch.ref) == "".join(stretch.hyp):
        return True
    # One word for one: an ordinary substitution, whatever it sounds like.
    if word_count(stretch.hyp) <= 1 and word_count(stretch.ref) <= 2:
        return True
    return sounds_alike(stretch, limits.alike)


def sounds_alike(stretch: Stretch, alike: float) -> bool:
    """Whether a stretch sounds like the reference's, or like a part of it from which words were left out."""
    sounds = number_of_sounds(stretch.hyp)
    # A few sounds are alike by chance more often than many, and found somewhere in a long reference.
    if likeness(stretch.hyp, stretch.ref) >= alike + max(0.0, 0.15 - 0.015 * sounds):
        return True
    return sounds >= 4 and contained_share(stretch.hyp, stretch.ref) >= 0.75


def word_count(units: tuple[str, ...]) -> float:
    """Number of words, about: two Chinese characters are one, and so are four digits."""
    return sum(0.5 if is_character(unit) else 0.25 if unit.isdigit() else 1 for unit in units)


def find_unsupported(
    ref: Units, hyp: Units, stretches: list[Stretch], limits: Thresholds
) -> tuple[float, tuple[int, int] | None]:
    """Share of unsupported letters and characters; where they are the most, if too many, or a replaced stretch.

    Letters are unsupported that are in no supported stretch and in no longest common subsequence: one of letters in
    order, not in a row, which depends on no word alignment.
    """
    doubtful = [
        stretch
        for stretch in stretches
        # A symbol is no word in place of another.
        if hyp.is_symbols or not is_supported(stretch, limits) or _replaces_all(stretch, ref, limits)
    ]
    positions = {index for stretch in doubtful for index in range(stretch.first, stretch.end)}
    owners = [index for index, text in enumerate(hyp.texts) for _ in text]
    edits = Indel.editops("".join(ref.texts), "".join(hyp.texts))
    inserted = {edit.dest_pos for edit in edits if edit.tag == "insert" and owners[edit.dest_pos] in positions}
    share = len(inserted) / len(owners)
    if share > limits.unsupported:
        longest = max(_runs_of(sorted(inserted)), key=len)
        return share, hyp.span(owners[longest[0]], owners[longest[-1]] + 1)
    return share, find_replaced(ref, hyp, stretches, limits)


def _replaces_all(stretch: Stretch, ref: Units, limits: Thresholds) -> bool:
    """Whether two characters stand in place of all that was said, two or more, and sound like none of it.

    In a sentence they are one word for another; here nothing of the reference is left.
    """
    return (
        len(stretch.hyp) == 2
        and stretch.ref == ref.texts
        and len(ref.texts) >= 2
        and all(map(is_character, (*stretch.hyp, *stretch.ref)))
        and can_read_chinese()
        and likeness(stretch.hyp, stretch.ref) < limits.replaced
    )


def find_replaced(ref: Units, hyp: Units, stretches: list[Stretch], limits: Thresholds) -> tuple[int, int] | None:
    """Place of the first stretch of some words that sounds like nothing that the reference has there."""
    for stretch in _joined(hyp, stretches, limits):
        words = word_count(stretch.hyp)
        # The longer a stretch, the less its likeness is one by chance.
        enough = limits.replaced + (0.05 if words >= 4 else 0.0)
        if (
            stretch.ref
            and words >= 2
            and number_of_sounds(stretch.hyp) + words - 2 >= limits.replaced_sounds
            and likeness(stretch.hyp, stretch.ref) < enough
            and contained_share(stretch.hyp, stretch.ref) < 0.5
        ):
            return hyp.span(stretch.first, stretch.end)
    return None


def _joined(hyp: Units, stretches: list[Stretch], limits: Thresholds) -> Iterator[Stretch]:
    """Stretches that sound like nothing, as one where a short word between them agrees, as it may by chance."""
    current: Stretch | None = None
    for stretch in stretches:
        if sounds_alike(stretch, limits.alike):
            continue
        if current and _agree_by_chance(hyp.texts[current.end : stretch.first]):
            current = Stretch(current.ref + stretch.ref, current.first, stretch.end, current.hyp + stretch.hyp)
            continue
        if current:
            yield current
        current = stretch
    if current:
        yield current


def _agree_by_chance(between: tuple[str, ...]) -> bool:
    return len(between) == 1 and (is_character(between[0]) or len(between[0]) <= 3)


def find_burst(ref: Units, hyp: Units, limits: Thresholds) -> tuple[int, int] | None:
    """Place of the first long run of inserted units in the Levenshtein alignment; words and characters add up."""
    operations = Levenshtein.editops(ref.texts, hyp.texts)
    respelled = {
        index
        for stretch in disagreeing_stretches(ref, hyp)
        if is_supported(stretch, limits)
        for index in range(stretch.first, stretch.end)
    }
    inserted = [operation.dest_pos for operation in operations if operation.tag == "insert"]
    for run in _runs_of([position for position in inserted if position not in respelled]):
        weights = (_burst_size(hyp.texts[index], limits) for index in run)
        # In whole numbers: a sum of shares such as 4 / 4 must not miss 1 by rounding.
        whole = limits.burst_characters * limits.burst_words
        if sum(whole // size if size else 0 for size in weights) >= whole:
            return hyp.span(run[0], run[-1] + 1)
    return None


def _burst_size(unit: str, limits: Thresholds) -> int:
    """How many units like this make a burst; 0 for a zero, of which a larger number has more."""
    if unit == "0":
        return 0
    return limits.burst_characters if is_character(unit) or unit.isdigit() else limits.burst_words


def find_loop(ref: Units, hyp: Units, limits: Thresholds) -> tuple[int, int] | None:
    """Place of the first n-gram, shortest first, that is repeated in a row, far more often than the reference does."""
    for size in range(1, min(limits.loop_units, len(hyp.texts) // 2) + 1):
        for start in range(len(hyp.texts) - 2 * size + 1):
            gram = hyp.texts[start : start + size]
            needed = _loop_repeats(gram, limits)
            repeats = _repeats_at(hyp.texts, start, size)
            if repeats >= needed and repeats - _most_repeats(gram, ref.texts) >= needed - 1:
                return hyp.span(start, start + size * repeats)
    return None


def _loop_repeats(gram: tuple[str, ...], limits: Thresholds) -> float:
    """How many repetitions of an n-gram are a loop; long numbers repeat digits, and large ones zeros."""
    if set(gram) == {"0"}:
        return math.inf
    is_long = len(gram) >= limits.long_loop_units and not all(map(str.isdigit, gram))
    return limits.long_loop_repeats if is_long else limits.loop_repeats


def _repeats_at(units: tuple[str, ...], start: int, size: int) -> int:
    gram, repeats = units[start : start + size], 1
    while units[start + repeats * size : start + (repeats + 1) * size] == gram:
        repeats += 1
    return repeats


def _most_repeats(gram: tuple[str, ...], units: tuple[str, ...]) -> int:
    """How often the n-gram comes in a row, at most."""
    size = len(gram)
    places = (start for start in range(len(units) - size + 1) if units[start : start + size] == gram)
    return max((_repeats_at(units, start, size) for start in places), default=0)


def is_long_and_unrelated(ref: Units, hyp: Units, limits: Thresholds) -> bool:
    """The paper's rule: far longer than the reference, with none of its units."""
    if len(hyp.texts) <= limits.length_ratio * len(ref.texts):
        return False
    shared = sum((Counter(ref.texts) & Counter(hyp.texts)).values())
    return shared / len(hyp.texts) <= limits.overlap


def _runs_of(positions: list[int]) -> list[list[int]]:
    """Runs of consecutive numbers of a rising list."""
    runs: list[list[int]] = []
    for position in positions:
        if runs and position == runs[-1][-1] + 1:
            runs[-1].append(position)
        else:
            runs.append([position])
    return runs
