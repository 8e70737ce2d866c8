# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`entropy-asr transcribe FILES`: recordings to text, JSON or subtitles; of a data set, [`~transcribe_corpus`].

What reads audio is imported when the model is there, so that wrong options and missing files are refused at once.
"""

import argparse
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..runs.console import error_text, say, to_json
from .audio_inputs import STANDARD_INPUT, AudioInput, find_recordings, name_outputs
from .checks import CommandError, check_model, check_output_folder, missing_modules
from .models import load_model
from .options import add_command
from .recognition_options import add_recognition_options, check_recognition_options, recognition_options
from .transcribe_corpus import add_corpus_options, check_no_corpus_options, transcribe_corpus


if TYPE_CHECKING:
    from entropy_asr.modeling.audio import AudioError

EXTENSIONS = {"text": "txt", "json": "json", "srt": "srt", "vtt": "vtt"}
SUBTITLES = ("srt", "vtt")

Pipeline = Callable[..., Any]


def add_parser(commands: Any) -> None:
    """Add the command to the command line."""
    parser = add_command(
        commands, "transcribe", run, "Transcribe audio files: one line a file, its path, a tab, the text."
    )
    parser.add_argument(
        "files",
        nargs="*",
        metavar="FILE",
        help="audio file (WAV, FLAC, Ogg, MP3, AIFF, ...), folder of such files, URL, or - for one on standard input",
    )
    parser.add_argument(
        "--format", choices=("text", "json", "srt", "vtt"), default="text", help="default: %(default)s"
    )
    parser.add_argument(
        "-o", "--output_dir", type=Path, metavar="D", help="write one file for each recording into this folder"
    )
    parser.add_argument(
        "--diarization",
        type=Path,
        metavar="RTTM",
        help="who speaks when, by any diarizer, for json and subtitles; of several files one file that has each by "
        "its name without ending",
    )
    add_recognition_options(parser)
    add_corpus_options(parser)


def run(args: argparse.Namespace) -> int:
    """Transcribe; 1 where some recordings failed."""
    check_model(args.model)
    if args.dataset is not None:
        return transcribe_corpus(args)
    check_no_corpus_options(args)
    if not args.files:
        raise CommandError("name files to transcribe, or a data set with --dataset")
    return TranscribeCommand(args, say).run(lambda: load_model(args))


class TranscribeCommand:
    """One run of the command.

    Args:
        args: Of the command line: `files`, `language`, `batch_size`, `num_beams`, `format`, `output_dir`,
            `timestamps`, `diarization`, `confidence`, `return_language`, `num_hypotheses`, `rescoring_weight`,
            `hotwords`, `hotword_tolerance`, `numbers`, `punctuation`, `no_guards`.
        print_message: Called with "error" or "warning" and a line about a file.

    Raises:
        ValueError: options that do not go together, or hotwords that cannot be read.
        CommandError: an extra that is not installed, or a folder that cannot be written.
    """

    def __init__(self, args: argparse.Namespace, print_message: Callable[[str, str], None]):
        self.args, self.print_message = args, print_message
        self.failures: list[str] = []
        self._check_options()
        self.recordings = find_recordings(args.files, lambda file, reason: self._fail(f"{file}: {reason}", file))
        self._check_outputs()
        self.options = recognition_options(args, self._timestamps())
        if (diarization := self._diarization()) is not None:
            self.options["diarization"] = diarization

    def _check_options(self) -> None:
        args = self.args
        subtitles = args.format in SUBTITLES
        if args.timestamps and args.format == "text":
            raise ValueError("--timestamps needs --format json, srt or vtt")
        if args.timestamps == "phoneme" and subtitles:
            raise ValueError("subtitles are made of words or segments, not of phonemes")
        if args.confidence and args.format != "json":
            raise ValueError("--confidence needs --format json")
        if args.diarization and args.format == "text":
            raise ValueError("--diarization needs --format json, srt or vtt")
        for option in ("return_language", "num_hypotheses"):
            if getattr(args, option) and args.format != "json":
                raise ValueError(f"--{option} needs --format json")
        if args.files.count(STANDARD_INPUT) > 1:
            raise ValueError("- is standard input, which can be read once only")
        check_recognition_options(args)

    def _check_outputs(self) -> None:
        args = self.args
        if args.output_dir is None:
            if args.format in SUBTITLES and len(self.recordings) > 1:
                raise ValueError(f"--format {args.format} of several files needs --output_dir")
            return
        try:
            self.outputs = name_outputs(self.recordings)
        except ValueError as error:
            raise ValueError(f"several files would be written to {error}.{EXTENSIONS[args.format]}") from error
        folder = args.output_dir
        if folder.suffix[1:] in EXTENSIONS.values() and not folder.exists():
            # Made as a folder, it would hide the text where nobody looks for it.
            raise ValueError(f"--output_dir {folder}: names a file, not a folder; for a file: > {folder}")
        check_output_folder(args.output_dir, "--output_dir")

    def _diarization(self) -> str | list[str] | None:
        """As the pipeline takes it: that of one recording need not name it."""
        path = self.args.diarization
        if path is None:
            return None
        if not path.is_file():
            raise ValueError(f"--diarization {path}: there is no such file")
        return [str(path)] if len(self.recordings) == 1 else str(path)

    def _timestamps(self) -> str | None:
        """Times that are asked for; those of subtitles are words' where the extra that they need is installed."""
        if self.args.timestamps or self.args.format not in SUBTITLES:
            return self.args.timestamps
        if not missing_modules("g2p"):
            return "word"
        self.print_message(
            "warning",
            "subtitles have the times of segments between pauses; for those of words "
            'pip install "entropy-asr[g2p]" (or ask for --timestamps segment)',
        )
        return "segment"

    def run(self, load_pipeline: Callable[[], Pipeline]) -> int:
        """Transcribe all recordings that can be read; each that cannot be gets one line on stderr.

        Args:
            load_pipeline: Called where there is something to transcribe.
        """
        results: list[dict[str, Any]] = []
        for recording, result in self._transcribe(load_pipeline()) if self.recordings else ():
            if "length_limit" in result.get("flags", ()):
                self.print_message("warning", f"{result['file']}: the transcript was stopped at its length limit")
            if self.args.output_dir is None and self.args.format == "json":
                results.append(result)
            else:
                self._write(recording, result)
        if self.args.output_dir is None and self.args.format == "json":
            print(to_json(results, sys.stdout, indent=2))
        return 1 if self.failures else 0

    def _write(self, recording: AudioInput, result: dict[str, Any]) -> None:
        args = self.args
        if args.output_dir is None:
            text = self._format(recording, result, sys.stdout)
            print(text, end="" if args.format in SUBTITLES else "\n", flush=True)
            return
        text = result["text"] if args.format == "text" else self._format(recording, result, None)
        path = args.output_dir / f"{self.outputs[recording.name]}.{EXTENSIONS[args.format]}"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text.rstrip("\n") + "\n", encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            self._fail(f"{recording.name}: its output cannot be written: {error_text(error)}", recording.name)

    def _format(self, recording: AudioInput, result: dict[str, Any], stream: Any) -> str:
        if self.args.format == "json":
            return to_json(result, stream, indent=2)
        if self.args.format == "text":
            # One line a file, whatever name and text hold.
            return " ".join(result["file"].splitlines()) + "\t" + " ".join(result["text"].split())
        from entropy_asr.modeling.audio import audio_duration
        from entropy_asr.modeling.subtitles_entropy_asr import FORMATS, make_cues

        last = max((end for chunk in result["chunks"] if (end := chunk["timestamp"][1]) is not None), default=0.0)
        # A named pipe would wait for somebody to write into it.
        is_read_again = recording.name != STANDARD_INPUT and os.path.isfile(recording.name)
        duration = (audio_duration(recording.name) if is_read_again else None) or last
        return FORMATS[self.args.format](make_cues(result["chunks"], duration))

    def _transcribe(self, pipeline: Pipeline) -> Iterator[tuple[AudioInput, dict[str, Any]]]:
        """Yield each recording with `{"file", "text", ...}`, in order; those that fail are reported and left out."""
        results = pipeline(self._sources(), progress=True, **self.options)
        for recording, result in zip(self.recordings, results, strict=True):
            if "error" in result:
                self._fail_reading(recording, re.sub(r"^item \d+: ", "", result["error"]))
            else:
                yield recording, {"file": recording.name, **result}

    def _sources(self) -> "Iterator[str | bytes | AudioError]":
        """Where each recording is read from, or why it cannot be."""
        from entropy_asr.modeling.audio import AudioError

        for recording in self.recordings:
            try:
                yield recording.source()
            except OSError as error:
                yield AudioError(error_text(error))

    def _fail_reading(self, recording: AudioInput, message: str) -> None:
        is_named = recording.name != STANDARD_INPUT and recording.name in message
        self._fail(message if is_named else f"{recording.name}: {message}", recording.name)

    def _fail(self, message: str, file: str) -> None:
        self.print_message("error", message)
        self.failures.append(file)
