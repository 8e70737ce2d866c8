# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`entropy-asr transcribe --dataset D --output F`: a data set to a parquet file, in one process or many.

Run again, it goes on where it was; what is finished is told and left as it is.
"""

import argparse
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..runs.console import say
from .checks import CommandError, check_dataset, check_output_file, check_output_folder, need_extra
from .models import default_model, find_process, load_model
from .options import (
    LAUNCH_OPTIONS,
    add_dataset_config,
    add_launch_options,
    given_launch_options,
    launch_if_asked,
    positive,
)
from .recognition_options import check_recognition_options, recognition_options


if TYPE_CHECKING:
    from accelerate import PartialState

    from ..transcription.engine import CorpusTranscriber
    from ..transcription.parts import Parts, Totals
    from ..transcription.transcripts import Recognizer

# What they are where they are not given.
DEFAULTS = {"split": "train", "keep_columns": [], "rows_per_part": 1000}
OPTIONS = ("output", "split", "dataset_config", "text_column", "keep_columns", "max_rows", "rows_per_part", "ray")
# What transcripts depend on, beside data and model; neither the batch size nor the number of processes is among it.
RECOGNITION = (
    *("language", "timestamps", "confidence", "return_language", "num_hypotheses", "rescoring_weight"),
    *("hotword_tolerance", "numbers", "punctuation", "no_guards", "num_beams", "dtype", "carry_context"),
)


def add_corpus_options(parser: argparse.ArgumentParser) -> None:
    """`--dataset` and what goes with it."""
    group = parser.add_argument_group("a data set in place of files")
    group.add_argument("--dataset", metavar="D", help="Hub id, folder or parquet file; parquet is streamed")
    group.add_argument(
        "--output",
        type=Path,
        metavar="F",
        help="F.parquet: one file; another name: a folder of parquet files. One row for each of the data set, in its "
        "order; one that cannot be read has an error in place of text. Run again to go on",
    )
    group.add_argument("--split", help="default: train")
    add_dataset_config(group)
    group.add_argument("--text_column", metavar="C", help="column with transcripts, kept as `reference`")
    group.add_argument(
        "--keep_columns", nargs="+", metavar="C", help="columns to keep; with audio the output is training data"
    )
    group.add_argument("--max_rows", type=positive, metavar="N", help="the first N rows, in one process")
    group.add_argument(
        "--rows_per_part", type=positive, metavar="N", help="rows that a killed process may lose (default: 1000)"
    )
    group.add_argument(
        "--ray",
        action="store_true",
        default=None,
        help="workers of Ray Data, --num_processes of them, on the cluster of RAY_ADDRESS or else here (extra: ray)",
    )
    add_launch_options(parser, "ddp (the default of --num_processes)")


def check_no_corpus_options(args: argparse.Namespace) -> None:
    """Refuse options of data sets where there is none."""
    for name in (*OPTIONS, *LAUNCH_OPTIONS):
        if getattr(args, name) is not None:
            raise CommandError(f"--{name} needs --dataset")


def transcribe_corpus(args: argparse.Namespace) -> int:
    """Transcribe a data set, in processes of its own where that is asked for; 1 where some rows have errors."""
    _check_options(args)
    for name, default in DEFAULTS.items():
        if getattr(args, name) is None:
            setattr(args, name, default)
    _make_paths_absolute(args)
    status = None if args.ray else launch_if_asked(args)
    if status is None:
        return _transcribe_here(args)
    if status or args.machine_rank:
        return status
    totals = _parts(args).finished()
    return int(totals is None or totals.errors > 0)


def _check_options(args: argparse.Namespace) -> None:
    if args.files:
        raise CommandError(f"{args.files[0]}: give files or --dataset, not both")
    if args.output is None:
        raise CommandError("--dataset needs --output, a parquet file or a folder")
    for name, default in (("format", "text"), ("output_dir", None), ("diarization", None)):
        if getattr(args, name) != default:
            raise CommandError(f"--{name} is of files; a data set becomes parquet, by --output")
    check_dataset(args.dataset)
    check = check_output_file if args.output.suffix == ".parquet" else check_output_folder
    check(args.output, "--output")
    data = Path(args.dataset)
    if data.is_dir() and args.output.resolve().is_relative_to(data.resolve()):
        raise CommandError(f"--output {args.output} lies in the data set, which would be another one in the next run")
    check_recognition_options(args)
    if args.ray:
        need_extra("ray", "--ray")
        if misplaced := [name for name in given_launch_options(args) if name != "num_processes"]:
            raise CommandError(f"--{misplaced[0]} is of accelerate, not of --ray: RAY_ADDRESS names a cluster")
        if args.device is not None and ":" in args.device:
            raise CommandError(f"--device {args.device}: each worker of --ray takes a GPU of its own")


def _make_paths_absolute(args: argparse.Namespace) -> None:
    """Workers may be elsewhere, and the next run may be started elsewhere."""
    args.output = args.output.absolute()
    args.model = args.model or str(default_model())
    args.dataset, args.model = (
        str(Path(name).absolute()) if Path(name).exists() else name for name in (args.dataset, args.model)
    )
    if args.hotwords is not None and len(args.hotwords) == 1 and Path(args.hotwords[0]).is_file():
        args.hotwords = [str(Path(args.hotwords[0]).absolute())]


def _transcribe_here(args: argparse.Namespace) -> int:
    """In this process, which may be one of several; the first speaks for all."""
    from ..runs.locks import locked
    from ..transcription.engine import progress_over_all

    transcriber = _make_transcriber(args)
    parts, num_shards = transcriber.parts, transcriber.corpus.num_shards
    state = find_process(args)
    if (totals := parts.finished()) is not None:
        if state.is_main_process:
            parts.remove_parts()  # of a run that was killed in between
        return _tell(args, totals, state)
    with locked(parts.folder):
        with state.main_process_first():
            if state.is_main_process:
                parts.prepare(num_shards)
        shards = transcriber.missing(state.process_index, state.num_processes)
        # Who has nothing to do may not look for it in a folder that the first process has removed.
        state.wait_for_everyone()
        with progress_over_all(parts, num_shards, state.is_main_process):
            if args.ray:
                _transcribe_on_ray(args, shards)
            else:
                transcriber.transcribe(shards)
            if not state.is_main_process:
                return 0
            transcriber.wait()
        if failures := parts.failures():
            for shard, reason in failures.items():
                say("error", f"shard {shard} of {num_shards} cannot be read: {reason}")
            say("error", f"{args.output}: all else is done; run this again when they can be read")
            return int(state.num_processes == 1)
        totals = parts.finish(num_shards)
    return _tell(args, totals, state)


def _transcribe_on_ray(args: argparse.Namespace, shards: list[int]) -> None:
    from ..transcription.on_ray import transcribe_on_ray

    if shards:
        transcribe_on_ray(partial(_make_transcriber, args), shards, args.num_processes, args.device != "cpu")


def _tell(args: argparse.Namespace, totals: "Totals", state: "PartialState") -> int:
    if state.is_main_process:
        print(f"{args.output}: {totals}")
    # Of several processes, whoever started them says so: a launcher would take it for a fault.
    return int(totals.errors > 0 and state.num_processes == 1)


def _make_transcriber(args: argparse.Namespace) -> "CorpusTranscriber":
    """What transcribes the data set of these options, in any process.

    Raises:
        CommandError: the data set cannot be read, or a column cannot be kept.
    """
    from ..data.data_source import DataSource
    from ..data.shared_columns import without_bars
    from ..transcription.corpus import open_corpus
    from ..transcription.engine import CorpusTranscriber
    from ..transcription.transcripts import output_schema

    options = recognition_options(args, args.timestamps)
    fields = {"config": args.dataset_config, "text_column": args.text_column, "max_rows": args.max_rows}
    try:
        with without_bars():
            source = DataSource(args.dataset, args.split, **fields)
            corpus = open_corpus(source, args.keep_columns, args.rows_per_part)
        schema = output_schema(options, corpus.kept, args.text_column is not None)
    except (OSError, ValueError) as error:
        raise CommandError(f"cannot transcribe data set {args.dataset}: {error}") from error
    return CorpusTranscriber(corpus, _parts(args), schema, partial(_load, args, options), args.language)


def _load(args: argparse.Namespace, options: dict[str, Any]) -> "Recognizer":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    return partial(load_model(args), progress=False, **options)


def _parts(args: argparse.Namespace) -> "Parts":
    """The output, and what it is made of and with: a run with other settings does not go on with it."""
    from ..transcription.identity import contents_of, model_identity
    from ..transcription.parts import Parts

    names = ("dataset_config", "split", "text_column", "keep_columns", "max_rows", "rows_per_part")
    hotwords = args.hotwords
    if hotwords is not None and len(hotwords) == 1 and Path(hotwords[0]).is_file():
        hotwords = model_identity(hotwords[0])
    settings = {
        **{name: getattr(args, name) for name in (*names, *RECOGNITION)},
        # Wherever it lies.
        "dataset": contents_of(args.dataset),
        "model": model_identity(args.model),
        "hotwords": hotwords,
    }
    model = Path(args.model)
    about = {"dataset": Path(args.dataset).name, "model": model.name if model.exists() else args.model}
    return Parts(args.output, settings, about)
