# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Hallucination figures of a test set, under one condition or several: guards on and off, with silence around speech.

Error rates hide invented text, and one condition hides where it comes from: a language model that writes on silence is
kept quiet by the guards, until they fail. So a result can hold a test set as it is, the same with silence around each
utterance, and recordings in which nobody speaks, each with guards on and off.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from datasets import Dataset

from entropy_asr.modeling.languages_entropy_asr import NON_SPEECH
from entropy_asr.spaces.hallucination_rate.hallucination_rate import hallucination_rate

from .error_rates import SAMPLING_RATE, RecognitionScore, evaluate_recognition


GUARDS = ("on", "off", "both")
# What a data set of made sounds without speech is called.
MADE_NON_SPEECH = "made sounds without speech"


@dataclass(frozen=True)
class Condition:
    """How a test set is transcribed.

    Args:
        guards: Whether the guards against hallucination are on; off, text still ends at `error_rates.WITHOUT_GUARDS`'s
            bound, far beyond speech.
        padded_silence: Seconds of digital silence before and after each utterance.
    """

    guards: bool = True
    padded_silence: float = 0.0

    @property
    def name(self) -> str:
        silence = f"{self.padded_silence:g} s of silence around, " if self.padded_silence else ""
        return f"{silence}guards {'on' if self.guards else 'off'}"


def conditions_of(guards: str | bool = "on", padded_silence: float = 0.0) -> list[Condition]:
    """All combinations, the plainest first: its error rates are the test set's.

    Args:
        guards: "on", "off" or "both"; true and false are on and off, as YAML reads these words.
        padded_silence: Seconds of silence around each utterance; 0 for none. A test set is always transcribed as it
            is too.

    Raises:
        ValueError: Another word, or a length that is no number of seconds.
    """
    if isinstance(guards, bool):
        guards = "on" if guards else "off"
    if guards not in GUARDS:
        raise ValueError(f"`guards` may be {', '.join(GUARDS)}, not {guards!r}.")
    if not 0 <= padded_silence <= 3600:
        raise ValueError(f"`padded_silence` is a number of seconds from 0 to 3600, not {padded_silence!r}.")
    switches = {"on": [True], "off": [False], "both": [True, False]}[guards]
    lengths = [0.0, padded_silence] if padded_silence else [0.0]
    return [Condition(switch, length) for length in lengths for switch in switches]


def evaluate_under(
    pipeline: Any,
    dataset: Dataset,
    conditions: list[Condition],
    batch_size: int = 16,
    progress: bool = True,
    description: str = "evaluate",
    **generate_kwargs: Any,
) -> tuple[RecognitionScore, dict[str, Any]]:
    """Transcribe and score a test set under each condition; see [`~error_rates.evaluate_recognition`].

    Returns:
        The score under the first condition, and everything for `results.json`: what that score says; `guards`, whether
        they were on; `hallucination`, its figures; `conditions`, for the others by name their `wer`, `cer`,
        `nonempty_share` and `hallucination`. Silence around recordings without speech is one more of these: such a
        test set is not padded.
    """
    scores = {}
    for condition in conditions:
        if condition.padded_silence and set(dataset["language"]) <= {NON_SPEECH}:
            continue
        scores[condition] = evaluate_recognition(
            pipeline,
            dataset,
            batch_size,
            progress,
            f"{description}, {condition.name}" if scores else description,
            guards=condition.guards,
            padded_silence=condition.padded_silence,
            **generate_kwargs,
        )
    first, *others = scores
    result = scores[first].to_dict() | {
        "guards": first.guards,
        "hallucination": hallucination_figures(scores[first]),
        "conditions": {condition.name: _summary(scores[condition]) for condition in others},
    }
    return scores[first], result


def hallucination_figures(score: RecognitionScore) -> dict[str, Any] | None:
    """What [`~hallucination_rate.hallucination_rate`] says of raw transcripts; None where there are none."""
    rows = score.transcripts
    if not rows:
        return None
    references = ["" if row["language"] == NON_SPEECH else row["reference"] for row in rows]
    return hallucination_rate([row["hypothesis"] for row in rows], references)


def _summary(score: RecognitionScore) -> dict[str, Any]:
    return {
        "wer": score.wer,
        "cer": score.cer,
        "nonempty_share": score.nonempty_share,
        "hallucination": hallucination_figures(score),
    }


def hallucination_lines(result: dict[str, Any]) -> list[str]:
    """One line for each condition of a result: rates, an interval, the parts."""
    main = Condition(result["guards"]).name
    figures = {main: result["hallucination"]} | {
        name: condition["hallucination"] for name, condition in result["conditions"].items()
    }
    return [f"{name}: {_in_words(found)}" for name, found in figures.items() if found is not None]


def _in_words(found: dict[str, Any]) -> str:
    low, high = found["hallucination_rate_interval"]
    parts = {
        "no speech": found["empty_reference_rate"],
        "unsupported": found["unsupported_rate"],
        "burst": found["burst_rate"],
        "loop": found["loop_rate"],
    }
    shares = ", ".join(f"{name} {100 * share:.1f}" for name, share in parts.items())
    return (
        f"hallucination {100 * found['hallucination_rate']:.1f} % ({100 * low:.1f} to {100 * high:.1f}; {shares}), "
        f"by the paper's rule {100 * found['paper_rate']:.1f} %"
    )


def made_non_speech(count: int, seed: int = 0) -> Dataset:
    """Sounds in which nobody speaks, in turn silence, white noise and chords, of 0.5 to 8 seconds.

    Args:
        count: Number of recordings, at least 1.
        seed: Of lengths and sounds.

    Returns:
        Rows as `sources.load_source` gives them, with `samples` (int16).
    """
    rng = np.random.default_rng(seed)
    makers = (_silence, _noise, _chord)
    sounds = [
        makers[index % len(makers)](np.arange(int(rng.uniform(0.5, 8) * SAMPLING_RATE)) / SAMPLING_RATE, rng)
        for index in range(count)
    ]
    rows = [
        {
            "samples": np.round(sound * 32767).astype(np.int16),
            "text": "",
            "language": NON_SPEECH,
            "duration": len(sound) / SAMPLING_RATE,
        }
        for sound in sounds
    ]
    return Dataset.from_list(rows)


def _silence(time: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.zeros(len(time))


def _noise(time: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return (rng.normal(size=len(time)) * 10 ** rng.uniform(-4, -0.7)).clip(-1, 1)


def _chord(time: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    root = rng.uniform(100, 500)
    notes = [np.sin(2 * np.pi * root * ratio * time) for ratio in (1, 5 / 4, 3 / 2)]
    return sum(notes) / 6 * (0.6 + 0.4 * np.sin(2 * np.pi * rng.uniform(0.5, 4) * time))
