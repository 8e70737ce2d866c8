# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What every command does about its console: characters that it cannot show, readers that go away, and interruptions.

A character that the console's encoding lacks is written as an escape, so that it costs nothing else; bytes of file
names that are no text come out as they are. Where whoever reads the output has gone (`| head -1`), the command ends as
one that SIGPIPE ends.
"""

import codecs
import json
import os
import select
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TextIO


# What a shell reports of a process that a signal ended.
INTERRUPTED, BROKEN_PIPE = 128 + signal.SIGINT, 128 + 13
# Set for processes that a command starts, to that command, which itself says how it ended.
LAUNCHED = "ENTROPY_ASR_LAUNCHED"
ESCAPE = "entropy_asr_escape"
FAILED = 2


def _escape(error: UnicodeError) -> tuple[str | bytes, int]:
    """Error handler for writing: bytes that were no text when they were read (PEP 383) as such, others escaped."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    character = error.object[error.start]
    if "\udc80" <= character <= "\udcff":
        return bytes([ord(character) - 0xDC00]), error.start + 1
    escaped = character.encode("ascii", "backslashreplace").decode("ascii")
    return escaped, error.start + 1


codecs.register_error(ESCAPE, _escape)


def to_json(value: Any, stream: TextIO | None = None, indent: int | None = None) -> str:
    """JSON for a stream, or for a UTF-8 file: what it cannot hold becomes `\\uXXXX`, so that it stays JSON."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        # Outside ASCII there are only characters inside strings.
        return "".join(character if _holds(encoding, character) else json.dumps(character)[1:-1] for character in text)
    return text


def _holds(encoding: str, character: str) -> bool:
    try:
        character.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def say(kind: str, message: str) -> None:
    """One line on standard error: an "error" or a "warning"."""
    print(f"entropy-asr: {kind}: {message}", file=sys.stderr, flush=True)


def error_text(error: BaseException) -> str:
    """What an error says, in one line; of the system's errors without their numbers."""
    if isinstance(error, OSError) and error.strerror and error.errno is not None:
        names = [str(name) for name in (error.filename, error.filename2) if name is not None]
        return ": ".join([*names, error.strerror])
    return " ".join(str(error).split()) or type(error).__name__


def run_command(command: Callable[[], int], interrupted: Callable[[], str]) -> int:
    """Run a command with its console prepared.

    Args:
        command: gives the exit status.
        interrupted: what to say, beside that it was, when it is interrupted.

    Returns:
        The exit status: that of the command, 2 where the system refused something, or 128 and the number of the
        signal, as shells report it: 130 when interrupted, 141 when the reader of the output has gone. SIGTERM ends it
        with 143, after it has cleaned up.
    """
    _prepare_streams()
    previous = _handle_termination()
    try:
        try:
            with _short_warnings():
                return command()
        finally:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
    except KeyboardInterrupt:
        _let_the_next_signal_end_it()
        _close_bars()
        if LAUNCHED not in os.environ:
            # A terminal shows ^C, perhaps behind a progress bar.
            start = "\n" if sys.stderr.isatty() else ""
            print(f"{start}entropy-asr: interrupted{interrupted()}", file=sys.stderr, flush=True)
        return INTERRUPTED
    except BrokenPipeError:
        if not _silence_gone_readers():
            raise
        return BROKEN_PIPE
    except OSError as error:  # a full disk, no permission, a port in use: not a fault of the program
        _close_bars()
        place = "standard output: " if _drop_unwritten() else ""
        say("error", place + error_text(error))
        return FAILED
    finally:
        if previous is not None:
            signal.signal(signal.SIGTERM, previous)


def _prepare_streams() -> None:
    """Let both streams write every character, also those of file names that are no text; open closed ones."""
    if sys.stdout is None or sys.stderr is None:
        _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        # What a user has asked for (PYTHONIOENCODING=ascii:replace) holds.
        if hasattr(stream, "reconfigure") and stream.errors in ("strict", "surrogateescape", "backslashreplace"):
            stream.reconfigure(errors=ESCAPE)


@contextmanager
def _short_warnings() -> Iterator[None]:
    """Warnings in one line; those of libraries about each other only where they are asked for (`python -W`)."""
    with warnings.catch_warnings():
        if not sys.warnoptions:
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            # torch's, about a default that transformers sets, on every machine without a GPU.
            warnings.filterwarnings("ignore", "'pin_memory' argument is set as true", UserWarning)
        warnings.showwarning = _show_warning
        yield


def _show_warning(message: Warning | str, *details: Any, **named: Any) -> None:
    say("warning", " ".join(str(message).split()))


def _open_closed_streams() -> None:
    """Nothing that is opened later may become standard output or error, which libraries write to by number."""
    # Writing to standard output fails, as it does for other programs; messages that nobody wants are dropped.
    for number, mode in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, mode)  # takes the lowest number, unless a thread was faster
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def _handle_termination() -> Any:
    """Let SIGTERM unwind the command, so that it ends what it has started; returns the handler before."""
    if threading.current_thread() is not threading.main_thread():
        return None

    def end(number: int, frame: FrameType | None) -> None:
        sys.exit(128 + number)

    return signal.signal(signal.SIGTERM, end)


def _close_bars() -> None:
    """Progress bars that are left open would be drawn once more, behind the last line."""
    if "tqdm" in sys.modules:
        for bar in list(getattr(sys.modules["tqdm"].tqdm, "_instances", ())):
            bar.close()


def _let_the_next_signal_end_it() -> None:
    """While Python waits for threads at its end, a second Ctrl-C ends it at once, and without a traceback."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def _silence_gone_readers() -> bool:
    """Whether the reader of standard output or error has gone; nothing more is written to it, at exit neither."""
    gone = [stream for stream in (sys.stdout, sys.stderr) if _reader_is_gone(stream)]
    for stream in gone:
        _drop(stream)
    return bool(gone)


def _drop_unwritten() -> bool:
    """Python writes what is left in a buffer when it ends: not where that has failed already."""
    try:
        sys.stdout.flush()
    except OSError:
        _drop(sys.stdout)
        return True
    return False


def _drop(stream: TextIO) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _reader_is_gone(stream: TextIO) -> bool:
    try:
        number = stream.fileno()
    except (OSError, ValueError):
        return False
    if not hasattr(select, "poll"):  # Windows: nothing tells, and commands have no other pipes
        return True
    poll = select.poll()
    poll.register(number, select.POLLOUT)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
