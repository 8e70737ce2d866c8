# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The command line: `entropy-asr transcribe | stream | train | recipe | evaluate | ...`, a file beside this one each.

Everything heavy is imported inside the commands, so that `--help` and argument errors are immediate, and a Ctrl-C is
one line whenever it comes.

Exit status: 0 when all went well, 1 when some inputs failed (the others are done), 2 when nothing could be done; 75
when an experiment's time was up before it was done; 130 when interrupted, 141 when the reader of a pipe has gone, 143
when terminated. What a user can mend is one line; a fault of the program shows its traceback.
"""

import argparse
import sys
from collections.abc import Sequence

from ..runs.console import error_text, run_command, say
from ..runs.errors import CommandError, StageFailed
from ..runs.process_group import in_process_group, leave_process_group
from . import (
    card,
    demo,
    evaluate,
    experiment,
    export,
    hotwords,
    publish,
    recipe,
    report,
    serve,
    settings,
    stream,
    train,
    transcribe,
)


COMMANDS = (
    transcribe,
    hotwords,
    stream,
    serve,
    train,
    recipe,
    settings,
    experiment,
    evaluate,
    report,
    demo,
    card,
    publish,
    export,
)
# Nothing that a run has written is lost: its last checkpoint is where the next one starts.
GO_ON = "; run the same command again to go on from the last checkpoint"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. All errors that a user can mend are caught here, and nowhere else.

    Returns:
        The exit status.
    """
    args = argparse.Namespace(input_errors=(), is_training=False)

    def command() -> int:
        nonlocal args
        try:
            args = _parse(argv)
            was_joined = in_process_group()
            status = args.run(args)
            if not was_joined:  # else it is the caller's
                leave_process_group()
            return status
        except StageFailed as error:
            say("error", str(error))  # with the last lines of what the stage wrote
            return 1
        except (CommandError, ImportError, *args.input_errors) as error:  # a package is missing, or does not fit
            say("error", error_text(error))
            return 2

    return run_command(command, lambda: GO_ON if args.is_training else "")


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = build_parser()
    args, extra = parser.parse_known_args(argv)
    if not args.is_training and extra:
        parser.error(f"unrecognized arguments: {' '.join(extra)}")
    if extra and not extra[0].startswith("--"):
        parser.error(f"unrecognized argument: {extra[0]} (overrides are written --key value)")
    args.overrides = extra
    args.command_line = list(sys.argv[1:] if argv is None else argv)  # for commands that start themselves again
    return args


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    from importlib.metadata import version  # takes a while, in which a Ctrl-C is to be one line

    parser = argparse.ArgumentParser(
        prog="entropy-asr",
        description="Speech recognition with a speech encoder and a language model.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"entropy-asr {version('entropy-asr')}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_parser(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
