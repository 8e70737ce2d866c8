# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Options that several commands take."""

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from .checks import DEVICE


# Of `accelerate launch`, as [`~runs.launch.LaunchSettings`] takes them.
LAUNCH_OPTIONS = (
    "accelerate_config",
    "num_processes",
    "num_machines",
    "machine_rank",
    "main_process_ip",
    "main_process_port",
)
# What `--dataset` says where several are allowed.
DATASETS = "Hub id, folder or parquet file; several are allowed"
DTYPES = ("float32", "bfloat16", "float16")


def add_command(
    commands: Any,
    name: str,
    run: Callable[[argparse.Namespace], int],
    text: str,
    input_errors: tuple[type[Exception], ...] = (ValueError,),
    is_training: bool = False,
) -> argparse.ArgumentParser:
    """A parser for one more command.

    Args:
        commands: Of `add_subparsers`.
        name: Of the command.
        run: Runs it; gives the exit status.
        text: What it does, in a line.
        input_errors: Beside `CommandError`, errors that say what the user can mend; any other is a fault of the
            program, which shows its traceback.
        is_training: Takes options that it does not know as overrides, and goes on from its last checkpoint.
    """
    # No abbreviations: `--max` must not be taken for `--max_rows` where overrides are passed on.
    parser = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
    parser.set_defaults(run=run, input_errors=input_errors, is_training=is_training)
    return parser


def add_language(parser: argparse.ArgumentParser, text: str) -> None:
    """`--language`, by any name; `text` says what it is of."""
    parser.add_argument("--language", type=_language, metavar="L", help=f"English, Chinese, en, zh-CN, ...; {text}")


def _languages() -> ModuleType:
    """The module of languages without its package, whose import takes seconds for torch; nor do languages need it."""
    if "entropy_asr.modeling" in sys.modules:
        return import_module("entropy_asr.modeling.languages_entropy_asr")
    name = "_entropy_asr_languages"
    if name not in sys.modules:
        sys.modules[name] = ModuleType(name)
        sys.modules[name].__path__ = list(find_spec("entropy_asr.modeling").submodule_search_locations)
    return import_module(f"{name}.languages_entropy_asr")


def _language(value: str) -> str | None:
    try:
        return _languages().language_code(value, optional=True)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def add_hotword_options(parser: argparse.ArgumentParser) -> None:
    """`--hotwords` and how near they must be."""
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
        help="take words that are nearly found: wrong phonemes for each phoneme, up to 0.3 (default: 0, exact)",
    )


def add_dataset_config(parser: argparse._ActionsContainer) -> None:
    """`--dataset_config`, of what `--dataset` names."""
    parser.add_argument("--dataset_config", metavar="C", help="configuration of a data set that has several")


def add_launch_options(parser: argparse.ArgumentParser, configurations: str) -> None:
    """Several processes; `configurations` says which are shipped."""
    group = parser.add_argument_group("several processes (through accelerate launch)")
    group.add_argument("--accelerate_config", metavar="A", help=f"{configurations}, or a YAML file of accelerate")
    group.add_argument("--num_processes", type=positive, metavar="N", help="number of processes on all machines")
    group.add_argument("--num_machines", type=positive, metavar="N", help="number of machines")
    group.add_argument("--machine_rank", type=int, metavar="N", help="number of this machine, from 0")
    group.add_argument("--main_process_ip", metavar="IP", help="address of machine 0")
    group.add_argument("--main_process_port", type=int, metavar="P", help="port of machine 0")


def given_launch_options(args: argparse.Namespace) -> dict[str, Any]:
    """Those of `LAUNCH_OPTIONS` that were given."""
    return {name: getattr(args, name) for name in LAUNCH_OPTIONS if getattr(args, name) is not None}


def launch_options(args: argparse.Namespace) -> dict[str, Any]:
    """What processes are started with, by default `ddp`; nothing where this process is the one to do the work."""
    given = given_launch_options(args)
    return {} if not given or given == {"num_processes": 1} else {"accelerate_config": "ddp"} | given


def launch_if_asked(args: argparse.Namespace, more: Sequence[str] = ()) -> int | None:
    """Run the same command in the processes that were asked for; None where this process is the one to run it.

    Args:
        args: With `command_line`.
        more: What the command line has there besides.

    Returns:
        The exit status of `accelerate launch`.
    """
    if not (options := launch_options(args)):
        return None
    from ..runs.launch import launch

    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    add_launch_options(parser, "")
    command = [*parser.parse_known_args(args.command_line)[1], *more]
    return launch(command, options)


def add_streaming_options(parser: argparse.ArgumentParser) -> None:
    """Chunks, ends of segments, and the model of a stream."""
    parser.add_argument("--chunk_ms", type=positive, default=640, metavar="MS", help="default: %(default)s")
    parser.add_argument("--left_chunks", type=int, default=4, metavar="N", help="-1 for all; default: %(default)s")
    parser.add_argument(
        "--min_silence", type=float, default=0.5, metavar="S", help="silence that ends a segment; default: %(default)s"
    )
    parser.add_argument(
        "--preview_chunks", type=int, default=0, metavar="N", help="preview of the text every N chunks (default: none)"
    )
    parser.add_argument("--confidence", action="store_true", help="confidence of texts (extra: g2p)")
    parser.add_argument(
        "--return_language", action="store_true", help="which language was spoken, with its probability"
    )
    add_model(parser)


def add_batch_options(
    parser: argparse.ArgumentParser, default_batch_size: int | None, text: str = "default: %(default)s"
) -> None:
    """The model of recordings that are recognised in batches, and how; `text` tells the default of `--batch_size`."""
    add_model(parser)
    parser.add_argument("--batch_size", type=positive, default=default_batch_size, help=text)
    add_num_beams(parser)


def add_num_beams(parser: argparse.ArgumentParser) -> None:
    """`--num_beams`; [`~models.generate_kwargs`] passes it on."""
    parser.add_argument("--num_beams", type=positive, metavar="N", help="beam search width (default: the model's)")


def add_model(parser: argparse.ArgumentParser) -> None:
    """`--model`, `--device` and `--dtype`: what [`~models.load_model`] loads."""
    parser.add_argument("--model", metavar="M", help="model folder or Hub id (default: the small bundled checkpoint)")
    add_device(parser)
    parser.add_argument("--dtype", choices=DTYPES, help="default: the checkpoint's; on a processor float32")


def add_device(parser: argparse.ArgumentParser) -> None:
    """`--device`, by torch's names or "gpu"; [`~checks.find_device`] looks for it."""
    parser.add_argument("--device", type=_device, help="cpu, gpu, cuda, cuda:1, ... (default: a GPU if there is one)")


def _device(text: str) -> str:
    name = text.strip().lower()
    if not DEVICE.fullmatch(name):
        raise argparse.ArgumentTypeError(f"unknown device {text}: cpu, gpu, cuda, cuda:1, mps, xpu, ...")
    return name


def positive(text: str) -> int:
    """A whole number from 1 on, as `type` of an option."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {number}")
    return number


def whole(text: str) -> int:
    """A whole number from 0 on, as `type` of an option."""
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"must not be negative: {number}")
    return number


def seconds(text: str) -> float:
    """A number of seconds from 0 on, as an argument."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0 to 3600")
    return number
