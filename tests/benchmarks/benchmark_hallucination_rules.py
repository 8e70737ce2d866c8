# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What the hallucination rate finds of text that is certainly wrong, and what it flags of a weak recogniser's output.

    entropy-asr evaluate --dataset D --max_rows 120 --save_transcripts weak.jsonl
    python tests/benchmarks/benchmark_hallucination_rules.py --sentences S.jsonl [--transcripts weak.jsonl]

Sentences: JSON lines with `text` (a data set's `metadata.jsonl`), English or Chinese. Made from them, 200 each and
seeded: another sentence's words in place of all; k words (characters) of another in the middle of twelve; k inserted.
No labels are needed: what comes from another sentence was not said here. Transcripts: what a weak recogniser mishears
is mostly no hallucination, so the fewer are flagged the better, as long as the first figures stay high.
"""

import argparse
import json
import random
from collections.abc import Callable
from pathlib import Path

from entropy_asr.spaces.hallucination_rate.detection import detect
from entropy_asr.spaces.hallucination_rate.units import has_ideographs


COUNT, LENGTH = 200, 12


def read_sentences(path: Path) -> tuple[list[list[str]], str]:
    """Sentences of more than `LENGTH` units, and what joins their units."""
    texts = [json.loads(line)["text"].lower() for line in path.read_text(encoding="utf-8").splitlines()]
    joint = "" if any(map(has_ideographs, texts)) else " "
    sentences = [list(text) if not joint else text.split() for text in texts]
    return [sentence for sentence in sentences if len(sentence) > LENGTH], joint


def unrelated(size: int) -> Callable[[list[str], list[str]], tuple[list[str], list[str]]]:
    return lambda said, other: (said[:size], other[:size])


def replaced(size: int) -> Callable[[list[str], list[str]], tuple[list[str], list[str]]]:
    return lambda said, other: (said[:LENGTH], said[:4] + other[4 : 4 + size] + said[4 + size : LENGTH])


def inserted(size: int) -> Callable[[list[str], list[str]], tuple[list[str], list[str]]]:
    return lambda said, other: (said[:LENGTH], said[:6] + other[4 : 4 + size] + said[6:LENGTH])


def found_share(sentences: list[list[str]], joint: str, make: Callable, seed: int) -> float:
    rng = random.Random(seed)
    hits = 0
    for _ in range(COUNT):
        said, written = make(*rng.sample(sentences, 2))
        hits += bool(detect(joint.join(said), joint.join(written)).reasons)
    return hits / COUNT


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sentences", type=Path, nargs="*", default=[])
    parser.add_argument("--transcripts", type=Path, nargs="*", default=[])
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    makers = {"unrelated, {} units": (unrelated, (3, 5, 8, 12)), "{} of 12 replaced": (replaced, (2, 3, 4, 5))}
    makers["{} inserted in 12"] = (inserted, (2, 3, 4))
    for path in args.sentences:
        sentences, joint = read_sentences(path)
        for name, (maker, sizes) in makers.items():
            for size in sizes:
                share = found_share(sentences, joint, maker(size), args.seed)
                print(f"{path.parent.name}: {name.format(size)}: {100 * share:.1f} % found")
    for path in args.transcripts:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        flagged = sum(bool(detect(row["reference"], row["hypothesis"]).reasons) for row in rows)
        print(f"{path.name}: {flagged} of {len(rows)} flagged")


if __name__ == "__main__":
    main()
