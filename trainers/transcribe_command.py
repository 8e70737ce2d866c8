# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`entropy-asr transcribe FILES`: recordings to text, JSON or subtitles."""

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from entropy_asr.modeling.audio import AudioError, audio_duration, load_audio
from entropy_asr.modeling.hotwords_entropy_asr import HotwordIndex

from .subtitles import FORMATS, make_cues


SAMPLING_RATE = 16000
# Longer recordings are read in blocks, one after the other: memory does not grow with their length.
LONG_SECONDS = 30.0
TIMESTAMPS = {"word": "word", "phoneme": "phoneme", "segment": True}
EXTENSIONS = {"text": "txt", "json": "json", "srt": "srt", "vtt": "vtt"}

Pipeline = Callable[..., Any]


class TranscribeCommand:
    """One run of the command.

    Args:
        args: Of the command line: `files`, `language`, `batch_size`, `num_beams`, `format`, `output_dir`,
            `timestamps`, `confidence`, `hotwords`, `hotword_tolerance`, `no_guards`.
        print_message: Called with "error" or "warning" and a line about a file.

    Raises:
        ValueError: options that do not go together, or hotwords that cannot be read.
    """

    def __init__(self, args: argparse.Namespace, print_message: Callable[[str, str], None]):
        self.args, self.print_message = args, print_message
        self.failures: list[str] = []
        self._check_options()
        self.options: dict[str, Any] = {
            "language": args.language,
            "batch_size": args.batch_size,
            "generate_kwargs": {} if args.num_beams is None else {"num_beams": args.num_beams},
            "return_flags": True,
        }
        timestamps = args.timestamps or ("word" if args.format in FORMATS else None)
        wanted = {
            "return_timestamps": timestamps and TIMESTAMPS[timestamps],
            "return_confidence": args.confidence or None,
            "guards": False if args.no_guards else None,
            "hotwords": None if args.hotwords is None else read_hotwords(args.hotwords),
            "hotword_tolerance": args.hotword_tolerance,
        }
        self.options |= {name: value for name, value in wanted.items() if value is not None}

    def _check_options(self) -> None:
        args = self.args
        subtitles = args.format in FORMATS
        if args.timestamps and args.format == "text":
            raise ValueError("--timestamps needs --format json, srt or vtt")
        if args.timestamps == "phoneme" and subtitles:
            raise ValueError("subtitles are made of words or segments, not of phonemes")
        if args.confidence and args.format != "json":
            raise ValueError("--confidence needs --format json")
        if args.hotword_tolerance is not None and args.hotwords is None:
            raise ValueError("--hotword_tolerance needs --hotwords")
        if subtitles and args.output_dir is None and len(args.files) > 1:
            raise ValueError(f"--format {args.format} of several files needs --output_dir")
        stems = [Path(file).stem for file in args.files]
        repeated = sorted({stem for stem in stems if stems.count(stem) > 1})
        if args.output_dir is not None and repeated:
            raise ValueError(f"several files would be written to {repeated[0]}.{EXTENSIONS[args.format]}")

    def run(self, pipeline: Pipeline) -> int:
        """Transcribe all files that can be read; each that cannot be gets one line on stderr."""
        results: list[dict[str, Any]] = []
        for result in self._transcribe(pipeline):
            if "length_limit" in result.get("flags", ()):
                self.print_message("warning", f"{result['file']}: the transcript was stopped at its length limit")
            if self.args.output_dir is None and self.args.format == "json":
                results.append(result)
            else:
                self._write(result)
        if self.args.output_dir is None and self.args.format == "json":
            print(_to_json(results))
        return 1 if self.failures else 0

    def _write(self, result: dict[str, Any]) -> None:
        args = self.args
        if args.output_dir is None:
            print(self._format(result), end="" if args.format in FORMATS else "\n", flush=True)
            return
        args.output_dir.mkdir(parents=True, exist_ok=True)
        path = args.output_dir / f"{Path(result['file']).stem}.{EXTENSIONS[args.format]}"
        text = result["text"] if args.format == "text" else self._format(result)
        path.write_text(text.rstrip("\n") + "\n", encoding="utf-8")

    def _format(self, result: dict[str, Any]) -> str:
        if self.args.format == "json":
            return _to_json(result)
        if self.args.format == "text":
            # One line a file, whatever the text holds.
            return result["file"] + "\t" + " ".join(result["text"].split())
        last = max((end for chunk in result["chunks"] if (end := chunk["timestamp"][1]) is not None), default=0.0)
        duration = audio_duration(result["file"]) or last
        return FORMATS[self.args.format](make_cues(result["chunks"], duration))

    def _transcribe(self, pipeline: Pipeline) -> Iterator[dict[str, Any]]:
        """Yield `{"file", "text", ...}` in the order of the files; those that fail are reported and left out."""
        for batch in self._batches():
            for (file, _), output in zip(batch, self._recognize_batch(pipeline, batch), strict=True):
                if output is not None:
                    yield {"file": file, **output}

    def _batches(self) -> Iterator[list[tuple[str, np.ndarray | str]]]:
        """Short recordings, read, in batches; a long one alone, as its path."""
        batch: list[tuple[str, np.ndarray | str]] = []
        for file in self.args.files:
            if (audio_duration(file) or 0.0) > LONG_SECONDS:
                yield from filter(None, [batch])
                batch = []
                yield [(file, file)]
                continue
            try:
                batch.append((file, load_audio(file)))
            except AudioError as error:
                self._fail(str(error), file)
            if len(batch) == self.args.batch_size:
                yield batch
                batch = []
        yield from filter(None, [batch])

    def _recognize_batch(
        self, pipeline: Pipeline, batch: list[tuple[str, np.ndarray | str]]
    ) -> list[dict[str, Any] | None]:
        if len(batch) > 1:
            try:
                return pipeline([audio for _, audio in batch], **self.options)
            except ValueError:
                pass  # one of them is unusable in a way only the model sees (too short for a frame): find it
        return [self._recognize_alone(pipeline, file, audio) for file, audio in batch]

    def _recognize_alone(self, pipeline: Pipeline, file: str, audio: np.ndarray | str) -> dict[str, Any] | None:
        long = {"progress": True} if isinstance(audio, str) else {}
        try:
            return pipeline([audio], **self.options, **long)[0]
        except ValueError as error:
            message = str(error).removeprefix("item 0: ")
            self._fail(message if file in message else f"{file}: {message}", file)
            return None

    def _fail(self, message: str, file: str) -> None:
        self.print_message("error", message)
        self.failures.append(file)


def read_hotwords(values: list[str]) -> list[str] | HotwordIndex:
    """Hotwords of the command line: words, or one file: an index (`.npz`), or text with a word or phrase a line.

    Raises:
        ValueError: a file that is missing, is no text or no index, or has no words in it.
    """
    path = Path(values[0])
    if len(values) > 1 or not (path.is_file() or path.suffix in (".npz", ".txt")):
        return values
    try:
        if path.suffix == ".npz":
            return HotwordIndex.load(path)
        words = [word for line in path.read_text(encoding="utf-8").splitlines() if (word := line.strip())]
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"hotwords {path}: cannot be read: {error}") from error
    if not words:
        raise ValueError(f"hotwords {path}: the file holds no words")
    return words


def _to_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)
