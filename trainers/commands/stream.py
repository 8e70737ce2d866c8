# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`entropy-asr stream FILE|-`: a file, or raw PCM from standard input, transcribed while it arrives."""

import argparse
import os
import stat
from typing import Any

from .audio_inputs import ADDRESS, STANDARD_INPUT
from .checks import CommandError, check_model, need_extra
from .hotwords import read_usable_hotwords
from .models import load_model
from .options import (
    add_command,
    add_hotword_options,
    add_language,
    add_num_beams,
    add_streaming_options,
    positive,
)


def add_parser(commands: Any) -> None:
    """Add the command to the command line."""
    parser = add_command(
        commands, "stream", run, "Transcribe while audio arrives: one line a segment, its start, end and text."
    )
    parser.add_argument("file", metavar="FILE", help="audio file, or - for raw 16-bit mono PCM on standard input")
    parser.add_argument(
        "--sampling_rate", type=positive, default=16000, metavar="HZ", help="of -; default: %(default)s"
    )
    add_language(parser, "what is spoken (default: the model decides)")
    add_hotword_options(parser)
    parser.add_argument("--no_guards", action="store_true", help="also give text where no speech is found")
    parser.add_argument(
        "--max_segment", type=float, default=30.0, metavar="S", help="longest segment; default: %(default)s"
    )
    parser.add_argument("--no_vad", action="store_true", help="transcribe everything, cut after max_segment seconds")
    parser.add_argument("--real_time", action="store_true", help="read a file as fast as it was spoken")
    parser.add_argument("--quiet", action="store_true", help="no partial results and latencies on standard error")
    add_streaming_options(parser)
    add_num_beams(parser)


def run(args: argparse.Namespace) -> int:
    """Transcribe one stream."""
    _check_stream(args)
    pipeline = load_model(args)
    from .stream_session import transcribe_stream

    transcribe_stream(pipeline, args)
    return 0


def _check_stream(args: argparse.Namespace) -> None:
    """Refuse what can be refused before the model is loaded."""
    check_model(args.model)
    if args.hotword_tolerance is not None and args.hotwords is None:
        raise CommandError("--hotword_tolerance needs --hotwords")
    if args.hotwords is not None:
        need_extra("hotwords", "--hotwords")
        read_usable_hotwords(args.hotwords)
    if args.confidence:
        need_extra("g2p", "--confidence")
    if args.file == STANDARD_INPUT or ADDRESS.match(args.file):
        return
    try:
        is_folder = stat.S_ISDIR(os.stat(args.file).st_mode)
    except OSError as error:
        raise CommandError(f"{args.file}: cannot be opened: {error.strerror}") from error
    if is_folder:
        raise CommandError(f"{args.file}: is a folder, and stream takes one file (transcribe takes folders)")
    if not os.access(args.file, os.R_OK):
        raise CommandError(f"{args.file}: cannot be opened: Permission denied")
