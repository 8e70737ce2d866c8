# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Figures of a test set under one condition or several: guards on and off, and with something done to its audio.

Error rates hide invented text, and one condition hides where it comes from: a language model that writes on silence is
kept quiet by the guards, until they fail. So a result can hold a test set as it is, the same with silence around each
utterance, with holes, in noise or in chunks, and recordings in which nobody speaks, each with guards on and off.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from datasets import Dataset

from entropy_asr.modeling.encoder_rules_entropy_asr import encoder_rules
from entropy_asr.modeling.languages_entropy_asr import NON_SPEECH
from entropy_asr.spaces.hallucination_rate.hallucination_rate import hallucination_rate

from .disturbances import add_noise, mask_audio, pad_with_silence
from .encoder_chunks import EncoderChunks
from .error_rates import RecognitionScore, evaluate_recognition
from .written_marks import written_marks


GUARDS = ("on", "off", "both")
# What data sets of made sounds without speech are called.
MADE_NON_SPEECH, MADE_BABBLE = "made sounds without speech", "made babble"
# Chunks that a chunk sees to its left, as in a stream by default.
LEFT_CHUNKS = 4


@dataclass(frozen=True)
class Condition:
    """How a test set is transcribed.

    Args:
        guards: Whether the guards against hallucination are on; off, text still ends at `error_rates.WITHOUT_GUARDS`'s
            bound, far beyond speech.
        padded_silence: Seconds of digital silence before and after each utterance.
        masked: Share of each utterance that is masked, see [`~disturbances.mask_audio`].
        snr: Signal-to-noise ratio in dB, see [`~disturbances.add_noise`]; None: no noise.
        chunk_ms: The encoder attends in chunks of so many milliseconds, as in a stream; 0: whole utterances.
    """

    guards: bool = True
    padded_silence: float = 0.0
    masked: float = 0.0
    snr: float | None = None
    chunk_ms: int = 0

    @property
    def name(self) -> str:
        parts = [
            f"{self.padded_silence:g} s of silence around" if self.padded_silence else "",
            f"{100 * self.masked:g} % masked" if self.masked else "",
            f"noise at {self.snr:g} dB" if self.snr is not None else "",
            f"chunks of {self.chunk_ms} ms" if self.chunk_ms else "",
            f"guards {'on' if self.guards else 'off'}",
        ]
        return ", ".join(part for part in parts if part)

    @property
    def is_plain(self) -> bool:
        """Whether audio is heard as it is, with guards or without."""
        return self == Condition(self.guards)

    @property
    def is_for_speech(self) -> bool:
        """Whether it says nothing new of recordings without speech."""
        return bool(self.padded_silence or self.masked or self.snr is not None)

    def disturb(self, samples: np.ndarray, row: int, noises: Sequence[np.ndarray] | None = None) -> np.ndarray:
        """The audio `(num_samples,)` of a row, by its number, under this condition."""
        rng = np.random.default_rng(row)
        if self.masked:
            samples = mask_audio(samples, self.masked, rng)
        if self.snr is not None:
            samples = add_noise(samples, self.snr, rng, noises)
        return pad_with_silence(samples, self.padded_silence) if self.padded_silence else samples


def conditions_of(
    guards: str | bool = "on",
    padded_silence: float = 0.0,
    masked: Sequence[float] = (),
    snr: Sequence[float] = (),
    chunk_ms: int = 0,
) -> list[Condition]:
    """The test set as it is, and each change by itself, with each setting of the guards.

    The plainest is first: its error rates are the test set's.

    Args:
        guards: "on", "off" or "both"; true and false are on and off, as YAML reads these words.
        padded_silence: Seconds of silence around each utterance; 0 for none.
        masked: Shares of the audio that are masked.
        snr: Signal-to-noise ratios in dB.
        chunk_ms: Milliseconds of chunks; 0 for none.

    Raises:
        ValueError: Another word, or a number that is out of range.
    """
    if isinstance(guards, bool):
        guards = "on" if guards else "off"
    if guards not in GUARDS:
        raise ValueError(f"`guards` may be {', '.join(GUARDS)}, not {guards!r}.")
    if not 0 <= padded_silence <= 3600:
        raise ValueError(f"`padded_silence` is a number of seconds from 0 to 3600, not {padded_silence!r}.")
    if wrong := [share for share in masked if not 0 < share < 1]:
        raise ValueError(f"`masked` has shares between 0 and 1, not {wrong[0]!r}.")
    if wrong := [ratio for ratio in snr if not -100 <= ratio <= 100]:
        raise ValueError(f"`snr` has decibels from -100 to 100, not {wrong[0]!r}.")
    if not 0 <= chunk_ms <= 60_000:
        raise ValueError(f"`chunk_ms` is a number of milliseconds from 0 to 60000, not {chunk_ms!r}.")
    switches = {"on": [True], "off": [False], "both": [True, False]}[guards]
    changes: list[dict[str, Any]] = [
        {},
        *([{"padded_silence": padded_silence}] if padded_silence else []),
        *({"masked": share} for share in masked),
        *({"snr": ratio} for ratio in snr),
        *([{"chunk_ms": chunk_ms}] if chunk_ms else []),
    ]
    return [Condition(switch, **change) for change in changes for switch in switches]


def evenly_spaced(rows: Dataset, largest: int | None) -> Dataset:
    """At most so many rows, evenly spaced: of a data set in order some of each speaker or word; None: all."""
    if largest is None or largest >= len(rows):
        return rows
    return rows.select(np.linspace(0, len(rows) - 1, largest).astype(int))


@contextmanager
def chunked_encoder(pipeline: Any, chunk_ms: int) -> Iterator[None]:
    """Inside, a pipeline's encoder attends in chunks with `LEFT_CHUNKS` before them, as in a stream.

    Raises:
        ValueError: the encoder takes no chunks, or a chunk is no whole number of its frames.
    """
    if not chunk_ms:
        yield
        return
    model = pipeline.model
    if not encoder_rules(model.config.audio_config).streams:
        raise ValueError(f"`chunk_ms`: a `{model.config.audio_config.model_type}` encoder takes no chunks.")
    frame_ms = 1000 * pipeline.processor.seconds_per_frame
    if chunk_ms % frame_ms:
        raise ValueError(f"`chunk_ms` must be a multiple of {frame_ms:g} ms, one frame, not {chunk_ms}.")
    chunks = {"chunk_size": round(chunk_ms / frame_ms), "left_chunks": LEFT_CHUNKS}
    chunks_of_encoder = EncoderChunks(model.model.audio_tower)
    try:
        with chunks_of_encoder.of(chunks):
            yield
    finally:
        chunks_of_encoder.remove()


def evaluate_under(
    pipeline: Any,
    dataset: Dataset,
    conditions: list[Condition],
    batch_size: int = 16,
    description: str | None = "evaluate",
    noises: Sequence[np.ndarray] | None = None,
    keep: Callable[[Condition, RecognitionScore], None] | None = None,
    max_disturbed_rows: int | None = None,
    **generate_kwargs: Any,
) -> tuple[RecognitionScore, dict[str, Any]]:
    """Transcribe and score a test set under each condition; see [`~error_rates.evaluate_recognition`].

    Args:
        description: What the bars are called; None: no bars.
        noises: What is added to the speech where a condition wants noise, each `(num_samples,)`; else white noise.
        keep: Called with each condition and its score, transcripts among it.
        max_disturbed_rows: Largest number of rows, evenly spaced, whose audio is changed; None: all.

    Returns:
        The score under the first condition, and everything for `results.json`: what that score says; `guards`, whether
        they were on; `hallucination`, its figures; `conditions`, for the others by name their `wer`, `cer`,
        `nonempty_share` and `hallucination`; and `written`, marks and capitals, where the references have some.
        Recordings without speech are not padded, masked or put in noise: that would be one more of them.
    """
    scores = {}
    spoken = [index for index, language in enumerate(dataset["language"]) if language != NON_SPEECH]
    speech = dataset if len(spoken) == len(dataset) else dataset.select(spoken)
    for condition in conditions:
        rows = speech if condition.is_for_speech else dataset
        if not len(rows):
            continue
        with chunked_encoder(pipeline, condition.chunk_ms):
            scores[condition] = evaluate_recognition(
                pipeline,
                evenly_spaced(rows, None if condition.is_plain else max_disturbed_rows),
                batch_size,
                description is not None,
                f"{description}, {condition.name}" if scores else description or "",
                guards=condition.guards,
                disturb=partial(condition.disturb, noises=noises) if condition.is_for_speech else None,
                **generate_kwargs,
            )
        if keep is not None:
            keep(condition, scores[condition])
    first, *others = scores
    result = scores[first].to_dict() | {
        "guards": first.guards,
        "hallucination": hallucination_figures(scores[first]),
        "conditions": {condition.name: _summary(scores[condition]) for condition in others},
    }
    return scores[first], result | written_figures(scores[first])


def hallucination_figures(score: RecognitionScore) -> dict[str, Any] | None:
    """What [`~hallucination_rate.hallucination_rate`] says of raw transcripts; None where there are none."""
    rows = score.transcripts
    if not rows:
        return None
    references = ["" if row["language"] == NON_SPEECH else row["reference"] for row in rows]
    return hallucination_rate([row["hypothesis"] for row in rows], references)


def written_figures(score: RecognitionScore) -> dict[str, Any]:
    """`written`, as [`~written_marks.written_marks`] gives it; nothing where the references have no marks."""
    columns = ([row[name] for row in score.transcripts] for name in ("reference", "hypothesis", "language"))
    found = written_marks(*columns)
    return {} if found is None else {"written": found}


def _summary(score: RecognitionScore) -> dict[str, Any]:
    return {
        "wer": score.wer,
        "cer": score.cer,
        "nonempty_share": score.nonempty_share,
        "hallucination": hallucination_figures(score),
    }


def result_lines(result: dict[str, Any]) -> list[str]:
    """One line for each condition of a result: rates, an interval, the parts; and one on marks and capitals."""
    main = Condition(result["guards"]).name
    figures = {main: result["hallucination"]} | {
        name: condition["hallucination"] for name, condition in result["conditions"].items()
    }
    lines = [f"{name}: {_in_words(found)}" for name, found in figures.items() if found is not None]
    written = [
        f"{name} F1 {100 * one['f1']:.1f} % ({one['right']} right of {one['wanted']}, {one['written']} written)"
        for name, one in result.get("written", {}).items()
        if one["f1"] is not None
    ]
    return [*lines, "; ".join(written)] if written else lines


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
