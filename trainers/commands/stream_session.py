# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""One stream of the command line, from a file or raw PCM on standard input to the lines that show its updates."""

import argparse
import sys
import time
from collections.abc import Iterator
from typing import Any, BinaryIO, TextIO

import numpy as np

from entropy_asr.modeling.audio import AudioError, audio_blocks
from entropy_asr.modeling.containers_entropy_asr import StreamBeginning
from entropy_asr.modeling.streaming_entropy_asr import StreamingUpdate
from entropy_asr.modeling.streaming_transcriber_entropy_asr import StreamingTranscriber
from entropy_asr.modeling.vad_entropy_asr import EndpointSettings

from .audio_inputs import STANDARD_INPUT
from .hotwords import read_usable_hotwords
from .models import generate_kwargs


# How much of a file is pushed at a time: what a sound card gives.
PORTION_SECONDS = 0.1
SAMPLE_BYTES = 2


def read_pcm(stream: BinaryIO, sampling_rate: int) -> Iterator[np.ndarray]:
    """Raw mono PCM (16 bit, little endian) as it comes, in portions of at most a tenth of a second.

    Yields:
        Int16 samples `(num_samples,)`. A last odd byte is half a sample and is dropped.

    Raises:
        AudioError: these are the bytes of a file, and no raw PCM.
    """
    size = max(1, round(sampling_rate * PORTION_SECONDS)) * SAMPLE_BYTES
    rest = b""
    beginning = StreamBeginning()
    # `read1` gives what is there; `read` would wait for a whole portion.
    while data := stream.read1(size):
        if (container := beginning.push(data)) is not None:
            raise AudioError(
                f"standard input is a {container} file, and raw PCM was expected (mono, 16 bit, little endian): give "
                "the file's path in place of -, or decode it with `ffmpeg -i - -f s16le -ac 1 -ar RATE -`"
            )
        data = rest + data
        whole = len(data) - len(data) % SAMPLE_BYTES
        rest = data[whole:]
        yield np.frombuffer(data[:whole], dtype="<i2")


def at_real_time(portions: Iterator[np.ndarray], sampling_rate: int) -> Iterator[np.ndarray]:
    """Hold back each portion `(num_samples,)` until it would have been recorded."""
    start, num_samples = time.monotonic(), 0
    for samples in portions:
        num_samples += len(samples)
        time.sleep(max(0.0, start + num_samples / sampling_rate - time.monotonic()))
        yield samples


class UpdatePrinter:
    """Shows updates: partial ones in one line of a terminal that is overwritten, final ones as lines of output.

    In a file or a pipe partial ones are lines too.

    Args:
        output: where transcripts go.
        terminal: where partial results and latencies go, or `None`.
    """

    def __init__(self, output: TextIO, terminal: TextIO | None):
        self.output = output
        self.terminal = terminal

    def show(self, update: StreamingUpdate, latency: float) -> None:
        """Show one update.

        Args:
            update: from the transcriber.
            latency: seconds from the arrival of the audio that ended the segment to its text.
        """
        if update.is_final:
            self._show_partial("")
            text = " ".join(update.text.split())  # one line a segment, whatever it holds
            print(f"{update.start:.2f}\t{update.end:.2f}\t{text}", file=self.output, flush=True)
            if self.terminal is not None:
                known = f"  end known at {update.end_known:.2f} s, text {1000 * latency:.0f} ms later"
                known += "" if update.confidence is None else f", confidence {update.confidence:.2f}"
                known += "" if update.language is None else f", {update.language} {update.language_probability:.2f}"
                known += f", {', '.join(update.flags)}" if update.flags else ""
                print(known, file=self.terminal, flush=True)
        else:
            self._show_partial(f"{update.start:.2f} /{update.phonemes}/ {update.text or ''}")

    def _show_partial(self, line: str) -> None:
        if self.terminal is None:
            return
        if self.terminal.isatty():
            print(f"\r\x1b[K{line[-100:]}", end="", file=self.terminal, flush=True)
        elif line:  # a file or a pipe, in which nothing can be overwritten
            print(line, file=self.terminal, flush=True)


def transcribe_stream(pipeline: Any, args: argparse.Namespace) -> None:
    """Transcribe one stream.

    Args:
        pipeline: from `load_pipeline`.
        args: `file`, `sampling_rate`, `language`, `hotwords`, `hotword_tolerance`, `no_guards`, `confidence`,
            `return_language`, `chunk_ms`, `left_chunks`, `no_vad`, `min_silence`, `max_segment`, `preview_chunks`,
            `real_time`, `quiet` and `num_beams`.

    Raises:
        ValueError: settings that do not fit (an [`AudioError`] for what cannot be read).
    """
    from_stdin = args.file == STANDARD_INPUT
    rate = args.sampling_rate if from_stdin else 16000
    stream = StreamingTranscriber(
        pipeline,
        language=args.language,
        hotwords=None if args.hotwords is None else read_usable_hotwords(args.hotwords),
        hotword_tolerance=args.hotword_tolerance,
        sampling_rate=rate,
        guards=False if args.no_guards else None,
        return_confidence=args.confidence or None,
        return_language=args.return_language or None,
        chunk_ms=args.chunk_ms,
        left_chunks=args.left_chunks,
        use_vad=not args.no_vad,
        endpoints=EndpointSettings(
            min_silence=args.min_silence, padding=min(0.3, args.min_silence), max_segment=args.max_segment
        ),
        preview_chunks=args.preview_chunks,
        generate_kwargs=generate_kwargs(args),
    )
    if from_stdin:
        portions = read_pcm(sys.stdin.buffer, rate)
    else:
        portions = audio_blocks(args.file, block_seconds=PORTION_SECONDS)
        portions = at_real_time(portions, rate) if args.real_time else portions
    _show_all(stream, portions, UpdatePrinter(sys.stdout, None if args.quiet else sys.stderr))


def _show_all(stream: StreamingTranscriber, portions: Iterator[np.ndarray], printer: UpdatePrinter) -> None:
    try:
        for samples in portions:
            arrived = time.perf_counter()
            for update in stream.push(samples):
                printer.show(update, time.perf_counter() - arrived)
    except KeyboardInterrupt:  # how a user stops a microphone
        pass
    arrived = time.perf_counter()
    for update in stream.finish():
        printer.show(update, time.perf_counter() - arrived)
