# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What `entropy-asr transcribe` is given: files, folders, addresses and standard input; and what their outputs are
called. Nothing heavy is imported here.
"""

import os
import re
import stat
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from urllib.parse import unquote, urlparse


STANDARD_INPUT = "-"
ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
# Files of a folder that are taken for recordings; a file that is named is read whatever it is called.
AUDIO_SUFFIXES = (
    *(".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".mp2", ".aif", ".aiff", ".aifc", ".au", ".snd"),
    *(
        ".caf",
        ".w64",
        ".rf64",
        ".m4a",
        ".m4b",
        ".mp4",
        ".aac",
        ".webm",
        ".mkv",
        ".mka",
        ".mov",
        ".avi",
        ".wma",
        ".amr",
        ".3gp",
    ),
)


@dataclass(frozen=True)
class AudioInput:
    """One recording to transcribe.

    Args:
        name: What it is called in the output and in messages.
        outputs: What its output may be called, without the extension, the shortest first.
    """

    name: str
    outputs: tuple[str, ...]

    def source(self) -> str | bytes:
        """What audio is read from: the path or address, or the bytes of what can be read only once.

        Raises:
            OSError: it cannot be read.
        """
        if self.name == STANDARD_INPUT:
            return b"" if sys.stdin is None else sys.stdin.buffer.read()
        if ADDRESS.match(self.name):
            return self.name
        # A pipe: its length cannot be looked up without losing what was read.
        return self.name if stat.S_ISREG(os.stat(self.name).st_mode) else Path(self.name).read_bytes()


def find_recordings(files: Sequence[str], fail: Callable[[str, str], None]) -> list[AudioInput]:
    """The recordings that files, folders, addresses and `-` name, in this order; those of a folder sorted.

    Args:
        files: As given on the command line.
        fail: Called with a file that is not there or cannot be read, and the reason.
    """
    recordings = []
    for file in files:
        if file == STANDARD_INPUT:
            recordings.append(AudioInput(file, ("stdin",)))
        elif ADDRESS.match(file):
            name = PurePath(unquote(urlparse(file).path)).name or urlparse(file).netloc
            recordings.append(AudioInput(file, (PurePath(name).stem, name)))
        elif os.path.isdir(file):
            found = _in_folder(file)
            recordings += found
            if not found:
                fail(file, "there are no recordings in this folder")
        elif reason := _unreadable(file):
            fail(file, reason)
        else:
            recordings.append(AudioInput(file, (Path(file).stem, Path(file).name)))
    return recordings


def _unreadable(file: str) -> str | None:
    """Why a file cannot be opened; None where it can."""
    try:
        os.stat(file)
    except (OSError, ValueError) as error:
        return f"cannot be opened: {getattr(error, 'strerror', None) or error}"
    return None if os.access(file, os.R_OK) else "cannot be opened: Permission denied"


def _in_folder(folder: str) -> list[AudioInput]:
    top = os.path.basename(os.path.abspath(folder))
    found = []
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in AUDIO_SUFFIXES:
                path = os.path.join(place, name)
                inside = os.path.relpath(path, folder)
                found.append(AudioInput(path, (os.path.splitext(inside)[0], inside, os.path.join(top, inside))))
    return sorted(found, key=lambda recording: recording.name)


def name_outputs(recordings: Sequence[AudioInput]) -> dict[str, str]:
    """What the output of each recording is called, by its name, so that none is written over another.

    Raises:
        ValueError: names what several would be written to.
    """
    named: dict[str, str] = {}
    left = list(recordings)
    for level in range(max((len(recording.outputs) for recording in recordings), default=0)):
        # Names that differ in case only are one file on some systems.
        wanted = {item.name: item.outputs[min(level, len(item.outputs) - 1)] for item in left}
        counts = Counter(wanted[item.name].casefold() for item in left)
        taken = {output.casefold() for output in named.values()}
        unique = {
            name: output
            for name, output in wanted.items()
            if counts[output.casefold()] == 1 and output.casefold() not in taken
        }
        named |= unique
        left = [item for item in left if item.name not in unique]
    if left:
        raise ValueError(left[0].outputs[0])
    return named
