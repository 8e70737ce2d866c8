# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Options of `entropy-asr transcribe` that say what is recognised, and how: of files and of data sets alike."""

import argparse
from typing import Any

from .checks import need_extra
from .hotwords import read_usable_hotwords
from .models import generate_kwargs
from .options import add_batch_options, add_hotword_options, add_language, positive


BATCH_SIZE = 8
TIMESTAMPS = {"word": "word", "phoneme": "phoneme", "segment": True}


def add_recognition_options(parser: argparse.ArgumentParser) -> None:
    """Language, times, confidence, hypotheses, hotwords, style of the text, guards, and the model."""
    add_language(parser, "what is spoken (default: the model decides)")
    parser.add_argument(
        "--timestamps",
        choices=tuple(TIMESTAMPS),
        help="times of words (in subtitles the default) or phonemes (extra: g2p), or of segments between pauses "
        "(in subtitles the default without the extra)",
    )
    parser.add_argument("--confidence", action="store_true", help="confidence in json output (extra: g2p)")
    parser.add_argument(
        "--return_language", action="store_true", help="which language was spoken, with its probability (json)"
    )
    parser.add_argument(
        "--num_hypotheses",
        type=positive,
        metavar="N",
        help="up to N texts with their scores, ranked by language model and phoneme head (json; extra: g2p)",
    )
    parser.add_argument(
        "--rescoring_weight",
        type=float,
        metavar="X",
        help="share of the phoneme head in that, 0 to 1 (default: 0.3; 0 needs no extra)",
    )
    add_hotword_options(parser)
    parser.add_argument(
        "--carry_context",
        action="store_true",
        help="tell each segment of a long recording the last sentence of the one before; one by one, they take longer",
    )
    parser.add_argument(
        "--numbers",
        choices=("written", "spoken"),
        help="numbers in digits or in words (extra: style; default: as the model writes them)",
    )
    parser.add_argument(
        "--punctuation",
        choices=("full", "half", "auto"),
        help="width of punctuation; auto: as the script wants it (default: as the model writes it)",
    )
    parser.add_argument("--no_guards", action="store_true", help="also give text where no speech is found")
    add_batch_options(parser, None, f"default: {BATCH_SIZE}; 1 with --carry_context")


def check_recognition_options(args: argparse.Namespace) -> None:
    """Refuse options that do not go together.

    Raises:
        ValueError: names them.
        CommandError: one needs an extra that is not installed.
    """
    if args.rescoring_weight is not None and not args.num_hypotheses:
        raise ValueError("--rescoring_weight needs --num_hypotheses")
    if args.carry_context and (args.batch_size or 1) > 1:
        raise ValueError("--carry_context lets each segment wait for the one before: --batch_size must be 1")
    if args.hotword_tolerance is not None and args.hotwords is None:
        raise ValueError("--hotword_tolerance needs --hotwords")
    if args.hotwords is not None:
        need_extra("hotwords", "--hotwords")
    if args.timestamps in ("word", "phoneme"):
        need_extra("g2p", f"--timestamps {args.timestamps}")
    if args.confidence:
        need_extra("g2p", "--confidence")
    if args.numbers:
        need_extra("style", "--numbers")
    if args.num_hypotheses and args.rescoring_weight != 0:
        need_extra("g2p", "--num_hypotheses (but with --rescoring_weight 0)")


def recognition_options(args: argparse.Namespace, timestamps: str | None) -> dict[str, Any]:
    """Arguments of the pipeline.

    Args:
        args: Of the command line.
        timestamps: Which times are wanted; None: none.

    Raises:
        ValueError: hotwords that cannot be read or used.
    """
    style = {name: getattr(args, name) for name in ("numbers", "punctuation")}
    wanted = {
        "return_timestamps": timestamps and TIMESTAMPS[timestamps],
        "return_confidence": args.confidence or None,
        "return_language": args.return_language or None,
        "num_return_sequences": args.num_hypotheses,
        "rescoring_weight": args.rescoring_weight,
        "guards": False if args.no_guards else None,
        "hotwords": None if args.hotwords is None else read_usable_hotwords(args.hotwords),
        "hotword_tolerance": args.hotword_tolerance,
        "return_hotwords": args.hotwords is not None or None,
        "carry_context": args.carry_context or None,
        "text_style": {name: value for name, value in style.items() if value is not None} or None,
    }
    return {
        "language": args.language,
        "batch_size": args.batch_size or (1 if args.carry_context else BATCH_SIZE),
        "generate_kwargs": generate_kwargs(args),
        "return_flags": True,
        **{name: value for name, value in wanted.items() if value is not None},
    }
