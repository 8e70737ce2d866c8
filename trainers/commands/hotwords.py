# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`entropy-asr hotwords FILE`: an index of a long list of hotwords."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..runs.console import error_text
from .checks import CommandError, check_output_file, need_extra
from .options import add_command, add_language


if TYPE_CHECKING:
    from entropy_asr.modeling.hotwords_entropy_asr import HotwordIndex


def add_parser(commands: Any) -> None:
    """Add the command to the command line."""
    parser = add_command(commands, "hotwords", run, "Index a long list of hotwords (extra: hotwords).")
    parser.add_argument("words", metavar="F", help="text file with a word or phrase a line")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="F", help="index to write, ending in .npz")
    add_language(parser, "which language reads digits (default: each word's)")
    parser.add_argument("--skip_unusable", action="store_true", help="leave out words that have no sound of their own")


def run(args: argparse.Namespace) -> int:
    """Build an index of the words of a text file."""
    if not Path(args.words).is_file():
        raise CommandError(f"hotwords {args.words}: there is no such file")
    check_output_file(args.output, "--output")
    need_extra("hotwords", "hotwords")
    from entropy_asr.modeling import EntropyASRPhonemeTokenizer, HotwordIndex

    words = read_hotwords([args.words])
    if isinstance(words, HotwordIndex):
        raise CommandError(f"{args.words} is an index already")
    index = HotwordIndex.build(words, EntropyASRPhonemeTokenizer(), args.language, args.skip_unusable)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    index.save(args.output)
    print(f"{args.output}: {len(index)} words")
    return 0


def read_usable_hotwords(values: list[str]) -> "list[str] | HotwordIndex":
    """`read_hotwords`, and refuse words of scripts that have no phonemes: before any file, not at each.

    Raises:
        ValueError: as `read_hotwords`; words that cannot be used.
    """
    from entropy_asr.modeling.spoken_text_entropy_asr import why_unreadable

    words = read_hotwords(values)
    if isinstance(words, list):
        reasons = [reason for word in words if (reason := why_unreadable(word))]
        if reasons:
            more = f" (and {len(reasons) - 1} more hotwords)" if len(reasons) > 1 else ""
            raise ValueError(f"--hotwords: {reasons[0]}{more}")
    return words


def read_hotwords(values: list[str]) -> "list[str] | HotwordIndex":
    """Hotwords of the command line: words, or one file: an index (`.npz`), or text with a word or phrase a line.

    Raises:
        ValueError: a file that is missing, is no text or no index, or has no words in it.
    """
    path = Path(values[0])
    if len(values) > 1 or not (path.is_file() or path.suffix in (".npz", ".txt")):
        return values
    try:
        if not path.is_file():
            raise FileNotFoundError(f"there is no file {path}")
        if path.suffix == ".npz":
            from entropy_asr.modeling.hotwords_entropy_asr import HotwordIndex

            return HotwordIndex.load(path)
        words = [word for line in path.read_text(encoding="utf-8-sig").splitlines() if (word := line.strip())]
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"hotwords {path}: cannot be read: {error_text(error)}") from error
    if not words:
        raise ValueError(f"hotwords {path}: the file holds no words")
    return words
