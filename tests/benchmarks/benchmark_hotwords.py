# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Hotword index at a million entries: automata compared, then build, memory, latency, and recall under errors.

    python tests/benchmarks/benchmark_hotwords.py [--entries 1000000] [--queries 2000]

Needs `pip install pyahocorasick psutil` beside the package. Phrases are random syllables: half Mandarin (2 to 6), half
consonant-vowel pairs of English (2 to 7). A query is four phrases with a listed one somewhere in between, some 50
phonemes; errors are 20 % deletions, 20 % insertions, 30 % near sounds (same class or tone) and 30 % any sound. Recall
is that of the listed phrase. Precision is the share of hints that were in the query before the errors. The index is
searched without common words ("anywhere") and with them ("words").
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from entropy_asr.modeling import EntropyASRPhonemeTokenizer, HotwordIndex
from entropy_asr.modeling.language_english_entropy_asr import CONSONANTS, VOWELS
from entropy_asr.modeling.language_mandarin_entropy_asr import FINALS, INITIALS
from entropy_asr.modeling.languages_entropy_asr import default_phonemes
from entropy_asr.modeling.phonetics_entropy_asr import substitution_cost
from entropy_asr.modeling.word_boundaries_entropy_asr import common_pronunciations


SHARED_INITIALS = ("", "b", "p", "m", "f", "d", "t", "n", "l", "ɡ", "k", "h", "s")
PHONEMES = default_phonemes()[2:]
ERROR_RATES = (0.0, 0.05, 0.1, 0.2)
TOLERANCES = (0.0, 0.1, 0.2)


class Phrases:
    """Seeded random phrases."""

    def __init__(self, seed: int):
        self.rng = random.Random(seed)
        inventory = random.Random(0)
        initials, finals = [*SHARED_INITIALS, *INITIALS], FINALS[:-15]
        self.syllables = [(inventory.choice(initials), inventory.choice(finals)) for _ in range(1300)]
        self.pairs = [(consonant, vowel) for consonant in CONSONANTS for vowel in VOWELS[:22]]

    def draw(self) -> list[str]:
        chinese = self.rng.random() < 0.5
        units, longest = (self.syllables, 6) if chinese else (self.pairs, 7)
        chosen = self.rng.choices(units, k=self.rng.randint(2, longest))
        return [phoneme for unit in chosen for phoneme in unit if phoneme]

    def draw_all(self, count: int) -> dict[str, list[str]]:
        phrases: dict[str, list[str]] = {}
        while len(phrases) < count:
            phrase = self.draw()
            phrases[" ".join(phrase)] = phrase
        return phrases


def query(phrases: Phrases, spoken: list[str]) -> list[str]:
    others = [phrases.draw() for _ in range(4)]
    others.insert(phrases.rng.randrange(5), spoken)
    return sum(others, [])


NEAR = {one: [o for o in PHONEMES if o != one and substitution_cost(one, o) < 1] or PHONEMES for one in PHONEMES}


def with_errors(phonemes: list[str], rate: float, rng: random.Random) -> list[str]:
    heard: list[str] = []
    for phoneme in phonemes:
        kind = rng.random() if rng.random() < rate else 1.0
        if kind < 0.2:
            continue
        if kind < 0.4:
            heard += [phoneme, rng.choice(PHONEMES)]
        else:
            heard.append(rng.choice(NEAR[phoneme] if kind < 0.7 else PHONEMES) if kind < 1 else phoneme)
    return heard


def percentiles(run: Callable, inputs: list) -> dict[str, float]:
    """p50 and p99 of a call in microseconds, on the clock and of this thread's CPU; the first tenth warms up.

    On a machine that is busy with something else the two differ: the clock goes on while others compute.
    """
    report = {}
    for name, clock in (("", time.perf_counter_ns), ("_cpu", time.thread_time_ns)):
        times = []
        for value in inputs:
            start = clock()
            run(value)
            times.append((clock() - start) / 1000)
        times = sorted(times[len(times) // 10 :])
        report |= {f"p50{name}_us": round(times[len(times) // 2], 1)}
        report |= {f"p99{name}_us": round(times[int(len(times) * 0.99)], 1)}
    return report


def resident_mb() -> float:
    return psutil.Process().memory_info().rss / 2**20


def measure_engine(engine: str, entries: int, queries: int) -> dict:
    """One automaton in a process of its own, on strings of one character a phoneme."""
    phrases = Phrases(1)
    characters = {phoneme: chr(0x100 + code) for code, phoneme in enumerate(PHONEMES)}

    def spell(phonemes: list[str]) -> str:
        return "".join(characters[phoneme] for phoneme in phonemes)

    listed = list(phrases.draw_all(entries).values())
    texts = [spell(query(phrases, phrases.rng.choice(listed))) for _ in range(queries)]
    patterns = [spell(phonemes) for phonemes in listed]
    before, start = resident_mb(), time.perf_counter()
    if engine == "daachorse":
        import daachorse

        search = daachorse.CharwiseDoubleArrayAhoCorasick(patterns).find_overlapping
    else:
        import ahocorasick

        automaton = ahocorasick.Automaton()
        for number, pattern in enumerate(patterns):
            automaton.add_word(pattern, (number, len(pattern)))
        automaton.make_automaton()

        def search(text: str) -> list:
            return list(automaton.iter(text))

    build = time.perf_counter() - start
    return {
        "engine": engine,
        "build_s": round(build, 2),
        "rss_mb": round(resident_mb() - before),
        **percentiles(search, texts),
        "matches": sum(len(search(text)) for text in texts),
    }


def measure_index(entries: int, queries: int) -> None:
    phrases = Phrases(1)
    listed = phrases.draw_all(entries)
    before, start = resident_mb(), time.perf_counter()
    index = HotwordIndex(listed)
    report = {"entries": len(index), "build_s": round(time.perf_counter() - start, 2)}
    report["rss_mb"] = round(resident_mb() - before)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "index.npz"
        for name, run in (("save_s", lambda: index.save(path)), ("load_s", lambda: HotwordIndex.load(path))):
            start = time.perf_counter()
            run()
            report[name] = round(time.perf_counter() - start, 2)
        report["file_mb"] = round(path.stat().st_size / 2**20)
    fresh = {name: phrase for name, phrase in Phrases(2).draw_all(1000).items() if name not in listed}
    for name, changes in (("add_1000_s", {"add": fresh}), ("remove_1000_s", {"remove": list(fresh)})):
        start = time.perf_counter()
        index.update(**changes)
        report[name] = round(time.perf_counter() - start, 2)
    print(json.dumps(report), flush=True)
    among_words = HotwordIndex(listed, common_pronunciations(EntropyASRPhonemeTokenizer()))
    for tolerance in TOLERANCES:
        for name, searched in (("anywhere", index), ("words", among_words)):
            report = {"matched": name, "tolerance": tolerance}
            measure_recall(searched, listed, tolerance, queries if tolerance == 0 else max(100, queries // 10), report)


def measure_recall(index: HotwordIndex, listed: dict, tolerance: float, queries: int, report: dict) -> None:
    names = list(listed)
    for rate in ERROR_RATES:
        phrases = Phrases(3)
        spoken = [phrases.rng.choice(names) for _ in range(queries)]
        clean = [query(phrases, listed[name]) for name in spoken]
        heard = [with_errors(phonemes, rate, phrases.rng) for phonemes in clean]
        latency = percentiles(lambda phonemes: index.find_hints(phonemes, tolerance, max_hints=None), heard)
        found = hits = right = 0
        for name, before, after in zip(spoken, clean, heard, strict=True):
            hints = index.find_hints(after, tolerance, max_hints=None)
            hits += name in hints
            found += len(hints)
            text = f" {' '.join(before)} "
            right += sum(f" {hint} " in text for hint in hints)
        row = report | {"error_rate": rate, "recall": round(hits / queries, 3)}
        print(json.dumps(row | {"precision": round(right / max(1, found), 3)} | latency), flush=True)


def measure_phonemes(count: int) -> None:
    """How fast words become phonemes: the longest part of building an index from words as they are written."""
    rng = random.Random(0)
    english = [" ".join("".join(rng.choice("kmtlsrn") + rng.choice("aeiou") for _ in range(2)) for _ in range(2))]
    english += [f"{english[0]} {''.join(rng.choices('abdefgiklmnoprstu', k=6))}" for _ in range(count - 1)]
    chinese = ["".join(chr(rng.randrange(0x4E00, 0x9000)) for _ in range(4)) for _ in range(count)]
    for name, words in (("english", english), ("mandarin", chinese)):
        start = time.perf_counter()
        HotwordIndex.build(words, EntropyASRPhonemeTokenizer(), skip_unusable=True)
        print(json.dumps({"g2p": name, "words_per_s": round(count / (time.perf_counter() - start))}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=2000)
    parser.add_argument("--engine", choices=("daachorse", "pyahocorasick"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.engine:
        print(json.dumps(measure_engine(args.engine, args.entries, args.queries)), flush=True)
        return
    for engine in ("daachorse", "pyahocorasick"):
        sizes = ["--entries", str(args.entries), "--queries", str(args.queries)]
        subprocess.run([sys.executable, __file__, "--engine", engine, *sizes], check=True)
    measure_index(args.entries, args.queries)
    measure_phonemes(5000)


if __name__ == "__main__":
    main()
