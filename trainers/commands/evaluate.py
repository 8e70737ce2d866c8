# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`entropy-asr evaluate`: error rates and hallucination rates of a model on data sets."""

import argparse
import json
import platform
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ..runs.console import to_json
from .checks import CommandError, check_dataset, check_model, check_output_file
from .models import default_model, find_process, generate_kwargs, load_model
from .options import (
    DATASETS,
    add_batch_options,
    add_command,
    add_dataset_config,
    add_language,
    add_launch_options,
    launch_if_asked,
    positive,
    seconds,
)


if TYPE_CHECKING:
    from ..evaluation.error_rates import RecognitionScore

REPORTED_PACKAGES = ("entropy-asr", "torch", "torchaudio", "transformers", "datasets")
TABLE_ROW = "{:<26} {:<5} {:>9} {:>6} {:>6} {:>6} {:>8} {:>6} {:>9} {:>8}"
TABLE_HEADER = TABLE_ROW.format("data set", "lang", "rate", "S", "I", "D", "ref.", "utt.", "nonempty", "audio/s")


def add_parser(commands: Any) -> None:
    """Add the command to the command line."""
    parser = add_command(
        commands,
        "evaluate",
        run,
        "Measure WER (English), CER (Mandarin) and hallucination rates on data sets by generation.",
        input_errors=(),
    )
    parser.add_argument(
        "--dataset",
        action="extend",
        nargs="+",
        metavar="D",
        help=DATASETS,
    )
    parser.add_argument(
        "--transcripts",
        type=Path,
        metavar="F",
        help="score what `transcribe --dataset --text_column` wrote, in place of transcribing here",
    )
    parser.add_argument("--split", default="test", help="default: %(default)s")
    add_dataset_config(parser)
    parser.add_argument("--text_column", default="text", metavar="C", help="column; default: %(default)s")
    add_language(parser, "of all rows (default: the data set's column)")
    parser.add_argument("--max_rows", type=positive, metavar="N", help="evaluate the first N rows of each data set")
    parser.add_argument("-o", "--output", type=Path, metavar="F", help="write the results to this JSON file")
    parser.add_argument("--save_transcripts", type=Path, metavar="F", help="write every transcript to this JSONL file")
    parser.add_argument(
        "--guards",
        choices=("on", "off", "both"),
        default="on",
        help="guards against hallucination; both: everything is transcribed twice, error rates are with guards; off: "
        "text ends at four times what speech has room for (default: %(default)s)",
    )
    _add_conditions(parser)
    add_batch_options(parser, default_batch_size=16)
    add_launch_options(parser, "ddp (the default of --num_processes)")
    with_transcripts = ("transcripts", "language", "output", "save_transcripts")
    parser.set_defaults(
        of_transcribing={
            action.dest: action.default for action in parser._actions if action.dest not in ("help", *with_transcripts)
        }
    )


def _add_conditions(parser: argparse.ArgumentParser) -> None:
    """Options for what is measured beside the data sets as they are."""
    parser.add_argument(
        "--padded_silence",
        type=seconds,
        default=0.0,
        metavar="S",
        help="measure hallucination also with S seconds of silence before and after each utterance",
    )
    parser.add_argument(
        "--masked",
        type=float,
        nargs="+",
        default=[],
        metavar="P",
        help="measure also with these shares of each utterance masked, such as 0.1 0.2 0.3",
    )
    parser.add_argument(
        "--snr",
        type=float,
        nargs="+",
        default=[],
        metavar="DB",
        help="measure also in white noise at these signal-to-noise ratios, or in that of --noise",
    )
    parser.add_argument("--noise", metavar="D", help="data set, of that split, whose recordings --snr adds to speech")
    parser.add_argument(
        "--chunk_ms",
        type=positive,
        default=0,
        metavar="MS",
        help="measure also with the encoder hearing chunks of so many milliseconds, as in a stream",
    )
    parser.add_argument(
        "--non_speech",
        type=positive,
        metavar="N",
        help="one data set more: N sounds without speech (silence, noise, chords)",
    )


def run(args: argparse.Namespace) -> int:
    """Evaluate the data sets, in processes of its own where that is asked for; 1 where a row cannot be read."""
    if args.transcripts is not None:
        return _run_on_transcripts(args)
    if not args.dataset:
        raise CommandError("name data sets with --dataset, or what was transcribed of one with --transcripts")
    check_model(args.model)
    for path in args.dataset:
        check_dataset(path)
    check_output_file(args.output, "--output")
    check_output_file(args.save_transcripts, "--save_transcripts")
    if args.noise is not None:
        if not args.snr:
            raise CommandError("--noise is added where --snr says how loud: give that too")
        check_dataset(args.noise)
    with TemporaryDirectory() as folder:
        results = args.output or Path(folder) / "results.json"
        status = launch_if_asked(args, () if args.output else ("--output", str(results)))
        if status is None:
            return _run_here(args)
        if status or args.machine_rank:
            return status
        found = json.loads(results.read_text(encoding="utf-8"))["results"].values()
    return int(any(result["unreadable"] for result in found))


def _run_here(args: argparse.Namespace) -> int:
    """One data set after the other; of several processes all transcribe and the first writes, after each of them."""
    datasets = _load_datasets(args)
    noises = None if args.noise is None else _load_noises(args)
    state = find_process(args)
    pipeline = load_model(args)
    from ..evaluation.conditions import MADE_NON_SPEECH, conditions_of, evaluate_under, result_lines
    from ..evaluation.disturbances import made_non_speech

    try:
        conditions = conditions_of(args.guards, args.padded_silence, args.masked, args.snr, args.chunk_ms)
    except ValueError as error:
        raise CommandError(str(error)) from error
    if args.non_speech:
        datasets[MADE_NON_SPEECH] = made_non_speech(args.non_speech)
    report = _describe_run(args, pipeline)
    unreadable = 0
    if state.is_main_process:
        if args.save_transcripts:
            args.save_transcripts.unlink(missing_ok=True)
        print(TABLE_HEADER)
    for name, dataset in datasets.items():
        score, report["results"][name] = evaluate_under(
            pipeline, dataset, conditions, args.batch_size, description=name, noises=noises, **generate_kwargs(args)
        )
        unreadable += len(score.unreadable)
        if state.is_main_process:
            print(_format_table_rows(name, score))
            print(*(f"  {line}" for line in result_lines(report["results"][name])), sep="\n", flush=True)
            _write_results(args, name, report, score)
    # Of several processes, whoever started them says so: a launcher would take it for a fault.
    return int(unreadable > 0 and state.num_processes == 1)


def _run_on_transcripts(args: argparse.Namespace) -> int:
    """Score an output of `transcribe`."""
    for name, default in args.of_transcribing.items():
        if getattr(args, name) != default:
            raise CommandError(f"--{name} is of transcribing, which --transcripts has behind it")
    check_output_file(args.output, "--output")
    check_output_file(args.save_transcripts, "--save_transcripts")
    from ..evaluation.conditions import result_lines
    from ..evaluation.written_transcripts import evaluate_transcripts

    try:
        score, result = evaluate_transcripts(args.transcripts, args.language)
    except ValueError as error:
        raise CommandError(str(error)) from error
    about = result.pop("about")
    report = {"model": about["model"], "guards": "on" if result["guards"] else "off"}
    report |= {"versions": _versions(), "results": {about["dataset"]: result}}
    if args.save_transcripts:
        args.save_transcripts.unlink(missing_ok=True)
    print(TABLE_HEADER)
    print(_format_table_rows(about["dataset"], score))
    print(*(f"  {line}" for line in result_lines(result)), sep="\n", flush=True)
    _write_results(args, about["dataset"], report, score)
    return 1 if score.unreadable else 0


def _load_datasets(args: argparse.Namespace) -> dict[str, Any]:
    """Load all data sets by name before the first is evaluated, so that a wrong path is found at once."""
    from ..data.data_source import DataSource
    from ..data.shared_columns import without_bars
    from ..data.sources import load_source

    datasets: dict[str, Any] = {}
    for path in args.dataset:
        fields = {"text_column": args.text_column, "language": args.language, "max_rows": args.max_rows}
        source = DataSource(path, args.split, config=args.dataset_config, **fields)
        if source.name in datasets:
            raise CommandError(f"two data sets are named {source.name}: evaluate them in two runs")
        try:
            with without_bars():
                datasets[source.name] = load_source(source)
        except (OSError, ValueError) as error:
            raise CommandError(f"cannot load data set {path}: {error}") from error
    return datasets


def _load_noises(args: argparse.Namespace) -> list[Any]:
    from ..data.data_source import DataSource
    from ..data.shared_columns import without_bars
    from ..data.sources import load_source
    from ..evaluation.disturbances import samples_of

    try:
        with without_bars():
            rows = load_source(DataSource(args.noise, args.split, text_column=None))
        return [samples_of(row) for row in rows]
    except (OSError, ValueError) as error:
        raise CommandError(f"cannot load data set {args.noise}: {error}") from error


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    return {"python": platform.python_version()} | {name: version(name) for name in REPORTED_PACKAGES}


def _describe_run(args: argparse.Namespace, pipeline: Any) -> dict[str, Any]:
    model = Path(args.model or default_model())
    return {
        "model": model.resolve().name if model.is_dir() else args.model,
        "parameters": pipeline.model.num_parameters(),
        "dtype": str(pipeline.model.dtype).removeprefix("torch."),
        "device": str(pipeline.model.device),
        "split": args.split,
        "dataset_config": args.dataset_config,
        "max_rows": args.max_rows,
        "batch_size": args.batch_size,
        "generate_kwargs": generate_kwargs(args),
        "guards": args.guards,
        "padded_silence": args.padded_silence,
        "masked": args.masked,
        "snr": args.snr,
        "noise": args.noise,
        "chunk_ms": args.chunk_ms,
        "non_speech": args.non_speech,
        "versions": _versions(),
        "results": {},
    }


def _format_table_rows(name: str, score: "RecognitionScore") -> str:
    """One line for each language of a data set; non-speech has no error rate."""
    lines = []
    for language, counts in sorted(score.by_language.items()):
        rate_name = {"word": "WER", "character": "CER", "none": ""}[counts.unit]
        rate = "-" if counts.error_rate is None else f"{rate_name} {100 * counts.error_rate:.1f}"
        edits = (counts.substitutions, counts.insertions, counts.deletions, counts.reference_length)
        cells = ("-",) * 4 if counts.unit == "none" else edits
        nonempty = f"{100 * counts.nonempty_share:.1f} %"
        speed = "-" if score.audio_seconds_per_second is None else f"{score.audio_seconds_per_second:.1f}"
        lines.append(TABLE_ROW.format(name, language, rate, *cells, counts.utterances, nonempty, speed))
    return "\n".join(lines) or f"{name}: no rows"


def _write_results(args: argparse.Namespace, name: str, report: dict[str, Any], score: "RecognitionScore") -> None:
    if args.output:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        args.output.write_text(to_json(report, indent=2) + "\n", encoding="utf-8")
    if args.save_transcripts:
        args.save_transcripts.parent.mkdir(parents=True, exist_ok=True)
        with args.save_transcripts.open("a", encoding="utf-8") as file:
            for transcript in score.transcripts:
                file.write(to_json({"dataset": name, **transcript}) + "\n")
