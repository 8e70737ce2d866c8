# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Files of hotwords: an index with its automaton as arrays, which may come from anybody.

What is looked up in them is checked when they are read; nothing larger than the file is made of it.
"""

import io
import json
import os
import struct
import zipfile
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from transformers.utils import logging

from .hotword_entries_entropy_asr import Entries, import_daachorse, to_codes, to_text
from .hotword_matches_entropy_asr import IndexPart
from .languages_entropy_asr import coarser_phoneme, default_phonemes
from .messages_entropy_asr import shortened
from .word_boundaries_entropy_asr import CommonWords


logger = logging.get_logger(__name__)

# 1: without common words.
_FORMATS, _FORMAT = (1, 2), 2
# Each has a character of its own.
_MAX_PHONEMES = 50_000
# What reading a damaged file raises.
_UNREADABLE = (
    *(ValueError, TypeError, KeyError, AttributeError, EOFError, OSError, RuntimeError, OverflowError, SyntaxError),
    *(zipfile.BadZipFile, struct.error),
)


def write_index(path: Path, phonemes: list[str], part: IndexPart, common_words: CommonWords | None) -> None:
    """Write an index; see [`HotwordIndex.save`].

    Args:
        path: of the file.
        phonemes: by their codes; the first is none.
        part: its words, none of them removed.
        common_words: that are said around them.
    """
    if path.suffix != ".npz":
        raise ValueError(f"{path}: a hotword index is saved with the ending .npz")
    common = Entries.pack(("", to_codes(text)) for text in (common_words.costs if common_words else ()))
    header = {"format": _FORMAT, "daachorse": _daachorse_version(), "phonemes": phonemes}
    arrays = {
        "header": np.frombuffer(json.dumps(header).encode(), np.uint8),
        "automaton": np.frombuffer(part.automaton.serialize() if part.automaton else b"", np.uint8),
        **part.entries._asdict(),
        "common_codes": common.codes,
        "common_offsets": common.code_offsets,
        "common_costs": np.array(list(common_words.costs.values()) if common_words else [], np.float32),
    }
    scratch = path.with_name(f".{path.stem}.{os.getpid()}.npz")
    try:
        np.savez(scratch, **arrays)
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)


def read_index(path: str | os.PathLike) -> tuple[list[str], IndexPart, dict[str, float]]:
    """Phonemes, words, and costs of common words of an index; see [`HotwordIndex.load`]."""
    try:
        arrays = read_arrays(path)
        header = _read_header(arrays["header"])
        entries = Entries(*(arrays[name] for name in Entries._fields))
        check_entries(entries, len(header["phonemes"]))
        automaton = None
        # Another release may lay its automaton out differently: it is built again then.
        if len(entries) and header["daachorse"] == _daachorse_version():
            automaton_class = import_daachorse().CharwiseDoubleArrayAhoCorasick
            automaton = automaton_class.deserialize(arrays["automaton"].tobytes())
        common = _read_common(arrays, len(header["phonemes"])) if header["format"] > 1 else {}
    except FileNotFoundError:
        raise
    except _UNREADABLE as error:
        raise ValueError(f"{path}: not a hotword index: {shortened(str(error), 500)}") from error
    _warn_of_earlier_release(path, header)
    return header["phonemes"], IndexPart(entries, automaton, os.fspath(path)), common


def check_entries(entries: Entries, num_phonemes: int) -> None:
    """Refuse arrays of a file that are no entries: what is looked up in them would be wrong, or not be there.

    Raises:
        ValueError: says which.
    """
    kinds = {"words": np.uint8, "word_offsets": np.int64, "codes": np.uint16, "code_offsets": np.int64}
    for name, kind in kinds.items():
        if getattr(entries, name).dtype != kind:
            raise ValueError(f"its `{name}` are {getattr(entries, name).dtype}, not {np.dtype(kind)}")
    check_offsets("word_offsets", entries.word_offsets, len(entries.words))
    check_offsets("code_offsets", entries.code_offsets, len(entries.codes))
    if len(entries.word_offsets) != len(entries.code_offsets):
        raise ValueError(f"it has {len(entries)} words, and pronunciations for {len(entries.code_offsets) - 1}")
    check_codes("codes", entries.codes, num_phonemes)
    entries.words.tobytes().decode("utf-8")
    starts = entries.word_offsets[:-1]
    # Inside of a character UTF-8 has bytes that begin with 10.
    if (entries.words[starts[starts < len(entries.words)]] & 0xC0 == 0x80).any():
        raise ValueError("a word begins inside of a character")


def check_offsets(name: str, offsets: np.ndarray, size: int) -> None:
    """Refuse offsets `(n + 1,)` that do not cut `size` things into n consecutive parts."""
    if not len(offsets) or offsets[0] != 0 or offsets[-1] != size or (np.diff(offsets) < 0).any():
        raise ValueError(f"its `{name}` do not go from 0 to {size}")


def check_codes(name: str, codes: np.ndarray, num_phonemes: int) -> None:
    """Refuse phoneme codes of no phoneme; 0 is none."""
    if len(codes) and not 0 < codes.min() <= codes.max() < num_phonemes:
        raise ValueError(f"its `{name}` are not from 1 to {num_phonemes - 1}")


def read_arrays(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """The arrays of an `.npz` file as `np.savez` writes them, of one axis each; nothing larger than the file is made.

    Raises:
        OSError: the file cannot be opened.
        ValueError, BadZipFile and others of the module `zipfile`: it is damaged, or compressed.
    """
    arrays = {}
    with zipfile.ZipFile(path) as file:
        for member in file.infolist():
            if member.compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"{member.filename} is compressed")
            arrays[member.filename.removesuffix(".npy")] = _read_array(member.filename, file.read(member))
    return arrays


def _read_array(name: str, data: bytes) -> np.ndarray:
    file = io.BytesIO(data)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    read = readers.get(np.lib.format.read_magic(file))
    if read is None:
        raise ValueError(f"{name} is of a later version of NumPy's format")
    shape, _, kind = read(file)
    if kind.hasobject or len(shape) != 1 or shape[0] * kind.itemsize != len(data) - file.tell():
        raise ValueError(f"{name} has {len(data) - file.tell()} bytes for an array {shape} of {kind}")
    return np.frombuffer(data, kind, offset=file.tell())


def _read_header(array: np.ndarray) -> dict[str, Any]:
    """Header of a file as `save` wrote it.

    Raises:
        ValueError: it is another one.
    """
    header = json.loads(array.tobytes())
    phonemes = header["phonemes"]
    if header["format"] not in _FORMATS:
        raise ValueError(f"its format is {header['format']}, and up to {_FORMAT} can be read")
    is_list = isinstance(phonemes, list) and all(isinstance(phoneme, str) for phoneme in phonemes)
    if not is_list or phonemes[:1] != [""] or len(phonemes) > _MAX_PHONEMES:
        raise ValueError("its phonemes are no list of them")
    return header


def _read_common(arrays: Mapping[str, np.ndarray], num_phonemes: int) -> dict[str, float]:
    """Costs of common words as `save` wrote them.

    Raises:
        ValueError: they are other arrays.
    """
    codes, offsets, costs = (arrays[f"common_{name}"] for name in ("codes", "offsets", "costs"))
    if (codes.dtype, offsets.dtype, costs.dtype) != (np.uint16, np.int64, np.float32) or not np.isfinite(costs).all():
        raise ValueError("its common words are other arrays, or their costs no numbers")
    check_offsets("common_offsets", offsets, len(codes))
    check_codes("common_codes", codes, num_phonemes)
    text = to_text(codes)
    words = [text[start:end] for start, end in pairwise(offsets.tolist())]
    return dict(zip(words, costs.tolist(), strict=True))


def _warn_of_earlier_release(path: str | os.PathLike, header: dict[str, Any]) -> None:
    known = {*header["phonemes"]}
    if unknown := [phoneme for phoneme in default_phonemes() if not known & {phoneme, coarser_phoneme(phoneme)}]:
        logger.warning(
            f"{path}: this hotword index is of a release whose phonemes lack {unknown[0]!r}: its words with "
            "such sounds are found with models of that time only. Build it again for later ones."
        )
    if header["format"] == 1:
        logger.warning(
            f"{path}: this hotword index is of a release that knew no word boundaries: its words are also found "
            "inside others. Build it again."
        )


def _daachorse_version() -> str:
    from importlib.metadata import version

    return version("daachorse")


__all__ = ["read_index", "write_index"]
