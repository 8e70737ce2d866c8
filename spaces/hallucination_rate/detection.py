# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Signs of hallucination in one transcript: text out of nothing, unsupported text, inserted bursts, loops.

What is compared, and what makes no difference, is in `units`. Nothing else is repaired: loops stay.
"""

from dataclasses import dataclass, field

from rapidfuzz.distance import Editops, Indel, Levenshtein

from .units import Units, is_character, join_spelled, split_units


@dataclass(frozen=True)
class Thresholds:
    """When a sign counts; defaults as chosen on the training part of HALAS (English).

    Args:
        unsupported: U: share of the hypothesis's characters outside the longest common subsequence, above which.
        burst_words: B: this many words inserted in a row (a character counts for its share, see below).
        burst_characters: B: this many characters inserted in a row.
        loop_repeats: L: this many repetitions of an n-gram in a row,
        long_loop_repeats: or this many
        long_loop_units: of an n-gram of this many units or more.
        loop_units: L: longest n-gram looked at.
        length_ratio, overlap: the papers' rule: more than `length_ratio` times the reference's units, of which a share
            below `overlap` occurs in the reference.
    """

    unsupported: float = 0.35
    burst_words: int = 2
    burst_characters: int = 4
    loop_repeats: int = 3
    long_loop_repeats: int = 2
    long_loop_units: int = 4
    loop_units: int = 8
    length_ratio: float = 1.5
    overlap: float = 0.1

    def __post_init__(self):
        counts = ("burst_words", "burst_characters", "loop_units", "long_loop_units")
        if any(getattr(self, name) < 1 for name in counts) or min(self.loop_repeats, self.long_loop_repeats) < 2:
            raise ValueError(f"Counts must be at least 1, repeats at least 2: {self}.")
        if not 0 <= self.unsupported <= 1 or not 0 <= self.overlap <= 1 or self.length_ratio < 1:
            raise ValueError(f"Shares must be in [0, 1], length_ratio at least 1: {self}.")


@dataclass
class Detection:
    """What was found in one transcript.

    Attributes:
        reasons: "empty_reference", "unsupported", "burst", "loop": those that apply; a hallucination has one or more.
        spans: For each reason the `start` and `end` (exclusive) in the raw hypothesis of the worst stretch.
        unsupported: Share of characters that the reference does not support, in [0, 1]; 0 for an empty hypothesis.
        nim4: Whether the papers' rule applies.
        nonspeech: Whether the reference has no words.
    """

    reasons: list[str] = field(default_factory=list)
    spans: dict[str, tuple[int, int]] = field(default_factory=dict)
    unsupported: float = 0.0
    nim4: bool = False
    nonspeech: bool = False


def detect(reference: str, hypothesis: str, thresholds: Thresholds | None = None) -> Detection:
    """Look for all signs of hallucination in one transcript.

    Symbols without any word ("♪♪♪", "!!!!") are no transcript: as a reference they say that nobody speaks; as a
    hypothesis they are output, which no speech supports. Pauses alone ("...", "。") are an empty hypothesis.
    """
    limits = thresholds or Thresholds()
    said = split_units(reference)
    written = join_spelled(split_units(hypothesis), said)
    found = Detection(nonspeech=not said.is_speech)
    if not written.texts or written.texts == said.texts:
        return found
    if found.nonspeech:
        said = split_units("")
    found.unsupported, unsupported_span = unsupported_share(said, written)
    found.nim4 = is_long_and_unrelated(said, written, limits)
    signs = {"loop": find_loop(said, written, limits)}
    if found.nonspeech:
        signs["empty_reference"] = written.span(0, len(written.texts))
    else:
        signs["unsupported"] = unsupported_span if found.unsupported > limits.unsupported else None
        signs["burst"] = find_burst(said, written, limits)
    found.spans = {reason: span for reason, span in signs.items() if span is not None}
    found.reasons = sorted(found.spans)
    return found


def unsupported_share(said: Units, written: Units) -> tuple[float, tuple[int, int]]:
    """1 - LCS / |hypothesis| over characters without spaces, and the longest stretch of unsupported characters.

    The longest common subsequence is one of characters in order, not in a row: it depends on no word alignment.
    """
    reference, hypothesis = "".join(said.texts), "".join(written.texts)
    # Deletions plus insertions are |reference| + |hypothesis| - 2 LCS.
    common = (len(reference) + len(hypothesis) - Indel.distance(reference, hypothesis)) // 2
    inserted = {operation.dest_pos for operation in Indel.editops(reference, hypothesis) if operation.tag == "insert"}
    longest = max(_stretches(sorted(inserted)), key=len, default=[])
    span = written.span(0, len(written.texts))
    if longest:
        owners = [index for index, text in enumerate(written.texts) for _ in text]
        span = written.span(owners[longest[0]], owners[longest[-1]] + 1)
    return 1 - common / len(hypothesis), span


def find_burst(said: Units, written: Units, limits: Thresholds) -> tuple[int, int] | None:
    """Place of the first long run of inserted units in the Levenshtein alignment; words and characters add up."""
    operations = Levenshtein.editops(said.texts, written.texts)
    respelled = _respelled(said, written, operations)
    positions = (operation.dest_pos for operation in operations if operation.tag == "insert")
    for run in _stretches([position for position in positions if position not in respelled]):
        weights = (limits.burst_characters if is_character(written.texts[i]) else limits.burst_words for i in run)
        # In whole numbers: a sum of shares such as 4 / 4 must not miss 1 by rounding.
        whole = limits.burst_characters * limits.burst_words
        if sum(whole // weight for weight in weights) >= whole:
            return written.span(run[0], run[-1] + 1)
    return None


def _respelled(said: Units, written: Units, operations: Editops) -> set[int]:
    """Positions in the hypothesis between agreeing units where both have the same characters, cut differently."""
    same, said_end, written_end = set(), 0, 0
    for block in operations.as_matching_blocks():  # the last one is empty, at both ends
        between = range(written_end, block.b)
        if "".join(said.texts[said_end : block.a]) == "".join(written.texts[written_end : block.b]):
            same.update(between)
        said_end, written_end = block.a + block.size, block.b + block.size
    return same


def find_loop(said: Units, written: Units, limits: Thresholds) -> tuple[int, int] | None:
    """Place of the first n-gram, shortest first, that is repeated in a row and that the reference does not repeat."""
    for size in range(1, min(limits.loop_units, len(written.texts) // 2) + 1):
        needed = limits.long_loop_repeats if size >= limits.long_loop_units else limits.loop_repeats
        start = 0
        while start + size * needed <= len(written.texts):
            repeats = _repeats_at(written.texts, start, size)
            gram = written.texts[start : start + size]
            if repeats >= needed and not _is_repeated(gram, said.texts):
                return written.span(start, start + size * repeats)
            start += 1
    return None


def _repeats_at(units: tuple[str, ...], start: int, size: int) -> int:
    gram, repeats = units[start : start + size], 1
    while units[start + repeats * size : start + (repeats + 1) * size] == gram:
        repeats += 1
    return repeats


def _is_repeated(gram: tuple[str, ...], units: tuple[str, ...]) -> bool:
    """Whether the n-gram occurs twice in a row."""
    size = 2 * len(gram)
    return any(units[start : start + size] == gram * 2 for start in range(len(units) - size + 1))


def is_long_and_unrelated(said: Units, written: Units, limits: Thresholds) -> bool:
    """The papers' rule: far longer than the reference, with next to none of its units."""
    if len(written.texts) <= limits.length_ratio * len(said.texts):
        return False
    left = list(said.texts)
    shared = 0
    for unit in written.texts:
        if unit in left:
            left.remove(unit)
            shared += 1
    return shared / len(written.texts) < limits.overlap


def _stretches(positions: list[int]) -> list[list[int]]:
    """Runs of consecutive numbers of a rising list."""
    runs: list[list[int]] = []
    for position in positions:
        if runs and position == runs[-1][-1] + 1:
            runs[-1].append(position)
        else:
            runs.append([position])
    return runs
