# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Recognition accuracy: text normalisation, word and character error rates, and the loop that measures a model.

English and other alphabetic languages are scored in words (WER), Mandarin in characters (CER). Rates are corpus level:
all errors over all reference units. Non-speech (language "none") has no reference and is scored by the share of
non-empty outputs alone.

Units and normalisers are those of each language's entry (`modeling/language_english_entropy_asr.py` says how English's
differs from Whisper's).
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from accelerate.utils import gather_object
from datasets import Dataset
from more_itertools import chunked
from rapidfuzz.distance import Levenshtein
from tqdm.auto import tqdm

from entropy_asr.modeling.audio import AudioError
from entropy_asr.modeling.languages_entropy_asr import NON_SPEECH, language_code, language_entry
from entropy_asr.spaces.hallucination_rate.units import fold_text

from ..runs.processes import process_state
from .disturbances import SAMPLING_RATE, samples_of


logger = logging.getLogger(__name__)

# "Guards off": a bound stays, at four times what speech has room for (100 tokens a second with the paper's encoder).
# A model that knows no end would fill all positions of its language model, thousands for each utterance, and by then
# its text is long a hallucination.
WITHOUT_GUARDS = {"no_speech": False, "agreement": False, "length_factor": 4}


def normalize_text(text: str, language: str) -> str:
    """Write `text` the way it is compared.

    First of all in one form of Unicode, as the hallucination rate does ([`fold_text`]): composed and decomposed
    accents, full width, ligatures, kinds of blanks and apostrophes make no difference; invisible characters are left
    out.

    Args:
        text: A reference or a hypothesis.
        language: Its entry says how, or, of a language that nobody registered, lower case without punctuation and
            symbols. "en": lower case, contractions written out, fillers and bracketed remarks dropped, number words as
            digits that each stand alone ("forty two", "42" -> "4 2"; a lone 1 stays "one"). "zh": lower case,
            punctuation, symbols and white space dropped; Chinese and Arabic numerals stay different, as do simplified
            and traditional characters.

    Returns:
        Words joined by single spaces, or for "zh" the characters without spaces.
    """
    return language_entry(scored_as(language)).normalize(fold_text(text))


@dataclass
class ErrorCounts:
    """Edit operations that turn references into hypotheses, summed over the utterances of one language.

    Attributes:
        unit: What is counted: "word", "character", or "none" for non-speech, where nothing is.
        substitutions, insertions, deletions: Edit operations, in units.
        reference_length: Units in the references.
        utterances: Number of utterances.
        nonempty: Utterances whose hypothesis, before normalisation, is more than blanks and invisible characters.
    """

    unit: str
    substitutions: int = 0
    insertions: int = 0
    deletions: int = 0
    reference_length: int = 0
    utterances: int = 0
    nonempty: int = 0

    @property
    def errors(self) -> int:
        return self.substitutions + self.insertions + self.deletions

    @property
    def error_rate(self) -> float | None:
        """WER or CER as a fraction (it can exceed 1); `None` where there is no reference text to divide by."""
        return self.errors / self.reference_length if self.reference_length else None

    @property
    def nonempty_share(self) -> float:
        return self.nonempty / self.utterances if self.utterances else 0.0

    def add(self, reference: str, hypothesis: str, language: str) -> None:
        """Count one utterance."""
        self.utterances += 1
        self.nonempty += bool(fold_text(hypothesis).strip())
        if self.unit == "none":
            return
        entry = language_entry(language)
        source = entry.units(normalize_text(reference, language))
        target = entry.units(normalize_text(hypothesis, language))
        operations = [operation.tag for operation in Levenshtein.editops(source, target)]
        self.substitutions += operations.count("replace")
        self.insertions += operations.count("insert")
        self.deletions += operations.count("delete")
        self.reference_length += len(source)

    def __add__(self, other: "ErrorCounts") -> "ErrorCounts":
        if other.unit != self.unit:
            raise ValueError(f"Cannot add counts of {other.unit}s to counts of {self.unit}s")
        sums = {key: value + getattr(other, key) for key, value in asdict(self).items() if key != "unit"}
        return ErrorCounts(unit=self.unit, **sums)

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "error_rate": self.error_rate, "nonempty_share": self.nonempty_share}


def scored_as(language: str) -> str:
    """Code of a language in any usual form; languages that the models do not know are scored too, by their names."""
    try:
        return language_code(language, non_speech=True)
    except ValueError:
        if isinstance(language, str) and language.strip():
            return language
        raise


def _unit_of(language: str) -> str:
    language = scored_as(language)
    if language == NON_SPEECH:
        return "none"
    return language_entry(language).unit


@dataclass
class RecognitionScore:
    """Accuracy of a set of transcripts, and what it took to make them.

    Attributes:
        by_language: Counts of each language in the data.
        transcripts: One dict an utterance in the data set's order: `file`, `language`, `reference`, `hypothesis`.
        unreadable: Error messages of rows that could not be decoded and are not part of the counts.
        audio_seconds: Duration of the audio that was transcribed.
        wall_seconds: Time spent in decoding and transcribing.
    """

    by_language: dict[str, ErrorCounts]
    transcripts: list[dict[str, str]] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    audio_seconds: float = 0.0
    wall_seconds: float = 0.0

    @property
    def wer(self) -> float | None:
        """Word error rate over all languages that are scored in words; `None` if there are none."""
        return self._pooled("word").error_rate

    @property
    def cer(self) -> float | None:
        """Character error rate over all languages that are scored in characters; `None` if there are none."""
        return self._pooled("character").error_rate

    @property
    def utterances(self) -> int:
        return sum(counts.utterances for counts in self.by_language.values())

    @property
    def nonempty_share(self) -> float:
        nonempty = sum(counts.nonempty for counts in self.by_language.values())
        return nonempty / self.utterances if self.utterances else 0.0

    @property
    def audio_seconds_per_second(self) -> float | None:
        return self.audio_seconds / self.wall_seconds if self.wall_seconds else None

    def to_dict(self) -> dict[str, Any]:
        """Everything but the transcripts, ready for JSON."""
        return {
            "utterances": self.utterances,
            **{name: metric(self) for name, metric in METRICS.items()},
            "by_language": {language: counts.to_dict() for language, counts in self.by_language.items()},
            "unreadable": self.unreadable,
            "audio_seconds": self.audio_seconds,
            "wall_seconds": self.wall_seconds,
            "audio_seconds_per_second": self.audio_seconds_per_second,
        }

    def _pooled(self, unit: str) -> ErrorCounts:
        return sum((counts for counts in self.by_language.values() if counts.unit == unit), ErrorCounts(unit))


# Figures of a data set's results, by the names that they have in files; cards show those of their RESULT_COLUMNS.
METRICS: dict[str, Callable[[RecognitionScore], float | None]] = {
    "wer": lambda score: score.wer,
    "cer": lambda score: score.cer,
    "nonempty_share": lambda score: score.nonempty_share,
}


def score_transcripts(
    references: Sequence[str], hypotheses: Sequence[str], languages: Sequence[str] | str
) -> RecognitionScore:
    """Compare transcripts with references: WER or CER for each language.

    Args:
        references: What was said.
        hypotheses: What was recognised, in the same order.
        languages: Language of each utterance, or one for all: "en", "zh", "none" (non-speech), ...

    Example:
        >>> score = score_transcripts(["turn it on", "打开"], ["turn on", "打开"], ["en", "zh"])
        >>> score.wer, score.cer
        (0.3333333333333333, 0.0)
    """
    if isinstance(languages, str):
        languages = [languages] * len(references)
    languages = [scored_as(language) for language in languages]
    if not len(references) == len(hypotheses) == len(languages):
        raise ValueError(
            f"Got {len(references)} references, {len(hypotheses)} hypotheses and {len(languages)} languages"
        )
    by_language: dict[str, ErrorCounts] = {}
    for reference, hypothesis, language in zip(references, hypotheses, languages, strict=True):
        counts = by_language.setdefault(language, ErrorCounts(_unit_of(language)))
        counts.add(reference, hypothesis, language)
    return RecognitionScore(by_language)


def evaluate_recognition(
    pipeline: Callable[..., list[dict[str, str]]],
    dataset: Dataset,
    batch_size: int = 16,
    progress: bool = True,
    description: str = "evaluate",
    guards: bool = True,
    disturb: Callable[[np.ndarray, int], np.ndarray] | None = None,
    **generate_kwargs: Any,
) -> RecognitionScore:
    """Transcribe a data set by generation and score it.

    The model is not told the language. Utterances are taken from long to short so that batches hold little padding
    and a batch that does not fit in memory is the first one. Under several processes (`accelerate launch`) each takes
    every n-th of the same batches, and all of them get the score of the whole.

    Args:
        pipeline: Called as `pipeline(arrays, batch_size=..., generate_kwargs=...)` with 16 kHz mono arrays; returns
            one `{"text": ...}` for each (`EntropyASRPipeline` does), with an "error" where one cannot be transcribed.
        dataset: Rows as `sources.load_source` gives them: `audio` or `samples`, `text`, `language`, `duration`.
        batch_size: Utterances transcribed together.
        progress: Show a progress bar.
        description: Label of the progress bar.
        guards: False switches the pipeline's guards against hallucination off, but for `WITHOUT_GUARDS`'s bound.
        disturb: Makes of an utterance's samples and its row's number other samples; what that adds does not count as
            audio.
        generate_kwargs: Passed on to `generate`, such as `num_beams`.
    """
    start = time.perf_counter()
    done: list[tuple[int, dict[str, str], int]] = []  # (row, transcript, samples)
    unreadable: list[str] = []
    settings = {} if guards else {"guards": WITHOUT_GUARDS}
    batches = _batches_of_process(dataset, batch_size)
    progress = progress and process_state().is_local_main_process
    with tqdm(total=sum(map(len, batches)), desc=description, unit="utt", disable=not progress) as bar:
        for batch in _readable(dataset, batches, unreadable, bar):
            arrays = [disturb(audio, index) if disturb else audio for index, _, audio in batch]
            outputs = pipeline(arrays, batch_size=batch_size, generate_kwargs=dict(generate_kwargs), **settings)
            for (index, row, audio), output in zip(batch, outputs, strict=True):
                if "error" in output:  # too long for the model, or too short
                    reason = output["error"].partition(": ")[2]  # behind its place in the batch
                    logger.warning("Row %d is left out of the evaluation: %s", index, reason)
                    unreadable.append(f"row {index}: {reason}")
                else:
                    done.append((index, _transcript(row, output["text"]), len(audio)))
    done, unreadable = gather_object(done), sorted(gather_object(unreadable), key=_row_number)
    wall_seconds = time.perf_counter() - start

    done.sort(key=lambda item: item[0])
    transcripts = [transcript for _, transcript, _ in done]
    columns = zip(*((t["reference"], t["hypothesis"], t["language"]) for t in transcripts), strict=True)
    score = score_transcripts(*columns) if transcripts else RecognitionScore({})
    score.transcripts, score.unreadable = transcripts, unreadable
    score.audio_seconds = sum(length for _, _, length in done) / SAMPLING_RATE
    score.wall_seconds = wall_seconds
    return score


def _transcript(row: dict[str, Any], hypothesis: str) -> dict[str, str]:
    return {
        "file": _row_name(row),
        "language": row["language"],
        "reference": row["text"],
        "hypothesis": hypothesis,
    }


def _row_name(row: dict[str, Any]) -> str:
    audio = row.get("audio") or {}
    return audio.get("path") or row.get("file") or ""


def _row_number(message: str) -> int:
    return int(message.removeprefix("row ").partition(":")[0])


def _batches_of_process(dataset: Dataset, batch_size: int) -> list[list[int]]:
    """Row numbers of the batches that this process transcribes, from long to short."""
    order = np.argsort(-np.asarray(dataset["duration"], dtype=np.float64), kind="stable").tolist()
    state = process_state()
    return list(chunked(order, batch_size))[state.process_index :: state.num_processes]


def _readable(
    dataset: Dataset, batches: list[list[int]], unreadable: list[str], bar: tqdm
) -> Iterator[list[tuple[int, dict[str, Any], np.ndarray]]]:
    """Yield batches as `(row number, row, samples)` of what can be read; errors go to `unreadable` and the log."""
    for numbers in batches:
        batch = []
        for index in numbers:
            row = dataset[index]
            try:
                batch.append((index, row, samples_of(row)))
            except AudioError as error:
                logger.warning("Row %d is left out of the evaluation: %s", index, error)
                unreadable.append(f"row {index}: {error}")
        if batch:
            yield batch
        bar.update(len(numbers))
