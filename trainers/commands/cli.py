# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The command line: `entropy-asr transcribe | train | recipe | evaluate`.

Everything heavy is imported inside the commands, so that `--help` and argument errors are immediate, and a Ctrl-C is
told in one line whenever it comes.

Exit status: 0 when all went well, 1 when some inputs failed (the others are done), 2 when nothing could be done; 130
when interrupted, 141 when the reader of a pipe has gone, 143 when terminated. What a user can mend is told in one
line; a fault of the program shows its traceback.
"""

import argparse
import os
import platform
import runpy
import stat
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..runs.console import describe, run_command, say, to_json
from .checks import (
    DEVICE,
    CommandError,
    check_dataset,
    check_model,
    check_output_file,
    check_output_folder,
    check_port,
    check_whole_model,
    find_device,
    need_extra,
)
from .recordings import ADDRESS, STANDARD_INPUT


if TYPE_CHECKING:
    from ..evaluation.error_rates import RecognitionScore

# Nothing that a run has written is lost: its last checkpoint is where the next one starts.
GO_ON = "; run the same command again to go on from the last checkpoint"
DTYPES = ("float32", "bfloat16", "float16")
REPORTED_PACKAGES = ("entropy-asr", "torch", "torchaudio", "transformers", "datasets")
TABLE_ROW = "{:<26} {:<5} {:>9} {:>6} {:>6} {:>6} {:>8} {:>6} {:>9} {:>8}"
TABLE_HEADER = TABLE_ROW.format("data set", "lang", "rate", "S", "I", "D", "ref.", "utt.", "nonempty", "audio/s")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit status.
    """
    name = None

    def command() -> int:
        nonlocal name
        try:
            args = _parse(argv)
            name = args.run
            return name(args)
        except (CommandError, ImportError) as error:  # a package that is missing, or does not fit another
            say("error", describe(error))
            return 2

    return run_command(command, lambda: GO_ON if name in (run_train, run_recipe_command) else "")


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = build_parser()
    args, extra = parser.parse_known_args(argv)
    if args.takes_overrides:
        _check_overrides(parser, extra)
        args.overrides = extra
    elif extra:
        parser.error(f"unrecognized arguments: {' '.join(extra)}")
    return args


def build_parser() -> argparse.ArgumentParser:
    from importlib.metadata import version  # takes a while, in which Ctrl-C is to be told in one line

    parser = argparse.ArgumentParser(
        prog="entropy-asr",
        description="Speech recognition with a speech encoder and a language model.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"entropy-asr {version('entropy-asr')}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_transcribe(commands)
    _add_hotwords(commands)
    _add_stream(commands)
    _add_serve(commands)
    _add_train(commands)
    _add_recipe(commands)
    _add_evaluate(commands)
    _add_report(commands)
    _add_demo(commands)
    _add_card(commands)
    _add_publish(commands)
    return parser


def _add_command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], int], text: str, takes_overrides: bool = False
) -> argparse.ArgumentParser:
    # No abbreviations: `--max` must not be taken for `--max_rows` where overrides are passed on.
    parser = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
    parser.set_defaults(run=run, takes_overrides=takes_overrides)
    return parser


def _add_transcribe(commands: Any) -> None:
    parser = _add_command(
        commands, "transcribe", run_transcribe, "Transcribe audio files: one line a file, its path, a tab, the text."
    )
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="audio file (WAV, FLAC, Ogg, MP3, AIFF, ...), folder of such files, URL, or - for one on standard input",
    )
    _add_language(parser, "what is spoken (default: the model decides)")
    parser.add_argument(
        "--format", choices=("text", "json", "srt", "vtt"), default="text", help="default: %(default)s"
    )
    parser.add_argument(
        "-o", "--output_dir", type=Path, metavar="D", help="write one file for each recording into this folder"
    )
    parser.add_argument(
        "--timestamps",
        choices=("word", "phoneme", "segment"),
        help="times of words (in subtitles the default) or phonemes (extra: g2p), or of segments between pauses "
        "(in subtitles the default without the extra)",
    )
    parser.add_argument("--confidence", action="store_true", help="confidence in json output (extra: g2p)")
    _add_hotword_options(parser)
    parser.add_argument("--no_guards", action="store_true", help="also give text where no speech is heard")
    _add_model_options(parser, default_batch_size=8)


def _add_hotword_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--hotwords",
        action="extend",
        nargs="+",
        metavar="W",
        help="words to listen for (extra: hotwords); or one file: a word a line, or an index that `hotwords` built",
    )
    parser.add_argument(
        "--hotword_tolerance",
        type=float,
        metavar="X",
        help="take words that are nearly heard: wrong phonemes for each phoneme, up to 0.3 (default: 0, exact)",
    )


def _add_hotwords(commands: Any) -> None:
    parser = _add_command(commands, "hotwords", run_hotwords, "Index a long list of hotwords (extra: hotwords).")
    parser.add_argument("words", metavar="F", help="text file with a word or phrase a line")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="F", help="index to write, ending in .npz")
    _add_language(parser, "which language reads digits (default: each word's)")
    parser.add_argument("--skip_unusable", action="store_true", help="leave out words that have no sound of their own")


def _add_stream(commands: Any) -> None:
    parser = _add_command(
        commands, "stream", run_stream, "Transcribe while audio arrives: one line a segment, its start, end and text."
    )
    parser.add_argument("file", metavar="FILE", help="audio file, or - for raw 16-bit mono PCM on standard input")
    parser.add_argument(
        "--sampling_rate", type=_positive, default=16000, metavar="HZ", help="of -; default: %(default)s"
    )
    _add_language(parser, "what is spoken (default: the model decides)")
    _add_hotword_options(parser)
    parser.add_argument("--no_guards", action="store_true", help="also give text where no speech is heard")
    parser.add_argument(
        "--max_segment", type=float, default=30.0, metavar="S", help="longest segment; default: %(default)s"
    )
    parser.add_argument("--no_vad", action="store_true", help="transcribe everything, cut after max_segment seconds")
    parser.add_argument(
        "--preview_chunks", type=int, default=0, metavar="N", help="preview of the text every N chunks (default: none)"
    )
    parser.add_argument("--real_time", action="store_true", help="read a file as fast as it was spoken")
    parser.add_argument("--quiet", action="store_true", help="no partial results and latencies on standard error")
    _add_streaming_options(parser)
    parser.add_argument("--num_beams", type=_positive, metavar="N", help="beam search width (default: the model's)")


def _add_serve(commands: Any) -> None:
    parser = _add_command(commands, "serve", run_serve, "Serve streaming recognition over WebSockets (extra: serve).")
    parser.add_argument("--host", default="127.0.0.1", help="default: %(default)s")
    parser.add_argument("--port", type=int, default=8765, help="default: %(default)s")
    parser.add_argument("--max_streams", type=_positive, default=64, metavar="N", help="default: %(default)s")
    _add_streaming_options(parser)


def _add_streaming_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--chunk_ms", type=_positive, default=640, metavar="MS", help="default: %(default)s")
    parser.add_argument("--left_chunks", type=int, default=4, metavar="N", help="-1 for all; default: %(default)s")
    parser.add_argument(
        "--min_silence", type=float, default=0.5, metavar="S", help="silence that ends a segment; default: %(default)s"
    )
    parser.add_argument("--confidence", action="store_true", help="confidence of texts (extra: g2p)")
    parser.add_argument("--model", metavar="M", help="model folder or Hub id (default: the small bundled checkpoint)")
    _add_device(parser)
    parser.add_argument("--dtype", choices=DTYPES, help="default: the checkpoint's")


def _add_train(commands: Any) -> None:
    parser = _add_command(
        commands,
        "train",
        run_train,
        "Run one training stage. Any field of its configuration can be overridden with --key value.",
        takes_overrides=True,
    )
    parser.add_argument("stage", metavar="STAGE", help="stage to run, such as joint_sft")
    parser.add_argument(
        "--config", required=True, metavar="F", help="YAML file, or the name of a recipe that is shipped"
    )
    # The long form is one of the fields that can be overridden.
    parser.add_argument("-o", dest="output_dir", metavar="D", help="the same as --output_dir D")
    group = parser.add_argument_group("several processes (through accelerate launch)")
    group.add_argument(
        "--accelerate_config", metavar="A", help="ddp, fsdp2, deepspeed_zero2, or a YAML file of accelerate"
    )
    group.add_argument("--num_processes", type=_positive, metavar="N", help="number of processes on all machines")
    group.add_argument("--num_machines", type=_positive, metavar="N", help="number of machines")
    group.add_argument("--machine_rank", type=int, metavar="N", help="number of this machine, from 0")
    group.add_argument("--main_process_ip", metavar="IP", help="address of machine 0")
    group.add_argument("--main_process_port", type=int, metavar="P", help="port of machine 0")


def _add_recipe(commands: Any) -> None:
    parser = _add_command(
        commands,
        "recipe",
        run_recipe_command,
        "Run all stages of a recipe. Any of its fields can be overridden with --key value.",
        takes_overrides=True,
    )
    parser.add_argument("recipe", metavar="F", help="YAML file, or the name of a recipe that is shipped, such as tiny")
    parser.add_argument(
        "-o", "--output_dir", metavar="D", help="where checkpoints and results go (default: the recipe's)"
    )


def _add_evaluate(commands: Any) -> None:
    parser = _add_command(
        commands, "evaluate", run_evaluate, "Measure WER (English) and CER (Mandarin) on data sets by generation."
    )
    parser.add_argument(
        "--dataset",
        action="extend",
        nargs="+",
        required=True,
        metavar="D",
        help="Hub id, folder or parquet file; several are allowed",
    )
    parser.add_argument("--split", default="test", help="default: %(default)s")
    parser.add_argument("--text_column", default="text", metavar="C", help="column; default: %(default)s")
    _add_language(parser, "of all rows (default: the data set's column)")
    parser.add_argument("--max_rows", type=_positive, metavar="N", help="evaluate the first N rows of each data set")
    parser.add_argument("-o", "--output", type=Path, metavar="F", help="write the results to this JSON file")
    parser.add_argument("--save_transcripts", type=Path, metavar="F", help="write every transcript to this JSONL file")
    _add_model_options(parser, default_batch_size=16)


def _add_report(commands: Any) -> None:
    text = "Write where the encoders of checkpoints leave the entropy: report.json, report.md, plots (extra: report)."
    parser = _add_command(commands, "report", run_report, text)
    parser.add_argument(
        "--model",
        action="extend",
        nargs="+",
        required=True,
        metavar="M",
        help="folder or Hub id of a checkpoint or of any speech encoder; of several, the earliest stage first",
    )
    parser.add_argument("--dataset", action="extend", nargs="+", required=True, metavar="D", help="as for evaluate")
    parser.add_argument("--split", default="test", help="default: %(default)s")
    parser.add_argument("--text_column", default="text", metavar="C", help="column; default: %(default)s")
    _add_language(parser, "of all rows (default: the data set's column)")
    parser.add_argument(
        "-o", "--output_dir", type=Path, default=Path("report"), metavar="D", help="default: %(default)s"
    )
    parser.add_argument("--max_rows", type=_positive, default=400, metavar="N", help="default: %(default)s")
    parser.add_argument("--aligner", metavar="M", help="checkpoint that times phonemes (default: the first that can)")
    parser.add_argument("--probes", nargs="+", choices=("linear", "mlp"), default=["linear", "mlp"])
    parser.add_argument("--num_seeds", type=_positive, default=3, metavar="N", help="splits; default: %(default)s")
    parser.add_argument("--no_layers", dest="layers", action="store_false", help="only the encoder's output")
    parser.add_argument(
        "--max_probe_frames", type=_positive, default=100_000, metavar="N", help="default: %(default)s"
    )
    parser.add_argument("--ledger_rows", type=int, default=50, metavar="N", help="0: no ledger; default: %(default)s")
    parser.add_argument("--batch_size", type=_positive, default=8, help="default: %(default)s")
    _add_device(parser)


def _add_demo(commands: Any) -> None:
    parser = _add_command(
        commands, "demo", run_demo, "Open the demo's page on this computer (extra: demo); GRADIO_SERVER_PORT holds."
    )
    parser.add_argument("--model", metavar="M", help="model folder or Hub id (default: the small bundled checkpoint)")
    _add_device(parser)
    parser.add_argument("--dtype", choices=DTYPES, help="default: the checkpoint's")
    parser.add_argument("--report", metavar="D", help="folder that `entropy-asr report` wrote: a tab compares")


def _add_card(commands: Any) -> None:
    parser = _add_command(commands, "card", run_card, "Write the card (README.md) of a checkpoint or a data set.")
    parser.add_argument("folder", metavar="D", help="checkpoint, adapters, or synthetic data set")
    parser.add_argument("--license", metavar="L", help="the Hub's name of its licence (default: what is known of it)")
    parser.add_argument("--report", metavar="D", help="folder that `entropy-asr report` wrote: goes into the card")


def _add_publish(commands: Any) -> None:
    parser = _add_command(
        commands, "publish", run_publish, "Upload model, processor, code and card, or a Space, to the Hub in one call."
    )
    parser.add_argument("model", nargs="?", metavar="D", help="folder of the checkpoint")
    parser.add_argument("--space", metavar="S", help="demo, entropy_allocation or hallucination_rate instead")
    parser.add_argument("--repo_id", metavar="USER/NAME", help="repository on the Hub; made where it is not there")
    parser.add_argument("--private", action="store_true", help="make it a private one")
    parser.add_argument("--dry_run", action="store_true", help="only show what would be uploaded, and check it")
    parser.add_argument("--commit_message", metavar="M", help="default: Upload with entropy-asr publish")


def _add_language(parser: argparse.ArgumentParser, text: str) -> None:
    parser.add_argument("--language", type=_language, metavar="L", help=f"English, Chinese, en, zh-CN, ...; {text}")


def _language(value: str) -> str | None:
    # That file alone: the others of its package import torch.
    [folder] = find_spec("entropy_asr.modeling").submodule_search_locations
    language_code = runpy.run_path(os.path.join(folder, "languages_entropy_asr.py"))["language_code"]
    try:
        return language_code(value, optional=True)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _add_model_options(parser: argparse.ArgumentParser, default_batch_size: int) -> None:
    parser.add_argument("--model", metavar="M", help="model folder or Hub id (default: the small bundled checkpoint)")
    parser.add_argument("--batch_size", type=_positive, default=default_batch_size, help="default: %(default)s")
    parser.add_argument("--num_beams", type=_positive, metavar="N", help="beam search width (default: the model's)")
    _add_device(parser)
    parser.add_argument("--dtype", choices=DTYPES, help="default: the checkpoint's")


def _add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", type=_device, help="cpu, gpu, cuda, cuda:1, ... (default: a GPU if there is one)")


def _device(text: str) -> str:
    name = text.strip().lower()
    if not DEVICE.fullmatch(name):
        raise argparse.ArgumentTypeError(f"unknown device {text}: cpu, gpu, cuda, cuda:1, mps, xpu, ...")
    return name


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {number}")
    return number


def _check_overrides(parser: argparse.ArgumentParser, extra: list[str]) -> None:
    if extra and not extra[0].startswith("--"):
        parser.error(f"unrecognized argument: {extra[0]} (overrides are written --key value)")


# transcribe


def run_transcribe(args: argparse.Namespace) -> int:
    check_model(args.model)
    from .transcribe import TranscribeCommand

    try:
        command = TranscribeCommand(args, say)
        return command.run(lambda: _load_pipeline(args))
    except ValueError as error:
        raise CommandError(str(error)) from error


def run_hotwords(args: argparse.Namespace) -> int:
    """Build an index of the words of a text file."""
    if not Path(args.words).is_file():
        raise CommandError(f"hotwords {args.words}: there is no such file")
    check_output_file(args.output, "--output")
    need_extra("hotwords", "hotwords")
    from entropy_asr.modeling import EntropyASRPhonemeTokenizer, HotwordIndex

    from .transcribe import read_hotwords

    try:
        words = read_hotwords([args.words])
        if isinstance(words, HotwordIndex):
            raise ValueError(f"{args.words} is an index already")
        index = HotwordIndex.build(words, EntropyASRPhonemeTokenizer(), args.language, args.skip_unusable)
        args.output.parent.mkdir(parents=True, exist_ok=True)
        index.save(args.output)
    except ValueError as error:
        raise CommandError(str(error)) from error
    print(f"{args.output}: {len(index)} words")
    return 0


# stream and serve


def run_stream(args: argparse.Namespace) -> int:
    _check_stream(args)
    pipeline = _load_pipeline(args)
    from .stream import run

    try:
        return run(pipeline, args)
    except ValueError as error:
        raise CommandError(str(error)) from error


def _check_stream(args: argparse.Namespace) -> None:
    check_model(args.model)
    if args.hotword_tolerance is not None and args.hotwords is None:
        raise CommandError("--hotword_tolerance needs --hotwords")
    if args.hotwords is not None:
        need_extra("hotwords", "--hotwords")
        from .transcribe import read_usable_hotwords

        try:
            read_usable_hotwords(args.hotwords)
        except ValueError as error:
            raise CommandError(str(error)) from error
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


def run_serve(args: argparse.Namespace) -> int:
    need_extra("serve", "serve")
    if args.confidence:
        need_extra("g2p", "--confidence")
    check_model(args.model)
    check_port(args.host, args.port)
    pipeline = _load_pipeline(args)
    from entropy_asr.spaces.server.server import make_batch, serve

    try:
        batch = make_batch(pipeline, args)
    except ValueError as error:
        raise CommandError(str(error)) from error
    serve(batch, args.host, args.port)
    return 0


# train and recipe


LAUNCH_OPTIONS = (
    "accelerate_config",
    "num_processes",
    "num_machines",
    "machine_rank",
    "main_process_ip",
    "main_process_port",
)


def run_train(args: argparse.Namespace) -> int:
    config = resolve_recipe(args.config)
    _check_training(config, args)
    if args.output_dir is not None:
        args.overrides += ["--output_dir", args.output_dir]
    options = {name: getattr(args, name) for name in LAUNCH_OPTIONS if getattr(args, name) is not None}
    if options:
        from ..runs.launch import launch

        return _run_training(launch, ["train", args.stage, "--config", str(config), *args.overrides], options)
    from ..recipes.recipe import run_stage

    return _run_training(run_stage, args.stage, config, args.overrides)


def run_recipe_command(args: argparse.Namespace) -> int:
    path = resolve_recipe(args.recipe)
    _check_training(path, args)
    from ..recipes.recipe import run_recipe

    return _run_training(run_recipe, path, args.output_dir, args.overrides)


def _check_training(path: Path, args: argparse.Namespace) -> None:
    """Refuse a file that is no YAML, and a folder that cannot be written, before the libraries are imported."""
    import yaml

    try:
        yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise CommandError(f"{path}: cannot be read as YAML: {error}") from error
    if args.output_dir is not None:
        check_output_folder(Path(args.output_dir), "--output_dir")


def _run_training(run: Callable[..., int | None], *arguments: Any) -> int:
    from transformers.utils import logging

    from ..runs.settings import SettingsError, StageFailed

    logging.disable_progress_bar()  # those of loading and saving; training has its own
    try:
        return run(*arguments) or 0
    except StageFailed as error:
        say("error", str(error))
        return 1
    except (SettingsError, FileNotFoundError) as error:
        raise CommandError(str(error)) from error


def resolve_recipe(name: str) -> Path:
    """Find a YAML file by its path, or a shipped recipe by its bare name ("tiny", "tiny.yaml")."""
    path = Path(name)
    if path.is_file():
        return path
    folder = _package_folder("entropy_asr.trainers") / "recipes"
    shipped = folder / f"{name.removesuffix('.yaml')}.yaml"
    if path.name == name and shipped.is_file():
        return shipped
    names = ", ".join(sorted(file.stem for file in folder.glob("*.yaml"))) or "none"
    raise CommandError(f"no such file: {name} (recipes that are shipped: {names})")


def _package_folder(package: str) -> Path:
    from importlib import resources

    return Path(str(resources.files(package)))


# evaluate


def run_evaluate(args: argparse.Namespace) -> int:
    """Evaluate the data sets one after the other; results are on disk after each."""
    check_model(args.model)
    for path in args.dataset:
        check_dataset(path)
    check_output_file(args.output, "--output")
    check_output_file(args.save_transcripts, "--save_transcripts")
    datasets = _load_datasets(args)
    pipeline = _load_pipeline(args)
    from ..evaluation.error_rates import evaluate_recognition

    report = _describe_run(args, pipeline)
    unreadable = 0
    if args.save_transcripts:
        args.save_transcripts.unlink(missing_ok=True)
    print(TABLE_HEADER)
    for name, dataset in datasets.items():
        score = evaluate_recognition(pipeline, dataset, args.batch_size, description=name, **_generate_kwargs(args))
        unreadable += len(score.unreadable)
        print(_format_table_rows(name, score), flush=True)
        report["results"][name] = score.to_dict()
        _write_results(args, name, report, score)
    return 1 if unreadable else 0


def run_report(args: argparse.Namespace) -> int:
    """Measure entropy allocation; see [`~report.write_report`]."""
    need_extra("report", "report")
    for model in args.model:
        check_model(model)
    for path in args.dataset:
        check_dataset(path)
    check_output_folder(args.output_dir, "--output_dir")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    args.device = find_device(args.device)
    import entropy_asr.modeling  # noqa: F401, I001 (before transformers: it checks torch and torchaudio)
    from transformers.utils import logging

    from ..evaluation.report import ReportOptions, write_report

    logging.disable_progress_bar()

    given = {name: getattr(args, name) for name in ReportOptions.__dataclass_fields__}
    try:
        write_report(args.model, args.dataset, args.output_dir, ReportOptions(**given))
    except ValueError as error:
        raise CommandError(str(error)) from error
    print(args.output_dir / "report.md")
    return 0


def _load_datasets(args: argparse.Namespace) -> dict[str, Any]:
    """Load all data sets by name before the first is evaluated, so that a wrong path is found at once."""
    from ..data.columns import without_bars
    from ..data.sources import DataSource, load_source

    datasets: dict[str, Any] = {}
    for path in args.dataset:
        fields = {"text_column": args.text_column, "language": args.language, "max_rows": args.max_rows}
        source = DataSource(path, args.split, **fields)
        if source.name in datasets:
            raise CommandError(f"two data sets are named {source.name}: evaluate them in two runs")
        try:
            with without_bars():
                datasets[source.name] = load_source(source)
        except (OSError, ValueError) as error:
            raise CommandError(f"cannot load data set {path}: {error}") from error
    return datasets


def _describe_run(args: argparse.Namespace, pipeline: Any) -> dict[str, Any]:
    from importlib.metadata import version

    model = Path(args.model or bundled_checkpoint())
    return {
        "model": model.resolve().name if model.is_dir() else args.model,
        "parameters": pipeline.model.num_parameters(),
        "dtype": str(pipeline.model.dtype).removeprefix("torch."),
        "device": str(pipeline.model.device),
        "split": args.split,
        "max_rows": args.max_rows,
        "batch_size": args.batch_size,
        "generate_kwargs": _generate_kwargs(args),
        "versions": {"python": platform.python_version()} | {name: version(name) for name in REPORTED_PACKAGES},
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
        speed = f"{score.audio_seconds_per_second:.1f}"
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


# demo


def run_demo(args: argparse.Namespace) -> int:
    check_model(args.model)
    from .demo import run

    try:
        return run(args)
    except ValueError as error:
        raise CommandError(str(error)) from error


# card and publish


def run_card(args: argparse.Namespace) -> int:
    _check_folder(args.folder)
    from .card import run

    try:
        return run(args)
    except ValueError as error:
        raise CommandError(str(error)) from error


def _check_folder(folder: str) -> None:
    if not Path(folder).is_dir():
        raise CommandError(f"{folder}: there is no such folder")


def run_publish(args: argparse.Namespace) -> int:
    if args.model is not None:
        _check_folder(args.model)
        check_model(args.model, "publish")
        check_whole_model(Path(args.model))
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    import entropy_asr.modeling  # noqa: F401, I001 (before transformers: it checks torch and torchaudio)
    from transformers.utils import logging

    from entropy_asr.hub_cards.publish import run

    logging.disable_progress_bar()
    try:
        return run(args)
    except ValueError as error:
        raise CommandError(str(error)) from error


# shared by transcribe and evaluate


def bundled_checkpoint() -> Path:
    """Folder of the small checkpoint that is shipped in the package."""
    folder = _package_folder("entropy_asr.spaces") / "demo" / "checkpoint"
    if not (folder / "config.json").is_file():
        raise CommandError("no checkpoint is bundled with this installation: name one with --model")
    return folder


def _load_pipeline(args: argparse.Namespace) -> Any:
    model = args.model or str(bundled_checkpoint())
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    device = find_device(args.device)
    import entropy_asr.modeling  # noqa: F401, I001 (before transformers: it checks torch and torchaudio)
    from transformers.utils import logging

    from entropy_asr.modeling.pipeline_entropy_asr import load_pipeline

    logging.disable_progress_bar()
    try:
        return load_pipeline(model, device=device, dtype=args.dtype)
    except (OSError, ValueError) as error:
        raise CommandError(f"cannot load model {model}: {error}") from error


def _generate_kwargs(args: argparse.Namespace) -> dict[str, Any]:
    return {} if args.num_beams is None else {"num_beams": args.num_beams}


if __name__ == "__main__":
    sys.exit(main())
