# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What a disk refuses, said as the system says it, with the place: libraries hide it behind errors of their own."""

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from safetensors import SafetensorError


# Why nothing can be written at a place, whatever it is.
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG})
# safetensors is written in Rust; what it cannot read lies elsewhere.
_NUMBER = re.compile(r"while serializing.*os error (\d+)", re.DOTALL)
# PyTorch's writer of checkpoints says neither the file nor the reason.
_WRITER, _READER = re.compile(r"PytorchStreamWriter|inline_container"), "PytorchStreamReader"
_LITTLE = 2**20


@contextmanager
def named_disk_errors(path: str | os.PathLike, others_are_written: bool = False) -> Iterator[None]:
    """While something is written at `path`: a full or read-only disk is one error of the system that names it.

    Args:
        path: Folder or file that is written; errors that name a file themselves pass as they are.
        others_are_written: Whether other places are too, such as a cache or the console: an error that only says that
            there is no room is then this path's only where there is none.

    Raises:
        OSError: in place of an error that says less.
    """
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        if (number := _reason(error, os.fspath(path), others_are_written)) is None:
            raise
        raise OSError(number, os.strerror(number), os.fspath(path)) from error


def _reason(error: Exception, path: str, others_are_written: bool) -> int | None:
    """Number of what the system said, None if it was something else, or is named already."""
    if isinstance(error, OSError):
        is_unnamed = error.errno in NO_ROOM and error.filename is None
        return error.errno if is_unnamed and not (others_are_written and _free(path) > _LITTLE) else None
    if isinstance(error, SafetensorError):
        found = _NUMBER.search(str(error))
        return int(found[1]) if found else None
    if _WRITER.search(str(error)) and _READER not in str(error):
        return errno.ENOSPC if _free(path) < _LITTLE else errno.EIO
    return None


def _free(path: str) -> int:
    """Bytes that are left on the disk of a path that need not be there yet."""
    while not os.path.exists(path) and path != os.path.dirname(path):
        path = os.path.dirname(path)
    return shutil.disk_usage(path or ".").free


__all__ = ["NO_ROOM", "named_disk_errors"]
